// `thawpool/cache` over a real Redis: values are shared by way of it, and no trouble of it is one of the caller's.
import { cached, createCache, redisStore } from 'thawpool/cache';
import { FakeClock } from 'thawpool/testing';
import { describe, expect, it, vi } from 'vitest';
import { reason, useRedis, useRedisPools, useRedisProxy } from './redis-support.ts';

describe.skipIf(reason)(`a cache in Redis${reason ? ` (${reason})` : ''}`, () => {
  const server = useRedis();
  const proxy = useRedisProxy(server);
  const makePool = useRedisPools(() => `redis://127.0.0.1:${proxy().port}`);
  // On a loaded machine even loopback may need its time: what is to be too slow is so for good.
  const patient = 30_000;
  const make = (options: { readonly ttlMillis?: number; readonly storeTimeoutMillis?: number } = {}) => {
    const { pool, events } = makePool();
    const warnings: string[] = [];
    const onWarning = (message: string): void => void warnings.push(message);
    const common = { ttlMillis: 60_000, storeTimeoutMillis: patient, onWarning, store: redisStore(pool), ...options };
    return { pool, events, warnings, common, cache: createCache({ ...common, namespace: 'orders' }) };
  };

  it('connects with the first value only', async () => {
    const { pool, cache } = make();
    expect(pool.stats().created).toBe(0);
    await cache.get('a');
    expect(pool.stats().created).toBe(1);
  });

  it('keeps values as JSON under keys of its namespace, for as long as was said', async () => {
    const { cache } = make();
    await cache.set('a', { n: 1, list: ['x', null] });
    await cache.set('b', 'soon', 1500.4);
    await cache.set('c', 'for good', Number.POSITIVE_INFINITY);
    expect(await server().command('GET', 'thawpool:cache:orders:a')).toBe('{"v":{"n":1,"list":["x",null]}}');
    const left = async (key: string): Promise<number> => server().command('PTTL', `thawpool:cache:orders:${key}`);
    expect(await left('a')).toBeGreaterThan(1500);
    expect(await left('a')).toBeLessThanOrEqual(60_000);
    expect(await left('b')).toBeLessThanOrEqual(1500);
    expect(await left('c')).toBe(-1);
    expect([await cache.get('a'), await cache.get('c')]).toEqual([{ n: 1, list: ['x', null] }, 'for good']);
  });

  it('is shared with other processes: another pool finds what one has kept', async () => {
    const load = vi.fn(async (id: number) => ({ id }));
    const [here, there] = [make(), make()].map(({ common }) => cached(load, { ...common, name: 'order' }));
    expect(await here?.(1)).toEqual({ id: 1 });
    expect(await there?.(1)).toEqual({ id: 1 });
    expect(load).toHaveBeenCalledTimes(1);
    expect(there?.stats()).toMatchObject({ hits: 1, misses: 0 });
    expect(await here?.invalidate(1)).toBe(true);
    await there?.(1);
    expect(load).toHaveBeenCalledTimes(2);
  });

  it.each([undefined, null, false, 0, ''])('keeps %j as a value like any other', async (value) => {
    const { cache } = make();
    const load = vi.fn(() => value as unknown);
    expect([await cache.load('a', load), await cache.load('a', load)]).toEqual([value, value]);
    expect(load).toHaveBeenCalledTimes(1);
  });

  it('clears its own namespace, however many keys, and nothing else', async () => {
    const { common, cache } = make();
    const other = createCache({ ...common, namespace: 'orders*' });
    await other.set('a', 'stays');
    await server().command('SET', 'thawpool:cache:orders', 'stays');
    await Promise.all(Array.from({ length: 1200 }, (_, n) => cache.set(`k${n}`, n)));
    expect(await server().command('DBSIZE')).toBe(1202);
    expect(await cache.clear()).toBe(true);
    expect(await server().command('DBSIZE')).toBe(2);
    await cache.set('a', 1);
    await other.clear();
    expect(await cache.get('a')).toBe(1);
  });

  it.each([
    ['a bigint', 1n],
    ['a function', () => 1],
    ['a symbol', Symbol('s')],
  ])('hands %s on, and does not keep it', async (_, value) => {
    const { cache, warnings } = make();
    expect(await cache.load('a', () => value)).toBe(value);
    expect(await server().command('DBSIZE')).toBe(0);
    expect(cache.stats()).toMatchObject({ stored: 0, storeFailures: 1 });
    expect(warnings).toHaveLength(1);
  });

  it('makes a value anew where something else is under its key', async () => {
    const { cache } = make();
    await server().command('SET', 'thawpool:cache:orders:a', 'not JSON');
    await server().command('LPUSH', 'thawpool:cache:orders:b', 'a list');
    expect(await cache.load('a', () => 'made')).toBe('made');
    expect(await cache.load('b', () => 'made')).toBe('made');
    expect(cache.stats().storeFailures).toBeGreaterThan(0);
  });

  it('makes values without it while it is down, says so once, and uses it again afterwards', async () => {
    const clock = new FakeClock();
    const { common, warnings } = make({ storeTimeoutMillis: 50 });
    const cache = createCache({ ...common, clock, namespace: 'orders' });
    await server().stop();
    const asking = cache.load('a', () => 'made');
    await vi.waitFor(() => expect(clock.timers).toBe(1));
    await clock.advance(50);
    expect(await asking).toBe('made');
    expect(await cache.load('b', () => 'made too')).toBe('made too');
    expect(warnings).toHaveLength(1);
    expect(warnings[0]).toMatch(/^The store of the cache "orders" failed at "get": it did not answer within 50 ms\./);
    await server().start();
    await clock.advance(1000);
    expect(await cache.load('c', () => 'kept')).toBe('kept');
    expect(await server().command('GET', 'thawpool:cache:orders:c')).toBe('{"v":"kept"}');
  });

  it('does not wait for a server that hangs, nor does the next call wait behind it', async () => {
    const clock = new FakeClock();
    const { pool, common } = make({ storeTimeoutMillis: 50 });
    const cache = createCache({ ...common, clock, namespace: 'orders' });
    await cache.set('a', 1);
    server().suspend(true);
    const asking = cache.load('a', () => 2);
    await vi.waitFor(() => expect([clock.timers, pool.stats().leased]).toEqual([1, 1]));
    await clock.advance(50);
    expect(await asking).toBe(2);
    expect(pool.stats()).toMatchObject({ leased: 0, destroyed: { broken: 1 } });
    server().suspend(false);
    await clock.advance(1000);
    expect(await cache.load('a', () => 3)).toBe(1);
  });
});
