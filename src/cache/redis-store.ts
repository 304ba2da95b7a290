// Keeps values in Redis as JSON. It takes any pool of the shape below, so that a cache in memory loads nothing of Redis.

import { refusal } from './options.ts';
import type { CacheStore, StoreContext, StoredValue } from './store.ts';

/** The commands of node-redis's client that the store sends. */
export interface RedisStoreClient {
  get(key: string): Promise<unknown>;
  set(
    key: string,
    value: string,
    options?: { readonly expiration: { readonly type: 'PX'; readonly value: number } },
  ): Promise<unknown>;
  unlink(keys: string[]): Promise<unknown>;
  scan(
    cursor: string,
    options: { readonly MATCH: string; readonly COUNT: number },
  ): Promise<{ cursor: unknown; keys: unknown[] }>;
}

/** What the store needs of a pool: a `RedisPool` has it. */
export interface RedisStorePool {
  acquire(options: { readonly signal: AbortSignal }): Promise<{
    readonly client: unknown;
    release(): void;
    destroy(error?: unknown): void;
  }>;
}

/** How a Redis store names its keys. */
export interface RedisStoreOptions {
  /** What all its keys begin with. @default 'thawpool:cache:' */
  readonly prefix?: string;
}

/** How many keys the server looks at for one SCAN: some hundred microseconds of its one thread. */
const scanCount = 500;

/**
 * Keeps values in Redis, as JSON: what JSON does not know comes back as JSON has it (a `Date` as a string), and what it
 * cannot say (a bigint, a function, a circle) is not kept. Connects when it is first used.
 *
 * @param pool - made by `getRedis()` or `createRedisPool()`
 * @throws PoolError `ERR_POOL_INVALID_OPTION`
 */
export function redisStore(pool: RedisStorePool, { prefix = 'thawpool:cache:' }: RedisStoreOptions = {}): CacheStore {
  if (typeof (pool as Partial<RedisStorePool> | undefined)?.acquire !== 'function') {
    throw refusal('redisStore() takes a pool made by getRedis() or createRedisPool(), and this is none');
  }
  const ask = <R>(context: StoreContext, command: (client: RedisStoreClient) => Promise<R>): Promise<R> =>
    askIn(pool, context.signal, command);
  return {
    async get(key, context) {
      const text = await ask(context, (client) => client.get(prefix + key));
      return typeof text === 'string' ? parse(text) : undefined;
    },
    async set(key, value, ttlMillis, context) {
      const text = stringify(value);
      // Redis keeps whole milliseconds, one at least.
      const expiration = { type: 'PX', value: Math.max(1, Math.round(ttlMillis)) } as const;
      const options = ttlMillis === Number.POSITIVE_INFINITY ? undefined : { expiration };
      await ask(context, (client) => client.set(prefix + key, text, options));
    },
    async delete(key, context) {
      await ask(context, (client) => client.unlink([prefix + key]));
    },
    async clear(under, context) {
      const MATCH = `${(prefix + under).replaceAll(/[*?[\]\\]/g, String.raw`\$&`)}*`;
      await ask(context, async (client) => {
        let cursor = '0';
        do {
          context.signal.throwIfAborted();
          const page = await client.scan(cursor, { MATCH, COUNT: scanCount });
          cursor = String(page.cursor);
          if (page.keys.length > 0) await client.unlink(page.keys as string[]);
        } while (cursor !== '0');
      });
    },
  };
}

/** A connection that has not answered in time is closed: the next call must not wait behind what it still owes. */
async function askIn<R>(
  pool: RedisStorePool,
  signal: AbortSignal,
  command: (client: RedisStoreClient) => Promise<R>,
): Promise<R> {
  const lease = await pool.acquire({ signal });
  const giveUp = (): void => lease.destroy(signal.reason);
  if (signal.aborted) giveUp();
  signal.addEventListener('abort', giveUp, { once: true });
  try {
    return await command(lease.client as RedisStoreClient);
  } finally {
    signal.removeEventListener('abort', giveUp);
    if (!signal.aborted) lease.release();
  }
}

function parse(text: string): StoredValue {
  const wrapped = JSON.parse(text) as { readonly v?: unknown } | null;
  if (typeof wrapped !== 'object' || wrapped === null)
    throw new Error('what is under the key was not written by a cache');
  return { value: wrapped.v };
}

function stringify(value: unknown): string {
  const text = value === undefined ? undefined : JSON.stringify(value);
  if (text === undefined && value !== undefined) throw new Error(`a ${typeof value} cannot be kept as JSON`);
  return text === undefined ? '{}' : `{"v":${text}}`;
}
