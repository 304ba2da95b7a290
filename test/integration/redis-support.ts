/** What the tests with a real Redis server share: a server for each file, a proxy in front of it, and pools that are ended. */
import type { PoolEvent } from 'thawpool';
import { createRedisPool, type RedisPool, type RedisPoolOptions } from 'thawpool/redis';
import { afterAll, afterEach, beforeAll } from 'vitest';
import { type ChaosProxy, startChaosProxy } from '../lab/chaos-proxy.ts';
import { startRedis, type TestRedis, type TestRedisOptions, whyNoRedis } from '../support/redis.ts';
import { slowClock } from '../support/slow-clock.ts';

/** Why the tests are skipped; nothing where they run. */
export const reason = whyNoRedis();
if (reason !== undefined) console.warn(`The tests of Redis are skipped: ${reason}.`);

/** A server of the file's own, emptied after each test. */
export function useRedis(options?: TestRedisOptions): () => TestRedis {
  let server: TestRedis | undefined;
  beforeAll(async () => {
    server = await startRedis(options);
  });
  afterEach(async () => {
    server?.suspend(false);
    await server?.start();
    await server?.command('FLUSHALL');
  });
  afterAll(() => server?.[Symbol.asyncDispose]());
  return () => {
    if (server === undefined) throw new Error('The server is started before the tests, not before the file.');
    return server;
  };
}

/** A chaos proxy in front of the server. It does not know the protocol, and counts connections only. */
export function useRedisProxy(server: () => TestRedis): () => ChaosProxy {
  let proxy: ChaosProxy | undefined;
  beforeAll(async () => {
    proxy = await startChaosProxy({ targetHost: server().host, targetPort: server().port });
  });
  afterEach(() => proxy?.healed());
  afterAll(() => proxy?.close());
  return () => {
    if (proxy === undefined) throw new Error('The proxy is started before the tests, not before the file.');
    return proxy;
  };
}

/** A pool, and what it has said so far. */
export interface TestRedisPool {
  readonly pool: RedisPool;
  readonly warnings: string[];
  readonly events: PoolEvent[];
}

/** Returns a maker of pools that are ended after each test. Time passes slowly for them, as for `usePools()`. */
export function useRedisPools(url: () => string): (options?: RedisPoolOptions) => TestRedisPool {
  const made: RedisPool[] = [];
  afterEach(async () => {
    const patience = new Promise((resolve) => void setTimeout(resolve, 10_000).unref());
    for (const pool of made.splice(0)) await Promise.race([pool.end(), patience]);
  });
  return (options = {}) => {
    const warnings: string[] = [];
    const onWarning = (message: string): void => void warnings.push(message);
    const pool = createRedisPool({ env: {}, clock: slowClock(), onWarning, url: url(), ...options });
    const events: PoolEvent[] = [];
    pool.observe((event) => events.push(event));
    made.push(pool);
    return { pool, warnings, events };
  };
}

/** Resolves with the next event of the pool that meets the condition. */
export function nextRedisEvent(pool: RedisPool, met: (event: PoolEvent) => boolean): Promise<PoolEvent> {
  return new Promise((resolve) => {
    const stop = pool.observe((event) => {
      if (!met(event)) return;
      stop();
      resolve(event);
    });
  });
}

/** Resolves once the condition holds; it is looked at after each event of the pool. */
export async function untilRedis(pool: RedisPool, met: () => boolean): Promise<void> {
  while (!met()) await nextRedisEvent(pool, () => true);
}
