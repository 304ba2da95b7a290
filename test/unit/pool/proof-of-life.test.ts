import { describe, expect, test } from 'vitest';
import { watch } from '../../support/deferred.ts';
import { harness } from './harness.ts';

describe('proving', () => {
  test('asks nothing of a resource that has answered within validateAfterIdleMillis', async () => {
    const { pool, factory, advance } = harness({ validateAfterIdleMillis: 100 });
    for (let n = 0; n < 5; n += 1) {
      await pool.use(() => undefined);
      await advance(99);
    }
    expect(factory.calls).toEqual(['create 1']);
  });

  test('proves one that has been silent for longer, before anybody has it', async () => {
    const { pool, factory, advance, trace } = harness({ validateAfterIdleMillis: 100 });
    await pool.warm();
    await advance(100);
    expect(pool.tryAcquire()).toBeUndefined();
    const before = trace().length;
    await pool.acquire();
    expect(trace().slice(before)).toEqual(['queued', '1 validating', '1 validated', '1 leased', '1 acquired']);
    expect(factory.callsOf('validate')).toEqual(['1']);
    expect(pool.stats()).toMatchObject({ validated: 1, invalidated: 0 });
  });

  test('proves each time when validateAfterIdleMillis is 0, once for each acquire', async () => {
    const { pool, factory, settle } = harness({ validateAfterIdleMillis: 0, max: 1 });
    (await pool.acquire()).release();
    (await pool.acquire()).release();
    const lease = await pool.acquire();
    const waiting = watch(pool.acquire());
    lease.release();
    await settle();
    // Handed straight to the waiter, it has answered just now.
    expect(waiting.state).toBe('fulfilled');
    expect(factory.callsOf('validate')).toEqual(['1', '1']);
  });

  test('counts a release as an answer unless it is told otherwise', async () => {
    const { pool, factory, advance } = harness({ validateAfterIdleMillis: 100 });
    const lease = await pool.acquire();
    await advance(90);
    lease.release();
    await advance(90);
    const again = await pool.acquire();
    expect(factory.callsOf('validate')).toEqual([]);
    await advance(90);
    again.release({ proven: false });
    await pool.acquire();
    expect(factory.callsOf('validate')).toEqual(['1']);
  });

  test('proves one that was released unproven before it serves a waiter with it', async () => {
    const { pool, factory, settle } = harness({ max: 1 });
    const lease = await pool.acquire();
    const waiting = watch(pool.acquire());
    lease.release({ proven: false });
    await settle();
    expect(waiting.state).toBe('fulfilled');
    expect(factory.callsOf('validate')).toEqual(['1']);
  });

  test.each<[string, () => boolean | Promise<boolean>]>([
    ['says no', () => false],
    [
      'throws',
      () => {
        throw new Error('dead');
      },
    ],
    ['rejects', () => Promise.reject(new Error('dead'))],
  ])('replaces one whose proof %s, inside the same acquire', async (_, onValidate) => {
    const { pool, factory, advance, settle } = harness({ validateAfterIdleMillis: 100, max: 1 });
    await pool.warm();
    await advance(100);
    factory.onValidate = onValidate;
    const waiting = watch(pool.acquire());
    await settle();
    expect(waiting.value?.resource).toBe(2);
    expect(factory.callsOf('destroy')).toEqual(['1 invalid']);
    expect(pool.stats()).toMatchObject({ invalidated: 1, epoch: 1, acquired: 2 });
  });

  test('gives a silent one up after its budget and aborts the question', async () => {
    const { pool, factory, advance } = harness({ validateAfterIdleMillis: 100, validateTimeoutMillis: 30, max: 1 });
    await pool.warm();
    await advance(100);
    let signal: AbortSignal | undefined;
    factory.onValidate = (_, context) => {
      signal = context.signal;
      return new Promise(() => undefined);
    };
    const waiting = watch(pool.acquire());
    await advance(29);
    expect([waiting.state, signal?.aborted]).toEqual(['pending', false]);
    await advance(1);
    expect([waiting.value?.resource, signal?.aborted]).toEqual([2, true]);
  });

  test('starts a replacement at once, however long the dead one takes to go', async () => {
    const { pool, factory, advance, settle } = harness({ validateAfterIdleMillis: 100, max: 2 });
    await pool.warm();
    await advance(100);
    factory.onValidate = () => false;
    factory.hold('destroy');
    const waiting = watch(pool.acquire());
    await settle();
    expect(waiting.value?.resource).toBe(2);
    expect(pool.stats()).toMatchObject({ closing: 1, leased: 1 });
  });

  test('starts a replacement at once behind a failed reset as well', async () => {
    const { pool, factory, settle } = harness({ reset: true, max: 2 });
    const lease = await pool.acquire();
    factory.hold('reset');
    factory.hold('destroy');
    lease.release();
    const waiting = watch(pool.acquire());
    await settle();
    expect(factory.made).toBe(1);
    factory.held.reset[0]?.resolve(false);
    await settle();
    expect(waiting.value?.resource).toBe(2);
  });

  test('raises the epoch once though three proofs fail', async () => {
    const { pool, factory, advance, settle, trace } = harness({ validateAfterIdleMillis: 100 });
    await pool.warm(3);
    await advance(100);
    factory.onValidate = () => false;
    const waits = [1, 2, 3].map(() => watch(pool.acquire()));
    await settle();
    expect(waits.map(({ value }) => value?.resource)).toEqual([4, 5, 6]);
    expect(trace().filter((line) => line.startsWith('epoch'))).toEqual(['epoch 1 failed-proof']);
    expect(pool.stats()).toMatchObject({ invalidated: 3, epoch: 1 });
  });

  test('makes the rest of its generation suspect with the first that fails', async () => {
    const { pool, factory, settle, advance } = harness({ validateAfterIdleMillis: 100, max: 3 });
    const [a, b, c] = await Promise.all([pool.acquire(), pool.acquire(), pool.acquire()]);
    a.release();
    await advance(99);
    b.release();
    c.release();
    await advance(1);
    // 2 and 3 have answered 1 ms ago; 1 has not for 100 ms, and is looked at because it lies on top.
    const [d, e] = [await pool.acquire(), await pool.acquire()];
    factory.onValidate = (resource) => resource !== 1;
    const waiting = watch(pool.acquire());
    await settle();
    expect(waiting.value?.resource).toBe(4);
    d.release();
    e.release();
    expect(pool.tryAcquire()).toBeUndefined();
    await pool.acquire();
    expect(factory.callsOf('validate')).toEqual(['1', '2']);
  });

  test('asks again when the epoch was raised between question and answer', async () => {
    const { pool, factory, advance, settle } = harness({ validateAfterIdleMillis: 100, max: 1 });
    await pool.warm();
    await advance(100);
    factory.hold('validate');
    const waiting = watch(pool.acquire());
    void pool.thaw();
    factory.held.validate[0]?.resolve(true);
    await settle();
    expect(waiting.state).toBe('pending');
    factory.held.validate[1]?.resolve(true);
    await settle();
    expect(waiting.value?.resource).toBe(1);
    expect(pool.stats().validated).toBe(2);
  });

  test('blames no new generation for a proof that was asked for in an old one', async () => {
    const { pool, factory, advance, settle } = harness({ validateAfterIdleMillis: 100, max: 1 });
    await pool.warm();
    await advance(100);
    factory.hold('validate');
    const waiting = watch(pool.acquire());
    void pool.thaw();
    factory.held.validate[0]?.resolve(false);
    await settle();
    expect(pool.stats().epoch).toBe(1);
    expect(waiting.value?.resource).toBe(2);
  });

  test('hears a late answer of nobody', async () => {
    const { pool, factory, advance, settle } = harness({ validateAfterIdleMillis: 100, validateTimeoutMillis: 30 });
    await pool.warm();
    await advance(100);
    factory.hold('validate');
    const waiting = watch(pool.acquire());
    await advance(30);
    expect(waiting.value?.resource).toBe(2);
    factory.held.validate[0]?.resolve(true);
    await settle();
    expect(pool.stats()).toMatchObject({ validated: 0, invalidated: 1, total: 1 });
  });
});

describe('the budget of a proof', () => {
  /** A pool with one idle resource whose proofs are answered by hand, and the budgets they were given. */
  async function asked(validateTimeoutMillis: number) {
    const all = harness({ validateAfterIdleMillis: 1000, validateTimeoutMillis, maxLifetimeMillis: 0, max: 1 });
    const { pool, factory, advance } = all;
    await pool.warm();
    const budgets: number[] = [];
    const answers: ((alive: boolean) => void)[] = [];
    factory.onValidate = (_, { budgetMillis }) => {
      budgets.push(budgetMillis);
      return new Promise((resolve) => void answers.push(resolve));
    };
    const answer = (): void => answers.pop()?.(true);
    const ping = async (roundTrip: number): Promise<void> => {
      await advance(1000);
      const waiting = pool.acquire();
      await advance(roundTrip);
      answer();
      (await waiting).release();
    };
    return { ...all, budgets, answer, ping };
  }

  test('is the ceiling at first and shrinks to a few round trips', async () => {
    const { budgets, ping } = await asked(250);
    for (const roundTrip of [40, 40, 40]) await ping(roundTrip);
    expect(budgets).toEqual([250, 120, 100]);
  });

  test.each([
    ['a round trip', [40, 1], 120],
    ['none that can be measured', [0, 99], 50],
    ['one measured over a freeze', [3_600_000], 250],
    ['endless time', [Number.POSITIVE_INFINITY], 250],
    ['no number', [Number.NaN, 40], 120],
    ['less than nothing', [-1, 40], 120],
  ])('learns from the making, which has shown %s', async (_, roundTrips, budget) => {
    const { pool, factory, advance } = harness({ validateAfterIdleMillis: 10 });
    factory.onCreate = (resource, context) => {
      for (const millis of roundTrips) context.roundTrip(millis);
      return resource;
    };
    const budgets: number[] = [];
    factory.onValidate = (_resource, { budgetMillis }) => {
      budgets.push(budgetMillis);
      return true;
    };
    await pool.warm();
    for (const _pass of [1, 2]) {
      await advance(10);
      (await pool.acquire()).release();
    }
    expect(budgets[0]).toBe(budget);
    expect(budgets[1]).toBeLessThanOrEqual(250);
  });

  test('learns nothing from an answer that lay in the kernel through a freeze', async () => {
    const { pool, clock, budgets, answer, ping } = await asked(250);
    await ping(20);
    void pool.thaw();
    clock.freeze(3_600_000, { monotonicRuns: true });
    void pool.thaw(3_600_000);
    answer();
    await clock.turn();
    await ping(20);
    await ping(20);
    expect(budgets).toEqual([250, 60, 60, 50]);
  });

  test('counts an answer that came in the nick of time as no longer than the ceiling', async () => {
    const { pool, clock, advance, budgets, answer, ping } = await asked(100);
    await advance(1000);
    const first = watch(pool.acquire());
    // A pause of 90 s that nobody took for a freeze; the answer is there when the loop polls.
    clock.freeze(90_000, { monotonicRuns: true });
    clock.afterTurn(answer);
    await clock.turn();
    expect(first.state).toBe('fulfilled');
    first.value?.release();
    for (let n = 0; n < 30; n += 1) await ping(10);
    expect(budgets.at(-1)).toBeLessThan(100);
  });
});

describe('broken resources', () => {
  test('leave the idle ones at once and make the others suspect', async () => {
    const { pool, factory, settle, trace } = harness();
    await pool.warm(2);
    factory.break(2);
    expect(pool.stats()).toMatchObject({ idle: 1, closing: 1, epoch: 1, destroyed: { broken: 1 } });
    await settle();
    expect(trace()).toContain('epoch 1 failed-proof');
    await pool.acquire();
    expect(factory.callsOf('validate')).toEqual(['1']);
  });

  test('end the lease they are out on, whose holder may still release it once', async () => {
    const { pool, factory, settle } = harness();
    const lease = await pool.acquire();
    const error = new Error('reset by peer');
    factory.break(1, error);
    expect(lease.held).toBe(false);
    // What it was is still there to look at; using it fails with its own error.
    expect(lease.resource).toBe(1);
    lease.release();
    expect(() => lease.release()).toThrow(expect.objectContaining({ code: 'ERR_POOL_DOUBLE_RELEASE' }));
    await settle();
    expect(factory.callsOf('destroy')).toEqual(['1 broken']);
    expect(pool.stats()).toMatchObject({ total: 0, released: 0, epoch: 1 });
  });

  test('may be given up by their holder without being destroyed twice', async () => {
    const { pool, factory, settle } = harness();
    const lease = await pool.acquire();
    factory.break(1);
    lease.destroy(new Error('I saw it too'));
    await settle();
    expect(factory.callsOf('destroy')).toEqual(['1 broken']);
  });

  test('keep nobody waiting behind them', async () => {
    const { pool, factory, settle } = harness({ max: 1 });
    await pool.acquire();
    const waiting = watch(pool.acquire());
    factory.break(1);
    await settle();
    expect(waiting.value?.resource).toBe(2);
  });

  test('end their proof, which is not waited for any more', async () => {
    const { pool, factory, advance, settle, clock } = harness({ validateAfterIdleMillis: 100, max: 1 });
    await pool.warm();
    await advance(100);
    let signal: AbortSignal | undefined;
    factory.onValidate = (_, context) => {
      signal = context.signal;
      return new Promise(() => undefined);
    };
    const waiting = watch(pool.acquire());
    factory.break(1);
    expect(signal?.aborted).toBe(true);
    await settle();
    expect(waiting.value?.resource).toBe(2);
    expect(pool.stats()).toMatchObject({ validated: 0, invalidated: 0, destroyed: { broken: 1 } });
    expect(clock.timers).toBe(0);
  });

  test('end their reset, which a freeze does not wait for any more', async () => {
    const { pool, factory, settle } = harness({ reset: true });
    let signal: AbortSignal | undefined;
    factory.onReset = (_, context) => {
      signal = context.signal;
      return new Promise(() => undefined);
    };
    (await pool.acquire()).release();
    const frozen = watch(pool.freeze());
    await settle();
    expect(frozen.state).toBe('pending');
    factory.break(1);
    await settle();
    expect(frozen.state).toBe('fulfilled');
    expect(signal?.aborted).toBe(true);
  });

  test('that are dead on arrival are a failed creation, so that nobody goes round in circles', async () => {
    const { pool, factory, settle } = harness({ max: 1 });
    const error = new Error('hung up');
    factory.onCreate = (resource, context) => {
      context.broken(error);
      return resource;
    };
    const waits = [watch(pool.acquire()), watch(pool.acquire())];
    await settle();
    expect(factory.calls).toEqual(['create 1', 'destroy 1 broken', 'create 2', 'destroy 2 broken']);
    expect(waits[0]?.error).toMatchObject({
      code: 'ERR_POOL_CREATE_FAILED',
      message: 'Could not make a resource: hung up. See ERR_POOL_CREATE_FAILED.',
      cause: error,
    });
    expect(waits[1]?.state).toBe('rejected');
    expect(pool.stats()).toMatchObject({ epoch: 0, total: 0, created: 2, createFailed: 0, destroyed: { broken: 2 } });
  });

  test('are believed once, and not at all once they are gone', async () => {
    const { pool, factory, settle } = harness();
    await pool.warm(2);
    factory.break(1);
    factory.break(1);
    await settle();
    factory.break(1);
    expect(pool.stats()).toMatchObject({ epoch: 1, idle: 1, destroyed: { broken: 1 } });
    await pool.close();
    factory.break(2);
    expect(pool.stats()).toMatchObject({ epoch: 1, destroyed: { broken: 1, closed: 1 } });
  });

  test('raise no epoch that has been raised since they were proven', async () => {
    const { pool, factory, settle } = harness();
    await pool.warm(3);
    factory.break(1);
    factory.break(2);
    await settle();
    expect(pool.stats()).toMatchObject({ epoch: 1, idle: 1 });
  });

  test('make what was leased meanwhile suspect when it comes back', async () => {
    const { pool, factory, settle } = harness({ max: 2 });
    const [a] = await Promise.all([pool.acquire(), pool.acquire()]);
    factory.break(2);
    await settle();
    a.release();
    expect(pool.tryAcquire()).toBeUndefined();
    await pool.acquire();
    expect(factory.callsOf('validate')).toEqual(['1']);
  });
});

describe('age', () => {
  test('discards unasked what has been idle for idleTimeoutMillis', async () => {
    const { pool, factory, advance } = harness({ idleTimeoutMillis: 1000 });
    await pool.warm(2);
    await advance(1000);
    expect((await pool.acquire()).resource).toBe(3);
    expect(factory.callsOf('validate')).toEqual([]);
    await advance(0);
    expect(factory.callsOf('destroy')).toEqual(['2 idle', '1 idle']);
  });

  test('discards unasked what is past its lifetime', async () => {
    const { pool, factory, advance } = harness({ maxLifetimeMillis: 1000, validateAfterIdleMillis: 10_000 });
    await pool.warm();
    await advance(999);
    expect(pool.tryAcquire()?.release()).toBeUndefined();
    expect(pool.stats().idle).toBe(1);
    await advance(1);
    expect(pool.tryAcquire()).toBeUndefined();
    await advance(0);
    expect(factory.callsOf('destroy')).toEqual(['1 expired']);
  });

  test('spreads lifetimes by the jitter', async () => {
    const randoms = [0.5, 0.999_999];
    const { pool, factory, advance } = harness({
      maxLifetimeMillis: 1000,
      lifetimeJitter: 0.2,
      validateAfterIdleMillis: 10_000,
      random: () => randoms.shift() ?? 0,
    });
    await pool.warm(2);
    await advance(800);
    expect(pool.tryAcquire()).toBeDefined();
    await advance(1);
    // 2 had 800.0002 ms and is leased; 1 has 900.
    expect(pool.tryAcquire()?.resource).toBe(1);
    expect(factory.calls).toEqual(['create 1', 'create 2']);
  });

  test('counts a lifetime from the arrival, not from the first attempt', async () => {
    const { pool, factory, advance } = harness({ maxLifetimeMillis: 1000, validateAfterIdleMillis: 10_000 });
    factory.hold('create');
    const waiting = pool.acquire();
    await advance(900);
    factory.resume('create');
    (await waiting).release();
    await advance(999);
    expect(pool.tryAcquire()).toBeDefined();
  });
});
