import { describe, expect, test } from 'vitest';
import { ageSlots } from '../../../src/pool/freeze.ts';
import { watch } from '../../support/deferred.ts';
import { harness } from './harness.ts';

describe('thaw', () => {
  test.each([
    [0, 0],
    [999, 0],
    [1000, 1],
    [undefined, 1],
    [Number.POSITIVE_INFINITY, 1],
  ])('after %s ms raises the epoch to %i', async (frozenMillis, epoch) => {
    const { pool, clock, events, check } = harness({ validateAfterIdleMillis: 1000 });
    await pool.warm();
    const thawed = pool.thaw(frozenMillis);
    await clock.turn();
    await thawed;
    expect(pool.stats().epoch).toBe(epoch);
    expect(events).toContainEqual({ type: 'thaw', frozenMillis });
    check();
  });

  test('raises the epoch for any gap when everything is proven each time', async () => {
    const { pool } = harness({ validateAfterIdleMillis: 0 });
    await pool.thaw(0);
    expect(pool.stats().epoch).toBe(1);
  });

  test('resolves at once with nothing idle, and after one poll of the event loop otherwise', async () => {
    const { pool, clock, settle } = harness();
    const empty = watch(pool.thaw());
    await settle();
    expect(empty.state).toBe('fulfilled');
    await pool.warm();
    const drained = watch(pool.thaw(5));
    await settle();
    expect(drained.state).toBe('pending');
    await clock.turn();
    expect(drained.state).toBe('fulfilled');
  });

  test('proves in the background what serves the first acquire', async () => {
    const { pool, factory, clock, settle } = harness();
    await pool.warm();
    factory.hold('validate');
    const thawed = pool.thaw();
    expect(factory.callsOf('validate')).toEqual(['1']);
    await clock.turn();
    await thawed;
    const waiting = watch(pool.acquire());
    await settle();
    expect(waiting.state).toBe('pending');
    factory.resume('validate');
    await settle();
    expect(waiting.value?.resource).toBe(1);
    expect(factory.calls).toEqual(['create 1', 'validate 1']);
  });

  test('costs the first acquire nothing once the answer is there', async () => {
    const { pool, clock } = harness();
    await pool.warm();
    void pool.thaw();
    await clock.turn();
    expect(pool.tryAcquire()?.resource).toBe(1);
  });

  test('proves the warmest, up to maxIdle, and leaves the others to whoever wants them', async () => {
    const { pool, factory, clock } = harness({ max: 5, maxIdle: 2 });
    await pool.warm(5);
    void pool.thaw();
    await clock.turn();
    expect(factory.callsOf('validate')).toEqual(['5', '4']);
    const leases = [pool.tryAcquire(), pool.tryAcquire(), pool.tryAcquire()];
    expect(leases.map((lease) => lease?.resource)).toEqual([4, 5, undefined]);
  });

  test('proves one even where none is to stay open', async () => {
    const { pool, factory, clock } = harness({ maxIdle: 0 });
    await pool.warm(2);
    void pool.thaw();
    await clock.turn();
    expect(factory.callsOf('validate')).toEqual(['2']);
  });

  test('destroys unasked what is overdue', async () => {
    const { pool, factory, clock, settle } = harness({
      maxIdle: 3,
      idleTimeoutMillis: 5000,
      maxLifetimeMillis: 60_000,
    });
    await pool.warm(3);
    clock.freeze(5000, { monotonicRuns: false });
    void pool.thaw(5000);
    await settle();
    expect(factory.callsOf('destroy')).toEqual(['3 idle', '2 idle', '1 idle']);
    expect(factory.callsOf('validate')).toEqual([]);
  });

  test('suspects what is leased when it comes back', async () => {
    const { pool, factory } = harness();
    const lease = await pool.acquire();
    await pool.thaw();
    lease.release();
    expect(pool.tryAcquire()).toBeUndefined();
    await pool.acquire();
    expect(factory.callsOf('validate')).toEqual(['1']);
  });

  test('suspects what is leased although somebody waits for it', async () => {
    const { pool, factory, settle } = harness({ max: 1 });
    const lease = await pool.acquire();
    const waiting = watch(pool.acquire());
    await pool.thaw();
    lease.release();
    await settle();
    expect(factory.callsOf('validate')).toEqual(['1']);
    expect(waiting.value?.resource).toBe(1);
  });

  test('works twice in a row without asking twice at once', async () => {
    const { pool, factory, settle } = harness();
    await pool.warm();
    factory.hold('validate');
    void pool.thaw();
    void pool.thaw();
    expect(pool.stats().epoch).toBe(2);
    expect(factory.callsOf('validate')).toEqual(['1']);
    factory.held.validate[0]?.resolve(true);
    await settle();
    expect(pool.stats()).toMatchObject({ idle: 1, validated: 1 });
    expect(pool.tryAcquire()).toBeUndefined();
  });

  test('finds a creation frozen in the middle suspect when it arrives', async () => {
    const { pool, factory, clock, settle } = harness();
    factory.hold('create');
    factory.hold('validate');
    const waiting = watch(pool.acquire());
    clock.freeze(2000, { monotonicRuns: false });
    void pool.thaw(2000);
    factory.resume('create');
    await settle();
    expect(waiting.state).toBe('pending');
    expect(pool.stats()).toMatchObject({ validating: 1, created: 1 });
    factory.resume('validate');
    await settle();
    expect(waiting.value?.resource).toBe(1);
  });

  test('keeps what arrives from before it suspect while nobody wants it', async () => {
    const { pool, factory, settle } = harness();
    factory.hold('create');
    const abort = new AbortController();
    const waiting = watch(pool.acquire({ signal: abort.signal }));
    abort.abort();
    await pool.thaw();
    factory.resume('create');
    await settle();
    expect(waiting.state).toBe('rejected');
    expect(pool.stats().idle).toBe(1);
    expect(pool.tryAcquire()).toBeUndefined();
  });

  test('answers an overdue proof from the kernel before it counts as missing', async () => {
    const { pool, factory, clock, settle } = harness();
    await pool.warm();
    factory.hold('validate');
    void pool.thaw();
    clock.freeze(60_000, { monotonicRuns: true });
    // What the poll of the first turn delivers.
    clock.afterTurn(() => factory.held.validate[0]?.resolve(true));
    await clock.turn();
    await settle();
    expect(pool.stats()).toMatchObject({ idle: 1, validated: 1, invalidated: 0 });
  });
});

describe('freeze', () => {
  test('keeps maxIdle open, the warmest, and closes the rest of a burst', async () => {
    const { pool, factory, settle } = harness({ max: 4, maxIdle: 2 });
    const leases = await Promise.all([1, 2, 3, 4].map(() => pool.acquire()));
    for (const lease of leases) lease.release();
    await pool.freeze();
    await settle();
    expect(factory.callsOf('destroy')).toEqual(['1 surplus', '2 surplus']);
    expect(pool.stats()).toMatchObject({ idle: 2, total: 2, destroyed: { surplus: 2 } });
  });

  test('keeps nothing open when maxIdle is 0', async () => {
    const { pool, settle } = harness({ maxIdle: 0 });
    await pool.warm(2);
    await pool.freeze();
    await settle();
    expect(pool.stats().total).toBe(0);
  });

  test('waits until what it closes is gone or given up', async () => {
    const { pool, factory, advance } = harness({ maxIdle: 0, destroyTimeoutMillis: 60 });
    await pool.warm();
    factory.hold('destroy');
    const frozen = watch(pool.freeze());
    await advance(59);
    expect(frozen.state).toBe('pending');
    await advance(1);
    expect(frozen.state).toBe('fulfilled');
    expect(pool.stats().total).toBe(0);
  });

  test('leaves no creation half made', async () => {
    const { pool, factory, settle, trace } = harness();
    factory.hold('create');
    const abort = new AbortController();
    const waiting = watch(pool.acquire({ signal: abort.signal }));
    abort.abort();
    const frozen = watch(pool.freeze());
    await settle();
    expect(factory.contexts.get(1)?.signal.aborted).toBe(true);
    expect([waiting.state, frozen.state]).toEqual(['rejected', 'pending']);
    factory.held.create[0]?.reject(new Error('aborted'));
    await settle();
    expect(frozen.state).toBe('fulfilled');
    expect(pool.stats()).toMatchObject({ total: 0, createFailed: 0 });
    expect(trace().slice(-3)).toEqual(['freeze', '1 closing surplus', '1 gone']);
  });

  test('destroys a creation that arrives nevertheless, before it resolves', async () => {
    const { pool, factory, settle } = harness();
    factory.hold('create');
    factory.hold('destroy');
    const abort = new AbortController();
    const waiting = watch(pool.acquire({ signal: abort.signal }));
    abort.abort();
    const frozen = watch(pool.freeze());
    factory.held.create[0]?.resolve(1);
    await settle();
    expect([waiting.state, frozen.state]).toEqual(['rejected', 'pending']);
    factory.resume('destroy');
    await settle();
    expect(frozen.state).toBe('fulfilled');
    expect(pool.stats()).toMatchObject({ total: 0, created: 1, destroyed: { surplus: 1 } });
  });

  test('waits for one that arrives after its place was given up', async () => {
    const { pool, factory, advance, settle } = harness({ createTimeoutMillis: 50, destroyTimeoutMillis: 20 });
    factory.hold('create');
    const waiting = watch(pool.acquire());
    await advance(70);
    expect([waiting.state, pool.stats().total]).toEqual(['rejected', 0]);
    factory.hold('destroy');
    factory.held.create[0]?.resolve(1);
    await settle();
    const frozen = watch(pool.freeze());
    await settle();
    expect(frozen.state).toBe('pending');
    factory.resume('destroy');
    await settle();
    expect(frozen.state).toBe('fulfilled');
  });

  test('keeps the creations of those who wait, and stops the youngest of the others', async () => {
    const { pool, factory, settle } = harness();
    factory.hold('create');
    const aborts = [new AbortController(), new AbortController()];
    const aborted = aborts.map(({ signal }) => watch(pool.acquire({ signal })));
    const waiting = watch(pool.acquire());
    for (const abort of aborts) abort.abort();
    void pool.freeze();
    await settle();
    expect(aborted.map(({ state }) => state)).toEqual(['rejected', 'rejected']);
    expect([1, 2, 3].map((n) => factory.contexts.get(n)?.signal.aborted)).toEqual([false, true, true]);
    factory.held.create[0]?.resolve(1);
    await settle();
    expect(waiting.value?.resource).toBe(1);
  });

  test('waits for a reset, then closes what it brings back above maxIdle', async () => {
    const { pool, factory, settle } = harness({ reset: true, maxIdle: 1 });
    const leases = await Promise.all([pool.acquire(), pool.acquire(), pool.acquire()]);
    factory.hold('reset');
    for (const lease of leases) lease.release();
    const frozen = watch(pool.freeze());
    await settle();
    expect(frozen.state).toBe('pending');
    factory.resume('reset');
    await settle();
    expect(frozen.state).toBe('fulfilled');
    expect(pool.stats()).toMatchObject({ idle: 1, total: 1, destroyed: { surplus: 2 } });
  });

  test('does not wait for a ping, which may be answered after the freeze', async () => {
    const { pool, factory, clock, settle } = harness();
    await pool.warm();
    factory.hold('validate');
    void pool.thaw();
    await pool.freeze();
    expect(pool.stats().validating).toBe(1);
    clock.freeze(10_000, { monotonicRuns: true });
    void pool.thaw(10_000);
    factory.resume('validate');
    await settle();
    expect(pool.stats()).toMatchObject({ idle: 1, epoch: 2 });
    expect(pool.tryAcquire()).toBeUndefined();
  });

  test('leaves alone what is leased', async () => {
    const { pool, settle } = harness({ maxIdle: 0 });
    const lease = await pool.acquire();
    await pool.freeze();
    await settle();
    expect([lease.held, pool.stats().leased]).toEqual([true, 1]);
  });
});

describe('ageing', () => {
  test('makes everything as old as if so much more time had passed, on both clocks', async () => {
    const { pool, factory } = harness({
      validateAfterIdleMillis: 1000,
      idleTimeoutMillis: 5000,
      maxLifetimeMillis: 9000,
    });
    await pool.warm();
    ageSlots(pool.slotsForInspection(), 999);
    pool.tryAcquire()?.release({ proven: false });
    expect(pool.stats()).toMatchObject({ acquired: 2, idle: 1 });
    ageSlots(pool.slotsForInspection(), 1);
    (await pool.acquire()).release();
    expect(factory.callsOf('validate')).toEqual(['1']);
    ageSlots(pool.slotsForInspection(), 5000);
    expect(pool.tryAcquire()).toBeUndefined();
    expect(factory.callsOf('destroy')).toEqual(['1 idle']);
    const lease = await pool.acquire();
    ageSlots(pool.slotsForInspection(), 9000);
    lease.release();
    expect(factory.callsOf('destroy')).toEqual(['1 idle', '2 expired']);
  });
});

describe('the two clocks', () => {
  test('notices a freeze in which the monotonic clock stood still', async () => {
    const { pool, factory, clock } = harness({ validateAfterIdleMillis: 1000 });
    await pool.warm();
    clock.freeze(1000, { monotonicRuns: false });
    await pool.acquire();
    expect(factory.callsOf('validate')).toEqual(['1']);
  });

  test('notices a freeze over which somebody set the wall clock back', async () => {
    const { pool, factory, clock } = harness({ validateAfterIdleMillis: 1000 });
    await pool.warm();
    clock.freeze(1000, { monotonicRuns: true });
    clock.jumpWall(-3_600_000);
    await pool.acquire();
    expect(factory.callsOf('validate')).toEqual(['1']);
  });

  test('takes a wall clock that was set forward for time gone by: that costs a ping', async () => {
    const { pool, factory, clock } = harness({ validateAfterIdleMillis: 1000 });
    await pool.warm();
    clock.jumpWall(1000);
    await pool.acquire();
    expect(factory.callsOf('validate')).toEqual(['1']);
  });

  test('takes a wall clock that was set back for nothing', async () => {
    const { pool, factory, clock, check } = harness({ validateAfterIdleMillis: 1000 });
    await pool.warm();
    clock.jumpWall(-1_000_000);
    expect(pool.tryAcquire()?.resource).toBe(1);
    expect(factory.callsOf('validate')).toEqual([]);
    check();
  });

  test('closes over a jump what a jump makes overdue, and not more', async () => {
    const { pool, factory, clock, settle } = harness({ idleTimeoutMillis: 5000, maxLifetimeMillis: 0 });
    await pool.warm();
    clock.jumpWall(4999);
    await pool.acquire().then((lease) => lease.release());
    clock.jumpWall(5000);
    expect((await pool.acquire()).resource).toBe(2);
    await settle();
    expect(factory.callsOf('destroy')).toEqual(['1 idle']);
  });
});
