import { describe, expect, test } from 'vitest';
import { leftBy } from '../../../src/redis/session-state.ts';

describe('what a command leaves behind', () => {
  test.each([
    [['GET', 'a'], undefined],
    [['SET', 'WATCH', 'MULTI'], undefined],
    [['watch', 'a'], 'watch'],
    [['MULTI'], 'multi'],
    [[Buffer.from('select'), '3'], 'select'],
    [['CLIENT', 'ID'], undefined],
    [['CLIENT', 'list'], undefined],
    [['CLIENT', 'REPLY', 'OFF'], 'beyond-repair'],
    [['CLIENT', 'TRACKING', 'ON'], 'beyond-repair'],
    [['CLIENT', 'SETNAME', 'me'], 'beyond-repair'],
    [['CLIENT'], 'beyond-repair'],
    [['SUBSCRIBE', 'c'], 'beyond-repair'],
    [['MONITOR'], 'beyond-repair'],
    [['AUTH', 'x'], 'beyond-repair'],
    [['HELLO', '2'], 'beyond-repair'],
    [['READONLY'], 'beyond-repair'],
    [[], undefined],
  ])('%j: %j', (args, left) => {
    expect(leftBy(args)).toEqual(left);
  });

  test.each([
    [['UNWATCH'], ['watch']],
    [['EXEC'], ['multi', 'watch']],
    [['discard'], ['multi', 'watch']],
  ])('%j ends %j', (args, ends) => {
    expect(leftBy(args)).toEqual({ ends });
  });
});
