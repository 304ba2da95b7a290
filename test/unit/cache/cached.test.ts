import { describe, expect, test, vi } from 'vitest';
import { cached, memoryStore } from '../../../src/cache/index.ts';
import { deferred } from '../../support/deferred.ts';
import { FakeClock, settle } from '../../support/fake-clock.ts';

describe('a cached function', () => {
  test('is called once for the same arguments, and again for others', async () => {
    const add = vi.fn(async (a: number, b: number) => a + b);
    const sum = cached(add, { ttlMillis: 1000 });
    expect([await sum(1, 2), await sum(1, 2), await sum(2, 2)]).toEqual([3, 3, 4]);
    expect(add.mock.calls).toEqual([
      [1, 2],
      [2, 2],
    ]);
    expect(sum.stats()).toMatchObject({ hits: 1, misses: 2, hitRate: 1 / 3 });
  });

  test('is called again when its answer is too old', async () => {
    const clock = new FakeClock();
    const fn = vi.fn(async () => 'x');
    const kept = cached(fn, { ttlMillis: 100, clock });
    await kept();
    clock.freeze(100, { monotonicRuns: false });
    await kept();
    expect(fn).toHaveBeenCalledTimes(2);
  });

  test.each([undefined, null])('keeps %j', async (answer) => {
    const fn = vi.fn(async () => answer);
    const kept = cached(fn, { ttlMillis: 100 });
    expect([await kept(), await kept()]).toEqual([answer, answer]);
    expect(fn).toHaveBeenCalledTimes(1);
  });

  test('takes a function that is not asynchronous', async () => {
    await expect(cached((n: number) => n * 2, { ttlMillis: 1 })(4)).resolves.toBe(8);
  });

  test('rejects when it throws, and keeps nothing', async () => {
    const fn = vi.fn(() => {
      throw new Error('mine');
    });
    const kept = cached(fn, { ttlMillis: 100 });
    await expect(kept()).rejects.toThrow('mine');
    await expect(kept()).rejects.toThrow('mine');
    expect(fn).toHaveBeenCalledTimes(2);
  });

  test('forgets an answer by its arguments, by its key, or all of them', async () => {
    const fn = vi.fn(async (id: string) => id);
    const kept = cached(fn, { ttlMillis: 1000, key: (id) => id });
    for (const id of ['a', 'b', 'c']) await kept(id);
    await kept.invalidate('a');
    await kept.invalidateKey('b');
    for (const id of ['a', 'b', 'c']) await kept(id);
    expect(fn).toHaveBeenCalledTimes(5);
    await kept.clear();
    await kept('c');
    expect(fn).toHaveBeenCalledTimes(6);
  });

  test('does not keep an answer that was invalidated on its way', async () => {
    const flight = deferred<string>();
    const fn = vi.fn<() => Promise<string>>().mockReturnValueOnce(flight.promise).mockResolvedValue('newer');
    const kept = cached(fn, { ttlMillis: 1000 });
    const first = kept();
    await settle();
    await kept.invalidate();
    flight.resolve('stale');
    expect(await first).toBe('stale');
    expect(await kept()).toBe('newer');
  });

  test('tells its events', async () => {
    const kept = cached(async (n: number) => n, { ttlMillis: 1000 });
    const heard: unknown[] = [];
    kept.observe((event) => heard.push(event));
    await kept(5);
    await kept(5);
    expect(heard).toEqual([
      { type: 'miss', key: '5' },
      { type: 'stored', key: '5' },
      { type: 'hit', key: '5' },
    ]);
  });

  test('with a store of others needs a name, by which it is told from them', async () => {
    const store = memoryStore();
    const one = cached(async () => 1, { ttlMillis: 1000, store, name: 'one' });
    const two = cached(async () => 2, { ttlMillis: 1000, store, name: 'two' });
    expect([await one(), await two(), await one(), await two()]).toEqual([1, 2, 1, 2]);
    expect(() => cached(async () => 3, { ttlMillis: 1000, store })).toThrow(
      expect.objectContaining({
        code: 'ERR_POOL_INVALID_OPTION',
        message: expect.stringContaining('name is needed') as string,
      }),
    );
  });

  test('shares its answers with the same function elsewhere, by name', async () => {
    const store = memoryStore();
    const here = cached(async () => 'made here', { ttlMillis: 1000, store, name: 'f' });
    const there = cached(async () => 'made there', { ttlMillis: 1000, store, name: 'f' });
    expect([await here(), await there()]).toEqual(['made here', 'made here']);
  });

  test('rejects where its arguments have no key, and does not run', async () => {
    const fn = vi.fn<(argument: unknown) => Promise<number>>().mockResolvedValue(1);
    const kept = cached(fn, { ttlMillis: 1000 });
    await expect(kept(new Map())).rejects.toMatchObject({ code: 'ERR_POOL_CACHE_KEY' });
    expect(fn).not.toHaveBeenCalled();
  });

  test('rejects where key returns no string', async () => {
    const kept = cached(async (n: number) => n, {
      ttlMillis: 1000,
      key: ((n: number) => n) as unknown as () => string,
    });
    await expect(kept(1)).rejects.toMatchObject({
      code: 'ERR_POOL_INVALID_OPTION',
      message: 'key must return a string, and has returned a value of type number. See ERR_POOL_INVALID_OPTION.',
    });
  });
});
