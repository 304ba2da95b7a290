import { describe, expect, it } from 'vitest';
import { caseOf, interleave, measure, ratioFigure, type Spec, seriesOf } from '../../../bench/measure.ts';

/** Subjects that write down what is asked of them, and answer with these numbers in turn. */
function staged(answers: Readonly<Record<string, number[]>>) {
  const trace: string[] = [];
  const runner = (name: string) => {
    const left = [...(answers[name] ?? [])];
    return {
      async round() {
        trace.push(name);
        const value = left.shift();
        if (value === undefined) throw new Error(`${name} was asked too often`);
        return value;
      },
      async close() {
        trace.push(`end of ${name}`);
      },
    };
  };
  return { trace, runner };
}

function spec(answers: Readonly<Record<string, number[]>>, cold = false) {
  const { trace, runner } = staged(answers);
  const made: Spec = {
    id: 'a',
    title: 'A',
    unit: 'ns',
    reference: 'floor',
    cold,
    subjects: [
      { name: 'floor', role: 'floor', start: async () => runner('floor') },
      { name: 'ours', role: 'ours', start: async () => runner('ours') },
    ],
  };
  return { trace, made };
}

describe('interleave', () => {
  it('goes through the subjects forwards, then backwards', async () => {
    const { trace, runner } = staged({ a: [1, 2, 3], b: [4, 5, 6], c: [7, 8, 9] });
    const runners = new Map(['a', 'b', 'c'].map((name) => [name, runner(name)]));
    const samples = await interleave(runners, 3);
    expect(trace.join('')).toBe('abccbaabc');
    expect([...samples]).toEqual([
      ['a', [1, 2, 3]],
      ['b', [4, 5, 6]],
      ['c', [7, 8, 9]],
    ]);
  });
});

describe('measure', () => {
  it('leaves the first round of each subject out', async () => {
    const { trace, made } = spec({ floor: [100, 1, 2], ours: [500, 3, 8] });
    const { case: measured, samples } = await measure(made, 2);
    expect(seriesOf(samples, 'ours')).toEqual([3, 8]);
    expect(measured.rounds).toBe(2);
    expect(trace).toEqual(['floor', 'ours', 'floor', 'ours', 'ours', 'floor', 'end of floor', 'end of ours']);
  });

  it('counts the first round where each is a fresh start', async () => {
    const { samples } = await measure(spec({ floor: [1, 2], ours: [3, 8] }, true).made, 2);
    expect(seriesOf(samples, 'ours')).toEqual([3, 8]);
  });

  it('ends every subject when one fails', async () => {
    const { trace, made } = spec({ floor: [1, 1], ours: [1] });
    await expect(measure(made, 1)).rejects.toThrow('ours was asked too often');
    expect(trace.slice(-2)).toEqual(['end of floor', 'end of ours']);
  });
});

describe('caseOf', () => {
  it('takes the ratio to the reference round by round, and none of the reference', () => {
    const samples = new Map([
      ['floor', [1, 10, 2]],
      ['ours', [3, 20, 8]],
    ]);
    const { rows } = caseOf(spec({}).made, samples);
    expect(rows.map(({ subject, median, best, ratio }) => [subject, median, best, ratio?.median])).toEqual([
      ['floor', 2, 1, undefined],
      ['ours', 8, 3, 3],
    ]);
  });

  it('throws when the reference was not measured', () => {
    expect(() => caseOf(spec({}).made, new Map([['ours', [1]]]))).toThrow(
      new RangeError('There are no rounds of floor.'),
    );
  });
});

describe('ratioFigure', () => {
  it('is the middle of the ratios, not the ratio of the middles', () => {
    expect(ratioFigure('a', 'A', [1, 20, 3], [1, 10, 1], { at: 'most', value: 2 })).toMatchObject({
      median: 2,
      unit: 'ratio',
      pass: true,
    });
  });
});
