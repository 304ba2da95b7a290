import { describe, expect, it } from 'vitest';
import { bestOf, quantile, ratios, spreadOf } from '../../../bench/statistics.ts';

describe('quantile', () => {
  it('is the middle value of an odd number of values, in whatever order', () => {
    expect(quantile([9, 1, 5], 0.5)).toBe(5);
  });

  it('lies between the two middle values of an even number', () => {
    expect(quantile([1, 2, 4, 9], 0.5)).toBe(3);
  });

  it('is the least value at 0 and the greatest at 1', () => {
    expect([quantile([3, 10, 1], 0), quantile([3, 10, 1], 1)]).toEqual([1, 10]);
  });

  it('sorts numbers as numbers and leaves the given array as it was', () => {
    const values = [10, 9, 100];
    expect(quantile(values, 0.5)).toBe(10);
    expect(values).toEqual([10, 9, 100]);
  });

  it('throws for no values', () => {
    expect(() => quantile([], 0.5)).toThrow(new RangeError('There is no quantile of no values.'));
  });
});

describe('spreadOf', () => {
  it('gives the median and the tenths at both ends', () => {
    const values = Array.from({ length: 11 }, (_, n) => n * 10);
    expect(spreadOf(values)).toEqual({ median: 50, low: 10, high: 90 });
  });
});

describe('bestOf', () => {
  it('is the least of what is spent and the most of what is done in a second', () => {
    expect(bestOf([3, 1, 2], 'ns')).toBe(1);
    expect(bestOf([3, 1, 2], 'per second')).toBe(3);
  });
});

describe('ratios', () => {
  it('divides round by round', () => {
    expect(ratios([2, 9, 8], [1, 3, 4])).toEqual([2, 3, 2]);
  });

  it('refuses series of different lengths', () => {
    expect(() => ratios([1, 2], [1])).toThrow(new RangeError('There are 2 rounds of one and 1 of the other.'));
  });
});
