import pg from 'pg';
import { getPool } from 'thawpool';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { handler as consumeOrders } from '../../../infra/handlers/consume-orders.ts';
import { handler as createOrder } from '../../../infra/handlers/create-order.ts';
import { handler as dailyReport } from '../../../infra/handlers/daily-report.ts';
import { handler as getOrder } from '../../../infra/handlers/get-order.ts';
import { handler as migrate } from '../../../infra/handlers/migrate.ts';
import type { Order } from '../../../infra/orders/order.ts';
import { parseDraft } from '../../../infra/orders/order.ts';
import { dayBefore } from '../../../infra/orders/report.ts';
import { startPostgres, type TestPostgres } from '../../support/postgres.ts';
import { dispatch, kindOf } from './dispatch.ts';
import { consumeEvent, createEvent, eventOf, getEvent, reportEvent } from './events.ts';
import { failureOf } from './lane.ts';

/** What Lambda gives; the middleware adds the pool. */
const context = { awsRequestId: 'test', getRemainingTimeInMillis: () => 10_000 } as Parameters<typeof getOrder>[1];
const item = { sku: 'tea', quantity: 2, price: 1290 };
const withBody = (body: unknown) => ({ ...createEvent(), body: JSON.stringify(body) });
const bodyOf = (response: { body?: string | undefined }) => JSON.parse(response.body ?? '') as unknown;

describe('the dispatcher', () => {
  it('recognises every event by its shape', () => {
    for (const kind of ['create', 'get', 'consume', 'report'] as const) expect(kindOf(eventOf(kind, 'x'))).toBe(kind);
  });

  it('refuses what it does not know', () => {
    const others = [null, {}, { Records: [] }, { Records: [{ eventSource: 'aws:s3' }] }, { version: '1.0' }];
    for (const event of others) expect(() => kindOf(event)).toThrow('No handler for this event');
  });

  it('hands event and context to the handler', async () => {
    const handlers = { create: vi.fn(), get: vi.fn(() => 'got'), consume: vi.fn(), report: vi.fn() };
    const event = getEvent('x');
    expect(await dispatch(handlers)(event, context)).toBe('got');
    expect(handlers.get).toHaveBeenCalledExactlyOnceWith(event, context);
  });

  it('makes a schedule whose report is about today', () => {
    expect(dayBefore(reportEvent(new Date('2026-11-21T23:59:59.999Z')).time)).toBe('2026-11-21');
    expect(dayBefore(reportEvent(new Date('2026-12-31T00:00:00.000Z')).time)).toBe('2026-12-31');
  });
});

describe('an invocation', () => {
  const result = { ok: true, outcome: 'ok', requestId: '1', durationMillis: 1 } as const;

  it('has failed when it answers with an error or hands messages back', () => {
    expect(failureOf({ ...result, payload: { statusCode: 201 } })).toBeUndefined();
    expect(failureOf({ ...result, payload: { batchItemFailures: [] } })).toBeUndefined();
    expect(failureOf({ ...result, payload: { statusCode: 500 } })).toBe('answered 500');
    expect(failureOf({ ...result, payload: { batchItemFailures: [{}, {}] } })).toBe('2 messages failed');
    const error = { errorType: 'X', errorMessage: 'RequestId: 1 Error: Task timed out' };
    expect(failureOf({ ...result, ok: false, outcome: 'timeout', error })).toBe('Task timed out');
  });
});

describe('an order', () => {
  it('is taken without what does not belong to it', () => {
    const text = JSON.stringify({ customer: 'Ada', items: [{ ...item, more: 1 }], more: 1 });
    expect(parseDraft(text)).toEqual({ draft: { customer: 'Ada', items: [item] } });
  });

  it.each([
    ['{', 'the body must be JSON'],
    ['[]', 'the body must be an object with customer and items'],
    ['{"customer":"Ada","items":[]}', 'items must be a list of 1 to 100 items'],
    ['{"customer":"Ada","items":[1]}', 'items[0] must be an object with sku, quantity and price'],
    [JSON.stringify({ customer: 'a\0b', items: [item] }), 'customer must be a text of 1 to 200 characters'],
    [
      JSON.stringify({ customer: 'Ada', items: [item, { ...item, price: 12.9 }] }),
      'items[1].price must be a whole number of cents from 0 to 100000000, got 12.9',
    ],
    [
      JSON.stringify({ customer: 'Ada', items: [{ sku: 'tea', price: 1 }] }),
      'items[0].quantity must be a whole number from 1 to 10000, got nothing',
    ],
  ])('%s is refused', (text, problem) => {
    expect(parseDraft(text)).toEqual({ problems: [problem] });
  });

  it('is told everything that is wrong with it at once', () => {
    const text = JSON.stringify({ customer: ' ', items: [{ sku: '', quantity: '2', price: -1 }] });
    expect(parseDraft(text)).toHaveProperty('problems.length', 4);
  });
});

describe('the sample handlers', () => {
  let postgres: TestPostgres;
  let given: string | undefined;

  beforeAll(async () => {
    postgres = await startPostgres();
    given = process.env['DATABASE_URL'];
    process.env['DATABASE_URL'] = await postgres.createDatabase(`orders_${process.pid}`);
  });
  afterAll(async () => {
    await getPool().end();
    if (given === undefined) delete process.env['DATABASE_URL'];
    else process.env['DATABASE_URL'] = given;
    await postgres.close();
  });

  const rows = async (sql: string) => (await getPool().query<{ value: string }>(sql)).rows.map(({ value }) => value);

  it('migrate twice at once, and again', async () => {
    const all = await Promise.all([migrate({}, context), migrate({}, { ...context }), migrate({}, { ...context })]);
    expect(all).toEqual([{ migrated: true }, { migrated: true }, { migrated: true }]);
  });

  it('create an order and read it back', async () => {
    const created = await createOrder(
      withBody({ customer: "O'Hara", items: [item, { ...item, sku: 'cup' }] }),
      context,
    );
    expect(created.statusCode).toBe(201);
    const order = bodyOf(created) as Order;
    expect(order).toMatchObject({ customer: "O'Hara", total: 5160, items: [item, { ...item, sku: 'cup' }] });
    const read = await getOrder(getEvent(order.id), context);
    expect([read.statusCode, bodyOf(read)]).toEqual([200, order]);
  });

  it('keep the largest order to the cent', async () => {
    const items = Array.from({ length: 100 }, () => ({ sku: 'x', quantity: 10_000, price: 99_999_999 }));
    const order = bodyOf(await createOrder(withBody({ customer: 'Ada', items }), context)) as Order;
    expect(order.total).toBe(99_999_999_000_000);
    expect(bodyOf(await getOrder(getEvent(order.id), context))).toEqual(order);
  });

  it('take a body that API Gateway has encoded', async () => {
    const plain = createEvent();
    const body = Buffer.from(plain.body ?? '').toString('base64');
    const created = await createOrder({ ...plain, body, isBase64Encoded: true }, context);
    expect(created.statusCode).toBe(201);
  });

  it('answer 400 and 404 in words', async () => {
    const bad = await createOrder({ ...createEvent(), body: '{' }, context);
    expect([bad.statusCode, bodyOf(bad)]).toEqual([400, { message: 'the body must be JSON' }]);
    const malformed = await getOrder(getEvent('1; drop table orders'), context);
    expect([malformed.statusCode, bodyOf(malformed)]).toEqual([400, { message: 'the id of an order is a UUID' }]);
    const id = '00000000-0000-4000-8000-000000000000';
    const missing = await getOrder(getEvent(id), context);
    expect([missing.statusCode, bodyOf(missing)]).toEqual([404, { message: `there is no order ${id}` }]);
  });

  it('store a queued order once, and hand back the message that holds none', async () => {
    const log = vi.spyOn(console, 'error').mockImplementation(() => {});
    const event = consumeEvent();
    const [first, broken] = event.Records;
    broken!.body = '{"customer":"Ada"}';
    const before = Number((await rows('select count(*) as value from orders'))[0]);
    const expected = { batchItemFailures: [{ itemIdentifier: broken!.messageId }] };
    expect(await consumeOrders(event, context)).toEqual(expected);
    expect(await consumeOrders({ Records: [first!, first!] }, context)).toEqual({ batchItemFailures: [] });
    expect(Number((await rows('select count(*) as value from orders'))[0])).toBe(before + 2);
    expect(log).toHaveBeenCalledOnce();
    log.mockRestore();
  });

  it('report the day that has ended, and correct the report when asked again', async () => {
    const client = new pg.Client({ connectionString: process.env['DATABASE_URL'] });
    await client.connect();
    // The session's time zone must not move the borders of the day.
    await client.query(
      `insert into orders (customer, total_cents, created_at) values
       ('a', 9000000000000000, '2020-02-28T23:59:59.999Z'), ('a', 9000000000000000, '2020-02-29T00:00:00Z'),
       ('b', 9000000000000001, '2020-02-29T23:59:59.999Z'), ('b', 1, '2020-03-01T00:00:00Z')`,
    );
    await client.end();
    const event = { ...reportEvent(), time: '2020-03-01T00:05:00Z' };
    const report = { day: '2020-02-29', orders: 2, customers: 2, revenue: '18000000000000001' };
    expect(await dailyReport(event, context)).toEqual(report);
    expect(await dailyReport(event, context)).toEqual(report);
    const stored = `select day || ' ' || orders || ' ' || revenue_cents as value from reports where day = '2020-02-29'`;
    expect(await rows(stored)).toEqual(['2020-02-29 2 18000000000000001']);
  });
});
