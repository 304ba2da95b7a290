/** The events of the order service, in the shapes that AWS documents for API Gateway, SQS and EventBridge. */
import { createHash, randomBytes, randomUUID } from 'node:crypto';
import type { APIGatewayProxyEventV2, ScheduledEvent, SQSEvent, SQSRecord } from 'aws-lambda';
import type { EventKind } from './dispatch.ts';

const ACCOUNT = '123456789012';
const REGION = 'eu-central-1';
const API = 'a1b2c3d4e5';
const DAY_MILLIS = 86_400_000;
const MESSAGES_IN_A_BATCH = 3;

const ORDER = {
  customer: 'Ada Lovelace',
  items: [
    { sku: 'tea-darjeeling', quantity: 2, price: 1290 },
    { sku: 'cup-porcelain', quantity: 1, price: 2400 },
    { sku: 'spoon-silver', quantity: 6, price: 350 },
  ],
};

/** `21/Nov/2026:04:14:58 +0000`. */
function commonLogTime(now: Date): string {
  const [, day, month, year, time] = now.toUTCString().split(' ');
  return `${day}/${month}/${year}:${time} +0000`;
}

interface Route {
  readonly method: 'GET' | 'POST';
  readonly path: string;
  readonly routeKey: string;
}

/**
 * A request in payload format 2.0.
 * Source: https://docs.aws.amazon.com/apigateway/latest/developerguide/http-api-develop-integrations-lambda.html
 */
function httpEvent({ method, path, routeKey }: Route, now: Date): APIGatewayProxyEventV2 {
  const host = `${API}.execute-api.${REGION}.amazonaws.com`;
  return {
    version: '2.0',
    routeKey,
    rawPath: path,
    rawQueryString: '',
    headers: {
      accept: 'application/json',
      'content-type': 'application/json',
      host,
      'user-agent': 'demo',
      'x-amzn-trace-id': `Root=1-${Math.floor(now.getTime() / 1000).toString(16)}-${randomBytes(12).toString('hex')}`,
      'x-forwarded-for': '203.0.113.7', // An address reserved for documentation (RFC 5737).
      'x-forwarded-port': '443',
      'x-forwarded-proto': 'https',
    },
    requestContext: {
      accountId: ACCOUNT,
      apiId: API,
      domainName: host,
      domainPrefix: API,
      http: { method, path, protocol: 'HTTP/1.1', sourceIp: '203.0.113.7', userAgent: 'demo' },
      requestId: randomBytes(11).toString('base64url'),
      routeKey,
      stage: '$default',
      time: commonLogTime(now),
      timeEpoch: now.getTime(),
    },
    isBase64Encoded: false,
  };
}

/** POST /orders. */
export function createEvent(now = new Date()): APIGatewayProxyEventV2 {
  const event = httpEvent({ method: 'POST', path: '/orders', routeKey: 'POST /orders' }, now);
  return { ...event, body: JSON.stringify(ORDER) };
}

/** GET /orders/{id}. */
export function getEvent(id: string, now = new Date()): APIGatewayProxyEventV2 {
  const event = httpEvent({ method: 'GET', path: `/orders/${id}`, routeKey: 'GET /orders/{id}' }, now);
  return { ...event, pathParameters: { id } };
}

/** A batch of messages. Source: https://docs.aws.amazon.com/lambda/latest/dg/with-sqs.html */
export function consumeEvent(now = new Date()): SQSEvent {
  const body = JSON.stringify(ORDER);
  const sent = String(now.getTime());
  const record = (): SQSRecord => ({
    messageId: randomUUID(),
    receiptHandle: randomBytes(96).toString('base64'),
    body,
    attributes: {
      ApproximateReceiveCount: '1',
      SentTimestamp: sent,
      SenderId: 'AIDAIENQZJOLO23YVJ4VO', // As in AWS's example.
      ApproximateFirstReceiveTimestamp: sent,
    },
    messageAttributes: {},
    md5OfBody: createHash('md5').update(body).digest('hex'),
    eventSource: 'aws:sqs',
    eventSourceARN: `arn:aws:sqs:${REGION}:${ACCOUNT}:orders`,
    awsRegion: REGION,
  });
  return { Records: Array.from({ length: MESSAGES_IN_A_BATCH }, record) };
}

/**
 * The schedule's tick after midnight, so that today is the day that is reported.
 * Source: https://docs.aws.amazon.com/lambda/latest/dg/with-eventbridge-scheduler.html
 */
export function reportEvent(now = new Date()): ScheduledEvent {
  const midnight = Math.ceil((now.getTime() + 1) / DAY_MILLIS) * DAY_MILLIS;
  return {
    version: '0',
    id: randomUUID(),
    'detail-type': 'Scheduled Event',
    source: 'aws.events',
    account: ACCOUNT,
    time: new Date(midnight + 300_000).toISOString().replace('.000Z', 'Z'), // Five minutes past.
    region: REGION,
    resources: [`arn:aws:events:${REGION}:${ACCOUNT}:rule/daily-report`],
    detail: {},
  };
}

/** Makes an event of that kind; `orderId` is the order to read. */
export function eventOf(kind: EventKind, orderId: string): unknown {
  switch (kind) {
    case 'create':
      return createEvent();
    case 'get':
      return getEvent(orderId);
    case 'consume':
      return consumeEvent();
    case 'report':
      return reportEvent();
  }
}
