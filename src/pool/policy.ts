// What to do with a slot, and how long to wait for an answer. Pure: facts in, verdict out; no clock, no pool, no effect.

import { elapsedMillis, type Instant } from './clock.ts';
import type { EvictReason } from './events.ts';

/** What is known of an idle resource. */
export interface SlotFacts {
  readonly createdAt: Instant;
  /** When it was last given back. */
  readonly idleSince: Instant;
  /** When it last answered. */
  readonly provenAt: Instant;
  /** The epoch in which that answer was asked for. */
  readonly provenEpoch: number;
  /** Milliseconds it may live, jitter included; 0 is for ever. */
  readonly lifetimeMillis: number;
}

export interface PolicyLimits {
  readonly validateAfterIdleMillis: number;
  /** 0 is never. */
  readonly idleTimeoutMillis: number;
}

/** Hand it out, prove it alive first, or destroy it for this reason. */
export type Verdict = 'use' | 'validate' | Extract<EvictReason, 'expired' | 'idle'>;

/** Decides what becomes of an idle resource that somebody wants. */
export function judge(slot: SlotFacts, now: Instant, epoch: number, limits: PolicyLimits): Verdict {
  if (isExpired(slot, now)) return 'expired';
  if (limits.idleTimeoutMillis > 0 && elapsedMillis(slot.idleSince, now) >= limits.idleTimeoutMillis) return 'idle';
  if (slot.provenEpoch !== epoch) return 'validate';
  return elapsedMillis(slot.provenAt, now) < limits.validateAfterIdleMillis ? 'use' : 'validate';
}

/** Whether a resource is past its lifetime; the only question at a release, when it has just been in use. */
export function isExpired(slot: Pick<SlotFacts, 'createdAt' | 'lifetimeMillis'>, now: Instant): boolean {
  return slot.lifetimeMillis > 0 && elapsedMillis(slot.createdAt, now) >= slot.lifetimeMillis;
}

/** Whether a gap between two invocations makes everything proven before it suspect. An unknown gap does. */
export function raisesEpoch(frozenMillis: number | undefined, limits: PolicyLimits): boolean {
  return frozenMillis === undefined || frozenMillis >= limits.validateAfterIdleMillis;
}

/**
 * A resource's lifetime: the limit less up to `jitter` of it, so that resources made together do not die together.
 *
 * @param random - a number in [0, 1)
 */
export function jitteredLifetime(maxLifetimeMillis: number, jitter: number, random: number): number {
  return maxLifetimeMillis - maxLifetimeMillis * jitter * random;
}

/** A smoothed round trip and its deviation, in milliseconds. */
export interface RoundTrip {
  readonly smoothed: number;
  readonly deviation: number;
}

/** Takes one more measured round trip into account: TCP's own estimator (RFC 6298, section 2). */
export function smoothRoundTrip(known: RoundTrip | undefined, millis: number): RoundTrip {
  if (known === undefined) return { smoothed: millis, deviation: millis / 2 };
  return {
    smoothed: known.smoothed + (millis - known.smoothed) / 8,
    deviation: known.deviation + (Math.abs(millis - known.smoothed) - known.deviation) / 4,
  };
}

/** Below this a pause of the process itself (garbage collection, a throttled fraction of a vCPU) looks like a dead peer. */
const shortestValidateMillis = 50;

/** How long to wait for a proof of life: as TCP's retransmission timeout, never beyond the configured ceiling. */
export function validateBudgetMillis(known: RoundTrip | undefined, ceilingMillis: number): number {
  if (known === undefined) return ceilingMillis;
  return Math.min(ceilingMillis, Math.max(shortestValidateMillis, known.smoothed + 4 * known.deviation));
}

/**
 * How many more resources to start making for those who wait: each place in the making serves one of them, and none is
 * made beyond the limit.
 */
export function creationsWanted(facts: { waiting: number; coming: number; total: number; max: number }): number {
  return Math.max(0, Math.min(facts.waiting - facts.coming, facts.max - facts.total));
}
