import type { EvictReason } from './events.ts';

/** What the pool tells a factory that is making a resource. */
export interface CreateContext {
  /** Aborted when the pool no longer wants the resource: its budget is used up, a freeze begins, the pool closes. */
  readonly signal: AbortSignal;
  /** Milliseconds this creation may take, retries of the factory's own included. */
  readonly budgetMillis: number;
  /**
   * Notes how far the creation has come (`dns`, `tcp`, `tls`, `auth`, …), for the timeline that an acquire error
   * carries. An error given with it is an attempt that failed and is being repeated.
   *
   * @param peer - where it is on its way to, as a message names it; holds for the phases that follow
   */
  phase(name: string, error?: unknown, peer?: string): void;
  /**
   * Tells how long a round trip to the peer takes, in milliseconds, where making the resource has shown it. The first
   * proof of life then need not wait for as long as it may.
   */
  roundTrip(millis: number): void;
  /**
   * Reports that the resource is dead, at any time after it was made. The pool destroys it at once, also while it is
   * leased, and takes every other resource of the same age as suspect.
   */
  broken(error: unknown): void;
}

/** What the pool tells a factory that is proving a resource alive or cleaning it. */
export interface StepContext {
  /** Aborted when the answer is no longer waited for. */
  readonly signal: AbortSignal;
  /** Milliseconds after which the answer counts as a no. */
  readonly budgetMillis: number;
}

/**
 * Four functions make any resource poolable. What happens when one of them throws, hangs or is slow is a table in
 * `docs/core.md`; in short: nothing that a factory does can strand a waiter or leak a place in the pool.
 *
 * @typeParam T - the resource; anything but `undefined`.
 */
export interface ResourceFactory<T> {
  /** Makes a resource. A rejection goes to the waiter that has waited longest. */
  create(context: CreateContext): Promise<T> | T;
  /** Proves a resource alive, by a round trip. `false`, a throw or no answer within the budget destroys it. */
  validate(resource: T, context: StepContext): Promise<boolean> | boolean;
  /**
   * Makes a returned resource fit for the next user. Called on each release; answering synchronously keeps the release
   * synchronous. `false`, a throw or no answer within the budget destroys the resource.
   */
  reset?(resource: T, context: StepContext): Promise<boolean> | boolean;
  /** Gives a resource up. Called exactly once for each resource made; it must not wait for a dead peer. */
  destroy(resource: T, reason: EvictReason): Promise<void> | void;
}
