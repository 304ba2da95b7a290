import type { SlotState } from './events.ts';
import type { Pool } from './pool.ts';

const states: readonly SlotState[] = ['creating', 'validating', 'idle', 'leased', 'closing'];

/**
 * Checks the invariants that stand at the top of `pool.ts`, as far as one moment can show them. For tests: call it at
 * the end of every turn. Inside an event, in the middle of the bookkeeping, what begins with 3 or 4 need not hold yet.
 *
 * @returns one sentence for each invariant that does not hold; none for a sound pool
 */
export function brokenInvariants<T>(pool: Pool<T>): string[] {
  const stats = pool.stats();
  const slots = [...pool.slotsForInspection()];
  const broken: string[] = [];
  const check = (holds: boolean, sentence: string): void => void (holds || broken.push(sentence));
  const sum = states.reduce((total, state) => total + stats[state], 0);
  check(sum === stats.total && stats.total === slots.length, `1: states add up to ${sum}, total is ${stats.total}`);
  check(stats.total <= stats.max, `1: total ${stats.total} is above max ${stats.max}`);
  for (const state of states) {
    const count = slots.filter((slot) => slot.state === state).length;
    check(count === stats[state], `2: ${count} slots are ${state}, stats say ${stats[state]}`);
  }
  for (const slot of slots) {
    const leased = slot.state === 'leased';
    check(
      leased === (slot.lease !== undefined) || slot.broken,
      `2: slot ${slot.id} is ${slot.state}, leased out: ${slot.lease !== undefined}`,
    );
    check(slot.state !== 'idle' || slot.resource !== undefined, `2: slot ${slot.id} is idle without a resource`);
    check(!(slot.broken && (leased || slot.state === 'idle')), `3: slot ${slot.id} is broken and ${slot.state}`);
  }
  const coming = stats.creating + stats.validating;
  check(
    stats.waiting <= coming || (stats.total === stats.max && stats.idle === 0),
    `4: ${stats.waiting} wait, ${coming} coming, ${stats.idle} idle, total ${stats.total} of ${stats.max}`,
  );
  const numbers = [
    ...states.map((state) => stats[state]),
    stats.waiting,
    stats.released,
    ...Object.values(stats.destroyed),
  ];
  check(
    numbers.every((number) => number >= 0),
    '7: a number is negative',
  );
  check(stats.released <= stats.acquired, `7: released ${stats.released} of ${stats.acquired} acquired`);
  return broken;
}
