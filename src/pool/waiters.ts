import type { Clock, Instant } from './clock.ts';

/** Somebody who waits for a resource. Settled exactly once: whoever takes it out of the queue settles it. */
export class Waiter<L> {
  readonly since: Instant;
  readonly budgetMillis: number;
  readonly owner: object | undefined;
  readonly origin: unknown;
  readonly resolve: (lease: L) => void;
  readonly reject: (error: unknown) => void;
  /** @internal Its place in the queue, counted from the first that ever was. */
  place = 0;
  /** @internal Stops listening to its signal. */
  deafen: (() => void) | undefined = undefined;

  constructor(
    since: Instant,
    budgetMillis: number,
    whose: { readonly owner?: object | undefined; readonly origin?: unknown } | undefined,
    resolve: (lease: L) => void,
    reject: (error: unknown) => void,
  ) {
    this.since = since;
    this.budgetMillis = budgetMillis;
    this.owner = whose?.owner;
    this.origin = whose?.origin;
    this.resolve = resolve;
    this.reject = reject;
  }

  /** When its budget is used up, by the monotonic clock: timers live on that. */
  get due(): number {
    return this.since.monotonic + this.budgetMillis;
  }
}

/** What is to happen when a wait ends early. Called with the waiter out of the queue, and nobody else to settle it. */
export interface WaitEnds<L> {
  timedOut(waiter: Waiter<L>): void;
  aborted(waiter: Waiter<L>, reason: unknown): void;
}

/**
 * First come, first served; an operation takes the same time however many wait. Budgets and signals that end take waiters
 * out again.
 *
 * There is one timer for all: to set one for each would cost more than the rest of the wait. It is set for the budget that
 * ends first, and is left alone when that waiter is served: it may find nobody overdue. At the end of a turn in which
 * nobody waits any more it is taken back.
 */
export class WaiterQueue<L> {
  readonly #clock: Clock;
  readonly #ends: WaitEnds<L>;
  /** A ring: who has place `n` stands at `n` modulo `#places`, a power of two. Whoever leaves leaves a hole. */
  // Stryker disable next-line ArrayDeclaration: a place is written before it is read
  #ring: (Waiter<L> | undefined)[] = [];
  #places = fewest;
  /** The place of the one that has waited longest, unless that is a hole. */
  #first = 0;
  /** The place of the next to come. */
  #end = 0;
  #size = 0;
  /** Whoever came later is due later, as long as all have the same budget. */
  #sorted = true;
  /** When the last of them is due, by the monotonic clock. */
  #latest = 0;
  #timer: unknown;
  /** When the timer fires, by the monotonic clock. */
  #firesAt = Number.POSITIVE_INFINITY;
  #tidying = false;

  constructor(clock: Clock, ends: WaitEnds<L>) {
    this.#clock = clock;
    this.#ends = ends;
  }

  get size(): number {
    return this.#size;
  }

  /** Queues somebody whom the signal may take out again. */
  push(waiter: Waiter<L>, signal?: AbortSignal): void {
    // Before anything else: what is no signal throws.
    if (signal) this.#listen(waiter, signal);
    if (this.#end - this.#first === this.#places) this.#resize();
    waiter.place = this.#end;
    this.#ring[this.#end & (this.#places - 1)] = waiter;
    this.#end += 1;
    this.#size += 1;
    const { due } = waiter;
    if (due < this.#latest) this.#sorted = false;
    else this.#latest = due;
    if (due < this.#firesAt) this.#setTimer(due, waiter.budgetMillis);
  }

  /** Takes out the one that has waited longest. */
  shift(): Waiter<L> | undefined {
    if (this.#size === 0) return undefined;
    const mask = this.#places - 1;
    let waiter = this.#ring[this.#first & mask];
    while (waiter === undefined) {
      this.#first += 1;
      waiter = this.#ring[this.#first & mask];
    }
    // Its own place is the next hole.
    this.#takeOut(waiter);
    return waiter;
  }

  /** Takes this one out. `false` when it had left the queue already: somebody else settles it then. */
  remove(waiter: Waiter<L>): boolean {
    if (this.#ring[waiter.place & (this.#places - 1)] !== waiter) return false;
    this.#takeOut(waiter);
    return true;
  }

  /** Takes out all that belong to one owner, longest wait first. */
  removeOwnedBy(owner: object): Waiter<L>[] {
    const owned = this.#all().filter((waiter) => waiter.owner === owner);
    for (const waiter of owned) this.#takeOut(waiter);
    return owned;
  }

  /** Longest wait first. */
  #all(): Waiter<L>[] {
    const all: Waiter<L>[] = [];
    for (let place = this.#first; place < this.#end; place += 1) {
      const waiter = this.#ring[place & (this.#places - 1)];
      if (waiter) all.push(waiter);
    }
    return all;
  }

  #takeOut(waiter: Waiter<L>): void {
    this.#ring[waiter.place & (this.#places - 1)] = undefined;
    waiter.deafen?.();
    this.#size -= 1;
    if (this.#size === 0) this.#emptied();
  }

  /** Closes the holes, and makes room for twice as many as wait. */
  #resize(): void {
    const before = this.#all();
    this.#places = fewest;
    // Stryker disable next-line EqualityOperator: one size longer does as well
    while (this.#places < 2 * this.#size) this.#places *= 2;
    this.#ring = [];
    for (const waiter of before) {
      waiter.place = this.#ring.length;
      this.#ring.push(waiter);
    }
    this.#first = 0;
    this.#end = this.#ring.length;
  }

  #listen(waiter: Waiter<L>, signal: AbortSignal): void {
    const onAbort = (): void => void (this.remove(waiter) && this.#ends.aborted(waiter, signal.reason));
    signal.addEventListener('abort', onAbort);
    waiter.deafen = () => signal.removeEventListener('abort', onAbort);
  }

  #setTimer(due: number, millis: number): void {
    this.#clearTimer();
    this.#firesAt = due;
    this.#timer = this.#clock.setTimer(() => this.#fired(), millis);
  }

  #clearTimer(): void {
    this.#clock.clearTimer(this.#timer);
    this.#firesAt = Number.POSITIVE_INFINITY;
  }

  #fired(): void {
    // That it fires says what time it is too: timers may be a little early, and a test's may run by a time of their own.
    const now = Math.max(this.#firesAt, this.#clock.now().monotonic);
    this.#firesAt = Number.POSITIVE_INFINITY;
    // Looked at after one more turn: what lies in the kernel already is no timeout.
    this.#clock.afterTurn(() => this.#expire(now));
  }

  #expire(now: number): void {
    // Stryker disable next-line ArrayDeclaration: what does not wait is not taken out
    const overdue: Waiter<L>[] = [];
    let next = Number.POSITIVE_INFINITY;
    // Stryker disable next-line EqualityOperator: behind the last place is a hole, or the first again
    for (let place = this.#first; place < this.#end; place += 1) {
      const waiter = this.#ring[place & (this.#places - 1)];
      if (waiter === undefined) continue;
      if (waiter.due <= now) {
        overdue.push(waiter);
        continue;
      }
      next = Math.min(next, waiter.due);
      if (this.#sorted) break;
    }
    if (next < this.#firesAt) this.#setTimer(next, Math.ceil(next - now));
    // Whoever hears of one that ends may serve or end others.
    for (const waiter of overdue) if (this.remove(waiter)) this.#ends.timedOut(waiter);
  }

  /** Nothing is taken back at once: whoever is served often asks again in the same turn, and a timer is dear. */
  #emptied(): void {
    this.#sorted = true;
    this.#latest = 0;
    if (this.#tidying) return;
    this.#tidying = true;
    process.nextTick(() => {
      this.#tidying = false;
      if (this.#size > 0) return;
      this.#clearTimer();
      // Stryker disable next-line ArrayDeclaration: a place is written before it is read
      this.#ring = [];
      this.#places = fewest;
      this.#first = 0;
      this.#end = 0;
    });
  }
}

/** More than most queues ever need; a power of two. */
const fewest = 16;
