// What a wait leaves behind on the signal of its caller, who may keep that signal for years.
import { getEventListeners } from 'node:events';
import { describe, expect, test } from 'vitest';
import { Waiter, WaiterQueue } from '../../../src/pool/waiters.ts';
import { FakeClock, settle } from '../../support/fake-clock.ts';

function begin(signal?: AbortSignal) {
  const clock = new FakeClock();
  const aborted: Waiter<string>[] = [];
  const queue = new WaiterQueue<string>(clock, {
    timedOut: () => undefined,
    aborted: (waiter) => void aborted.push(waiter),
  });
  const since = clock.now();
  const owner = {};
  const origin = new Error('acquired here');
  const served: string[] = [];
  const waiter = new Waiter<string>(
    since,
    100,
    { owner, origin },
    (lease) => void served.push(lease),
    (error) => void served.push(String(error)),
  );
  queue.push(waiter, signal);
  return { clock, queue, since, owner, origin, served, aborted, waiter };
}

describe('a wait', () => {
  test('listens to its signal until it is served', async () => {
    const { signal } = new AbortController();
    const { clock, queue } = begin(signal);
    expect(getEventListeners(signal, 'abort')).toHaveLength(1);
    expect(clock.timers).toBe(1);
    queue.shift();
    expect(getEventListeners(signal, 'abort')).toHaveLength(0);
    await settle();
    expect(clock.timers).toBe(0);
  });

  test('listens no more once it has left, whatever took it out', async () => {
    const { signal } = new AbortController();
    const { queue, waiter } = begin(signal);
    queue.remove(waiter);
    expect(getEventListeners(signal, 'abort')).toHaveLength(0);
    const other = begin(signal);
    other.queue.removeOwnedBy(other.owner);
    expect(getEventListeners(signal, 'abort')).toHaveLength(0);
    const late = begin(signal);
    await late.clock.advance(100);
    expect(getEventListeners(signal, 'abort')).toHaveLength(0);
  });

  test('listens no more once it has been aborted', () => {
    const abort = new AbortController();
    const { aborted, waiter } = begin(abort.signal);
    abort.abort();
    expect(aborted).toEqual([waiter]);
    expect(getEventListeners(abort.signal, 'abort')).toHaveLength(0);
  });

  test('needs no signal', async () => {
    const { clock, queue } = begin();
    queue.shift();
    await settle();
    expect(clock.timers).toBe(0);
  });

  test('hands on what it was told of its caller', () => {
    const { queue, since, owner, origin, served } = begin();
    const waiter = queue.shift();
    expect(waiter).toMatchObject({ since, owner, origin, budgetMillis: 100 });
    expect(waiter?.owner).toBe(owner);
    waiter?.resolve('a lease');
    waiter?.reject(new Error('none'));
    expect(served).toEqual(['a lease', 'Error: none']);
  });

  test('has an owner and an origin only where they were told', () => {
    const { since } = begin();
    const nobody = (): void => undefined;
    expect(new Waiter(since, 1, undefined, nobody, nobody)).toMatchObject({ owner: undefined, origin: undefined });
  });
});
