import { describe, expect, test } from 'vitest';
import { watch } from '../../support/deferred.ts';
import { errorOf, harness } from './harness.ts';

describe('giving back', () => {
  test('refuses a second release and leaves the next user alone', async () => {
    const { pool, check } = harness({ max: 1 });
    const lease = await pool.acquire();
    pool.release(lease);
    const next = await pool.acquire();
    expect(() => lease.release()).toThrow(
      'This resource was released twice. Release it exactly once, in a finally block, or use `await using` or use(fn), which do it for you. See ERR_POOL_DOUBLE_RELEASE.',
    );
    expect(() => lease.destroy()).toThrow(expect.objectContaining({ code: 'ERR_POOL_DOUBLE_RELEASE' }));
    expect(next.held).toBe(true);
    expect(pool.stats()).toMatchObject({ leased: 1, released: 1, acquired: 2 });
    check();
  });

  test('refuses the use of a resource that was given back', async () => {
    const { pool } = harness({ noun: 'connection' });
    const lease = await pool.acquire();
    lease.release();
    expect(lease.held).toBe(false);
    expect(() => lease.resource).toThrow(
      "This connection was used after it had been released: it may be somebody else's by now. Release it after its last use, or wait for every promise that uses it. See ERR_POOL_USE_AFTER_RELEASE.",
    );
  });

  test('destroys instead of keeping, once, and tells the error', async () => {
    const { pool, factory, events, settle } = harness();
    const lease = await pool.acquire();
    const error = new Error('unknown state');
    pool.destroy(lease, error);
    expect(() => lease.release()).toThrow(expect.objectContaining({ code: 'ERR_POOL_DOUBLE_RELEASE' }));
    await settle();
    expect(factory.calls).toEqual(['create 1', 'destroy 1 broken']);
    expect(events).toContainEqual({
      type: 'transition',
      slot: 1,
      from: 'leased',
      to: 'closing',
      reason: 'broken',
      error,
    });
    expect(pool.stats()).toMatchObject({ total: 0, released: 1, destroyed: { broken: 1 }, epoch: 0 });
  });

  test('makes another for who waits behind a destroyed one', async () => {
    const { pool, settle } = harness({ max: 1 });
    const lease = await pool.acquire();
    const waiting = watch(pool.acquire());
    lease.destroy();
    await settle();
    expect(waiting.value?.resource).toBe(2);
  });

  test('gives back at the end of a block, unless that was done', async () => {
    const { pool } = harness();
    {
      await using lease = await pool.acquire();
      expect(lease.resource).toBe(1);
    }
    expect(pool.stats()).toMatchObject({ idle: 1, leased: 0 });
    {
      using lease = await pool.acquire();
      lease.release();
    }
    expect(pool.stats()).toMatchObject({ idle: 1, released: 2 });
  });

  test('uses and gives back, whatever comes of it', async () => {
    const { pool, check } = harness();
    expect(await pool.use((resource) => resource * 10)).toBe(10);
    expect(await pool.use(async (resource) => resource * 100)).toBe(100);
    await expect(pool.use(() => Promise.reject(new Error('mine')))).rejects.toThrow('mine');
    const thrown = pool.use(() => {
      throw new Error('mine too');
    });
    await expect(thrown).rejects.toThrow('mine too');
    expect(pool.stats()).toMatchObject({ idle: 1, leased: 0, acquired: 4, released: 4 });
    check();
  });

  test('passes the limits of an acquire through use', async () => {
    const { pool, factory } = harness();
    const error = await errorOf(pool.use(() => 1, { signal: AbortSignal.abort() }));
    expect(error.code).toBe('ERR_POOL_ACQUIRE_ABORTED');
    expect(factory.made).toBe(0);
  });

  test('closes what is past its lifetime when it comes back', async () => {
    const { pool, factory, advance } = harness({ maxLifetimeMillis: 1000, validateAfterIdleMillis: 10_000 });
    const lease = await pool.acquire();
    await advance(999);
    lease.release();
    const again = await pool.acquire();
    expect(again.resource).toBe(1);
    await advance(1);
    again.release();
    await advance(0);
    expect(factory.callsOf('destroy')).toEqual(['1 expired']);
  });

  test('lets a burst shrink at each release once what is cold is old, in a pool that is never frozen', async () => {
    const { pool, factory, advance, settle } = harness({ maxIdle: 1, idleTimeoutMillis: 1000 });
    await pool.warm(3);
    for (let n = 0; n < 5; n += 1) {
      await advance(250);
      (await pool.acquire()).release();
    }
    await settle();
    expect(factory.callsOf('destroy')).toEqual(['1 idle', '2 idle']);
    expect(pool.stats()).toMatchObject({ idle: 1, total: 1 });
  });

  test('keeps the only one that is idle, however old the release finds it', async () => {
    const { pool, factory, advance } = harness({ idleTimeoutMillis: 0, maxLifetimeMillis: 0 });
    await pool.warm(2);
    await advance(10_000_000);
    (await pool.acquire()).release();
    expect(factory.callsOf('destroy')).toEqual([]);
  });
});

describe('reset', () => {
  test('keeps a release synchronous where the answer is', async () => {
    const { pool, factory } = harness({ reset: true });
    const lease = await pool.acquire();
    lease.release();
    expect(pool.stats().idle).toBe(1);
    expect(factory.calls).toEqual(['create 1', 'reset 1']);
  });

  test('lets nobody have it before the answer, and then the longest waiter at once', async () => {
    const { pool, factory, settle } = harness({ reset: true, max: 1 });
    const lease = await pool.acquire();
    const waiting = watch(pool.acquire());
    factory.hold('reset');
    lease.release();
    await settle();
    expect(waiting.state).toBe('pending');
    expect(pool.stats()).toMatchObject({ validating: 1, idle: 0 });
    factory.resume('reset');
    await settle();
    expect(waiting.value?.resource).toBe(1);
    expect(factory.callsOf('validate')).toEqual([]);
  });

  test('counts as a proof of life when it answers', async () => {
    const { pool, factory, advance } = harness({ reset: true, validateAfterIdleMillis: 100 });
    const lease = await pool.acquire();
    factory.onReset = async () => true;
    await advance(80);
    lease.release({ proven: false });
    await advance(80);
    expect((await pool.acquire()).resource).toBe(1);
    expect(factory.callsOf('validate')).toEqual([]);
  });

  test('does not make good for an epoch that ended before the answer', async () => {
    const { pool, factory, settle, clock } = harness({ reset: true });
    const lease = await pool.acquire();
    factory.hold('reset');
    lease.release();
    const thawing = pool.thaw();
    factory.resume('reset');
    await settle();
    await clock.turn();
    await thawing;
    expect(pool.stats()).toMatchObject({ idle: 1, epoch: 1 });
    expect(pool.tryAcquire()).toBeUndefined();
    await pool.acquire();
    expect(factory.callsOf('validate')).toEqual(['1']);
  });

  test.each<[string, () => boolean | Promise<boolean>]>([
    ['says no', () => false],
    [
      'throws',
      () => {
        throw new Error('cannot');
      },
    ],
    ['says no later', async () => false],
    ['fails later', () => Promise.reject(new Error('cannot'))],
    ['answers nothing at all', () => undefined as unknown as boolean],
  ])('has the resource destroyed when it %s, and the next waiter served', async (_, onReset) => {
    const { pool, factory, settle } = harness({ reset: true, max: 1 });
    factory.onReset = onReset;
    const lease = await pool.acquire();
    const waiting = watch(pool.acquire());
    lease.release();
    await settle();
    expect(factory.callsOf('destroy')).toEqual(['1 invalid']);
    expect(waiting.value?.resource).toBe(2);
    expect(pool.stats()).toMatchObject({ epoch: 0, invalidated: 0 });
  });

  test('has the resource destroyed when it does not answer, and is told so', async () => {
    const { pool, factory, advance } = harness({ reset: true, resetTimeoutMillis: 40 });
    let signal: AbortSignal | undefined;
    let budget = 0;
    factory.onReset = (_, context) => {
      ({ signal, budgetMillis: budget } = context);
      return new Promise(() => undefined);
    };
    (await pool.acquire()).release();
    await advance(39);
    expect([budget, signal?.aborted]).toEqual([40, false]);
    await advance(1);
    expect(signal?.aborted).toBe(true);
    expect(factory.callsOf('destroy')).toEqual(['1 invalid']);
  });

  test('is spared what is destroyed anyway', async () => {
    const { pool, factory, advance } = harness({ reset: true, maxLifetimeMillis: 100 });
    const [a, b] = [await pool.acquire(), await pool.acquire()];
    await advance(100);
    const c = await pool.acquire();
    a.release();
    pool.evict('stale-credentials');
    c.release();
    void pool.close();
    b.release();
    await advance(0);
    expect(factory.callsOf('reset')).toEqual([]);
    expect(factory.callsOf('destroy')).toEqual(['1 expired', '3 stale-credentials', '2 closed']);
  });

  test('leaves its signal alone once it has answered', async () => {
    const { pool, factory, settle } = harness({ reset: true });
    let signal: AbortSignal | undefined;
    factory.onReset = async (_, context) => {
      signal = context.signal;
      return true;
    };
    (await pool.acquire()).release();
    await settle();
    await pool.close();
    expect(factory.callsOf('destroy')).toEqual(['1 closed']);
    expect(signal?.aborted).toBe(false);
  });
});

describe('a lease', () => {
  test('knows where it was acquired, with and without waiting', async () => {
    const { pool } = harness({ max: 1 });
    const lease = await pool.acquire({ origin: 'first' });
    const waiting = pool.acquire({ origin: 'second' });
    lease.release();
    const second = await waiting;
    second.release();
    expect([lease.origin, second.origin]).toEqual(['first', 'second']);
    expect(pool.tryAcquire(undefined, 'third')?.origin).toBe('third');
  });

  test('is listed for its owner while it is held', async () => {
    const { pool } = harness();
    const [mine, yours] = [{}, {}];
    const lease = await pool.acquire({ owner: mine });
    await pool.acquire({ owner: yours });
    expect(pool.leasesOf(mine)).toEqual([lease]);
    let inside: unknown[] = [lease];
    pool.observe(({ type }) => {
      if (type === 'released') inside = pool.leasesOf(mine);
    });
    lease.release();
    expect([inside, pool.leasesOf(mine)]).toEqual([[], []]);
  });

  test('says why it is over', async () => {
    const { pool } = harness();
    const owner = {};
    const [released, reclaimed] = [await pool.acquire(), await pool.acquire({ owner })];
    released.release();
    pool.reclaim(owner);
    expect(released.refusal().code).toBe('ERR_POOL_USE_AFTER_RELEASE');
    expect(reclaimed.refusal().code).toBe('ERR_POOL_RECLAIMED');
  });
});

describe('evicting a generation', () => {
  test('destroys what is idle at once and the rest as it comes back, and nothing that is made later', async () => {
    const { pool, factory, settle } = harness({ max: 5 });
    const leases = await Promise.all([pool.acquire(), pool.acquire()]);
    await pool.warm(1);
    pool.evict('stale-credentials');
    const younger = await pool.acquire();
    expect(younger.resource).toBe(4);
    expect(leases.map(({ held }) => held)).toEqual([true, true]);
    leases[0].release();
    leases[1].destroy();
    younger.release();
    await settle();
    expect(factory.callsOf('destroy')).toEqual(['3 stale-credentials', '1 stale-credentials', '2 broken']);
    expect(pool.stats()).toMatchObject({ idle: 1, total: 1, destroyed: { 'stale-credentials': 2 } });
  });

  test('reaches what is being made, proven or reset, and makes another for who waits', async () => {
    const { pool, factory, settle } = harness({ max: 3, reset: true });
    const lease = await pool.acquire();
    await pool.warm(1);
    factory.hold('reset');
    factory.hold('validate');
    factory.hold('create');
    lease.release();
    void pool.thaw();
    const waits = [1, 2, 3].map(() => watch(pool.acquire()));
    expect(pool.stats()).toMatchObject({ validating: 2, creating: 1, waiting: 3 });
    pool.evict('stale-credentials');
    for (const step of ['reset', 'validate', 'create'] as const) factory.resume(step);
    await settle();
    expect(waits.map(({ value }) => value?.resource)).toEqual([4, 5, 6]);
    expect(pool.stats().destroyed).toMatchObject({ 'stale-credentials': 3 });
  });

  test('keeps the first reason', async () => {
    const { pool, factory, settle } = harness();
    const lease = await pool.acquire();
    pool.evict('stale-credentials');
    pool.evict('invalid');
    lease.release();
    await settle();
    expect(factory.callsOf('destroy')).toEqual(['1 stale-credentials']);
  });
});

describe('taking back', () => {
  test('takes everything an owner holds, and nothing of anybody else', async () => {
    const { pool, trace, check } = harness();
    const [mine, yours] = [{}, {}];
    const leases = [await pool.acquire({ owner: mine }), await pool.acquire({ owner: mine })];
    const other = await pool.acquire({ owner: yours });
    const nobodys = await pool.acquire();
    expect(pool.reclaim(mine)).toBe(2);
    expect(leases.map(({ held }) => held)).toEqual([false, false]);
    expect([other.held, nobodys.held]).toEqual([true, true]);
    expect(() => leases[0]?.resource).toThrow(
      'This resource was taken back because the invocation that acquired it has ended. Await all work before the handler returns. See ERR_POOL_RECLAIMED.',
    );
    expect(pool.stats()).toMatchObject({ idle: 2, leased: 2, reclaimed: 2, released: 2 });
    expect(trace().filter((line) => line.includes('reclaimed'))).toEqual(['1 reclaimed', '2 reclaimed']);
    expect(pool.reclaim(mine)).toBe(0);
    check();
  });

  test('ends the waits of that owner and serves the others with what it held', async () => {
    const { pool, settle } = harness({ max: 1 });
    const [mine, yours] = [{}, {}];
    await pool.acquire({ owner: mine });
    const waits = [mine, yours, mine].map((owner) => watch(pool.acquire({ owner })));
    expect(pool.reclaim(mine)).toBe(3);
    await settle();
    expect(waits.map(({ state }) => state)).toEqual(['rejected', 'fulfilled', 'rejected']);
    expect(String(waits[0]?.error)).toBe(
      'AcquireError: The invocation that waited for a resource has ended (max 1, leased 1, waiting 1): await all work before the handler returns. See ERR_POOL_RECLAIMED.',
    );
    expect(pool.stats()).toMatchObject({ reclaimed: 1, acquireFailed: 2 });
  });

  test('takes what is taken back for no proof of life', async () => {
    const { pool, factory, advance } = harness({ validateAfterIdleMillis: 100, max: 1 });
    const owner = {};
    await pool.acquire({ owner });
    await advance(100);
    const waiting = watch(pool.acquire());
    pool.reclaim(owner);
    await advance(0);
    expect(factory.callsOf('validate')).toEqual(['1']);
    expect(waiting.value?.resource).toBe(1);
  });

  test('destroys what is not fit for use, and what cannot be judged', async () => {
    const { pool, factory, settle } = harness();
    const owner = {};
    await Promise.all([1, 2, 3].map(() => pool.acquire({ owner })));
    const fit = (resource: number): boolean => {
      if (resource === 2) throw new Error('cannot say');
      return resource === 3;
    };
    expect(pool.reclaim(owner, fit)).toBe(3);
    await settle();
    expect(factory.callsOf('destroy')).toEqual(['1 broken', '2 broken']);
    expect(pool.stats()).toMatchObject({ idle: 1, leased: 0, total: 1 });
  });

  test('lets the former holder release once without effect, and no second time', async () => {
    const { pool, check } = harness();
    const owner = {};
    const lease = await pool.acquire({ owner });
    pool.reclaim(owner);
    const next = await pool.acquire();
    lease.release();
    expect(next.held).toBe(true);
    expect(pool.stats()).toMatchObject({ leased: 1, released: 1 });
    expect(() => lease.release()).toThrow(expect.objectContaining({ code: 'ERR_POOL_DOUBLE_RELEASE' }));
    check();
  });

  test('ends use(fn) without an error of its own', async () => {
    const { pool } = harness();
    const owner = {};
    const result = await pool.use(() => pool.reclaim(owner), { owner });
    expect(result).toBe(1);
    expect(pool.stats()).toMatchObject({ idle: 1, released: 1 });
  });
});
