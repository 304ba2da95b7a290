/**
 * Keeps values for a while, in memory, and makes each of them once however many ask for it. It must not know what the
 * values are, and no timer runs: what is too old is found to be so when it is read, so that a freeze does no harm.
 */

/** Sets a {@link TtlCache} up. */
export interface TtlCacheOptions {
  /** How long a value stays where it is not said for itself, in milliseconds; 0 keeps nothing, `Infinity` keeps for good. */
  readonly ttlMillis: number;
  /** The wall clock, in milliseconds since 1970: a monotonic one may stand still in a freeze. @default Date.now */
  readonly now?: (() => number) | undefined;
}

interface Entry<V> {
  readonly value: V;
  readonly storedAt: number;
  readonly ttlMillis: number;
}

/**
 * Holds values by name until they are too old. `undefined` and `null` are values like any other.
 *
 * What is too old stays in memory until it is read, replaced or deleted: it is meant for few names.
 */
export class TtlCache<V> {
  readonly #ttlMillis: number;
  readonly #now: () => number;
  readonly #entries = new Map<string, Entry<V>>();
  readonly #flights = new Map<string, Promise<V>>();

  constructor({ ttlMillis, now = () => Date.now() }: TtlCacheOptions) {
    this.#ttlMillis = ttlMillis;
    this.#now = now;
  }

  /** Reads a value; nothing when there is none or it is too old. */
  get(key: string): V | undefined {
    return this.#read(key)?.value;
  }

  /** Tells a kept `undefined` from nothing. */
  has(key: string): boolean {
    return this.#read(key) !== undefined;
  }

  /** Keeps a value from now on. One that is being loaded under that name meanwhile is not kept. */
  set(key: string, value: V, ttlMillis: number = this.#ttlMillis): void {
    this.#flights.delete(key);
    this.#entries.set(key, { value, storedAt: this.#now(), ttlMillis });
  }

  /** Forgets a value, also the one that is being loaded. @returns whether there was one that was not too old */
  delete(key: string): boolean {
    const had = this.has(key);
    this.#flights.delete(key);
    this.#entries.delete(key);
    return had;
  }

  /** Forgets everything, also what is being loaded. */
  clear(): void {
    this.#flights.clear();
    this.#entries.clear();
  }

  /**
   * Reads a value, or makes and keeps it. All who ask while it is being made get that one; an error goes to all of them
   * and is not kept.
   *
   * @param make - its value counts as old as the moment at which it was called
   * @param ttlMillis - how long to keep the value, or what says so of it
   */
  load(
    key: string,
    make: () => V | Promise<V>,
    ttlMillis: number | ((value: V) => number) = this.#ttlMillis,
  ): Promise<V> {
    const entry = this.#read(key);
    if (entry) return Promise.resolve(entry.value);
    const running = this.#flights.get(key);
    if (running) return running;
    const storedAt = this.#now();
    const flight = (async () => make())().then(
      (value) => {
        // Deleted or set meanwhile: what is known since then is newer.
        if (this.#flights.get(key) === flight) {
          this.#flights.delete(key);
          const own = typeof ttlMillis === 'function' ? ttlMillis(value) : ttlMillis;
          this.#entries.set(key, { value, storedAt, ttlMillis: own });
        }
        return value;
      },
      (error: unknown) => {
        if (this.#flights.get(key) === flight) this.#flights.delete(key);
        throw error;
      },
    );
    this.#flights.set(key, flight);
    return flight;
  }

  #read(key: string): Entry<V> | undefined {
    const entry = this.#entries.get(key);
    if (!entry) return undefined;
    const age = this.#now() - entry.storedAt;
    // A negative age: the clock was set back, and how old the value is nobody knows.
    if (age >= 0 && age < entry.ttlMillis) return entry;
    this.#entries.delete(key);
    return undefined;
  }
}
