// The contract of a handler with Redis, through both doors: the middleware and the plain wrapper.
import { randomUUID } from 'node:crypto';
import middy from '@middy/core';
import type { Context } from 'aws-lambda';
import {
  getRedis,
  type RedisClient,
  type RedisPool,
  redisPool,
  type WithRedisOptions,
  withRedis,
} from 'thawpool/redis';
import { FakeClock } from 'thawpool/testing';
import { describe, expect, it, vi } from 'vitest';
import { slowClock } from '../support/slow-clock.ts';
import { makeContext, onLambda } from './invocations.ts';
import { reason, untilRedis, useRedis, useRedisPools, useRedisProxy } from './redis-support.ts';
import { failure } from './support.ts';

type Handler = (event: unknown, context: Context & { redis: RedisPool }) => unknown;
type Invoke = (event: unknown, context: Context) => Promise<unknown>;

const doors: [name: string, wrap: (handler: Handler, options: WithRedisOptions) => Invoke][] = [
  ['the middleware', (handler, options) => middy().use(redisPool(options)).handler(handler) as unknown as Invoke],
  ['the wrapper', (handler, options) => withRedis(handler, options)],
];

describe.skipIf(reason).each(doors)(`a handler behind %s${reason ? ` (${reason})` : ''}`, (_, wrap) => {
  const server = useRedis();
  const proxy = useRedisProxy(server);
  const makePool = useRedisPools(() => `redis://127.0.0.1:${proxy().port}`);

  it('has the pool in its context as redis, made in the first invocation and found by its name', async () => {
    const name = randomUUID();
    const options = { name, env: {}, url: server().url, clock: slowClock() };
    const handler = wrap((_event, { redis }) => redis.use((client) => client.incr('n')), options);
    const registry = (globalThis as Record<symbol, unknown>)[Symbol.for('thawpool.redis')] as Map<string, unknown>;
    expect(registry?.has(name) ?? false).toBe(false);
    expect([await handler({}, makeContext()), await handler({}, makeContext())]).toEqual([1, 2]);
    await using pool = getRedis({ name });
    expect(pool.stats()).toMatchObject({ created: 1, acquired: 2, total: 1 });
  });

  it('finds another connection when its own died in the freeze', async () => {
    const clock = new FakeClock();
    const { pool } = makePool({ clock });
    const handler = wrap((_event, { redis }) => redis.use((client) => client.ping()), { pool });
    await handler({}, makeContext());
    proxy().blackhole();
    clock.freeze(60_000, { monotonicRuns: false });
    const asking = handler({}, makeContext());
    await untilRedis(pool, () => pool.stats().validating === 1);
    await clock.advance(250);
    expect(await asking).toBe('PONG');
    expect(pool.stats().created).toBe(2);
  });

  it('keeps one connection for the freeze, and closes the burst above it', async () => {
    const { pool } = makePool({ max: 3 });
    const handler = wrap(
      async (_event, { redis }) => {
        await Promise.all([1, 2, 3].map(() => redis.use((client) => client.ping())));
        return redis.stats().total;
      },
      { pool },
    );
    expect(await handler({}, makeContext())).toBe(3);
    expect(pool.stats()).toMatchObject({ total: 1, idle: 1, destroyed: { surplus: 2 } });
  });

  it('has what it did not release taken back at its end, and is told where it was acquired', async () => {
    const { pool, warnings } = makePool();
    let leaked: RedisClient | undefined;
    const handler = wrap(
      async (_event, { redis }) => {
        leaked = (await redis.acquire()).client;
        await leaked.watch('a');
      },
      { pool },
    );
    await handler({}, makeContext({ awsRequestId: 'id-1' }));
    expect(pool.stats()).toMatchObject({ leased: 0, idle: 1, reclaimed: 1 });
    expect(warnings).toEqual([
      expect.stringMatching(
        /^Invocation id-1 ended and left behind: a Redis connection, acquired\n.*redis-handler\.test\.ts/s,
      ),
    ]);
    await expect(leaked?.get('a')).rejects.toMatchObject({ code: 'ERR_POOL_RECLAIMED' });
  });

  it('has a connection closed that still waits for an answer at its end, and the process goes on', async () => {
    const { pool, warnings } = makePool();
    const unheard = vi.fn();
    process.on('unhandledRejection', unheard);
    const handler = wrap(
      async (_event, { redis }) => {
        void redis.use((client) => client.blPop('nothing', 0));
        await untilRedis(pool, () => pool.stats().leased === 1);
        // Sent with the next turn.
        await expect.poll(() => server().command('CLIENT', 'LIST')).toMatch(/cmd=blpop/);
      },
      { pool },
    );
    await handler({}, makeContext());
    expect(warnings).toEqual([expect.stringContaining('a Redis connection still waiting for an answer, acquired')]);
    expect(pool.stats()).toMatchObject({ total: 0, destroyed: { broken: 1 } });
    await new Promise((resolve) => void setImmediate(resolve));
    expect(unheard).not.toHaveBeenCalled();
    process.off('unhandledRejection', unheard);
    expect(await handlerThatPings(pool)({}, makeContext())).toBe('PONG');
  });

  it('is stopped before its deadline, with an error that says so', async () => {
    const fake = new FakeClock();
    const { pool } = makePool({ clock: fake, deadlineReserveMillis: 200 });
    const handler = wrap((_event, { redis }) => redis.use((client) => client.blPop('nothing', 0)), { pool });
    const failing = failure(handler({}, makeContext({ getRemainingTimeInMillis: () => 1000 })));
    await untilRedis(pool, () => pool.stats().leased === 1);
    await expect.poll(() => server().command('CLIENT', 'LIST')).toMatch(/cmd=blpop/);
    await fake.advance(800);
    const error = await failing;
    expect(error.code).toBe('ERR_POOL_DEADLINE');
    expect(error.message).toMatch(/^Stopped because the invocation is nearly over: the connection to Redis was closed/);
    expect((error.cause as Error).message).toBe('Disconnects client');
  });

  it('waits for no connection beyond its deadline', async () => {
    const fake = new FakeClock();
    const { pool } = makePool({ clock: fake, max: 1 });
    await using held = await pool.acquire();
    const handler = wrap((_event, { redis }) => redis.use((client) => client.ping()), { pool });
    const failing = failure(handler({}, makeContext({ getRemainingTimeInMillis: () => 1000 })));
    await untilRedis(pool, () => pool.stats().waiting === 1);
    await fake.advance(750);
    expect((await failing).code).toBe('ERR_POOL_ACQUIRE_TIMEOUT');
    expect(held.client.isReady).toBe(true);
  });

  it('writes a line of metrics at its end where they are asked for', async () => {
    const written = vi.spyOn(process.stdout, 'write');
    const { pool } = makePool({ metrics: 'emf', name: 'sessions' });
    await handlerThatPings(pool)({}, makeContext());
    const lines = written.mock.calls.map(([line]) => String(line)).filter((line) => line.includes('_aws'));
    written.mockRestore();
    expect(lines).toHaveLength(1);
    expect(JSON.parse(lines[0] ?? '')).toMatchObject({ PoolName: 'sessions' });
  });

  it('refuses a pool of another make', async () => {
    const handler = wrap(() => 1, { pool: {} as RedisPool });
    expect((await failure(handler({}, makeContext()))).code).toBe('ERR_POOL_INVALID_OPTION');
  });

  it('takes back what an invocation left behind whose end was not seen, when the next begins', async () => {
    const { pool, warnings } = makePool({ env: onLambda });
    const never = wrap(
      async (_event, { redis }) => {
        await redis.acquire();
        return new Promise(() => {});
      },
      { pool },
    );
    void never({}, makeContext());
    await untilRedis(pool, () => pool.stats().leased === 1);
    expect(await handlerThatPings(pool)({}, makeContext())).toBe('PONG');
    expect(pool.stats().reclaimed).toBe(1);
    expect(warnings).toHaveLength(1);
  });

  const handlerThatPings = (pool: RedisPool): Invoke =>
    wrap((_event, { redis }) => redis.use((client) => client.ping()), { pool });
});
