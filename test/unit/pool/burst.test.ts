// A burst of acquires and releases shares readings of the process's own clocks: what that may never lead to.
import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { Pool } from '../../../src/pool/pool.ts';
import { settle } from '../../support/fake-clock.ts';

beforeEach(() => void vi.useFakeTimers({ toFake: ['Date', 'performance'] }));
afterEach(() => void vi.useRealTimers());

async function warmed(maxIdle = 2) {
  const asked: number[] = [];
  let made = 0;
  const pool = new Pool<number>(
    {
      create: () => {
        made += 1;
        return made;
      },
      validate: (resource) => {
        asked.push(resource);
        return true;
      },
      destroy: () => undefined,
    },
    { validateAfterIdleMillis: 1000, max: 2, maxIdle },
  );
  await pool.warm(2);
  await settle();
  // What warming has read is of another millisecond.
  vi.advanceTimersByTime(1);
  const burst = (times: number): void => {
    for (let n = 0; n < times; n += 1) pool.tryAcquire()?.release();
  };
  return { pool, asked, burst };
}

test('after a burst, the next turn asks whatever has not answered for too long', async () => {
  const { pool, asked, burst } = await warmed();
  burst(100);
  vi.advanceTimersByTime(1000);
  await settle();
  expect(pool.tryAcquire()).toBeUndefined();
  (await pool.acquire()).release();
  expect(asked).toHaveLength(1);
});

test('a turn that is no burst asks at once, whatever it was busy with', async () => {
  const { pool, burst } = await warmed();
  burst(3);
  vi.advanceTimersByTime(1000);
  expect(pool.tryAcquire()).toBeUndefined();
});

test('a turn that is no burst asks at once, also where it is one of many in a millisecond', async () => {
  const { pool, burst } = await warmed();
  burst(3);
  await settle();
  burst(1);
  vi.advanceTimersByTime(1000);
  expect(pool.tryAcquire()).toBeUndefined();
});

test('a turn that is no burst asks at once, also where everything it does is heard', async () => {
  const { pool, burst } = await warmed();
  pool.observe(() => undefined);
  burst(3);
  vi.advanceTimersByTime(1000);
  expect(pool.tryAcquire()).toBeUndefined();
});

test('a burst that goes on asks before long', async () => {
  const { pool, burst } = await warmed();
  burst(100);
  vi.advanceTimersByTime(1000);
  burst(16);
  // What was given back meanwhile has been used meanwhile; the other has not.
  vi.advanceTimersByTime(1000);
  burst(16);
  expect(pool.tryAcquire()).toBeUndefined();
});

test('a thaw in a burst makes everything suspect at once', async () => {
  const { pool, asked, burst } = await warmed();
  burst(100);
  void pool.thaw();
  expect(pool.tryAcquire()).toBeUndefined();
  (await pool.acquire()).release();
  expect(asked).toHaveLength(2);
});

test('a thaw in a burst makes suspect what it does not ask itself, which was judged sound by the same reading', async () => {
  const { pool, asked, burst } = await warmed(1);
  burst(100);
  void pool.thaw();
  expect([pool.stats().idle, pool.tryAcquire()]).toEqual([1, undefined]);
  await settle();
  expect(asked).toHaveLength(1);
});

test('a lifetime that ends in a burst is noticed in the next turn', async () => {
  const { pool, burst } = await warmed();
  burst(100);
  const lease = pool.tryAcquire();
  vi.advanceTimersByTime(1_800_000);
  await settle();
  lease?.release();
  expect(pool.stats().destroyed).toMatchObject({ expired: 1 });
});
