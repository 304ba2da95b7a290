import { describe, expect, it } from 'vitest';
import { formatSpread, formatTarget, formatValue, markOf } from '../../../bench/format.ts';
import { figuresText, resultsMarkdown, sectionText } from '../../../bench/table.ts';
import { idle, rate, results } from './results.ts';

describe('formatValue', () => {
  it.each([
    [3.564, 'ns', '3.56 ns'],
    [52.49, 'ns', '52.5 ns'],
    [999.9, 'ns', '1,000 ns'],
    [1610, 'ns', '1.61 µs'],
    [81.04, 'µs', '81 µs'],
    [0.5, 'µs', '500 ns'],
    [58.7, 'ms', '58.7 ms'],
    [0.25, 'ms', '250 µs'],
    [15_949, 'per second', '15,900/s'],
    [1341.4, 'bytes', '1,341 B'],
    [41_457, 'bytes', '40.5 KB'],
    [-212, 'bytes', '-212 B'],
    [0.0286, 'ratio', '0.0286×'],
    [1.0349, 'ratio', '1.03×'],
    [236.4, 'ratio', '236×'],
    [1, 'share', '100 %'],
    [0, 'count', '0'],
    [-4.2, 'ms', '-4.2 ms'],
  ] as const)('writes %s %s as %s', (value, unit, text) => {
    expect(formatValue(value, unit)).toBe(text);
  });
});

describe('formatSpread', () => {
  it('adds where most rounds lie', () => {
    expect(formatSpread({ median: 2, low: 1, high: 3.5 }, 'ratio')).toBe('2× (1× to 3.5×)');
  });

  it('adds nothing to what does not vary', () => {
    expect(formatSpread({ median: 2, low: 2, high: 2 }, 'count')).toBe('2');
  });
});

describe('a target', () => {
  it('is at most or at least a round number', () => {
    expect(formatTarget({ at: 'most', value: 1.15 }, 'ratio')).toBe('at most 1.15×');
    expect(formatTarget({ at: 'least', value: 10 }, 'ratio')).toBe('at least 10×');
    expect(formatTarget({ at: 'most', value: 15 * 1024 }, 'bytes')).toBe('at most 15 KB');
  });

  it('has a mark: reached, missed, or none set', () => {
    expect([markOf({ pass: true }), markOf({ pass: false }), markOf({})]).toEqual(['✓', '✗', '·']);
  });
});

const [section] = results.sections;
if (section === undefined) throw new Error('The results have a section.');

describe('sectionText', () => {
  it('puts the subjects of a case below each other, with the ratio to the floor', () => {
    expect(sectionText(section)).toBe(
      `
== The pool

acquire & release, <1> idle, 5 rounds, ratios to floor
  floor     50 ns (25 ns to 100 ns)
  thawpool  100 ns (50 ns to 200 ns)  2×
  pg-pool   2 µs (1 µs to 4 µs)       40×
`.trimStart(),
    );
  });
});

describe('figuresText', () => {
  it('marks every figure and counts those reached, without those that have no target', () => {
    const missed = { ...rate, title: 'missed', pass: false };
    const { target: _, pass: __, ...plain } = { ...rate, title: 'told' };
    const style = {
      heading: (text: string) => text,
      good: (text: string) => `+${text}`,
      bad: (text: string) => `-${text}`,
    };
    expect(figuresText([{ ...section, figures: [rate, missed, plain] }], style)).toBe(
      `
== What is to be reached

+  ✓  rate over pg-pool’s  20× (10× to 40×)  at least 10×
-  ✗  missed               20× (10× to 40×)  at least 10×
  ·  told                 20× (10× to 40×)

1 of 2 reached.`.trimStart(),
    );
  });

  it('says so when there is nothing', () => {
    expect(figuresText([])).toContain('0 of 0 reached.');
  });
});

describe('resultsMarkdown', () => {
  it('has a table of the figures and one for each case', () => {
    expect(resultsMarkdown(results.sections)).toBe(
      `
|  | figure | median (10 % to 90 %) | target |
|---|---|---|---|
| ✓ | rate over pg-pool’s | 20× (10× to 40×) | at least 10× |

### The pool

Measured on 2026-11-01.

| ${idle.title} | median (10 % to 90 %) | over floor |
|---|---|---|
| floor | 50 ns (25 ns to 100 ns) |  |
| thawpool | 100 ns (50 ns to 200 ns) | 2× |
| pg-pool | 2 µs (1 µs to 4 µs) | 40× |`.trimStart(),
    );
  });
});
