import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { systemClock } from '../../../src/pool/clock.ts';

beforeEach(() => void vi.useFakeTimers());
afterEach(() => void vi.useRealTimers());

describe('a timer of the process', () => {
  test('fires once, at its time', () => {
    const fired = vi.fn<() => void>();
    systemClock.setTimer(fired, 50);
    vi.advanceTimersByTime(49);
    expect(fired).toHaveBeenCalledTimes(0);
    vi.advanceTimersByTime(1000);
    expect(fired).toHaveBeenCalledTimes(1);
  });

  test('never fires once it has been taken back', () => {
    const fired = vi.fn<() => void>();
    systemClock.clearTimer(systemClock.setTimer(fired, 50));
    vi.advanceTimersByTime(1000);
    expect(fired).toHaveBeenCalledTimes(0);
  });
});
