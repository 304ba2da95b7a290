import type { EvictReason, SlotState } from './events.ts';

/** A pool's numbers at one moment. */
export interface PoolStats {
  /** Slots in any state; never above `max`. */
  readonly total: number;
  readonly creating: number;
  /** Being proven alive, or being reset after a release. */
  readonly validating: number;
  readonly idle: number;
  readonly leased: number;
  /** Being destroyed; counts until the resource is gone or given up. */
  readonly closing: number;
  /** Acquires that wait. */
  readonly waiting: number;
  /** Raised by each freeze that makes resources doubtful, and by the first failed proof of life of a generation. */
  readonly epoch: number;
  readonly max: number;
  readonly maxIdle: number;
  /** Since the pool was made: */
  readonly acquired: number;
  readonly released: number;
  readonly created: number;
  readonly createFailed: number;
  /** Proofs of life that were answered. */
  readonly validated: number;
  /** Proofs of life that failed. */
  readonly invalidated: number;
  /** Acquires that ended without a resource. */
  readonly acquireFailed: number;
  /** Leases taken back from an owner that had not released them. */
  readonly reclaimed: number;
  /** Resources destroyed, by reason. */
  readonly destroyed: Readonly<Record<EvictReason, number>>;
}

/** Counts kept since the pool was made. Gauges come from the slots themselves. */
export type Counters = {
  -readonly [Count in Exclude<
    keyof PoolStats,
    SlotState | 'total' | 'waiting' | 'epoch' | 'max' | 'maxIdle' | 'destroyed'
  >]: number;
} & { readonly destroyed: Record<EvictReason, number> };

/** Counts of a pool in which nothing has happened. */
export function zeroCounters(): Counters {
  return {
    acquired: 0,
    released: 0,
    created: 0,
    createFailed: 0,
    validated: 0,
    invalidated: 0,
    acquireFailed: 0,
    reclaimed: 0,
    destroyed: { expired: 0, idle: 0, broken: 0, invalid: 0, 'stale-credentials': 0, surplus: 0, closed: 0 },
  };
}

/** Puts gauges and counters together. */
export function snapshot(
  gauges: Readonly<Record<SlotState, number>>,
  counters: Counters,
  rest: { total: number; waiting: number; epoch: number; max: number; maxIdle: number },
): PoolStats {
  return { ...rest, ...gauges, ...counters, destroyed: { ...counters.destroyed } };
}
