/** The order service on a plain pg.Pool: the same logic and the same statements as the sample handlers. */
import type {
  APIGatewayProxyEventV2,
  APIGatewayProxyStructuredResultV2,
  ScheduledEvent,
  SQSBatchResponse,
  SQSEvent,
} from 'aws-lambda';
import { bodyOf, respond } from '../../../../infra/orders/http.ts';
import { parseDraft } from '../../../../infra/orders/order.ts';
import { type DailyReport, dayBefore, reportDay } from '../../../../infra/orders/report.ts';
import { findOrder, insertOrder, insertOrderOnce, isOrderId } from '../../../../infra/orders/store.ts';
import { dispatch } from '../dispatch.ts';
import { pool, transaction } from './pool.ts';

async function create(event: APIGatewayProxyEventV2): Promise<APIGatewayProxyStructuredResultV2> {
  const parsed = parseDraft(bodyOf(event));
  if ('problems' in parsed) return respond(400, { message: parsed.problems.join('; ') });
  return respond(201, await transaction((client) => insertOrder(client, parsed.draft)));
}

async function get(event: APIGatewayProxyEventV2): Promise<APIGatewayProxyStructuredResultV2> {
  const id = event.pathParameters?.['id'] ?? '';
  if (!isOrderId(id)) return respond(400, { message: 'the id of an order is a UUID' });
  const order = await findOrder(pool, id);
  return order ? respond(200, order) : respond(404, { message: `there is no order ${id}` });
}

async function consume(event: SQSEvent): Promise<SQSBatchResponse> {
  const batchItemFailures: SQSBatchResponse['batchItemFailures'] = [];
  for (const { messageId, body } of event.Records) {
    try {
      const parsed = parseDraft(body);
      if ('problems' in parsed) throw new Error(parsed.problems.join('; '));
      await transaction((client) => insertOrderOnce(client, messageId, parsed.draft));
    } catch (error) {
      console.error(`Message ${messageId} was not stored:`, error);
      batchItemFailures.push({ itemIdentifier: messageId });
    }
  }
  return { batchItemFailures };
}

function report(event: ScheduledEvent): Promise<DailyReport> {
  return reportDay(pool, dayBefore(event.time));
}

export const handler = dispatch({ create, get, consume, report });
