import { describe, expect, test } from 'vitest';
import type { Lease } from '../../../src/pool/lease.ts';
import { Pool } from '../../../src/pool/pool.ts';
import { watch } from '../../support/deferred.ts';
import { FakeClock, settle } from '../../support/fake-clock.ts';
import { errorOf, harness, NumberFactory } from './harness.ts';

describe('handing out', () => {
  test('makes a resource for the first acquire and tells every step of it', async () => {
    const { pool, trace, check } = harness();
    const lease = await pool.acquire();
    expect(lease.resource).toBe(1);
    expect(lease.held).toBe(true);
    expect(trace()).toEqual(['queued', '1 creating', '1 created', '1 leased', '1 acquired']);
    expect(pool.stats()).toMatchObject({ total: 1, leased: 1, idle: 0, acquired: 1, created: 1 });
    check();
  });

  test('opens nothing when it is made', async () => {
    const { factory } = harness();
    await settle();
    expect(factory.calls).toEqual([]);
  });

  test('hands out the resource that was given back last', async () => {
    const { pool, check } = harness();
    const [a, b, c] = await Promise.all([pool.acquire(), pool.acquire(), pool.acquire()]);
    b.release();
    a.release();
    c.release();
    expect([(await pool.acquire()).resource, (await pool.acquire()).resource]).toEqual([3, 1]);
    check();
  });

  test('hands out an idle resource in the same turn', async () => {
    const { pool, check } = harness();
    await pool.warm();
    const lease = pool.tryAcquire();
    expect(lease?.resource).toBe(1);
    expect(pool.tryAcquire()).toBeUndefined();
    check();
  });

  test('remembers who acquired, with and without waiting', async () => {
    const { pool } = harness({ max: 1 });
    const [first, second] = [{}, {}];
    const lease = await pool.acquire({ owner: first });
    expect(lease.owner).toBe(first);
    const waiting = pool.acquire({ owner: second });
    lease.release();
    expect((await waiting).owner).toBe(second);
    (await waiting).release();
    expect(pool.tryAcquire(first)?.owner).toBe(first);
  });

  test('serves waiters in the order in which they came', async () => {
    const { pool, check } = harness({ max: 1 });
    const order: number[] = [];
    const first = await pool.acquire();
    const waits = [1, 2, 3].map(async (name) => {
      const lease = await pool.acquire();
      order.push(name);
      lease.release();
    });
    first.release();
    await Promise.all(waits);
    expect(order).toEqual([1, 2, 3]);
    check();
  });

  test('hands a released connection to the longest waiter without letting it go idle', async () => {
    const { pool, trace, settle } = harness({ max: 1 });
    const lease = await pool.acquire();
    const waiting = pool.acquire();
    lease.release();
    await settle();
    expect((await waiting).resource).toBe(1);
    expect(trace().slice(-4)).toEqual(['queued', '1 released', '1 leased', '1 acquired']);
    expect(trace()).not.toContain('1 idle');
  });

  test('never lets tryAcquire overtake somebody who waits', async () => {
    const { pool, factory, settle, advance } = harness({ max: 2, validateAfterIdleMillis: 100 });
    await pool.warm(2);
    await advance(100);
    factory.hold('validate');
    const waiting = watch(pool.acquire());
    const young = watch(pool.acquire());
    await settle();
    expect(pool.stats()).toMatchObject({ validating: 2, waiting: 2 });
    const third = watch(pool.acquire());
    factory.held.validate[0]?.resolve(true);
    await settle();
    expect([waiting.state, young.state, third.state]).toEqual(['fulfilled', 'pending', 'pending']);
    (waiting.value as Lease<number>).release();
    expect(pool.tryAcquire()).toBeUndefined();
    await settle();
    expect([young.state, third.state]).toEqual(['fulfilled', 'pending']);
    factory.resume('validate');
    await settle();
    expect(third.state).toBe('fulfilled');
  });

  test('makes as many at once as there are waiters, and no more than max', async () => {
    const { pool, factory, settle } = harness({ max: 3 });
    factory.hold('create');
    const waits = [1, 2, 3, 4, 5].map(() => watch(pool.acquire()));
    await settle();
    expect(factory.made).toBe(3);
    expect(pool.stats()).toMatchObject({ creating: 3, waiting: 5, total: 3 });
    factory.resume('create');
    await settle();
    expect(waits.filter(({ state }) => state === 'fulfilled')).toHaveLength(3);
  });

  test('makes none for a waiter whom one on its way will serve', async () => {
    const { pool, factory, settle } = harness();
    factory.hold('create');
    const abort = new AbortController();
    const given = watch(pool.acquire({ signal: abort.signal }));
    abort.abort();
    const next = watch(pool.acquire());
    await settle();
    expect(factory.made).toBe(1);
    factory.resume('create');
    await settle();
    expect([given.state, next.state]).toEqual(['rejected', 'fulfilled']);
  });

  test('counts how long each acquire has waited', async () => {
    const { pool, events, advance } = harness({ max: 1 });
    const lease = await pool.acquire();
    const waiting = pool.acquire();
    await advance(70);
    lease.release();
    await waiting;
    expect(events.filter(({ type }) => type === 'acquired')).toMatchObject([{ waitedMillis: 0 }, { waitedMillis: 70 }]);
  });

  test('lets 100,000 waiters leave in any order', async () => {
    const { create, validate, destroy } = new NumberFactory();
    const pool = new Pool<number>({ create, validate, destroy }, { max: 1, clock: new FakeClock() });
    const lease = await pool.acquire();
    const controllers = Array.from({ length: 100_000 }, () => new AbortController());
    const waits = controllers.map(({ signal }) => watch(pool.acquire({ signal })));
    expect(pool.stats().waiting).toBe(100_000);
    const last = watch(pool.acquire());
    // From both ends towards the middle: a queue that looks for its members would do 5 billion steps here.
    for (let n = 0; n < 50_000; n += 1) {
      controllers[n]?.abort('left');
      controllers[99_999 - n]?.abort('left');
    }
    lease.release();
    await settle();
    expect(waits.every(({ state }) => state === 'rejected')).toBe(true);
    expect(last.value?.resource).toBe(1);
    expect(pool.stats()).toMatchObject({ waiting: 0, acquireFailed: 100_000, acquired: 2 });
  }, 60_000);
});

describe('ending a wait', () => {
  test('times out once its budget is used up, and not before', async () => {
    const { pool, advance } = harness({ max: 1, acquireTimeoutMillis: 300 });
    await pool.acquire();
    const waiting = watch(pool.acquire());
    await advance(299);
    expect(waiting.state).toBe('pending');
    await advance(1);
    expect(waiting.error).toMatchObject({ name: 'AcquireError', code: 'ERR_POOL_ACQUIRE_TIMEOUT', phase: 'queued' });
    expect(pool.stats()).toMatchObject({ waiting: 0, acquireFailed: 1 });
  });

  test('takes its own timeout before the pool’s, and the earlier of timeout and deadline', async () => {
    const { pool, clock, advance } = harness({ max: 1, acquireTimeoutMillis: 300 });
    await pool.acquire();
    const deadline = clock.now().wall + 50;
    const waits = [
      watch(pool.acquire({ timeoutMillis: 100 })),
      watch(pool.acquire({ deadline })),
      watch(pool.acquire({ timeoutMillis: 20, deadline })),
      watch(pool.acquire({ timeoutMillis: 1000 })),
    ];
    const states = (): string => waits.map(({ state }) => state.at(0)).join('');
    await advance(19);
    expect(states()).toBe('pppp');
    await advance(1);
    expect(states()).toBe('pprp');
    await advance(30);
    expect(states()).toBe('prrp');
    await advance(50);
    expect(states()).toBe('rrrp');
    await advance(900);
    expect(states()).toBe('rrrr');
  });

  test.each<[string, { deadline?: number; timeoutMillis?: number }]>([
    ['a deadline that has passed', { deadline: -1 }],
    ['a deadline that is now', { deadline: 0 }],
    ['no time', { timeoutMillis: 0 }],
    ['less than no time', { timeoutMillis: -5 }],
    ['a time that is no number', { timeoutMillis: Number.NaN }],
  ])('refuses at once to wait with %s', async (_, { deadline, timeoutMillis }) => {
    const { pool, factory, clock, check } = harness();
    const options = { timeoutMillis, deadline: deadline === undefined ? undefined : clock.now().wall + deadline };
    expect(await errorOf(pool.acquire(options))).toMatchObject({
      code: 'ERR_POOL_ACQUIRE_TIMEOUT',
      phase: 'queued',
      timeline: [{ phase: 'queued', atMillis: 0 }],
    });
    expect(factory.calls).toEqual([]);
    expect(pool.stats()).toMatchObject({ acquireFailed: 1, waiting: 0, total: 0 });
    check();
  });

  test('hands out an idle resource whatever the deadline, since that takes no time', async () => {
    const { pool, clock } = harness();
    await pool.warm();
    expect((await pool.acquire({ deadline: clock.now().wall - 1 })).resource).toBe(1);
  });

  test('waits for ever where it is told to, as far as timers go', async () => {
    const { pool, clock } = harness({ max: 1 });
    await pool.acquire();
    const waiting = watch(pool.acquire({ timeoutMillis: Number.POSITIVE_INFINITY }));
    // A timer of Node.js set to more than 2^31 - 1 ms fires at once.
    await clock.advance(2_147_483_646);
    expect(waiting.state).toBe('pending');
    await clock.advance(1);
    expect(waiting.state).toBe('rejected');
  });

  test('refuses a signal that was aborted before', async () => {
    const { pool, factory, check } = harness();
    await pool.warm();
    const error = await errorOf(pool.acquire({ signal: AbortSignal.abort('enough') }));
    expect(error).toMatchObject({ code: 'ERR_POOL_ACQUIRE_ABORTED', cause: 'enough' });
    expect(factory.calls).toEqual(['create 1']);
    expect(pool.stats()).toMatchObject({ idle: 1, acquireFailed: 1 });
    check();
  });

  test('that cannot listen to what it was given for a signal is not left in the queue', async () => {
    const { pool, settle, check } = harness({ max: 1 });
    const lease = await pool.acquire();
    expect(await errorOf(pool.acquire({ signal: { aborted: false } as AbortSignal }))).toBeInstanceOf(TypeError);
    lease.release();
    await settle();
    expect(pool.stats()).toMatchObject({ idle: 1, leased: 0, waiting: 0 });
    check();
  });

  test('ends when its signal is aborted, and takes its listener and its timer with it', async () => {
    const { pool, clock, settle } = harness({ max: 1 });
    const lease = await pool.acquire();
    const abort = new AbortController();
    const waiting = watch(pool.acquire({ signal: abort.signal }));
    expect(clock.timers).toBe(1);
    abort.abort(new Error('changed my mind'));
    await settle();
    expect(waiting.error).toMatchObject({ code: 'ERR_POOL_ACQUIRE_ABORTED', cause: new Error('changed my mind') });
    expect(clock.timers).toBe(0);
    lease.release();
    expect(pool.stats()).toMatchObject({ idle: 1, waiting: 0 });
  });

  test('leaves no timer behind when it is served', async () => {
    const { pool, clock, settle } = harness({ max: 1 });
    const lease = await pool.acquire();
    const waiting = pool.acquire();
    lease.release();
    await waiting;
    await settle();
    expect(clock.timers).toBe(0);
  });

  test('does not end a creation: what arrives goes idle', async () => {
    const { pool, factory, settle } = harness();
    factory.hold('create');
    const abort = new AbortController();
    const waiting = watch(pool.acquire({ signal: abort.signal }));
    abort.abort();
    await settle();
    expect(waiting.state).toBe('rejected');
    expect(factory.contexts.get(1)?.signal.aborted).toBe(false);
    factory.resume('create');
    await settle();
    expect(pool.stats()).toMatchObject({ idle: 1, created: 1 });
  });

  test('keeps a resource that was granted before the abort in the same tick', async () => {
    const { pool, settle } = harness({ max: 1 });
    const lease = await pool.acquire();
    const abort = new AbortController();
    const waiting = watch(pool.acquire({ signal: abort.signal }));
    lease.release();
    abort.abort();
    await settle();
    expect(waiting.value?.resource).toBe(1);
    expect(pool.stats()).toMatchObject({ leased: 1, acquireFailed: 0 });
  });

  test('passes a resource on when the abort comes first in the same tick', async () => {
    const { pool, settle } = harness({ max: 1 });
    const lease = await pool.acquire();
    const abort = new AbortController();
    const waiting = watch(pool.acquire({ signal: abort.signal }));
    const next = watch(pool.acquire());
    abort.abort();
    lease.release();
    await settle();
    expect([waiting.state, next.state]).toEqual(['rejected', 'fulfilled']);
  });

  test('does not time out when the answer lies in the kernel already', async () => {
    const { pool, clock, settle } = harness({ max: 1, acquireTimeoutMillis: 100 });
    const lease = await pool.acquire();
    const waiting = watch(pool.acquire());
    clock.freeze(60_000, { monotonicRuns: true });
    // The overdue timer fires; before it counts, the poll delivers what the release was waiting for.
    clock.afterTurn(() => lease.release());
    await clock.turn();
    // Registered before the timer's own look at the queue: served.
    await settle();
    expect(waiting.state).toBe('fulfilled');
  });

  test('serves the next one when a waiter in front of it has gone', async () => {
    const { pool, advance, settle } = harness({ max: 1 });
    const lease = await pool.acquire();
    const gone = watch(pool.acquire({ timeoutMillis: 10 }));
    const next = watch(pool.acquire());
    await advance(10);
    lease.release();
    await settle();
    expect([gone.state, next.state]).toEqual(['rejected', 'fulfilled']);
  });
});

describe('making resources', () => {
  test('gives the failure to whoever has waited longest, and makes another for the next', async () => {
    const { pool, factory, settle } = harness({ max: 1 });
    factory.onCreate = (resource) => {
      if (resource === 1) throw new Error('refused');
      return resource;
    };
    const [first, second] = [watch(pool.acquire()), watch(pool.acquire())];
    await settle();
    expect(first.error).toMatchObject({ code: 'ERR_POOL_CREATE_FAILED', cause: new Error('refused') });
    expect(second.value?.resource).toBe(2);
    expect(pool.stats()).toMatchObject({ created: 1, createFailed: 1, acquireFailed: 1, total: 1 });
  });

  test('fails nobody while another one on its way will serve everybody who waits', async () => {
    const { pool, factory, settle } = harness();
    factory.hold('create');
    const abort = new AbortController();
    const aborted = watch(pool.acquire({ signal: abort.signal }));
    const waiting = watch(pool.acquire());
    abort.abort();
    factory.held.create[0]?.reject(new Error('refused'));
    await settle();
    expect([aborted.state, waiting.state]).toEqual(['rejected', 'pending']);
    expect(aborted.error).toMatchObject({ code: 'ERR_POOL_ACQUIRE_ABORTED' });
    factory.held.create[1]?.resolve(2);
    await settle();
    expect(waiting.value?.resource).toBe(2);
  });

  test('fails nobody when nobody waits any more', async () => {
    const { pool, factory, settle } = harness();
    factory.hold('create');
    const abort = new AbortController();
    const waiting = watch(pool.acquire({ signal: abort.signal }));
    abort.abort();
    factory.held.create[0]?.reject(new Error('refused'));
    await settle();
    expect(waiting.error).toMatchObject({ code: 'ERR_POOL_ACQUIRE_ABORTED' });
    expect(pool.stats()).toMatchObject({ total: 0, createFailed: 1, acquireFailed: 1 });
  });

  test('gives up a creation after its budget, keeps its place for a while, destroys what arrives late', async () => {
    const { pool, factory, advance, settle, trace } = harness({
      max: 1,
      createTimeoutMillis: 100,
      destroyTimeoutMillis: 50,
    });
    factory.hold('create');
    const first = watch(pool.acquire());
    await advance(99);
    expect(factory.contexts.get(1)?.signal.aborted).toBe(false);
    await advance(1);
    expect(first.error).toMatchObject({ code: 'ERR_POOL_CREATE_TIMEOUT' });
    expect(factory.contexts.get(1)?.signal.aborted).toBe(true);
    const second = watch(pool.acquire());
    await advance(49);
    expect(pool.stats()).toMatchObject({ closing: 1, creating: 0, waiting: 1 });
    await advance(1);
    expect(pool.stats()).toMatchObject({ closing: 0, creating: 1, waiting: 1 });
    factory.held.create[0]?.resolve(1);
    await settle();
    expect(factory.callsOf('destroy')).toEqual(['1 surplus']);
    expect(second.state).toBe('pending');
    factory.held.create[1]?.resolve(2);
    await settle();
    expect(second.value?.resource).toBe(2);
    expect(trace()).toContain('1 closing invalid');
  });

  test('frees the place of a creation that fails after it was given up', async () => {
    const { pool, factory, advance, settle, clock } = harness({ max: 1, createTimeoutMillis: 100 });
    factory.hold('create');
    const first = watch(pool.acquire());
    await advance(100);
    expect(first.state).toBe('rejected');
    factory.held.create[0]?.reject(new Error('aborted'));
    await settle();
    expect(pool.stats()).toMatchObject({ total: 0, created: 0, createFailed: 1 });
    expect(clock.timers).toBe(0);
  });

  test('keeps the place until a late arrival is destroyed', async () => {
    const { pool, factory, advance, settle } = harness({ max: 1, createTimeoutMillis: 100, destroyTimeoutMillis: 50 });
    factory.hold('create');
    factory.hold('destroy');
    const first = watch(pool.acquire());
    await advance(100);
    expect(first.state).toBe('rejected');
    await advance(40);
    factory.held.create[0]?.resolve(1);
    await advance(40);
    expect(pool.stats()).toMatchObject({ closing: 1, total: 1 });
    factory.resume('destroy');
    await settle();
    expect(pool.stats()).toMatchObject({ total: 0, created: 1, destroyed: { surplus: 1 } });
  });

  test('tells the factory its budget', async () => {
    const { pool, factory } = harness({ acquireTimeoutMillis: 700, createTimeoutMillis: 400 });
    await pool.acquire({ timeoutMillis: 10 });
    expect(factory.contexts.get(1)?.budgetMillis).toBe(400);
  });
});

describe('warming', () => {
  test('makes maxIdle resources, and at least one', async () => {
    const [two, none] = [harness({ maxIdle: 2 }), harness({ maxIdle: 0 })];
    await Promise.all([two.pool.warm(), none.pool.warm()]);
    expect([two.pool.stats().idle, none.pool.stats().idle]).toEqual([2, 1]);
    two.check();
    none.check();
  });

  test('makes as many as it is told, up to max', async () => {
    const { pool, check } = harness({ max: 3 });
    await pool.warm(5);
    expect(pool.stats()).toMatchObject({ idle: 3, created: 3 });
    await pool.warm(2);
    expect(pool.stats()).toMatchObject({ idle: 3, created: 3 });
    check();
  });

  test('proves what is there already when that is due, and counts as no proof itself', async () => {
    const { pool, factory, advance } = harness({ validateAfterIdleMillis: 100 });
    await pool.warm();
    await advance(60);
    await pool.warm();
    await advance(60);
    expect(factory.callsOf('validate')).toEqual([]);
    await pool.acquire();
    expect(factory.callsOf('validate')).toEqual(['1']);
  });

  test('fails with the first error once every attempt has ended, and keeps what it has made', async () => {
    const { pool, factory, settle } = harness({ max: 3 });
    factory.hold('create');
    const warming = watch(pool.warm(3));
    factory.held.create[1]?.reject(new Error('refused'));
    await settle();
    expect(warming.state).toBe('pending');
    factory.resume('create');
    await settle();
    expect(warming.error).toMatchObject({ code: 'ERR_POOL_CREATE_FAILED' });
    expect(pool.stats()).toMatchObject({ idle: 2, leased: 0 });
  });

  test('is limited like any acquire', async () => {
    const { pool, factory, advance } = harness();
    factory.hold('create');
    const warming = watch(pool.warm(2, { timeoutMillis: 50 }));
    await advance(50);
    expect(warming.error).toMatchObject({ code: 'ERR_POOL_ACQUIRE_TIMEOUT' });
  });
});
