/** Middle and spread of measurements. Pure. */
import type { Spread, Unit } from './model.ts';

/**
 * Returns the value below which this share of the values lies, between two of them where it falls there.
 *
 * @param share - from 0 to 1
 * @throws RangeError for no values at all
 */
export function quantile(values: readonly number[], share: number): number {
  const sorted = values.toSorted((a, b) => a - b);
  const at = (sorted.length - 1) * share;
  const below = sorted[Math.floor(at)];
  const above = sorted[Math.ceil(at)];
  if (below === undefined || above === undefined) throw new RangeError('There is no quantile of no values.');
  return below + (above - below) * (at - Math.floor(at));
}

/** Returns the middle of the values, and the tenths at both ends. */
export function spreadOf(values: readonly number[]): Spread {
  return { median: quantile(values, 0.5), low: quantile(values, 0.1), high: quantile(values, 0.9) };
}

/** Returns the best value: the most of what is done in a second, the least of what is spent. */
export function bestOf(values: readonly number[], unit: Unit): number {
  return unit === 'per second' ? Math.max(...values) : Math.min(...values);
}

/**
 * Returns the ratios of two series, round by round: what disturbed a round disturbed both of its values.
 *
 * @throws RangeError when they are not of the same rounds
 */
export function ratios(of: readonly number[], to: readonly number[]): number[] {
  if (of.length !== to.length)
    throw new RangeError(`There are ${of.length} rounds of one and ${to.length} of the other.`);
  return of.map((value, round) => value / (to[round] as number));
}
