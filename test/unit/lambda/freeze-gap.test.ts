import { describe, expect, it } from 'vitest';
import { freezeGap, type GapFacts } from '../../../src/lambda/freeze-gap.ts';

const facts = (more: Partial<GapFacts> & { wall?: number; monotonic?: number } = {}): GapFacts => {
  const { wall = 0, monotonic = 0, ...rest } = more;
  return {
    lastSeen: { wall: 1_000_000, monotonic: 5000 },
    now: { wall: 1_000_000 + wall, monotonic: 5000 + monotonic },
    active: 0,
    concurrent: false,
    ...rest,
  };
};

describe('the gap between two invocations', () => {
  it.each<[string, GapFacts, number]>([
    ['nothing has passed', facts(), 0],
    ['both clocks ran', facts({ wall: 800, monotonic: 800 }), 800],
    ['the monotonic clock stood still', facts({ wall: 60_000, monotonic: 3 }), 60_000],
    ['the wall clock was set back', facts({ wall: -3_600_000, monotonic: 700 }), 700],
    ['the wall clock was set back and the other stood still', facts({ wall: -50, monotonic: 0 }), 0],
    ['the monotonic clock ran backwards, as none does', facts({ wall: 10, monotonic: -10 }), 10],
    ['both ran backwards', facts({ wall: -10, monotonic: -10 }), 0],
    ['another invocation is under way, and frozen with it', facts({ wall: 60_000, active: 1 }), 60_000],
    ['several at once are usual and none is under way', facts({ wall: 60_000, concurrent: true }), 60_000],
    ['several at once are usual and one is under way', facts({ wall: 60_000, concurrent: true, active: 1 }), 0],
  ])('when %s', (_, given, expected) => {
    expect(freezeGap(given)).toBe(expected);
  });
});
