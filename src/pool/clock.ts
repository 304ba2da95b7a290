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

/**
 * Milliseconds from one instant to a later one: the larger of both clocks' answers, never negative.
 *
 * The larger, because a monotonic clock can stand still in a freeze and a wall clock can be set back; believing that
 * more time has passed only costs a ping, believing that less has passed costs a failed request.
 */
export function elapsedMillis(from: Instant, to: Instant): number {
  return Math.max(0, to.wall - from.wall, to.monotonic - from.monotonic);
}
