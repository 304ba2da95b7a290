import { describe, expect, it } from 'vitest';
import { invocationDeadline } from '../../../src/lambda/deadline.ts';

const now = 1_000_000;

describe('the deadline of an invocation', () => {
  it.each<[string, number | undefined, number, number | undefined]>([
    ['is its end less the reserve', 3000, 250, now + 2750],
    ['is its end where nothing is kept back', 3000, 0, now + 3000],
    ['leaves half of a short one to work in', 300, 250, now + 150],
    ['leaves half where the reserve is just half', 500, 250, now + 250],
    ['leaves half where the reserve is all of it', 250, 250, now + 125],
    ['is now where there is no time left', 0, 250, now],
    ['is past where the end is', -100, 250, now - 50],
    ['is none where there is no limit', undefined, 250, undefined],
    ['is none for what is no number', Number.NaN, 250, undefined],
    ['is none for what never comes', Number.POSITIVE_INFINITY, 250, undefined],
    ['is none for a text', '3000' as unknown as number, 250, undefined],
    ['is none for null', null as unknown as number, 250, undefined],
  ])('%s', (_, remainingMillis, reserveMillis, expected) => {
    expect(invocationDeadline({ remainingMillis, now, reserveMillis })).toBe(expected);
  });
});
