import { type Clock, type Instant, systemClock } from '../pool/index.ts';

interface Timer {
  readonly due: number;
  readonly callback: () => void;
}

/** Where a {@link FakeClock} begins, and what it leaves to the event loop. */
export interface FakeClockOptions {
  /** Milliseconds since 1970. @default the beginning of November 2026, UTC */
  readonly wall?: number;
  /** Milliseconds since some start. @default 1000 */
  readonly monotonic?: number;
  /**
   * Has `afterTurn` wait for `turn()` or `advance()` instead of the event loop's next turn: for tests in which nothing
   * is real, sockets included. With real sockets a pool would wait for them in vain.
   *
   * @default false
   */
  readonly holdTurns?: boolean;
}

/** Lets everything that needs no time happen: every microtask, and those they queue. Takes no time of the fake clock. */
export function settle(): Promise<void> {
  return new Promise((resolve) => void setImmediate(resolve));
}

/**
 * A clock that moves when it is told to: `createPool({ clock: new FakeClock() })`. Timers live on the monotonic clock, as
 * Node's do, and fire in the order in which they are due; what they cause has settled before the next one fires.
 *
 * With a real database its answers take real time, in which this clock stands still: a limit of the pool's passes only
 * in `advance()`.
 */
export class FakeClock implements Clock {
  readonly #holdTurns: boolean;
  #wall: number;
  #monotonic: number;
  #timers = new Set<Timer>();
  #turn: (() => void)[] = [];

  constructor({ wall = Date.UTC(2026, 10, 1), monotonic = 1000, holdTurns = false }: FakeClockOptions = {}) {
    this.#wall = wall;
    this.#monotonic = monotonic;
    this.#holdTurns = holdTurns;
  }

  /** Reads both clocks. */
  now(): Instant {
    return { wall: this.#wall, monotonic: this.#monotonic };
  }

  /** Calls back once the monotonic clock has advanced by `millis`. */
  setTimer(callback: () => void, millis: number): unknown {
    const timer: Timer = { due: this.#monotonic + millis, callback };
    this.#timers.add(timer);
    return timer;
  }

  /** Takes a timer back. */
  clearTimer(timer: unknown): void {
    this.#timers.delete(timer as Timer);
  }

  /** Calls back when the event loop has polled once more; see `holdTurns`. */
  afterTurn(callback: () => void): void {
    if (this.#holdTurns) this.#turn.push(callback);
    else systemClock.afterTurn(callback);
  }

  /** Timers that have neither fired nor been taken back. */
  get timers(): number {
    return this.#timers.size;
  }

  /** Callbacks that wait for `turn()` or `advance()`; none without `holdTurns`. */
  get turns(): number {
    return this.#turn.length;
  }

  /** Lets the event loop go round: overdue timers, then what waited for a poll, then everything these cause. */
  async turn(): Promise<void> {
    await settle();
    await this.#fireUntil(this.#monotonic);
    await this.#poll();
  }

  /** Lets time pass: timers fire when they are due, and the event loop turns as often as anything asks for it. */
  async advance(millis: number): Promise<void> {
    const end = this.#monotonic + millis;
    do {
      await this.#quiet();
    } while (await this.#fireNext(end));
    this.#move(end);
    await settle();
  }

  /** Somebody sets the wall clock, forward or back. */
  jumpWall(millis: number): void {
    this.#wall += millis;
  }

  /**
   * The process is frozen for a while: nothing fires. Timers that are overdue afterwards fire in the next `turn()` or
   * `advance()`. On some platforms the monotonic clock runs on meanwhile, on others it stands still.
   */
  freeze(millis: number, { monotonicRuns }: { readonly monotonicRuns: boolean }): void {
    this.#wall += millis;
    if (monotonicRuns) this.#monotonic += millis;
  }

  /** As many turns as the system's clock takes for one, and whatever those are held for. */
  async #quiet(): Promise<void> {
    await new Promise<void>((resolve) => systemClock.afterTurn(resolve));
    await settle();
    while (this.#turn.length > 0) await this.#poll();
  }

  #move(monotonic: number): void {
    if (monotonic <= this.#monotonic) return;
    this.#wall += monotonic - this.#monotonic;
    this.#monotonic = monotonic;
  }

  async #poll(): Promise<void> {
    const callbacks = this.#turn;
    this.#turn = [];
    for (const callback of callbacks) {
      callback();
      await settle();
    }
  }

  async #fireUntil(end: number): Promise<void> {
    while (await this.#fireNext(end)) await settle();
  }

  async #fireNext(end: number): Promise<boolean> {
    let next: Timer | undefined;
    for (const timer of this.#timers) {
      if (timer.due <= end && (next === undefined || timer.due < next.due)) next = timer;
    }
    if (next === undefined) return false;
    this.#timers.delete(next);
    this.#move(next.due);
    next.callback();
    return true;
  }
}
