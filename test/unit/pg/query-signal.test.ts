import { describe, expect, it, vi } from 'vitest';
import { LeaseStop, stopRunning } from '../../../src/pg/query-signal.ts';
import type { Session } from '../../../src/pg/session.ts';
import { deferred } from '../../support/deferred.ts';

interface Waiting {
  text?: string;
  handleError(error: unknown): void;
  submit?(connection: { sync(): void }): void;
  handleReadyForQuery?(): void;
}

/** A session whose driver's queue can be looked at, and whose cancel is answered by the test. */
function makeSession(active: Waiting | null = { text: 'select 1', handleError: () => {} }) {
  const noted = deferred<boolean>();
  const queue: Waiting[] = [];
  const session = {
    client: { _queryQueue: queue, _activeQuery: active },
    cancellable: true,
    usable: true,
    lease: { held: true },
    cancel: vi.fn(() => noted.promise),
    close: vi.fn(() => Promise.resolve()),
    timers: { setTimer: vi.fn<(callback: () => void) => string>(() => 'timer'), clearTimer: vi.fn() },
  };
  return { session, queue, noted, real: session as unknown as Session };
}

describe('stopRunning', () => {
  it('sends one cancel for a statement that two have a reason to stop', () => {
    const { session, queue, real } = makeSession();
    expect(stopRunning(real)).toBe(stopRunning(real, 10));
    expect(session.cancel).toHaveBeenCalledTimes(1);
    expect(queue).toHaveLength(1);
  });

  it('sends another one for the next statement', async () => {
    const { session, queue, noted, real } = makeSession();
    const first = stopRunning(real);
    queue.shift()?.handleReadyForQuery?.();
    await first;
    expect(session.timers.clearTimer).toHaveBeenCalledWith('timer');
    void stopRunning(real);
    expect(session.cancel).toHaveBeenCalledTimes(2);
    noted.resolve(true);
  });

  it('asks for a sign of life only when the cancel was taken note of', async () => {
    const { queue, noted, real } = makeSession();
    void stopRunning(real);
    const sync = vi.fn();
    queue[0]?.submit?.({ sync });
    expect(sync).not.toHaveBeenCalled();
    noted.resolve(true);
    await vi.waitFor(() => expect(sync).toHaveBeenCalledTimes(1));
  });

  it('closes the connection when the cancel may still be on its way, or time is up', async () => {
    const { session, noted, real } = makeSession();
    void stopRunning(real);
    session.timers.setTimer.mock.calls[0]?.[0]();
    expect(session.close).toHaveBeenCalledTimes(1);
    noted.resolve(false);
    await vi.waitFor(() => expect(session.close).toHaveBeenCalledTimes(2));
  });

  it('waits for nothing on a connection that is gone', async () => {
    const { session, queue, real } = makeSession();
    session.usable = false;
    await stopRunning(real);
    expect([session.close.mock.calls.length, session.cancel.mock.calls.length, queue.length]).toEqual([1, 0, 0]);
  });
});

describe('LeaseStop', () => {
  it('leaves what holds the connection back where it is, and takes the rest out of the queue', async () => {
    const { queue, real } = makeSession();
    void stopRunning(real);
    const failed = vi.fn();
    const [barrier] = queue;
    const rollback = { text: 'ROLLBACK', handleError: vi.fn() };
    queue.push({ text: 'select 2', handleError: failed }, rollback);
    const controller = new AbortController();
    const stop = new LeaseStop(real, controller.signal);
    controller.abort();
    expect(queue).toEqual([barrier, rollback]);
    expect(stop.admits('select 3')).toBe(false);
    expect(stop.admits(' rollback to savepoint a')).toBe(true);
    await vi.waitFor(() => expect(failed).toHaveBeenCalledTimes(1));
  });

  it('does not stop a ROLLBACK that is running', () => {
    const { session, real } = makeSession({ text: 'ROLLBACK', handleError: () => {} });
    const controller = new AbortController();
    const stop = new LeaseStop(real, controller.signal);
    controller.abort();
    expect(session.cancel).not.toHaveBeenCalled();
    expect(stop.error?.statement).toBe('not-sent');
  });

  it('stops nothing, and refuses nothing, once its lease is over', () => {
    const { session, real } = makeSession();
    const [before, after] = [new AbortController(), new AbortController()];
    const [first, second] = [new LeaseStop(real, before.signal), new LeaseStop(real, after.signal)];
    before.abort();
    expect(session.cancel).toHaveBeenCalledTimes(1);
    session.lease.held = false;
    after.abort();
    expect(second.error).toBeUndefined();
    expect([first.admits('select 1'), second.admits('select 1')]).toEqual([true, true]);
  });
});
