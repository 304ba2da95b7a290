// The handler's contract, through both doors: the middleware and the plain wrapper.

import { randomUUID } from 'node:crypto';
import middy from '@middy/core';
import type { Context } from 'aws-lambda';
import pg from 'pg';
import { type CreatePoolOptions, createPool, getPool, PgPool, type Transaction, withPool } from 'thawpool';
import { pgPool } from 'thawpool/middy';
import { FakeClock } from 'thawpool/testing';
import { afterEach, beforeAll, describe, expect, it } from 'vitest';
import { deferred } from '../support/deferred.ts';
import { makeContext, onLambda } from './invocations.ts';
import { failure, until, useDatabase, usePools, useProxy } from './support.ts';

const database = useDatabase();
const proxy = useProxy();
const makePool = usePools(() => ({ connectionString: database.connectionString }));

type Handler = (event: unknown, context: Context & { db: PgPool }) => unknown;
type Options = CreatePoolOptions & { readonly pool?: PgPool };
type Invoke = (event: unknown, context: Context) => Promise<unknown>;

const doors: [name: string, wrap: (handler: Handler, options: Options) => Invoke][] = [
  ['the middleware', (handler, options) => middy().use(pgPool(options)).handler(handler) as unknown as Invoke],
  ['the wrapper', (handler, options) => withPool(handler, options)],
];

beforeAll(() => database.query('create table left_behind (id int)'));

const made: string[] = [];
afterEach(async () => {
  for (const name of made.splice(0)) {
    const pool = getPool({ name });
    if (!pool.ending) await pool.end();
  }
});

/** A pool that is found by its name, as handlers have it. */
function named(): { name: string; pool: () => PgPool } {
  const name = randomUUID();
  made.push(name);
  return { name, pool: () => getPool({ name }) };
}

describe.each(doors)('a handler behind %s', (_, wrap) => {
  it('makes nothing until it is invoked, and opens nothing until it queries', async () => {
    const { name } = named();
    const made = (): boolean => {
      const pools = (globalThis as Record<symbol, unknown>)[Symbol.for('thawpool.registry')];
      return (pools as Map<string, unknown> | undefined)?.has(name) ?? false;
    };
    let query = false;
    const handler = wrap(
      async (_event, { db }) => {
        if (query) await db.query('select 1');
        return db.stats().total;
      },
      { name, env: {}, connectionString: database.connectionString },
    );
    expect(made()).toBe(false);
    expect(await handler({}, makeContext())).toBe(0);
    expect(made()).toBe(true);
    query = true;
    expect(await handler({}, makeContext())).toBe(1);
  });

  it('has a PgPool, bound to its invocation, that is the same pool each time', async () => {
    const { pool } = makePool();
    const seen: PgPool[] = [];
    const pids: unknown[] = [];
    const handler = wrap(
      async (event, { db }) => {
        expect(db).toBeInstanceOf(PgPool);
        expect(db).toBeInstanceOf(pg.Pool);
        seen.push(db);
        pids.push((await db.query('select pg_backend_pid() as pid')).rows);
        return event;
      },
      { pool },
    );
    expect(await handler('first', makeContext())).toBe('first');
    expect(await handler('second', makeContext())).toBe('second');
    expect(new Set([pool, ...seen]).size).toBe(3);
    expect(pids[0]).toEqual(pids[1]);
    expect(pool.stats()).toMatchObject({ created: 1, idle: 1 });
  });

  it('costs a warm invocation no message beyond its own', async () => {
    const { pool } = makePool({ connectionString: through(proxy().port) });
    const handler = wrap((_event, { db }) => db.query('select 1'), { pool });
    await handler({}, makeContext());
    const before = proxy().snapshot();
    await handler({}, makeContext());
    expect(proxy().since(before)).toMatchObject({ opened: 0, frontend: { Query: 1 } });
    expect(Object.keys(proxy().since(before).frontend)).toEqual(['Query']);
  });

  it('costs a warm invocation three messages for a statement that it has sent before', async () => {
    const { pool } = makePool({ connectionString: through(proxy().port) });
    const handler = wrap((_event, { db }) => db.query('select $1::int', [1]), { pool });
    for (let time = 0; time < 2; time += 1) await handler({}, makeContext());
    const before = proxy().snapshot();
    for (let time = 0; time < 3; time += 1) await handler({}, makeContext());
    expect(proxy().since(before)).toMatchObject({ opened: 0, frontend: { Bind: 3, Execute: 3, Sync: 3 } });
    expect(Object.keys(proxy().since(before).frontend).toSorted()).toEqual(['Bind', 'Execute', 'Sync']);
  });

  it('passes on what the handler throws, and ends the invocation', async () => {
    const { pool, warnings } = makePool();
    const error = new Error('of the handler');
    const handler = wrap(
      async (_event, { db }) => {
        await db.query('select 1');
        await Promise.all(Array.from({ length: 3 }, () => db.query('select 1')));
        throw error;
      },
      { pool },
    );
    expect(await failure(handler({}, makeContext()))).toBe(error);
    expect(pool.stats()).toMatchObject({ leased: 0, total: 1, idle: 1 });
    expect(warnings).toEqual([]);
  });

  it('closes what a burst has opened above maxIdle', async () => {
    const { pool } = makePool({ maxIdle: 2 });
    const handler = wrap(
      async (_event, { db }) => {
        await Promise.all(Array.from({ length: 8 }, () => db.query('select pg_advisory_xact_lock_shared(1)')));
        return db.stats().total;
      },
      { pool },
    );
    // None is answered before all four connections are in use.
    await database.query('select pg_advisory_lock(1)');
    const total = handler({}, makeContext());
    await until(pool, () => pool.stats().leased === 4);
    await database.query('select pg_advisory_unlock(1)');
    expect(await total).toBe(4);
    expect(pool.stats()).toMatchObject({ total: 2, idle: 2, destroyed: { surplus: 2 } });
  });

  it('gives back what it has leaked, rolled back, and says whose it was', async () => {
    const { pool, warnings } = makePool({ max: 1 });
    let leaked: pg.PoolClient | undefined;
    const handler = wrap(
      async (_event, { db }) => {
        leaked = await db.connect();
        await leaked.query('begin');
        await leaked.query('insert into left_behind values (1)');
      },
      { pool },
    );
    await handler({}, makeContext({ awsRequestId: 'request-7' }));
    expect(pool.stats()).toMatchObject({ leased: 0, idle: 1, reclaimed: 1, created: 1 });
    expect(warnings[0]).toMatch(/^Invocation request-7 ended /);
    expect(warnings[1]).toMatch(/^A connection was released with an open transaction, which was rolled back/);
    expect(warnings).toHaveLength(2);
    expect(await database.query('select * from left_behind')).toEqual([]);
    const error = await failure(leaked?.query('select 1') as Promise<unknown>);
    expect(error).toMatchObject({
      code: 'ERR_POOL_RECLAIMED',
      message:
        'This connection was taken back because the invocation that acquired it has ended. Await all work before the handler returns. See ERR_POOL_RECLAIMED.',
    });
    expect(() => leaked?.release()).not.toThrow();
    expect((await pool.query('select 1 as one')).rows).toEqual([{ one: 1 }]);
  });

  it('closes what was still busy when it returned', async () => {
    const { pool, warnings } = makePool({ max: 1 });
    let lost: Promise<Error> | undefined;
    const handler = wrap(
      (_event, { db }) => {
        lost = failure(db.query('select pg_sleep(60)'));
        return db.query('select 1').catch((error: unknown) => error);
      },
      { pool },
    );
    const raced = wrap(
      async (_event, { db }) => {
        await db.query('select 1');
        lost = failure(db.query('select pg_sleep(60)'));
      },
      { pool },
    );
    void handler;
    await raced({}, makeContext());
    expect((await lost)?.message).toMatch(/terminated|lost|invocation/i);
    expect(warnings).toEqual([expect.stringMatching(/^Invocation [-\da-f]+ ended /)]);
    expect((await pool.query('select 1 as one')).rows).toEqual([{ one: 1 }]);
    expect(pool.stats()).toMatchObject({ created: 2, reclaimed: 1 });
  });

  it('ends the wait of what nobody awaits', async () => {
    const { pool } = makePool({ max: 1 });
    const outside = await pool.connect();
    let waiting: Promise<Error & { code?: string }> | undefined;
    const handler = wrap(
      (_event, { db }) => {
        waiting = failure(db.query('select 1'));
      },
      { pool },
    );
    await handler({}, makeContext());
    expect((await waiting)?.code).toBe('ERR_POOL_RECLAIMED');
    outside.release();
  });

  it('runs nothing of a transaction that outlives it on a connection that is somebody else’s by then', async () => {
    const { pool } = makePool({ max: 1 });
    const gate = deferred();
    let outliving: Promise<Error & { code?: string }> | undefined;
    const handler = wrap(
      async (_event, { db }) => {
        const begun = deferred();
        outliving = failure(
          db.transaction(async (tx: Transaction) => {
            await tx.query('insert into left_behind values (2)');
            begun.resolve();
            await gate.promise;
            await tx.query('insert into left_behind values (3)');
          }),
        );
        await begun.promise;
      },
      { pool },
    );
    await handler({}, makeContext());
    const somebody = await pool.connect();
    gate.resolve();
    expect((await outliving)?.code).toBe('ERR_POOL_RECLAIMED');
    await somebody.query('select 1');
    somebody.release();
    expect(await database.query('select * from left_behind')).toEqual([]);
  });

  it('serves several invocations at once, each with what is its own', async () => {
    const { pool, warnings } = makePool({ maxIdle: 4 });
    const gate = deferred();
    const both = deferred();
    let there = 0;
    const handler = wrap(
      async (event, { db }) => {
        const client = await db.connect();
        await client.query('select 1');
        if (event === 'leaks') return;
        there += 1;
        if (there === 2) both.resolve();
        await gate.promise;
        const { rows } = await client.query('select $1::text as word', [event]);
        client.release();
        return rows;
      },
      { pool },
    );
    const first = handler('first', makeContext());
    const second = handler('second', makeContext());
    await both.promise;
    await handler('leaks', makeContext({ awsRequestId: 'the-leaky-one' }));
    expect(warnings).toEqual([expect.stringMatching(/^Invocation the-leaky-one ended /)]);
    expect(pool.stats()).toMatchObject({ leased: 2, reclaimed: 1 });
    gate.resolve();
    expect(await Promise.all([first, second])).toEqual([[{ word: 'first' }], [{ word: 'second' }]]);
    expect(pool.stats()).toMatchObject({ leased: 0, idle: 3 });
  });

  it('waits for no connection beyond its deadline', async () => {
    const clock = new FakeClock();
    const { pool } = makePool({ clock, max: 1, acquireTimeoutMillis: 60_000, deadlineReserveMillis: 50 });
    const outside = await pool.connect();
    const handler = wrap((_event, { db }) => db.query('select 1'), { pool });
    const waiting = failure(handler({}, makeContext({ getRemainingTimeInMillis: () => 30_000 })));
    await until(pool, () => pool.stats().waiting === 1);
    await clock.advance(29_950);
    const error = await waiting;
    expect(error.code).toBe('ERR_POOL_ACQUIRE_TIMEOUT');
    expect(error.message).toMatch(/^Timed out after 29950 ms waiting for a connection/);
    const none = await failure(handler({}, makeContext({ getRemainingTimeInMillis: () => -5 })));
    expect(none.code).toBe('ERR_POOL_ACQUIRE_TIMEOUT');
    expect(none.message).toMatch(/^No time left to wait for a connection/);
    outside.release();
  });

  it.each<[string, unknown]>([
    ['answers NaN', () => Number.NaN],
    ['answers nothing', () => undefined],
    [
      'throws',
      () => {
        throw new Error('not in this test double');
      },
    ],
    ['is missing', undefined],
  ])('works with a context whose getRemainingTimeInMillis %s', async (__, getRemainingTimeInMillis) => {
    const { pool } = makePool();
    const handler = wrap(async (_event, { db }) => (await db.query('select 1 as one')).rows, { pool });
    const context = makeContext({ getRemainingTimeInMillis: getRemainingTimeInMillis as () => number });
    if (getRemainingTimeInMillis === undefined) Reflect.deleteProperty(context, 'getRemainingTimeInMillis');
    // Middy calls it too, for a timeout of its own.
    const quiet = _ === 'the middleware' ? { ...context, getRemainingTimeInMillis: undefined as never } : context;
    expect(await handler({}, quiet)).toEqual([{ one: 1 }]);
  });

  it.each<[string, (context: Context) => Context]>([
    ['frozen', Object.freeze],
    ['sealed', Object.seal],
    ['not extensible', Object.preventExtensions],
    ['one whose db cannot be written', (context) => Object.defineProperty(context, 'db', { value: 'mine' })],
  ])('works with a context that is %s', async (__, shut) => {
    const { pool } = makePool({ max: 1 });
    const inner = withPool(
      async (_event, context: Context & { db: PgPool }) => {
        const client = await context.db.connect();
        await client.query('select 1');
        return [context.functionName, context.getRemainingTimeInMillis()];
      },
      { pool },
    );
    const handler = wrap(
      async (event, context) => {
        const answer = await inner(event, context);
        // The inner wrapper's end is not the invocation's.
        expect(pool.stats()).toMatchObject({ leased: 1, reclaimed: 0 });
        return answer;
      },
      { pool },
    );
    const context = shut(makeContext());
    expect(await handler({}, context)).toEqual(['orders', 30_000]);
    expect(pool.stats()).toMatchObject({ leased: 0, reclaimed: 1 });
    if (Object.isFrozen(context)) expect(context).not.toHaveProperty('db');
  });

  it('reports a bad configuration from the invocation, each time, and not before', async () => {
    const { name } = named();
    const handler = wrap(() => 1, { name, env: { THAWPOOL_MAX: 'ten' } });
    for (let i = 0; i < 2; i += 1) {
      expect(await failure(handler({}, makeContext()))).toMatchObject({
        code: 'ERR_POOL_INVALID_OPTION',
        message: expect.stringMatching(/^THAWPOOL_MAX must be a whole number/),
      });
    }
  });

  it('reports a database that cannot be reached from the query', async () => {
    const { pool } = makePool({ connectionString: 'postgres://u@127.0.0.1:1/d', acquireTimeoutMillis: 50 });
    const handler = wrap((_event, { db }) => db.query('select 1').catch((error: { code: string }) => error.code), {
      pool,
    });
    expect(await handler({}, makeContext())).toMatch(/^ERR_POOL_(CONNECT_REFUSED|ACQUIRE_TIMEOUT)$/);
  });

  it('keeps listeners that were registered on the bound pool', async () => {
    const { pool } = makePool();
    const heard: string[] = [];
    const handler = wrap(
      async (event, { db }) => {
        if (event !== 'first') return db.query('select 1');
        db.on('acquire', () => heard.push('acquire'))
          .once('connect', () => heard.push('connect'))
          .setMaxListeners(77);
        expect(db.on('release', () => {})).toBe(db);
        expect([db.listenerCount('acquire'), pool.listenerCount('acquire')]).toEqual([1, 1]);
        return db.query('select 1');
      },
      { pool },
    );
    await handler('first', makeContext());
    await handler('second', makeContext());
    await pool.query('select 1');
    expect(heard).toEqual(['connect', 'acquire', 'acquire', 'acquire']);
    expect(pool.getMaxListeners()).toBe(77);
    pool.removeAllListeners('acquire');
    expect(pool.eventNames()).toEqual(['release']);
  });

  it('finds the next invocation right after the pool was ended inside', async () => {
    const { name } = named();
    const handler = wrap(
      async (_event, { db }) => {
        const { rows } = await db.query('select 1 as one');
        await db.end();
        return rows;
      },
      { name, env: {}, connectionString: database.connectionString },
    );
    expect(await handler({}, makeContext())).toEqual([{ one: 1 }]);
    expect(await handler({}, makeContext())).toEqual([{ one: 1 }]);
  });

  it('takes back at the next invocation, on Lambda, what the last one could not', async () => {
    const { pool, warnings } = makePool({ env: onLambda, max: 1 });
    const [waits, stuck] = [deferred(), deferred()];
    const handler = wrap(
      async (event, { db }) => {
        await using lease = await db.acquire();
        await lease.client.query('select 1');
        if (event !== 'never returns') return 'done';
        waits.resolve();
        await stuck.promise;
        return 'late';
      },
      { pool },
    );
    const never = handler('never returns', makeContext({ awsRequestId: 'the-frozen-one' }));
    await waits.promise;
    expect(await handler('next', makeContext())).toBe('done');
    expect(warnings).toEqual([expect.stringMatching(/^Invocation the-frozen-one ended /)]);
    stuck.resolve();
    await never;
    expect(pool.stats()).toMatchObject({ leased: 0, idle: 1, created: 1 });
  });

  it('takes back elsewhere what belongs to an invocation whose time is up', async () => {
    let wall = 1_000_000;
    const clock = { now: () => ({ wall, monotonic: wall }), setTimer, clearTimer, afterTurn };
    const { pool, warnings } = makePool({ clock, max: 2 });
    const [waits, stuck] = [deferred(), deferred()];
    const handler = wrap(
      async (event, { db }) => {
        await using lease = await db.acquire();
        await lease.client.query('select 1');
        if (event !== 'never returns') return;
        waits.resolve();
        await stuck.promise;
      },
      { pool },
    );
    const never = handler(
      'never returns',
      makeContext({ awsRequestId: 'the-stuck-one', getRemainingTimeInMillis: () => 20_000 }),
    );
    await waits.promise;
    wall += 19_999;
    await handler('next', makeContext());
    expect(warnings).toEqual([]);
    wall += 500;
    await handler('next', makeContext());
    expect(warnings).toEqual([expect.stringMatching(/^Invocation the-stuck-one ended /)]);
    stuck.resolve();
    await never;
  });
});

function setTimer(callback: () => void, millis: number): unknown {
  return setTimeout(callback, millis).unref();
}
function clearTimer(timer: unknown): void {
  clearTimeout(timer as NodeJS.Timeout);
}
function afterTurn(callback: () => void): void {
  setImmediate(callback);
}

function through(port: number): string {
  return Object.assign(new URL(database.connectionString), { port: String(port) }).toString();
}

describe('two pools in one handler', () => {
  it('have a name and a key each', async () => {
    const [orders, reports] = [named(), named()];
    const options = { env: {}, connectionString: database.connectionString };
    const handler = middy()
      .use(pgPool({ ...options, name: orders.name, contextKey: 'orders' }))
      .use(pgPool({ ...options, name: reports.name, contextKey: 'reports', max: 2 }))
      .handler(async (_event, context) => {
        await context.orders.query('select 1');
        await context.orders.connect();
        expect(context).not.toHaveProperty('db');
        return [context.orders.options.max, context.reports.options.max, context.reports.stats().created];
      });
    expect(await handler({}, makeContext() as never)).toEqual([4, 2, 0]);
    expect(orders.pool().stats()).toMatchObject({ created: 1, leased: 0, reclaimed: 1 });
  });

  it('may be in one context that is frozen', async () => {
    const [one, two] = [makePool().pool, makePool({ max: 2 }).pool];
    const handler = middy()
      .use(pgPool({ pool: one, contextKey: 'one' }))
      .use(pgPool({ pool: two, contextKey: 'two' }))
      .handler((_event, context) => [context.one.options.max, context.two.options.max]);
    expect(await handler({}, Object.freeze(makeContext()) as never)).toEqual([4, 2]);
  });
});

describe('the middleware', () => {
  it('ends the invocation when it is used twice', async () => {
    const { pool } = makePool({ maxIdle: 0 });
    const handler = middy()
      .use(pgPool({ pool }))
      .use(pgPool({ pool }))
      .handler(async (_event, { db }) => {
        await db.connect();
      });
    await handler({}, makeContext() as never);
    expect(pool.stats()).toMatchObject({ leased: 0, reclaimed: 1, total: 0 });
  });

  it('is right again after a middleware has answered early, so that nothing came after', async () => {
    const { pool, warnings } = makePool({ env: onLambda, max: 1 });
    const leaked: pg.PoolClient[] = [];
    const handler = middy<{ early?: boolean }>()
      .use(pgPool({ pool }))
      .before(async ({ event, context }) => {
        if (!event.early) return undefined;
        const { db } = context as unknown as { db: PgPool };
        leaked.push(await db.connect());
        return 'from the cache';
      })
      .handler(async (_event, { db }) => (await db.query('select 1 as one')).rows);
    expect(await handler({ early: true }, makeContext({ awsRequestId: 'the-early-one' }) as never)).toBe(
      'from the cache',
    );
    expect(pool.stats().leased).toBe(1);
    expect(await handler({}, makeContext() as never)).toEqual([{ one: 1 }]);
    expect(warnings).toEqual([expect.stringMatching(/^Invocation the-early-one ended /)]);
    expect(pool.stats()).toMatchObject({ leased: 0, idle: 1, created: 1 });
    await handler({ early: true }, makeContext() as never);
    await handler({}, makeContext() as never);
    expect(pool.stats()).toMatchObject({ leased: 0, idle: 1 });
  });

  it('ends nothing when it has begun nothing', async () => {
    const { pool } = makePool();
    const error = new Error('before ours');
    const handler = middy()
      .before(() => {
        throw error;
      })
      .use(pgPool({ pool }))
      .handler(() => 1);
    expect(await failure(handler({}, makeContext() as never) as Promise<unknown>)).toBe(error);
    expect(pool.stats()).toMatchObject({ total: 0 });
  });

  it('has its connection destroyed, not reused, when Middy answers before the handler is done', async () => {
    const { pool } = makePool({ max: 1, deadlineReserveMillis: 0 });
    await pool.warm();
    let cut: Promise<Error> | undefined;
    const handler = middy({ timeoutEarlyInMillis: 20, timeoutEarlyResponse: () => 'too slow' })
      .use(pgPool({ pool }))
      .handler(async (_event, { db }) => {
        cut = failure(db.query('select pg_sleep(60)'));
        throw await cut;
      });
    expect(await handler({}, makeContext({ getRemainingTimeInMillis: () => 1020 }) as never)).toBe('too slow');
    await cut;
    expect(pool.stats().leased).toBe(0);
    const { rows } = await pool.query('select 1 as one');
    expect(rows).toEqual([{ one: 1 }]);
    expect(pool.stats().created).toBe(2);
  });

  it('works beside middlewares that look at the response and at errors', async () => {
    const { pool } = makePool();
    const seen: unknown[] = [];
    const handler = middy<{ fail?: boolean }>()
      .use({ after: (request) => void seen.push(request.response), onError: ({ error }) => void seen.push(error) })
      .use(pgPool({ pool }))
      .onError(() => 'handled')
      .handler(async (event, { db }) => {
        if (event.fail) throw new Error('of the handler');
        return (await db.query('select 1 as one')).rows;
      });
    expect(await handler({}, makeContext())).toEqual([{ one: 1 }]);
    expect(await handler({ fail: true }, makeContext())).toBe('handled');
    expect(pool.stats().leased).toBe(0);
  });

  it('names its hooks, as profilers print them', () => {
    const { before, after, onError } = pgPool();
    expect([before.name, after.name, onError.name]).toEqual([
      'pgPoolMiddlewareBefore',
      'pgPoolMiddlewareAfter',
      'pgPoolMiddlewareOnError',
    ]);
  });
});

describe('the wrapper', () => {
  it('declares no more than the two parameters that Node.js 24 on Lambda allows', () => {
    const handler = withPool((event: unknown, stream: unknown, context: { db: PgPool }) => [event, stream, context]);
    expect(handler.length).toBeLessThanOrEqual(2);
    expect(withPool(() => 1).length).toBeLessThanOrEqual(2);
  });

  it('works without a context, as a test calls a handler', async () => {
    const { pool } = makePool();
    const handler = withPool(
      async (event: string, { db }: { db: PgPool }) => [event, (await db.query('select 1 as one')).rows],
      { pool },
    );
    expect(await (handler as (event: string) => Promise<unknown>)('x')).toEqual(['x', [{ one: 1 }]]);
    expect(await (handler as (event: string, context: unknown) => Promise<unknown>)('x', undefined)).toEqual([
      'x',
      [{ one: 1 }],
    ]);
    expect(await (handler as (event: string, context: unknown) => Promise<unknown>)('x', null)).toEqual([
      'x',
      [{ one: 1 }],
    ]);
  });

  it('passes the old callback on behind the context', async () => {
    const { pool } = makePool();
    const handler = withPool((...args: unknown[]) => [args.length, typeof args[2], 'db' in (args[1] as object)], {
      pool,
    });
    const invoke = handler as unknown as (...args: unknown[]) => Promise<unknown>;
    expect(await invoke({}, makeContext(), () => {})).toEqual([3, 'function', true]);
  });

  it('may be nested in the middleware: the outer one ends the invocation', async () => {
    const { pool } = makePool({ maxIdle: 0 });
    const inner = withPool(
      async (_event: unknown, { db }: Context & { db: PgPool }) => {
        await db.query('select 1');
      },
      { pool },
    );
    const handler = middy()
      .use(pgPool({ pool }))
      .handler(async (event, context) => {
        await inner(event, context);
        return [pool.stats().idle, context.db instanceof PgPool];
      });
    expect(await handler({}, makeContext() as never)).toEqual([1, true]);
    expect(pool.stats().total).toBe(0);
  });

  it('lives in a process where createPool was called before', async () => {
    const pool = createPool({ env: {}, connectionString: database.connectionString });
    expect(
      await withPool(async (_event, { db }) => (await db.query('select 1 as one')).rows, { pool })({}, {}),
    ).toEqual([{ one: 1 }]);
    await pool.end();
  });
});
