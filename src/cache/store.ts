/** A value that a store has. The wrapping tells a kept `undefined` from nothing. */
export interface StoredValue {
  readonly value: unknown;
}

/** What a store is told with each call. */
export interface StoreContext {
  /** Aborted when the cache no longer waits for the answer. */
  readonly signal: AbortSignal;
}

/**
 * Where a cache keeps its values. What it throws, and what it is too slow for, never fails a call: it is counted, told
 * once in a warning, and the value is made anew.
 */
export interface CacheStore {
  /** Reads a value; nothing when there is none or it is too old. */
  get(key: string, context: StoreContext): StoredValue | undefined | Promise<StoredValue | undefined>;
  /** Keeps a value for so many milliseconds; `Infinity` for good. */
  set(key: string, value: unknown, ttlMillis: number, context: StoreContext): void | Promise<void>;
  /** Forgets a value. */
  delete(key: string, context: StoreContext): void | Promise<void>;
  /** Forgets everything whose key begins so. */
  clear(prefix: string, context: StoreContext): void | Promise<void>;
}
