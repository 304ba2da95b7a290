import { describe, expect, test } from 'vitest';
import type { Instant } from '../../../src/pool/clock.ts';
import {
  creationsWanted,
  isExpired,
  jitteredLifetime,
  judge,
  type PolicyLimits,
  raisesEpoch,
  type SlotFacts,
  smoothRoundTrip,
  validateBudgetMillis,
} from '../../../src/pool/policy.ts';

const at = (millis: number): Instant => ({ wall: 1_000_000 + millis, monotonic: 5000 + millis });
const slot: SlotFacts = {
  createdAt: at(0),
  idleSince: at(0),
  provenAt: at(0),
  provenEpoch: 3,
  lifetimeMillis: 0,
};
const limits: PolicyLimits = { validateAfterIdleMillis: 0, idleTimeoutMillis: 0 };

describe('judge', () => {
  test.each<[string, Partial<SlotFacts>, Partial<PolicyLimits>, number, ReturnType<typeof judge>]>([
    ['has just answered', {}, { validateAfterIdleMillis: 1 }, 0, 'use'],
    ['has answered within the limit', {}, { validateAfterIdleMillis: 100 }, 99, 'use'],
    ['has not answered for the limit', {}, { validateAfterIdleMillis: 100 }, 100, 'validate'],
    ['has not answered for longer', {}, { validateAfterIdleMillis: 100 }, 101, 'validate'],
    ['has answered, idle for longer', { provenAt: at(50) }, { validateAfterIdleMillis: 100 }, 149, 'use'],
    ['has just answered, and is proven each time', {}, { validateAfterIdleMillis: 0 }, 0, 'validate'],
    ['answered in an older epoch', { provenEpoch: 2 }, { validateAfterIdleMillis: 100 }, 0, 'validate'],
    ['answered in no epoch we know', { provenEpoch: 4 }, { validateAfterIdleMillis: 100 }, 0, 'validate'],
    ['is nearly past its lifetime', { lifetimeMillis: 50 }, { validateAfterIdleMillis: 100 }, 49, 'use'],
    ['is past its lifetime', { lifetimeMillis: 50 }, { validateAfterIdleMillis: 100 }, 50, 'expired'],
    ['lives for ever', { lifetimeMillis: 0 }, { validateAfterIdleMillis: 1e9 }, 1e8, 'use'],
    [
      'was made later than it went idle',
      { createdAt: at(40), lifetimeMillis: 50 },
      { validateAfterIdleMillis: 100 },
      89,
      'use',
    ],
    ['is nearly idle for too long', {}, { validateAfterIdleMillis: 100, idleTimeoutMillis: 60 }, 59, 'use'],
    ['is idle for too long', {}, { validateAfterIdleMillis: 100, idleTimeoutMillis: 60 }, 60, 'idle'],
    ['may be idle for ever', {}, { validateAfterIdleMillis: 1e9, idleTimeoutMillis: 0 }, 1e8, 'use'],
    ['has gone idle lately', { idleSince: at(50) }, { validateAfterIdleMillis: 100, idleTimeoutMillis: 60 }, 99, 'use'],
    ['is past both', { lifetimeMillis: 10 }, { idleTimeoutMillis: 10 }, 10, 'expired'],
    ['is suspect and idle too long', { provenEpoch: 0 }, { idleTimeoutMillis: 10 }, 10, 'idle'],
    ['is suspect and past its lifetime', { provenEpoch: 0, lifetimeMillis: 10 }, {}, 10, 'expired'],
  ])('of one that %s', (_, facts, given, now, verdict) => {
    expect(judge({ ...slot, ...facts }, at(now), 3, { ...limits, ...given })).toBe(verdict);
  });

  test('believes whichever clock says that more time has passed', () => {
    const given = { validateAfterIdleMillis: 100, idleTimeoutMillis: 0 };
    expect(judge(slot, { ...at(0), wall: at(100).wall }, 3, given)).toBe('validate');
    expect(judge(slot, { ...at(0), monotonic: at(100).monotonic }, 3, given)).toBe('validate');
    expect(judge(slot, { wall: at(-1e6).wall, monotonic: at(99).monotonic }, 3, given)).toBe('use');
  });
});

describe('isExpired', () => {
  test.each([
    [50, 49, false],
    [50, 50, true],
    [50, 51, true],
    [0, 0, false],
    [0, 1e9, false],
  ])('of a lifetime of %i ms after %i ms is %s', (lifetimeMillis, now, expired) => {
    expect(isExpired({ createdAt: at(0), lifetimeMillis }, at(now))).toBe(expired);
  });
});

describe('raisesEpoch', () => {
  test.each([
    [undefined, 100, true],
    [99, 100, false],
    [100, 100, true],
    [101, 100, true],
    [0, 0, true],
    [0, 1, false],
  ])('of a gap of %s ms with a limit of %i ms is %s', (frozenMillis, validateAfterIdleMillis, raised) => {
    expect(raisesEpoch(frozenMillis, { ...limits, validateAfterIdleMillis })).toBe(raised);
  });
});

describe('jitteredLifetime', () => {
  test.each([
    [1000, 0.1, 0, 1000],
    [1000, 0.1, 0.5, 950],
    [1000, 0.5, 0.5, 750],
    [1000, 0, 0.9, 1000],
    [0, 0.1, 0.9, 0],
  ])('of %i ms with jitter %d at %d is %d ms', (limit, jitter, random, lifetime) => {
    expect(jitteredLifetime(limit, jitter, random)).toBe(lifetime);
  });

  test('is never 0, which would be for ever, while the limit is not', () => {
    expect(jitteredLifetime(1, 1, 1 - Number.EPSILON / 2)).toBeGreaterThan(0);
  });
});

describe('the round trip', () => {
  test('begins with the first one measured and half of it for doubt', () => {
    expect(smoothRoundTrip(undefined, 40)).toEqual({ smoothed: 40, deviation: 20 });
  });

  test.each([
    [{ smoothed: 40, deviation: 20 }, 40, { smoothed: 40, deviation: 15 }],
    [{ smoothed: 40, deviation: 20 }, 120, { smoothed: 50, deviation: 35 }],
    [{ smoothed: 40, deviation: 20 }, 0, { smoothed: 35, deviation: 25 }],
    [{ smoothed: 40, deviation: 0 }, 48, { smoothed: 41, deviation: 2 }],
  ])('known as %o, with %i ms, becomes %o', (known, millis, smoothed) => {
    expect(smoothRoundTrip(known, millis)).toEqual(smoothed);
  });

  test.each([
    [undefined, 250, 250],
    [{ smoothed: 40, deviation: 10 }, 250, 80],
    [{ smoothed: 40, deviation: 100 }, 250, 250],
    [{ smoothed: 1, deviation: 1 }, 250, 50],
    [{ smoothed: 10, deviation: 10 }, 250, 50],
    [{ smoothed: 11, deviation: 10 }, 250, 51],
    [{ smoothed: 1, deviation: 1 }, 30, 30],
  ])('known as %o gives a proof under %i ms a budget of %i ms', (known, ceiling, budget) => {
    expect(validateBudgetMillis(known, ceiling)).toBe(budget);
  });
});

describe('creationsWanted', () => {
  test.each([
    [{ waiting: 0, coming: 0, total: 0, max: 4 }, 0],
    [{ waiting: 1, coming: 0, total: 0, max: 4 }, 1],
    [{ waiting: 3, coming: 0, total: 0, max: 4 }, 3],
    [{ waiting: 9, coming: 0, total: 0, max: 4 }, 4],
    [{ waiting: 3, coming: 2, total: 2, max: 4 }, 1],
    [{ waiting: 2, coming: 2, total: 2, max: 4 }, 0],
    [{ waiting: 1, coming: 2, total: 2, max: 4 }, 0],
    [{ waiting: 3, coming: 0, total: 3, max: 4 }, 1],
    [{ waiting: 3, coming: 0, total: 4, max: 4 }, 0],
    [{ waiting: 3, coming: 1, total: 5, max: 4 }, 0],
  ])('of %o is %i', (facts, wanted) => {
    expect(creationsWanted(facts)).toBe(wanted);
  });
});
