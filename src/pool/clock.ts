/** One reading of both clocks, taken together. */
export interface Instant {
  /** Wall clock, milliseconds since 1970. Right after a thaw, but people and NTP can set it back or forward. */
  readonly wall: number;
  /** Monotonic clock, milliseconds since some start. Never runs backwards, but may stand still while frozen. */
  readonly monotonic: number;
}

/**
 * Everything the pool knows about time. A fake one makes every test of time exact.
 *
 * Timers only ever bound a wait: no correctness hangs on one firing on time.
 */
export interface Clock {
  /** Reads both clocks. */
  now(): Instant;
  /** Calls back after `millis`, and never keeps the process alive for it. Returns what `clearTimer` takes. */
  setTimer(callback: () => void, millis: number): unknown;
  /** Takes a timer back; a timer that has fired already is no error. */
  clearTimer(timer: unknown): void;
  /** Calls back once the event loop has polled for I/O once more: what waited in the kernel has then been seen. */
  afterTurn(callback: () => void): void;
}

/** So many readings in a row, within one millisecond and one turn, are a burst; one request after the other is none. */
const burst = 8;
/** How often a reading is used again in a burst. Reading the clocks takes longer than the rest of an acquire (bench). */
const repeats = 31;

/**
 * Saves readings of the clocks in a burst. A reading is used again only in the turn in which it was taken, and a bounded
 * number of times: whatever comes after a poll, which a thawed invocation does, is judged by a reading of its own.
 * See `docs/decisions/0013-a-burst-shares-its-readings.md`.
 */
export class Glances {
  readonly #now: () => Instant;
  readonly #wall: () => number;
  readonly #atTurnsEnd: (callback: () => void) => void;
  // Stryker disable next-line ObjectLiteral: the first reading is of another millisecond either way
  #last: Instant = { wall: 0, monotonic: 0 };
  #alike = 0;
  #left = 0;
  /** Whether the end of this turn will be told. */
  #ending = false;

  /**
   * @param wall - reads the wall clock alone
   * @param atTurnsEnd - calls back when this turn's work is done, before the event loop polls
   */
  constructor(now: () => Instant, wall: () => number, atTurnsEnd: (callback: () => void) => void) {
    this.#now = now;
    this.#wall = wall;
    this.#atTurnsEnd = atTurnsEnd;
  }

  glance(): Instant {
    if (this.#left > 0) this.#left -= 1;
    else this.#readAgain();
    return this.#last;
  }

  /** The time for the news of what happens: as old as a burst's reading, but makes no burst however much is told. */
  stamp(): Instant {
    return this.#left > 0 ? this.#last : this.#now();
  }

  #readAgain(): void {
    const { wall } = this.#last;
    // In a burst the same millisecond is the same reading: whatever compares with it need not compare again.
    if (this.#alike < burst || this.#wall() !== wall) {
      this.#last = this.#now();
      this.#alike = this.#last.wall === wall ? this.#alike + 1 : 1;
      if (this.#alike < burst) return;
    }
    if (this.#ending) this.#left = repeats;
    else this.#countThisTurn();
  }

  /** Those before may have been of other turns. To have the end told of every turn costs more than a few readings. */
  #countThisTurn(): void {
    this.#alike = 0;
    this.#ending = true;
    this.#atTurnsEnd(() => {
      this.#ending = false;
      this.#alike = 0;
      this.#left = 0;
    });
  }
}

/** The process's own clocks and timers. */
export const systemClock: Clock = {
  now: () => ({ wall: Date.now(), monotonic: performance.now() }),
  setTimer: (callback, millis) => {
    const timer = setTimeout(callback, millis);
    timer.unref();
    return timer;
  },
  clearTimer: (timer) => clearTimeout(timer as NodeJS.Timeout),
  // Two turns: called while a poll's events are handled, the first comes before the next poll. And a poll reads one piece of
  // each socket (libuv, uv__read): the end behind an answer is seen by the one after.
  afterTurn: (callback) => void setImmediate(() => setImmediate(callback)),
};

// Ticks run once the microtasks of this turn are done, and before the next poll.
const glances = new Glances(
  systemClock.now,
  () => Date.now(),
  (callback) => process.nextTick(callback),
);

/** How a pool reads its clock for one acquire or release of many. Anybody's own clock is read each time. */
export function glanceOf(clock: Clock): () => Instant {
  return clock.now === systemClock.now ? () => glances.glance() : () => clock.now();
}

/** How a pool reads its clock to tell when something happened. */
export function stampOf(clock: Clock): () => Instant {
  return clock.now === systemClock.now ? () => glances.stamp() : () => clock.now();
}

/**
 * Milliseconds from one instant to a later one: the larger of both clocks' answers, never negative.
 *
 * The larger, because a monotonic clock can stand still in a freeze and a wall clock can be set back; believing that
 * more time has passed only costs a ping, believing that less has passed costs a failed request.
 */
export function elapsedMillis(from: Instant, to: Instant): number {
  // In a burst most are the same reading.
  // Stryker disable next-line ConditionalExpression: only faster
  if (from === to) return 0;
  return Math.max(0, to.wall - from.wall, to.monotonic - from.monotonic);
}
