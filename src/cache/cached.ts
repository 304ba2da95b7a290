import { Cache, type CacheObserver, type CacheOptions, type CacheStats } from './cache.ts';
import { keyOf } from './key.ts';
import { refusal } from './options.ts';

/** How a function is cached. */
export interface CachedOptions<Args extends readonly unknown[]> extends Omit<CacheOptions, 'namespace'> {
  /**
   * The function's name in the store. Needed with a store, which others may share: a bundler renames functions, so their
   * own names do not tell them apart. Change it when what the function returns changes its shape.
   *
   * @default the function's own name, in memory only
   */
  readonly name?: string;
  /** Names a call. @default all arguments, by their contents; see `ERR_POOL_CACHE_KEY` for what has none */
  readonly key?: (...args: Args) => string;
}

/** A function whose answers are kept. */
export interface CachedFunction<Args extends readonly unknown[], R> {
  (...args: Args): Promise<R>;
  /**
   * Forgets the answer to these arguments, also one that is on its way.
   *
   * @returns whether the store has confirmed it
   */
  invalidate(...args: Args): Promise<boolean>;
  /** Forgets the answer under this key, as the option `key` makes them. @returns whether the store has confirmed it */
  invalidateKey(key: string): Promise<boolean>;
  /** Forgets all its answers. @returns whether the store has confirmed it */
  clear(): Promise<boolean>;
  /** Hits, misses and the like, at this moment. */
  stats(): CacheStats;
  /** Hears every event of its cache from now on. @returns stops hearing */
  observe(observer: CacheObserver): () => void;
}

/**
 * Keeps the answers of a function by its arguments: `const orderOf = cached(loadOrder, { ttlMillis: 60_000 })`.
 *
 * Whoever asks while an answer is on its way waits for that one. What is thrown is thrown at all of them and not kept;
 * `null` and `undefined` are answers like any other. An answer that is invalidated while it is on its way still goes to
 * those who wait for it, and is not kept.
 *
 * @throws PoolError `ERR_POOL_INVALID_OPTION`; calls reject with `ERR_POOL_CACHE_KEY` for arguments that have no key
 */
export function cached<Args extends readonly unknown[], R>(
  fn: (...args: Args) => Promise<R> | R,
  { name, key, ...options }: CachedOptions<Args>,
): CachedFunction<Args, R> {
  if (options.store !== undefined && !name) {
    throw refusal(
      'name is needed with a store: other functions may keep their answers in it too, under keys like these',
    );
  }
  const cache = new Cache<R>({ ...options, namespace: name || fn.name || 'anonymous' });
  const keyFor = (args: Args): string => {
    if (key === undefined) return keyOf(args);
    const made: unknown = key(...args);
    if (typeof made === 'string') return made;
    throw refusal(`key must return a string, and has returned a value of type ${typeof made}`);
  };
  const call = async (...args: Args): Promise<R> => cache.load(keyFor(args), () => fn(...args));
  return Object.assign(call, {
    invalidate: async (...args: Args) => cache.delete(keyFor(args)),
    invalidateKey: (given: string) => cache.delete(given),
    clear: () => cache.clear(),
    stats: () => cache.stats(),
    observe: (observer: CacheObserver) => cache.observe(observer),
  });
}
