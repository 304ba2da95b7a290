import { beforeEach, describe, expect, test, vi } from 'vitest';
import { TtlCache } from '../../../src/auth/ttl-cache.ts';
import { deferred } from '../../support/deferred.ts';

let wall = 0;
const now = () => wall;
beforeEach(() => {
  wall = 1_000_000;
});

describe('a kept value', () => {
  test('is there until its time is up', () => {
    const cache = new TtlCache<string>({ ttlMillis: 100, now });
    cache.set('a', 'one');
    wall += 99;
    expect(cache.get('a')).toBe('one');
    wall += 1;
    expect(cache.get('a')).toBeUndefined();
    expect(cache.has('a')).toBe(false);
  });

  test('may have a time of its own', () => {
    const cache = new TtlCache<string>({ ttlMillis: 100, now });
    cache.set('short', 'one', 10);
    cache.set('long', 'two', Number.POSITIVE_INFINITY);
    wall += 10;
    expect(cache.get('short')).toBeUndefined();
    wall += 1e12;
    expect(cache.get('long')).toBe('two');
  });

  test('of 0 ms is not kept at all', () => {
    const cache = new TtlCache<string>({ ttlMillis: 0, now });
    cache.set('a', 'one');
    expect(cache.has('a')).toBe(false);
  });

  test.each([undefined, null])('may be %s, which is not nothing', async (value) => {
    const cache = new TtlCache<string | null | undefined>({ ttlMillis: 100, now });
    const make = vi.fn<() => Promise<string>>();
    cache.set('a', value);
    expect(cache.has('a')).toBe(true);
    await expect(cache.load('a', make)).resolves.toBe(value);
    expect(make).not.toHaveBeenCalled();
    expect(cache.has('b')).toBe(false);
  });

  test('is gone when the clock has been set back to before it', () => {
    const cache = new TtlCache<string>({ ttlMillis: 100, now });
    cache.set('a', 'one');
    wall -= 1;
    expect(cache.get('a')).toBeUndefined();
  });

  test('can be deleted, alone or with all others', () => {
    const cache = new TtlCache<string>({ ttlMillis: 100, now });
    for (const key of ['a', 'b', 'c']) cache.set(key, key);
    expect(cache.delete('a')).toBe(true);
    expect(cache.delete('a')).toBe(false);
    expect([cache.has('a'), cache.has('b')]).toEqual([false, true]);
    cache.clear();
    expect([cache.has('b'), cache.has('c')]).toEqual([false, false]);
  });

  test('that is too old counts as not there when it is deleted', () => {
    const cache = new TtlCache<string>({ ttlMillis: 100, now });
    cache.set('a', 'one');
    wall += 100;
    expect(cache.delete('a')).toBe(false);
  });

  test('is measured with the wall clock where no other is given', () => {
    const cache = new TtlCache<string>({ ttlMillis: 100 });
    const clock = vi.spyOn(Date, 'now').mockReturnValue(5000);
    try {
      cache.set('a', 'one');
      clock.mockReturnValue(5100);
      expect(cache.has('a')).toBe(false);
    } finally {
      clock.mockRestore();
    }
  });
});

describe('loading', () => {
  test('makes a value once for all who ask meanwhile, and for those after them', async () => {
    const cache = new TtlCache<string>({ ttlMillis: 100, now });
    const making = deferred<string>();
    const make = vi.fn<() => Promise<string>>(() => making.promise);
    const all = Array.from({ length: 200 }, () => cache.load('a', make));
    making.resolve('one');
    expect(new Set(await Promise.all(all))).toEqual(new Set(['one']));
    await expect(cache.load('a', make)).resolves.toBe('one');
    expect(make).toHaveBeenCalledTimes(1);
  });

  test('keeps keys apart', async () => {
    const cache = new TtlCache<string>({ ttlMillis: 100, now });
    const [a, b] = await Promise.all([cache.load('a', () => 'one'), cache.load('b', () => 'two')]);
    expect([a, b, cache.get('a'), cache.get('b')]).toEqual(['one', 'two', 'one', 'two']);
  });

  test('counts the age of a value from when it was asked for', async () => {
    const cache = new TtlCache<string>({ ttlMillis: 100, now });
    const making = deferred<string>();
    const loaded = cache.load('a', () => making.promise);
    wall += 100;
    making.resolve('one');
    await expect(loaded).resolves.toBe('one');
    expect(cache.has('a')).toBe(false);
  });

  test('takes the time to keep from a number or from the value', async () => {
    const cache = new TtlCache<number>({ ttlMillis: 100, now });
    await cache.load('a', () => 1, 10);
    await cache.load(
      'b',
      () => 20,
      (value) => value,
    );
    wall += 10;
    expect([cache.has('a'), cache.has('b')]).toEqual([false, true]);
    wall += 10;
    expect(cache.has('b')).toBe(false);
  });

  test('tells an error to all who wait, and keeps none', async () => {
    const cache = new TtlCache<string>({ ttlMillis: 100, now });
    const making = deferred<string>();
    const both = [cache.load('a', () => making.promise), cache.load('a', () => 'not called')];
    making.reject(new Error('no'));
    const results = await Promise.allSettled(both);
    expect(results.map(({ status }) => status)).toEqual(['rejected', 'rejected']);
    await expect(cache.load('a', () => 'yes')).resolves.toBe('yes');
  });

  test('rejects where the maker throws at once', async () => {
    const cache = new TtlCache<string>({ ttlMillis: 100, now });
    const thrower = () => {
      throw new Error('at once');
    };
    await expect(cache.load('a', thrower)).rejects.toThrow('at once');
    await expect(cache.load('a', () => 'yes')).resolves.toBe('yes');
  });

  test.each([
    ['set', (cache: TtlCache<string>) => cache.set('a', 'newer'), 'newer'],
    ['deleted', (cache: TtlCache<string>) => cache.delete('a'), undefined],
    ['cleared', (cache: TtlCache<string>) => cache.clear(), undefined],
  ])('keeps nothing of what was %s meanwhile', async (_, meanwhile, left) => {
    const cache = new TtlCache<string>({ ttlMillis: 100, now });
    const making = deferred<string>();
    const loaded = cache.load('a', () => making.promise);
    meanwhile(cache);
    making.resolve('older');
    await expect(loaded).resolves.toBe('older');
    expect(cache.get('a')).toBe(left);
  });

  test('begins anew after a deletion, and the old one neither replaces nor ends the new one', async () => {
    const cache = new TtlCache<string>({ ttlMillis: 100, now });
    const [first, second] = [deferred<string>(), deferred<string>()];
    const old = cache.load('a', () => first.promise);
    cache.delete('a');
    const young = cache.load('a', () => second.promise);
    first.reject(new Error('old'));
    await expect(old).rejects.toThrow('old');
    const joined = cache.load('a', () => 'third');
    second.resolve('second');
    expect(await Promise.all([young, joined])).toEqual(['second', 'second']);
    expect(cache.get('a')).toBe('second');
  });
});
