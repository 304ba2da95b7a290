/** Whether a figure is what was to be reached, and whether a ratio has become much worse. Pure. */
import type { Figure, Role, Row, Spread, Target, Unit } from './model.ts';

/** Tells whether a value is what was to be reached. */
export function reaches(value: number, { at, value: bound }: Target): boolean {
  return at === 'most' ? value <= bound : value >= bound;
}

/** Returns a figure; its median is what is judged. */
export function figure(id: string, title: string, unit: Unit, spread: Spread, target?: Target): Figure {
  if (target === undefined) return { id, title, unit, ...spread };
  return { id, title, unit, ...spread, target, pass: reaches(spread.median, target) };
}

/** Returns a spread of one value, for what is counted and does not vary. */
export function exactly(value: number): Spread {
  return { median: value, low: value, high: value };
}

/** Returns the row of a subject whose value was counted. */
export function countedRow(subject: string, role: Role, value: number): Row {
  return { subject, role, ...exactly(value), best: value };
}

/** A regression is more than this many times the recorded ratio; less than that can be another machine, or noise. */
export const TOLERATED = 2;

/** What the guard thinks of one ratio. */
export interface GuardVerdict {
  readonly bound: number;
  readonly best: number;
  readonly pass: boolean;
}

/**
 * Judges several attempts at one ratio by the best of them: noise makes single attempts worse, a regression all.
 *
 * @throws RangeError for no attempts at all, and for a recorded ratio that is no positive number
 */
export function guardVerdict(recorded: number, attempts: readonly number[]): GuardVerdict {
  if (!(recorded > 0)) throw new RangeError(`The recorded ratio is ${recorded}.`);
  if (attempts.length === 0) throw new RangeError('There was no attempt.');
  const bound = recorded * TOLERATED;
  const best = Math.min(...attempts);
  return { bound, best, pass: best <= bound };
}
