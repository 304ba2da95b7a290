// Finds where invocations of a pool end, if anywhere: a pool carries its lifecycle under a symbol that all copies share.

import type { Meter } from '../lambda/lifecycle.ts';
import type { MeteredPool } from './metered-pool.ts';

interface Driven {
  readonly lifecycle?: { addMeter?(meter: Meter): () => void };
}

/**
 * Has it called at the end of each invocation, which waits for what it returns.
 *
 * @returns stops that; `undefined` where nobody drives the pool
 */
export function atInvocationEnd(pool: MeteredPool, ended: Meter['ended']): (() => void) | undefined {
  const driven = (pool as MeteredPool & { readonly [key: symbol]: Driven | undefined })[Symbol.for('thawpool.managed')];
  return driven?.lifecycle?.addMeter?.({ ended });
}

/** Waits no longer than this for it, and never fails. What is not done in time goes on. */
export async function within(millis: number, work: Promise<unknown>): Promise<void> {
  let timer: ReturnType<typeof setTimeout> | undefined;
  const timeUp = new Promise<void>((resolve) => {
    timer = setTimeout(resolve, millis);
  });
  await Promise.race([work.catch(ignore), timeUp]);
  clearTimeout(timer);
}

/** What is left of a budget when an invocation has a deadline. */
export function budgetBefore(deadline: number | undefined, most: number, now: number = Date.now()): number {
  return deadline === undefined ? most : Math.max(0, Math.min(most, deadline - now));
}

function ignore(): void {}
