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
  /** A clock that is never set back, in milliseconds: the larger of both ages counts. @default performance.now */
  readonly monotonic?: (() => number) | undefined;
  /** How many values stay at most; the one that was not read for longest makes room. @default Infinity */
  readonly max?: number | undefined;
}

interface Entry<V> {
  readonly value: V;
  readonly storedAt: Reading;
  readonly ttlMillis: number;
}

interface Reading {
  readonly wall: number;
  readonly monotonic: number;
}

/**
 * Holds values by name until they are too old. `undefined` and `null` are values like any other.
 *
 * What is too old stays in memory until it is read, replaced or deleted, or until `max` others have come.
 */
export class TtlCache<V> {
  readonly #ttlMillis: number;
  readonly #now: () => Reading;
  readonly #max: number;
  readonly #entries = new Map<string, Entry<V>>();
  readonly #flights = new Map<string, Promise<V>>();

  constructor(options: TtlCacheOptions) {
    const { ttlMillis, now = () => Date.now(), monotonic = () => performance.now() } = options;
    this.#ttlMillis = ttlMillis;
    this.#now = () => ({ wall: now(), monotonic: monotonic() });
    this.#max = options.max ?? Number.POSITIVE_INFINITY;
  }

  /** The names that are held, those included whose values are too old and were not read since. */
  keys(): string[] {
    return [...this.#entries.keys()];
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
    this.#keep(key, { value, storedAt: this.#now(), ttlMillis });
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
          this.#keep(key, { value, storedAt, ttlMillis: own });
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

  #keep(key: string, entry: Entry<V>): void {
    this.#entries.delete(key);
    this.#entries.set(key, entry);
    if (this.#entries.size <= this.#max) return;
    // A Map keeps the order in which its keys came: the first was neither kept nor read for longest.
    const [first] = this.#entries.keys();
    if (first !== undefined) this.#entries.delete(first);
  }

  #read(key: string): Entry<V> | undefined {
    const entry = this.#entries.get(key);
    if (!entry) return undefined;
    const now = this.#now();
    const age = now.wall - entry.storedAt.wall;
    this.#entries.delete(key);
    // A negative age: the clock was set back, and how old the value is nobody knows.
    if (age < 0 || Math.max(age, now.monotonic - entry.storedAt.monotonic) >= entry.ttlMillis) return undefined;
    // Behind all others: it was read last.
    this.#entries.set(key, entry);
    return entry;
  }
}
