/** Results as short as they can be, for the tests of what is made out of them. */
import type { Case, Figure, Results } from '../../../bench/model.ts';

const spread = (median: number) => ({ median, low: median / 2, high: median * 2 });

/** A case with a name that would break a picture which did not escape it. */
export const idle: Case = {
  id: 'core.idle.1',
  title: 'acquire & release, <1> idle',
  unit: 'ns',
  rounds: 5,
  reference: 'floor',
  rows: [
    { subject: 'floor', role: 'floor', ...spread(50), best: 20 },
    { subject: 'thawpool', role: 'ours', ...spread(100), best: 40, ratio: spread(2) },
    { subject: 'pg-pool', role: 'peer', ...spread(2000), best: 900, ratio: spread(40) },
  ],
};

export const rate: Figure = {
  id: 'core.idle.rate',
  title: 'rate over pg-pool’s',
  unit: 'ratio',
  ...spread(20),
  target: { at: 'least', value: 10 },
  pass: true,
};

export const results: Results = {
  machine: { cpu: 'A processor', cores: 2, memoryGiB: 4, system: 'linux' },
  versions: { node: '24.0.0', postgresql: '18.4' },
  sections: [
    { name: 'core', title: 'The pool', date: '2026-11-01T00:00:00.000Z', quick: false, cases: [idle], figures: [rate] },
  ],
};
