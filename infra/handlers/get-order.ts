/** GET /orders/{id}: reads an order and its lines. */
import middy from '@middy/core';
import type { APIGatewayProxyEventV2, APIGatewayProxyStructuredResultV2 } from 'aws-lambda';
import { pgPool } from 'thawpool/middy';
import { respond } from '../orders/http.ts';
import { findOrder, isOrderId } from '../orders/store.ts';

export const handler = middy<APIGatewayProxyEventV2, APIGatewayProxyStructuredResultV2>()
  .use(pgPool())
  .handler(async (event, { db }) => {
    const id = event.pathParameters?.['id'] ?? '';
    if (!isOrderId(id)) return respond(400, { message: 'the id of an order is a UUID' });
    const order = await findOrder(db, id);
    return order ? respond(200, order) : respond(404, { message: `there is no order ${id}` });
  });
