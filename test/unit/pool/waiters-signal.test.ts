// What a wait leaves behind on the signal of its caller, who may keep that signal for years.
import { getEventListeners } from 'node:events';
import { describe, expect, test } from 'vitest';
import { startWait, type Waiter, WaiterQueue } from '../../../src/pool/waiters.ts';
import { FakeClock } from '../../support/fake-clock.ts';

function begin(signal: AbortSignal | undefined) {
  const clock = new FakeClock();
  const queue = new WaiterQueue<string>();
  const since = clock.now();
  const owner = {};
  const origin = new Error('acquired here');
  const served: string[] = [];
  let aborted: Waiter<string> | undefined;
  startWait<string>(clock, queue, {
    since,
    budgetMillis: 100,
    owner,
    origin,
    signal,
    resolve: (lease) => void served.push(lease),
    reject: (error) => void served.push(String(error)),
    timedOut: () => undefined,
    aborted: (waiter) => void (aborted = waiter),
  });
  return { clock, queue, since, owner, origin, served, aborted: () => aborted };
}

describe('a wait', () => {
  test('listens to its signal until it is disarmed', () => {
    const { signal } = new AbortController();
    const { clock, queue } = begin(signal);
    expect(getEventListeners(signal, 'abort')).toHaveLength(1);
    expect(clock.timers).toBe(1);
    queue.shift()?.disarm();
    expect(getEventListeners(signal, 'abort')).toHaveLength(0);
    expect(clock.timers).toBe(0);
  });

  test('listens no more once it has been aborted, even before it is disarmed', () => {
    const abort = new AbortController();
    const { aborted } = begin(abort.signal);
    abort.abort();
    expect(aborted()).toBeDefined();
    expect(getEventListeners(abort.signal, 'abort')).toHaveLength(0);
  });

  test('needs no signal', () => {
    const { clock, queue } = begin(undefined);
    queue.shift()?.disarm();
    expect(clock.timers).toBe(0);
  });

  test('hands on what it was told of its caller', () => {
    const { queue, since, owner, origin, served } = begin(undefined);
    const waiter = queue.shift();
    expect(waiter).toMatchObject({ since, owner, origin });
    expect(waiter?.owner).toBe(owner);
    waiter?.resolve('a lease');
    waiter?.reject(new Error('none'));
    expect(served).toEqual(['a lease', 'Error: none']);
  });
});
