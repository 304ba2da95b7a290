import { describe, expect, it } from 'vitest';
import { countedRow, exactly, figure, guardVerdict, reaches } from '../../../bench/verdict.ts';

describe('reaches', () => {
  it.each([
    [1.03, 'most', 1.03, true],
    [1.04, 'most', 1.03, false],
    [10, 'least', 10, true],
    [9.99, 'least', 10, false],
  ] as const)('tells of %s with at %s %s: %s', (value, at, bound, expected) => {
    expect(reaches(value, { at, value: bound })).toBe(expected);
  });
});

describe('figure', () => {
  const spread = { median: 1.1, low: 0.9, high: 1.4 };

  it('is judged by its median', () => {
    expect(figure('a', 'A', 'ratio', spread, { at: 'most', value: 1.2 }).pass).toBe(true);
    expect(figure('a', 'A', 'ratio', spread, { at: 'most', value: 1 }).pass).toBe(false);
  });

  it('has no verdict without a target', () => {
    expect(figure('a', 'A', 'ratio', spread)).toEqual({ id: 'a', title: 'A', unit: 'ratio', ...spread });
  });
});

describe('exactly', () => {
  it('has no spread', () => {
    expect(exactly(3)).toEqual({ median: 3, low: 3, high: 3 });
  });
});

describe('countedRow', () => {
  it('is a row without a spread, whose best is its value', () => {
    expect(countedRow('a', 'ours', 3)).toEqual({ subject: 'a', role: 'ours', median: 3, low: 3, high: 3, best: 3 });
  });
});

describe('guardVerdict', () => {
  it('passes at twice the recorded ratio and fails above', () => {
    expect(guardVerdict(1.5, [3])).toEqual({ bound: 3, best: 3, pass: true });
    expect(guardVerdict(1.5, [3.01])).toEqual({ bound: 3, best: 3.01, pass: false });
  });

  it('looks at the best attempt', () => {
    expect(guardVerdict(1, [5, 1.9, 7])).toEqual({ bound: 2, best: 1.9, pass: true });
    expect(guardVerdict(1, [5, 2.1, 7]).pass).toBe(false);
  });

  it.each([0, -1, Number.NaN])('refuses %s as a recorded ratio, which would pass or fail everything', (recorded) => {
    expect(() => guardVerdict(recorded, [1])).toThrow(new RangeError(`The recorded ratio is ${recorded}.`));
  });

  it('refuses to judge nothing', () => {
    expect(() => guardVerdict(1, [])).toThrow(new RangeError('There was no attempt.'));
  });
});
