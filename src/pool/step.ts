import type { Clock } from './clock.ts';

/** How one call of a factory function ended. */
export type StepOutcome<R> =
  | { readonly kind: 'done'; readonly value: R }
  | { readonly kind: 'failed'; readonly error: unknown }
  | { readonly kind: 'timeout' };

/** What came of a call after nobody waited for it any more. */
export type LateOutcome<R> = Exclude<StepOutcome<R>, { kind: 'timeout' }>;

/** Something that is waited for and need not be. */
export interface Abandonable {
  /** Stops waiting: aborts the signal, never settles; what comes after is late. */
  abandon(): void;
}

/**
 * One call of a factory function and the wait for its answer. Either `settle` is called exactly once, never in the turn
 * of the call, or the step was abandoned; what comes after that goes to `late`.
 *
 * When the budget is used up the event loop polls once more before the answer counts as missing: after a freeze or a
 * long pause every timer is overdue, and the answer may lie in the kernel already.
 */
export class Step<R> implements Abandonable {
  readonly #clock: Clock;
  readonly #settle: (outcome: StepOutcome<R>) => void;
  readonly #late: (outcome: LateOutcome<R>) => void;
  readonly #controller = new AbortController();
  #timer: unknown;
  #waiting = true;

  constructor(
    clock: Clock,
    settle: (outcome: StepOutcome<R>) => void,
    late: (outcome: LateOutcome<R>) => void = ignore,
  ) {
    this.#clock = clock;
    this.#settle = settle;
    this.#late = late;
  }

  /** Makes the call, in this turn. The call may abandon the step that it belongs to. */
  run(budgetMillis: number, call: (signal: AbortSignal) => Promise<R> | R): void {
    this.#timer = this.#clock.setTimer(() => this.#clock.afterTurn(() => this.#giveUp()), budgetMillis);
    void attempt(call, this.#controller.signal).then((outcome) => this.#finish(outcome));
  }

  abandon(): void {
    if (!this.#waiting) return;
    this.#waiting = false;
    this.#clock.clearTimer(this.#timer);
    this.#controller.abort();
  }

  #finish(outcome: LateOutcome<R>): void {
    if (!this.#waiting) return this.#late(outcome);
    this.#waiting = false;
    this.#clock.clearTimer(this.#timer);
    this.#settle(outcome);
  }

  #giveUp(): void {
    if (!this.#waiting) return;
    this.#waiting = false;
    this.#settle({ kind: 'timeout' });
    this.#controller.abort();
  }
}

/** Never rejects: a throw and a rejection are both an outcome. */
async function attempt<R>(call: (signal: AbortSignal) => Promise<R> | R, signal: AbortSignal): Promise<LateOutcome<R>> {
  try {
    return { kind: 'done', value: await call(signal) };
  } catch (error) {
    return { kind: 'failed', error };
  }
}

function ignore(): void {}
