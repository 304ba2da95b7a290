import { TtlCache } from '../auth/ttl-cache.ts';
import { type Clock, systemClock } from '../pool/index.ts';
import { refusal, wholeNumber } from './options.ts';
import type { CacheStore } from './store.ts';

/** Limits of a memory store. */
export interface MemoryStoreOptions {
  /**
   * How many values stay at most; the one that was not used for longest makes room. 1 to 10000000.
   *
   * @default 1000, because a sandbox's memory is bounded and nobody looks into it
   */
  readonly max?: number;
  /** @default the process's own clocks */
  readonly clock?: Clock;
}

/** Enough for any sandbox; catches a size given in bytes. */
const mostValues = 10_000_000;

/**
 * Keeps values in this process, as they are: whoever changes one changes it for the next reader too. A freeze ages them,
 * by whichever of the two clocks shows more.
 *
 * @throws PoolError `ERR_POOL_INVALID_OPTION`
 */
export function memoryStore({ max = 1000, clock = systemClock }: MemoryStoreOptions = {}): CacheStore {
  if (!wholeNumber(max, 1, mostValues)) throw refusal(`max must be a whole number from 1 to ${mostValues}, got ${max}`);
  const values = new TtlCache<unknown>({
    ttlMillis: 0,
    now: () => clock.now().wall,
    monotonic: () => clock.now().monotonic,
    max,
  });
  return {
    get: (key) => (values.has(key) ? { value: values.get(key) } : undefined),
    set: (key, value, ttlMillis) => values.set(key, value, ttlMillis),
    delete: (key) => void values.delete(key),
    clear(prefix) {
      for (const key of values.keys()) if (key.startsWith(prefix)) values.delete(key);
    },
  };
}
