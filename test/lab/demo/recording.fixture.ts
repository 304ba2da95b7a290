/** A small recording, made up, for the tests of what is drawn and counted. */
import type { InvocationMark, Recording } from './model.ts';

function mark(from: number, durationMillis: number, more: Partial<InvocationMark> = {}): InvocationMark {
  const to = from + durationMillis;
  const common = { phase: 'warm', kind: 'get', afterFault: false, outcome: 'ok', messages: 5 } as const;
  return { ...common, from, to, durationMillis, ...more };
}

const afterFault = { phase: 'killed', afterFault: true } as const;

/** Two phases, two subjects, one fault; the second subject fails once and hangs once. */
export const recording: Recording = {
  runtimeClient: { name: 'small', version: '4.0.2' },
  postgres: '18.4',
  node: 'v24.21.0',
  freezeMillis: 1200,
  timeoutMillis: 3000,
  durationMillis: 9000,
  phases: [
    { name: 'warm', title: 'warm', from: 0, to: 1000 },
    { name: 'killed', title: 'a phase whose title is far too long for its panel', from: 1000, to: 8000 },
  ],
  faults: [{ phase: 'killed', label: 'kill', at: 1500 }],
  subjects: [
    {
      name: 'thawpool',
      title: 'thawpool',
      invocations: [mark(100, 2), mark(200, 4), mark(300, 6), mark(2000, 20, afterFault)],
      spans: [
        { what: 'starting', from: 0, to: 90 },
        { what: 'frozen', from: 310, to: 2000 },
      ],
      opens: [101, 2001],
      traffic: [
        { phase: 'warm', opened: 1, messages: 15 },
        { phase: 'killed', opened: 1, messages: 8 },
      ],
      starts: 1,
    },
    {
      name: 'plain',
      title: 'plain pg.Pool',
      invocations: [
        mark(110, 3),
        mark(210, 3),
        mark(310, 3),
        mark(2000, 8, { ...afterFault, outcome: 'exit', failure: 'it said "<no>" & \u0007 left' }),
        mark(4000, 3000, { ...afterFault, outcome: 'timeout', failure: 'timed out' }),
      ],
      spans: [{ what: 'starting', from: 2100, to: 2400 }],
      opens: [111],
      traffic: [
        { phase: 'warm', opened: 1, messages: 15 },
        { phase: 'killed', opened: 0, messages: 0 },
      ],
      starts: 3,
    },
  ],
};
