// Keeps what was made for a while, and makes each of it once however many ask. Where it is kept is a store's business, and
// no trouble of a store is one of the caller's.

import { type Clock, elapsedMillis, type Instant, systemClock } from '../pool/index.ts';
import { memoryStore } from './memory-store.ts';
import { checkTtl, refusal, wholeNumber } from './options.ts';
import type { CacheStore, StoreContext } from './store.ts';

/** How a cache keeps things. */
export interface CacheOptions {
  /** How long a value stays where it is not said for itself, in milliseconds; 0 keeps nothing, `Infinity` for good. */
  readonly ttlMillis: number;
  /** @default a memory store of its own */
  readonly store?: CacheStore;
  /** The bound of that memory store, in values. @default 1000 */
  readonly max?: number;
  /** What its keys are told by from those of other caches in the same store. @default 'default' */
  readonly namespace?: string;
  /**
   * How long a store is waited for before the value is made without it. 1 to 60000.
   *
   * @default 250: Redis answers within a few milliseconds, and after a freeze a connection must be proven or made first
   */
  readonly storeTimeoutMillis?: number;
  /** @default the process's own clocks */
  readonly clock?: Clock;
  /** Hears of the first failure of the store. @default process.emitWarning */
  readonly onWarning?: (message: string) => void;
}

/** A cache's numbers since it was made. */
export interface CacheStats {
  /** Values that were there. */
  readonly hits: number;
  /** Values that were not. */
  readonly misses: number;
  /** Calls that got what another call was having made. */
  readonly shared: number;
  readonly stored: number;
  /** Values that were deleted or replaced, whether there or not. */
  readonly invalidated: number;
  /** Calls of the store that failed or took too long, and those it was spared just after. */
  readonly storeFailures: number;
  /** The part of all calls for which nothing had to be made, from 0 to 1; 0 while there were none. */
  readonly hitRate: number;
}

/** One thing that happened in a cache. */
export type CacheEvent =
  | { readonly type: 'hit' | 'miss' | 'shared' | 'stored' | 'invalidated'; readonly key: string }
  | { readonly type: 'cleared' }
  | { readonly type: 'store-failed'; readonly operation: StoreOperation; readonly error: unknown };

/** Hears every event of a cache, synchronously. What it throws reaches nobody. */
export type CacheObserver = (event: CacheEvent) => void;

export type StoreOperation = 'get' | 'set' | 'delete' | 'clear';

type Counted = 'hits' | 'misses' | 'shared' | 'stored' | 'invalidated' | 'storeFailures';

interface Flight<V> {
  promise: Promise<V> | undefined;
}

/** After a failure the store is left alone for so long: an outage costs one wait in a while, not two for each call. */
const pauseMillis = 1000;
/** Clearing goes through all keys of the store. */
const clearMillis = 10_000;
const longestStoreTimeout = 60_000;

/** Values by key that become too old. Made by `createCache()`. */
export class Cache<V = unknown> {
  readonly #ttlMillis: number;
  readonly #store: CacheStore;
  readonly #prefix: string;
  readonly #namespace: string;
  readonly #timeoutMillis: number;
  readonly #clock: Clock;
  readonly #onWarning: (message: string) => void;
  readonly #flights = new Map<string, Flight<V>>();
  /** What is being written under a key: the next write waits for it. */
  readonly #writes = new Map<string, Promise<unknown>>();
  readonly #observers = new Set<CacheObserver>();
  readonly #counts: Record<Counted, number> = {
    ...{ hits: 0, misses: 0, shared: 0, stored: 0, invalidated: 0, storeFailures: 0 },
  };
  #failedAt: Instant | undefined;
  #warned = false;

  /** @internal */
  constructor(options: CacheOptions) {
    const { namespace = 'default', storeTimeoutMillis = 250, clock = systemClock, max, store } = options;
    if (typeof namespace !== 'string' || namespace === '')
      throw refusal('namespace must be a string that is not empty');
    if (!wholeNumber(storeTimeoutMillis, 1, longestStoreTimeout)) {
      throw refusal(
        `storeTimeoutMillis must be a whole number from 1 to ${longestStoreTimeout}, got ${storeTimeoutMillis}`,
      );
    }
    if (store !== undefined && max !== undefined)
      throw refusal('max is the bound of the memory store, and store is another one');
    this.#ttlMillis = checkTtl(options.ttlMillis);
    this.#store = store ?? memoryStore({ clock, ...(max !== undefined && { max }) });
    this.#namespace = namespace;
    // Without a colon of its own no namespace is the beginning of another.
    this.#prefix = `${encodeURIComponent(namespace)}:`;
    this.#timeoutMillis = storeTimeoutMillis;
    this.#clock = clock;
    this.#onWarning = options.onWarning ?? ((message) => process.emitWarning(message, 'CacheWarning'));
  }

  /** Reads a value; nothing when there is none, it is too old, or the store does not answer. */
  async get(key: string): Promise<V | undefined> {
    return (await this.#read(key))?.value as V | undefined;
  }

  /**
   * Keeps a value from now on. One that is being made under that key meanwhile is not kept.
   *
   * @param ttlMillis - how long, in milliseconds; 0 forgets what was there. @default the cache's own
   * @returns whether the store has taken it
   */
  async set(key: string, value: V, ttlMillis: number = this.#ttlMillis): Promise<boolean> {
    if (checkTtl(ttlMillis) === 0) return this.delete(key);
    this.#flights.delete(key);
    this.#note('invalidated', { type: 'invalidated', key });
    return this.#inOrder(key, () => this.#write(key, value, ttlMillis));
  }

  /**
   * Forgets a value, also the one that is being made.
   *
   * @returns whether the store has confirmed it; one that did not may still have the old value until it is too old
   */
  async delete(key: string): Promise<boolean> {
    this.#flights.delete(key);
    this.#note('invalidated', { type: 'invalidated', key });
    return this.#inOrder(key, async () => {
      const done = await this.#ask('delete', (context) => this.#store.delete(this.#prefix + key, context));
      return done !== undefined;
    });
  }

  /** Forgets everything in its namespace, also what is being made. @returns whether the store has confirmed it */
  async clear(): Promise<boolean> {
    this.#flights.clear();
    this.#tell({ type: 'cleared' });
    await Promise.allSettled(this.#writes.values());
    return (await this.#ask('clear', (context) => this.#store.clear(this.#prefix, context))) !== undefined;
  }

  /**
   * Reads a value, or makes and keeps it. All who ask while it is being made get that one; an error goes to all of them
   * and is not kept.
   *
   * @param make - its value counts as old as the moment at which it was called
   * @throws what `make` throws, and nothing else
   */
  load(key: string, make: () => V | Promise<V>, ttlMillis: number = this.#ttlMillis): Promise<V> {
    const running = this.#flights.get(key)?.promise;
    if (running) {
      this.#note('shared', { type: 'shared', key });
      return running;
    }
    const flight: Flight<V> = { promise: undefined };
    this.#flights.set(key, flight);
    flight.promise = this.#fly(key, flight, make, ttlMillis);
    return flight.promise;
  }

  /** The numbers at this moment. */
  stats(): CacheStats {
    const { hits, misses, shared } = this.#counts;
    const all = hits + misses + shared;
    return { ...this.#counts, hitRate: all === 0 ? 0 : (hits + shared) / all };
  }

  /** Hears every event from now on. @returns stops hearing */
  observe(observer: CacheObserver): () => void {
    this.#observers.add(observer);
    return () => void this.#observers.delete(observer);
  }

  async #fly(key: string, flight: Flight<V>, make: () => V | Promise<V>, ttlMillis: number): Promise<V> {
    // Not in the turn of the call, in which whoever started it is not yet written down.
    await Promise.resolve();
    try {
      checkTtl(ttlMillis);
      const found = await this.#read(key);
      if (found) return found.value as V;
      const since = this.#clock.now();
      const value = await make();
      const left = ttlMillis - elapsedMillis(since, this.#clock.now());
      const current = (): boolean => this.#flights.get(key) === flight;
      // Deleted or set meanwhile: what is known since then is newer. Looked at again when its turn has come.
      if (left > 0 && current()) await this.#inOrder(key, async () => current() && this.#write(key, value, left));
      return value;
    } finally {
      if (this.#flights.get(key) === flight) this.#flights.delete(key);
    }
  }

  async #read(key: string): Promise<{ readonly value: unknown } | undefined> {
    const answer = await this.#ask('get', (context) => this.#store.get(this.#prefix + key, context));
    const found = answer?.value;
    if (found) this.#note('hits', { type: 'hit', key });
    else this.#note('misses', { type: 'miss', key });
    return found;
  }

  async #write(key: string, value: V, ttlMillis: number): Promise<boolean> {
    const done = await this.#ask('set', (context) => this.#store.set(this.#prefix + key, value, ttlMillis, context));
    if (done === undefined) return false;
    this.#note('stored', { type: 'stored', key });
    return true;
  }

  /** What is written under one key is written in the order in which it was asked for: a value never comes after its deletion. */
  #inOrder(key: string, write: () => Promise<boolean>): Promise<boolean> {
    const before = this.#writes.get(key);
    const mine = before === undefined ? write() : before.then(write);
    this.#writes.set(key, mine);
    const forget = (): void => void (this.#writes.get(key) === mine && this.#writes.delete(key));
    void mine.then(forget, forget);
    return mine;
  }

  /** @returns the store's answer; nothing when it failed or was too slow, which is nobody's trouble */
  async #ask<R>(
    operation: StoreOperation,
    call: (context: StoreContext) => R | Promise<R>,
  ): Promise<{ readonly value: R } | undefined> {
    if (this.#spared(operation)) {
      this.#counts.storeFailures += 1;
      return undefined;
    }
    try {
      const value = await this.#inTime(operation === 'clear' ? clearMillis : this.#timeoutMillis, call);
      this.#failedAt = undefined;
      return { value };
    } catch (error) {
      this.#failed(operation, error);
      return undefined;
    }
  }

  /** What is to be forgotten is tried all the same. */
  #spared(operation: StoreOperation): boolean {
    if (this.#failedAt === undefined || (operation !== 'get' && operation !== 'set')) return false;
    return elapsedMillis(this.#failedAt, this.#clock.now()) < pauseMillis;
  }

  #inTime<R>(budgetMillis: number, call: (context: StoreContext) => R | Promise<R>): R | Promise<R> {
    let controller: AbortController | undefined;
    const context: StoreContext = {
      get signal() {
        controller ??= new AbortController();
        return controller.signal;
      },
    };
    const answer = call(context);
    // A store in memory needs no timer.
    if (!(answer instanceof Promise)) return answer;
    return new Promise((resolve, reject) => {
      const timer = this.#clock.setTimer(() => {
        const error = new Error(`it did not answer within ${budgetMillis} ms`);
        reject(error);
        controller?.abort(error);
      }, budgetMillis);
      answer.then(resolve, reject).finally(() => this.#clock.clearTimer(timer));
    });
  }

  #failed(operation: StoreOperation, error: unknown): void {
    // A value that a store cannot keep says nothing of the store.
    if (operation !== 'set') this.#failedAt = this.#clock.now();
    this.#note('storeFailures', { type: 'store-failed', operation, error });
    if (this.#warned) return;
    this.#warned = true;
    const why = error instanceof Error ? error.message : String(error);
    try {
      this.#onWarning(
        `The store of the cache "${this.#namespace}" failed at "${operation}": ${why}. Values are made without it until it answers again; stats().storeFailures counts (said once).`,
      );
    } catch {
      // Nobody is left to tell.
    }
  }

  #note(counted: Counted, event: CacheEvent): void {
    this.#counts[counted] += 1;
    this.#tell(event);
  }

  #tell(event: CacheEvent): void {
    for (const observer of this.#observers) {
      try {
        observer(event);
      } catch {
        // An observer is no part of anybody's call.
      }
    }
  }
}

/**
 * Makes a cache. Nothing is opened until it is used.
 *
 * @throws PoolError `ERR_POOL_INVALID_OPTION`
 */
export function createCache<V = unknown>(options: CacheOptions): Cache<V> {
  return new Cache<V>(options);
}
