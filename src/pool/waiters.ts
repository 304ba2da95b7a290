import type { Clock, Instant } from './clock.ts';

/** Somebody who waits for a resource. Settled exactly once: whoever takes it out of the queue settles it. */
export class Waiter<L> {
  readonly since: Instant;
  readonly budgetMillis: number;
  readonly owner: object | undefined;
  readonly origin: unknown;
  readonly resolve: (lease: L) => void;
  readonly reject: (error: unknown) => void;
  // The links of its queue stand in the waiter itself: one object fewer for each wait.
  /** @internal */
  previous: Waiter<L> | undefined = undefined;
  /** @internal */
  next: Waiter<L> | undefined = undefined;
  /** @internal */
  queued = false;
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
 * First come, first served; an operation takes the same time however many wait. Their timers and signals take waiters out
 * again.
 *
 * There is one timer for all: to set one for each would cost more than the rest of the wait. It is set for the earliest
 * budget that ends and, so that serving somebody need not touch it, may find that this one has left. It is taken back at
 * the end of the turn in which the last one leaves.
 */
export class WaiterQueue<L> {
  readonly #clock: Clock;
  readonly #ends: WaitEnds<L>;
  #head: Waiter<L> | undefined;
  #tail: Waiter<L> | undefined;
  #size = 0;
  /** Whoever came later is due later, as long as all have the same budget. */
  #sorted = true;
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
    const last = this.#tail;
    waiter.previous = last;
    if (last) last.next = waiter;
    else this.#head = waiter;
    this.#sorted = last === undefined || (this.#sorted && last.due <= waiter.due);
    this.#tail = waiter;
    this.#size += 1;
    waiter.queued = true;
    if (signal) this.#listen(waiter, signal);
    if (waiter.due < this.#firesAt) this.#setTimer(waiter.due, waiter.budgetMillis);
  }

  /** Takes out the one that has waited longest. */
  shift(): Waiter<L> | undefined {
    const waiter = this.#head;
    if (waiter) this.#unlink(waiter);
    return waiter;
  }

  /** Takes this one out. `false` when it had left the queue already: somebody else settles it then. */
  remove(waiter: Waiter<L>): boolean {
    if (!waiter.queued) return false;
    this.#unlink(waiter);
    return true;
  }

  /** Takes out all that belong to one owner, longest wait first. */
  removeOwnedBy(owner: object): Waiter<L>[] {
    const owned = [...this.#all()].filter((waiter) => waiter.owner === owner);
    for (const waiter of owned) this.#unlink(waiter);
    return owned;
  }

  *#all(): Generator<Waiter<L>> {
    for (let waiter = this.#head; waiter; waiter = waiter.next) yield waiter;
  }

  #unlink(waiter: Waiter<L>): void {
    const { previous, next } = waiter;
    if (previous) previous.next = next;
    else this.#head = next;
    if (next) next.previous = previous;
    else this.#tail = previous;
    waiter.queued = false;
    // A waiter that has left, kept by its caller or by an older generation of the heap, must not keep those behind it.
    waiter.previous = undefined;
    waiter.next = undefined;
    waiter.deafen?.();
    this.#size -= 1;
    if (this.#size === 0) this.#tidy();
  }

  #listen(waiter: Waiter<L>, signal: AbortSignal): void {
    const onAbort = (): void => void (this.remove(waiter) && this.#ends.aborted(waiter, signal.reason));
    signal.addEventListener('abort', onAbort, { once: true });
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
    this.#firesAt = Number.POSITIVE_INFINITY;
    const now = this.#clock.now().monotonic;
    // Looked at after one more turn: what lies in the kernel already is no timeout.
    this.#clock.afterTurn(() => this.#expire(now));
  }

  #expire(now: number): void {
    const overdue: Waiter<L>[] = [];
    let next = Number.POSITIVE_INFINITY;
    for (const waiter of this.#all()) {
      if (waiter.due <= now) {
        overdue.push(waiter);
      } else {
        next = Math.min(next, waiter.due);
        if (this.#sorted) break;
      }
    }
    if (next < this.#firesAt) this.#setTimer(next, Math.ceil(next - now));
    // Whoever hears of one that ends may serve or end others.
    for (const waiter of overdue) if (this.remove(waiter)) this.#ends.timedOut(waiter);
  }

  /** Not at once: whoever is served often asks again in the same turn, and a timer is dear. */
  #tidy(): void {
    if (this.#tidying || this.#firesAt === Number.POSITIVE_INFINITY) return;
    this.#tidying = true;
    process.nextTick(() => {
      this.#tidying = false;
      if (this.#size === 0) this.#clearTimer();
    });
  }
}
