// What thawpool/redis, thawpool/cache and getResource() make of types, without an annotation.

import middy from '@middy/core';
import type { Context, Handler } from 'aws-lambda';
import { getResource, type PgPool } from 'thawpool';
import { cached, createCache, redisStore } from 'thawpool/cache';
import { pgPool } from 'thawpool/middy';
import { getRedis, type RedisPool, redisPool, withRedis } from 'thawpool/redis';
import { describe, expectTypeOf, it } from 'vitest';

describe('middy().use(redisPool())', () => {
  it('gives the handler redis as a RedisPool: pins a context that fell back to any or unknown', () => {
    middy()
      .use(redisPool())
      .handler(async (_event, { redis }) => {
        expectTypeOf(redis).toEqualTypeOf<RedisPool>();
        expectTypeOf(redis).not.toBeAny();
      });
  });

  it('goes together with pgPool(): pins hooks whose contexts excluded each other', () => {
    middy<{ id: number }>()
      .use(pgPool())
      .use(redisPool({ contextKey: 'cache' }))
      .handler(async (event, { db, cache, awsRequestId }) => {
        expectTypeOf(db).toEqualTypeOf<PgPool>();
        expectTypeOf(cache).toEqualTypeOf<RedisPool>();
        expectTypeOf(awsRequestId).toBeString();
        expectTypeOf(event).toEqualTypeOf<{ id: number }>();
      });
  });
});

describe('withRedis()', () => {
  it('is a handler as Lambda’s types have it: pins a context that lost its own properties', () => {
    const handler: Handler<{ id: number }, string> = withRedis(
      async ({ id }: { id: number }, { redis, awsRequestId }: Context & { redis: RedisPool }) => {
        expectTypeOf(redis).toEqualTypeOf<RedisPool>();
        return `${id} ${awsRequestId}`;
      },
    );
    expectTypeOf(handler).parameter(0).toEqualTypeOf<{ id: number }>();
  });
});

describe('a pool of Redis connections', () => {
  it('lends a client with node-redis’s own types: pins a client that became any', async () => {
    const redis = getRedis();
    expectTypeOf(await redis.use((client) => client.get('a'))).toEqualTypeOf<string | null>();
    expectTypeOf(await redis.use(() => 1)).toEqualTypeOf<number>();
    await using lease = await redis.acquire({ timeoutMillis: 1 });
    expectTypeOf(lease.client.isReady).toBeBoolean();
  });

  it('does not take what it decides itself: pins options of node-redis that a frozen process makes useless', () => {
    // @ts-expect-error: a timer that stands still in a freeze
    getRedis({ client: { pingInterval: 1000 } });
    // @ts-expect-error: the pool replaces dead clients
    getRedis({ client: { socket: { reconnectStrategy: 5 } } });
    getRedis({ client: { name: 'orders', keyPrefix: 'orders:' } });
  });
});

describe('cached()', () => {
  it('has the function’s parameters and its answer: pins arguments that became unknown[]', async () => {
    const order = cached(async (id: number, part?: string) => ({ id, part }), { ttlMillis: 1 });
    expectTypeOf(order).parameters.toEqualTypeOf<[id: number, part?: string | undefined]>();
    expectTypeOf(await order(1)).toEqualTypeOf<{ id: number; part: string | undefined }>();
    expectTypeOf(order.invalidate).parameters.toEqualTypeOf<[id: number, part?: string | undefined]>();
    // @ts-expect-error: not its argument
    await order.invalidate('1');
    cached((id: number) => id, { ttlMillis: 1, key: (id) => id.toFixed(0) });
  });

  it('takes a pool of Redis connections as a store: pins a structural type that drifted from node-redis’s', () => {
    const cache = createCache<number>({ ttlMillis: 1, store: redisStore(getRedis()) });
    expectTypeOf(cache.get('a')).toEqualTypeOf<Promise<number | undefined>>();
    expectTypeOf(cache.load('a', async () => 1)).toEqualTypeOf<Promise<number>>();
  });
});

describe('getResource()', () => {
  it('returns what make returns: pins a promise where there is none', async () => {
    expectTypeOf(getResource('a', () => new Map<string, number>())).toEqualTypeOf<Map<string, number>>();
    const made = getResource('b', async () => 1, { destroy: (value) => expectTypeOf(value).toEqualTypeOf<number>() });
    expectTypeOf(made).toEqualTypeOf<Promise<number>>();
  });
});
