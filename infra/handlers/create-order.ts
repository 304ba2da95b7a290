/** POST /orders: stores an order and its lines in one transaction. */
import middy from '@middy/core';
import type { APIGatewayProxyEventV2, APIGatewayProxyStructuredResultV2 } from 'aws-lambda';
import { pgPool } from 'thawpool/middy';
import { bodyOf, respond } from '../orders/http.ts';
import { parseDraft } from '../orders/order.ts';
import { insertOrder } from '../orders/store.ts';

export const handler = middy<APIGatewayProxyEventV2, APIGatewayProxyStructuredResultV2>()
  .use(pgPool())
  .handler(async (event, { db }) => {
    const parsed = parseDraft(bodyOf(event));
    if ('problems' in parsed) return respond(400, { message: parsed.problems.join('; ') });
    const order = await db.transaction((tx) => insertOrder(tx, parsed.draft));
    return respond(201, order);
  });
