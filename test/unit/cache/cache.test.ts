import { describe, expect, test, vi } from 'vitest';
import { type CacheEvent, type CacheStore, createCache, memoryStore } from '../../../src/cache/index.ts';
import { deferred } from '../../support/deferred.ts';
import { FakeClock, settle } from '../../support/fake-clock.ts';

/** A store whose every call is held open until the test lets it go. */
function heldStore() {
  const inner = memoryStore();
  const calls: { readonly what: string; readonly signal: AbortSignal; go(): void; fail(error: Error): void }[] = [];
  const held =
    <A extends unknown[], R>(what: string, call: (...args: A) => R) =>
    async (...args: [...A, { readonly signal: AbortSignal }]): Promise<Awaited<R>> => {
      const gate = deferred();
      const context = args.at(-1) as { readonly signal: AbortSignal };
      calls.push({ what: `${what} ${args[0] as string}`, signal: context.signal, go: gate.resolve, fail: gate.reject });
      await gate.promise;
      return await call(...(args as unknown as A));
    };
  const store: CacheStore = {
    get: held('get', inner.get as (key: string) => { value: unknown } | undefined),
    set: held('set', inner.set as (key: string, value: unknown, ttlMillis: number) => void),
    delete: held('delete', inner.delete as (key: string) => void),
    clear: held('clear', inner.clear as (prefix: string) => void),
  };
  const next = async (what: string) => {
    await settle();
    const call = calls.shift();
    expect(call?.what).toBe(what);
    return call ?? expect.fail('no call');
  };
  return { store, calls, next };
}

const setUp = (options: Partial<Parameters<typeof createCache>[0]> = {}) => {
  const clock = new FakeClock();
  const warnings: string[] = [];
  const onWarning = (message: string): void => void warnings.push(message);
  const cache = createCache({ ttlMillis: 1000, clock, onWarning, ...options });
  const events: CacheEvent[] = [];
  cache.observe((event) => events.push(event));
  return { cache, clock, warnings, events };
};

describe('a value', () => {
  test('is there until its time is up', async () => {
    const { cache, clock } = setUp();
    expect(await cache.set('a', 1)).toBe(true);
    await clock.advance(999);
    expect(await cache.get('a')).toBe(1);
    await clock.advance(1);
    expect(await cache.get('a')).toBeUndefined();
  });

  test('may have a time of its own', async () => {
    const { cache, clock } = setUp();
    await cache.set('short', 1, 10);
    await cache.set('long', 2, Number.POSITIVE_INFINITY);
    await clock.advance(1e7);
    expect([await cache.get('short'), await cache.get('long')]).toEqual([undefined, 2]);
  });

  test.each([true, false])('ages in a freeze (monotonic clock runs: %s)', async (monotonicRuns) => {
    const { cache, clock } = setUp();
    await cache.set('a', 1);
    clock.freeze(1000, { monotonicRuns });
    expect(await cache.get('a')).toBeUndefined();
  });

  test('ages when the wall clock stands still', async () => {
    const { cache, clock } = setUp();
    await cache.set('a', 1);
    await clock.advance(1000);
    clock.jumpWall(-1000);
    expect(await cache.get('a')).toBeUndefined();
  });

  test('of 0 ms forgets what was there', async () => {
    const { cache } = setUp();
    await cache.set('a', 1);
    await cache.set('a', 2, 0);
    expect(await cache.get('a')).toBeUndefined();
  });

  test('can be deleted, alone or with all others', async () => {
    const { cache } = setUp();
    for (const key of ['a', 'b', 'c']) await cache.set(key, key);
    expect(await cache.delete('a')).toBe(true);
    expect([await cache.get('a'), await cache.get('b')]).toEqual([undefined, 'b']);
    expect(await cache.clear()).toBe(true);
    expect([await cache.get('b'), await cache.get('c')]).toEqual([undefined, undefined]);
  });

  test('makes room when there are too many: the one that was not used for longest', async () => {
    const { cache } = setUp({ max: 2 });
    await cache.set('a', 1);
    await cache.set('b', 2);
    await cache.get('a');
    await cache.set('c', 3);
    expect([await cache.get('a'), await cache.get('b'), await cache.get('c')]).toEqual([1, undefined, 3]);
  });
});

describe('two caches in one store', () => {
  test('do not see each other, whatever their names and keys', async () => {
    const store = memoryStore();
    const [one, two] = [setUp({ store, namespace: 'a' }).cache, setUp({ store, namespace: 'a:b' }).cache];
    await one.set('b:c', 1);
    await two.set('c', 2);
    expect([await one.get('b:c'), await two.get('c')]).toEqual([1, 2]);
    await one.clear();
    expect([await one.get('b:c'), await two.get('c')]).toEqual([undefined, 2]);
  });
});

describe('loading', () => {
  test('makes a value once for all who ask meanwhile, and not again while it lasts', async () => {
    const { cache, events } = setUp();
    const flight = deferred<number>();
    const make = vi.fn(() => flight.promise);
    const all = [cache.load('a', make), cache.load('a', make)];
    await settle();
    flight.resolve(7);
    expect(await Promise.all(all)).toEqual([7, 7]);
    expect(await cache.load('a', make)).toBe(7);
    expect(make).toHaveBeenCalledTimes(1);
    expect(events.map(({ type }) => type)).toEqual(['shared', 'miss', 'stored', 'hit']);
    expect(cache.stats()).toEqual({
      ...{ hits: 1, misses: 1, shared: 1, stored: 1, invalidated: 0, storeFailures: 0 },
      hitRate: 2 / 3,
    });
  });

  test.each([undefined, null, false, 0, ''])('keeps %j as a value like any other', async (value) => {
    const { cache } = setUp();
    const make = vi.fn(() => value);
    expect([await cache.load('a', make), await cache.load('a', make)]).toEqual([value, value]);
    expect(make).toHaveBeenCalledTimes(1);
  });

  test('keeps no error', async () => {
    const { cache } = setUp();
    const make = vi.fn<() => Promise<string>>().mockRejectedValueOnce(new Error('down')).mockResolvedValue('up');
    const all = [cache.load('a', make), cache.load('a', make)];
    for (const one of all) await expect(one).rejects.toThrow('down');
    expect(await cache.load('a', make)).toBe('up');
    expect(make).toHaveBeenCalledTimes(2);
  });

  test('counts the age of a value from when it was asked for', async () => {
    const { cache, clock } = setUp();
    const flight = deferred<number>();
    const loading = cache.load('a', () => flight.promise);
    await settle();
    await clock.advance(600);
    flight.resolve(1);
    await loading;
    await clock.advance(399);
    expect(await cache.get('a')).toBe(1);
    await clock.advance(1);
    expect(await cache.get('a')).toBeUndefined();
  });

  test.each(['delete', 'clear', 'set'] as const)('keeps nothing that a %s has overtaken', async (how) => {
    const { cache } = setUp();
    const flight = deferred<string>();
    const loading = cache.load('a', () => flight.promise);
    await settle();
    if (how === 'delete') await cache.delete('a');
    else if (how === 'clear') await cache.clear();
    else await cache.set('a', 'newer');
    const next = cache.load('a', () => 'newer');
    flight.resolve('stale');
    expect(await loading).toBe('stale');
    expect(await next).toBe('newer');
    expect(await cache.get('a')).toBe('newer');
  });
});

describe('a slow store', () => {
  test('never has an older value written after the deletion of it', async () => {
    const { store, next, calls } = heldStore();
    const { cache } = setUp({ store });
    const loading = cache.load('a', () => 'stale');
    (await next('get default:a')).go();
    const writing = await next('set default:a');
    const deleting = cache.delete('a');
    await settle();
    expect(calls).toEqual([]);
    writing.go();
    expect(await loading).toBe('stale');
    (await next('delete default:a')).go();
    expect(await deleting).toBe(true);
    const reading = cache.get('a');
    (await next('get default:a')).go();
    expect(await reading).toBeUndefined();
  });

  test('never has an older value written that was waiting for its turn', async () => {
    const { store, next, calls } = heldStore();
    const { cache } = setUp({ store });
    const first = cache.set('a', 'first');
    const writing = await next('set default:a');
    const loading = cache.load('a', () => 'stale');
    (await next('get default:a')).go();
    await settle();
    void cache.delete('a');
    writing.go();
    await first;
    (await next('delete default:a')).go();
    expect(await loading).toBe('stale');
    await settle();
    expect(calls).toEqual([]);
  });

  test('is waited for within bounds, and told that nobody waits any more', async () => {
    const { store, next } = heldStore();
    const { cache, clock, warnings, events } = setUp({ store, storeTimeoutMillis: 40 });
    const loading = cache.load('a', () => 'made');
    const get = await next('get default:a');
    expect(get.signal.aborted).toBe(false);
    await clock.advance(39);
    expect(get.signal.aborted).toBe(false);
    await clock.advance(1);
    expect(get.signal.aborted).toBe(true);
    expect(await loading).toBe('made');
    expect(events).toContainEqual({ type: 'store-failed', operation: 'get', error: expect.any(Error) as Error });
    expect(warnings).toEqual([
      'The store of the cache "default" failed at "get": it did not answer within 40 ms. Values are made without it until it answers again; stats().storeFailures counts (said once).',
    ]);
    expect(clock.timers).toBe(0);
  });

  test('is left alone for a second after it has failed, but for what is to be forgotten', async () => {
    const { store, next, calls } = heldStore();
    const { cache, clock, warnings } = setUp({ store });
    const loading = cache.load('a', () => 1);
    (await next('get default:a')).fail(new Error('gone'));
    expect(await loading).toBe(1);
    expect(await cache.load('b', () => 2)).toBe(2);
    expect(calls).toEqual([]);
    const deleting = cache.delete('a');
    (await next('delete default:a')).fail(new Error('gone'));
    expect(await deleting).toBe(false);
    expect(warnings).toHaveLength(1);
    expect(cache.stats()).toMatchObject({ misses: 2, hits: 0, stored: 0, storeFailures: 5 });
    await clock.advance(1000);
    const again = cache.load('a', () => 3);
    (await next('get default:a')).go();
    (await next('set default:a')).go();
    expect(await again).toBe(3);
  });

  test('that cannot keep a value is asked for others all the same', async () => {
    const { store, next } = heldStore();
    const { cache } = setUp({ store });
    const loading = cache.load('a', () => 1n);
    (await next('get default:a')).go();
    (await next('set default:a')).fail(new Error('a bigint'));
    expect(await loading).toBe(1n);
    void cache.load('b', () => 2);
    (await next('get default:b')).go();
  });

  test('clears after what is being written', async () => {
    const { store, next, calls } = heldStore();
    const { cache } = setUp({ store });
    const setting = cache.set('a', 1);
    const writing = await next('set default:a');
    const clearing = cache.clear();
    await settle();
    expect(calls).toEqual([]);
    writing.go();
    await setting;
    (await next('clear default:')).go();
    expect(await clearing).toBe(true);
  });
});

describe('an observer', () => {
  test('that throws is no part of a call, and hears nothing once it has stopped', async () => {
    const { cache } = setUp();
    const heard: string[] = [];
    cache.observe(() => {
      throw new Error('mine');
    });
    const stop = cache.observe(({ type }) => heard.push(type));
    await cache.set('a', 1);
    stop();
    expect(await cache.get('a')).toBe(1);
    expect(heard).toEqual(['invalidated', 'stored']);
  });
});

describe('bad options', () => {
  test.each([
    [
      { ttlMillis: -1 },
      'ttlMillis must be a number of milliseconds, 0 or more (0 keeps nothing, Infinity keeps for good), got -1',
    ],
    [{ ttlMillis: '60' }, 'got 60'],
    [{ ttlMillis: 1, max: 0 }, 'max must be a whole number from 1 to 10000000, got 0'],
    [{ ttlMillis: 1, max: 5, store: memoryStore() }, 'max is the bound of the memory store'],
    [{ ttlMillis: 1, namespace: '' }, 'namespace must be a string that is not empty'],
    [{ ttlMillis: 1, storeTimeoutMillis: 0 }, 'storeTimeoutMillis must be a whole number from 1 to 60000, got 0'],
  ])('are refused: %j', (options, words) => {
    expect(() => createCache(options as { ttlMillis: number })).toThrow(
      expect.objectContaining({ code: 'ERR_POOL_INVALID_OPTION', message: expect.stringContaining(words) as string }),
    );
  });
});
