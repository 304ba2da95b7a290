// Observers and factories are somebody else's code, called in the middle of things: they may call the pool back, and throw.
import { describe, expect, test } from 'vitest';
import type { PoolEvent } from '../../../src/pool/events.ts';
import type { Lease } from '../../../src/pool/lease.ts';
import { Pool } from '../../../src/pool/pool.ts';
import { type Watched, watch } from '../../support/deferred.ts';
import { FakeClock } from '../../support/fake-clock.ts';
import { type Harness, harness, NumberFactory } from './harness.ts';

/** Runs `act` once, inside the first event that fits. */
function during(pool: Pool<number>, fits: (event: PoolEvent) => boolean, act: () => void): void {
  const stop = pool.observe((event) => {
    if (!fits(event)) return;
    stop();
    act();
  });
}

const is =
  (type: PoolEvent['type']) =>
  (event: PoolEvent): boolean =>
    event.type === type;
const to =
  (state: string) =>
  (event: PoolEvent): boolean =>
    event.type === 'transition' && event.to === state;

describe('an observer that throws', () => {
  test('reaches no request, is said once, and keeps no other observer from hearing', async () => {
    const { pool, warnings, check } = harness();
    const heard: string[] = [];
    pool.observe(() => {
      throw new Error('mine');
    });
    pool.observe(({ type }) => void heard.push(type));
    (await pool.acquire()).release();
    expect(warnings).toEqual(['An observer of the pool threw and was ignored (said once): Error: mine']);
    expect(heard).toEqual(['queued', 'transition', 'created', 'transition', 'acquired', 'released', 'transition']);
    check();
  });

  test('does no harm where the warning throws as well, or cannot be put into words', async () => {
    const { pool, check } = harness({
      onWarning: () => {
        throw new Error('mine too');
      },
    });
    pool.observe(() => {
      throw Object.create(null);
    });
    (await pool.acquire()).release();
    expect(pool.stats().idle).toBe(1);
    check();
  });

  test('is not needed: a pool that nobody hears does the same', async () => {
    const clock = new FakeClock();
    const factory = new NumberFactory();
    const pool = new Pool<number>(factory, { max: 1, clock, createTimeoutMillis: 50, destroyTimeoutMillis: 50 });
    const owner = {};
    const lease = await pool.acquire({ owner });
    const waits = [watch(pool.acquire({ timeoutMillis: 10 })), watch(pool.acquire())];
    await clock.advance(10);
    pool.reclaim(owner);
    await clock.advance(0);
    expect([lease.held, ...waits.map(({ state }) => state)]).toEqual([false, 'rejected', 'fulfilled']);
    waits[1]?.value?.destroy();
    factory.hold('create');
    const late = watch(pool.acquire());
    await clock.advance(100);
    factory.resume('create');
    await clock.advance(0);
    expect(late.error).toMatchObject({ code: 'ERR_POOL_CREATE_TIMEOUT' });
    await pool.warm();
    void pool.thaw();
    await clock.turn();
    factory.onValidate = () => false;
    void pool.thaw();
    await clock.turn();
    await pool.freeze();
    await pool.close();
    expect(pool.stats()).toMatchObject({
      ...{ total: 0, acquired: 3, released: 3, created: 3, createFailed: 1, acquireFailed: 2, reclaimed: 1 },
      ...{ validated: 2, invalidated: 1, epoch: 3 },
      destroyed: { broken: 1, surplus: 1, invalid: 1 },
    });
    expect([...factory.destroyed.values()]).toEqual([1, 1, 1]);
  });

  test('hears nothing any more once it has stopped', async () => {
    const { pool } = harness();
    let count = 0;
    const stop = pool.observe(() => void (count += 1));
    await pool.warm();
    const before = count;
    stop();
    await pool.warm();
    expect(count).toBe(before);
  });

  test('hears nothing of the event in which another has it stopped, nor does one that it adds', async () => {
    const { pool } = harness();
    const heard: string[] = [];
    let stopped = false;
    const first = pool.observe(({ type }) => {
      heard.push(`first ${type}`);
      if (stopped || type !== 'acquired') return;
      stopped = true;
      second();
      pool.observe((event) => void heard.push(`third ${event.type}`));
    });
    const second = pool.observe(({ type }) => void heard.push(`second ${type}`));
    await pool.warm();
    const from = heard.indexOf('first acquired');
    expect(heard[from - 1]).toBe('second transition');
    expect(heard.slice(from)).toEqual([
      'first acquired',
      'first released',
      'third released',
      'first transition',
      'third transition',
    ]);
    first();
  });

  test('hears each event once, however often it was added, and none once it was stopped', async () => {
    const { pool } = harness();
    let releases = 0;
    const observer = ({ type }: PoolEvent): void => void (releases += Number(type === 'released'));
    const stops = [pool.observe(observer), pool.observe(observer)];
    await pool.warm();
    expect(releases).toBe(1);
    stops[0]?.();
    await pool.warm();
    expect(releases).toBe(1);
  });
});

describe('an observer that acquires', () => {
  const kinds = [
    'queued',
    'creating',
    'created',
    'leased',
    'acquired',
    'released',
    'idle',
    'validated',
    'closing',
    'gone',
  ];

  test.each(kinds)('at "%s" is served, within max', async (kind) => {
    const all = harness({ max: 2, validateAfterIdleMillis: 100 });
    const { pool, advance } = all;
    let inner: Watched<Lease<number>> | undefined;
    const act = (): void => void (inner = watch(pool.acquire()));
    during(pool, (event) => event.type === kind || to(kind)(event), act);
    await useEverything(all);
    expect(inner?.state).toBe('fulfilled');
    if (inner?.value?.held) inner.value.release();
    await advance(1000);
    expect(pool.stats()).toMatchObject({ leased: 0, waiting: 0, creating: 0, validating: 0, closing: 0 });
  });

  test.each(kinds)('ever again at "%s" never makes more than max', async (kind) => {
    const all = harness({ max: 3, validateAfterIdleMillis: 100, acquireTimeoutMillis: 500 });
    const { pool, advance } = all;
    const inner: Watched<Lease<number>>[] = [];
    let left = 10;
    pool.observe((event) => {
      if (left === 0 || !(event.type === kind || to(kind)(event))) return;
      left -= 1;
      inner.push(watch(pool.acquire()));
    });
    await useEverything(all);
    for (let n = 0; n < 20; n += 1) {
      for (const { value } of inner) if (value?.held) value.release();
      await advance(100);
    }
    expect(inner.length).toBeGreaterThan(0);
    expect(inner.every(({ state }) => state !== 'pending')).toBe(true);
  });
});

/** An acquire, a proof, a failure, a destruction, with somebody waiting. */
async function useEverything({ pool, factory, advance }: Harness): Promise<void> {
  const [a, b] = await Promise.all([pool.acquire(), pool.acquire()].map((promise) => watchedLease(promise, advance)));
  a?.release();
  await advance(0);
  b?.release();
  await advance(150);
  const c = watch(pool.acquire());
  await advance(0);
  factory.break(1);
  await advance(0);
  if (c.value?.held) c.value.release();
  await advance(0);
}

async function watchedLease(
  promise: Promise<Lease<number>>,
  advance: (millis: number) => Promise<void>,
): Promise<Lease<number> | undefined> {
  const watched = watch(promise);
  for (let n = 0; n < 10 && watched.state === 'pending'; n += 1) await advance(0);
  return watched.value;
}

describe('a resource that is reported dead in the middle of something', () => {
  test.each([
    'created',
    'idle',
    'leased',
    'acquired',
    'released',
    'validating',
    'validated',
    'epoch',
    'closing',
    'gone',
  ])('at "%s" is destroyed once and used by nobody', async (kind) => {
    const all = harness({ max: 1, validateAfterIdleMillis: 100 });
    const { pool, factory, advance } = all;
    during(
      pool,
      (event) => event.type === kind || to(kind)(event),
      () => factory.break(1),
    );
    const first = watch(pool.acquire());
    await advance(0);
    if (first.value?.held) first.value.release();
    await advance(100);
    void pool.thaw();
    await advance(0);
    const second = watch(pool.acquire());
    await advance(0);
    second.value?.destroy();
    await advance(0);
    expect(factory.destroyed.get(1)).toBe(1);
    const third = watch(pool.acquire());
    await advance(0);
    expect(third.value?.resource).toBeGreaterThan(1);
  });

  test.each<[string, boolean | Promise<boolean> | Error]>([
    ['true', true],
    ['false', false],
    ['an error', new Error('no')],
    ['true later', Promise.resolve(true)],
    ['false later', Promise.resolve(false)],
  ])('inside its own reset, which then answers %s, is destroyed once', async (_, answer) => {
    const { pool, factory, settle } = harness({ reset: true, max: 1 });
    factory.onReset = (resource) => {
      if (resource === 1) factory.break(resource);
      if (answer instanceof Error) throw answer;
      return answer;
    };
    const lease = await pool.acquire();
    const waiting = watch(pool.acquire());
    lease.release();
    await settle();
    expect(factory.callsOf('destroy')).toEqual(['1 broken']);
    expect(waiting.value?.resource).toBe(2);
  });

  test('inside its own reset, which then rejects, leaves no rejection unheard', async () => {
    const { pool, factory, settle } = harness({ reset: true });
    factory.onReset = (resource) => {
      factory.break(resource);
      return Promise.reject(new Error('broken'));
    };
    (await pool.acquire()).release();
    await settle();
    expect(factory.callsOf('destroy')).toEqual(['1 broken']);
  });

  test.each([true, false])('inside its own proof, which then answers %s, is destroyed once', async (alive) => {
    const { pool, factory, advance, settle } = harness({ max: 1, validateAfterIdleMillis: 100 });
    await pool.warm();
    await advance(100);
    factory.onValidate = (resource) => {
      factory.break(resource);
      return alive;
    };
    const waiting = watch(pool.acquire());
    await settle();
    expect(factory.callsOf('destroy')).toEqual(['1 broken']);
    expect(waiting.value?.resource).toBe(2);
  });

  test('inside its own destruction is not destroyed again', async () => {
    const { pool, factory, settle } = harness();
    factory.onDestroy = (resource) => factory.break(resource);
    const lease = await pool.acquire();
    lease.destroy();
    await settle();
    expect(factory.callsOf('destroy')).toEqual(['1 broken']);
  });

  test('with others on the same wire, by the destruction of the first, is destroyed once', async () => {
    for (const end of ['freeze', 'close', 'thaw'] as const) {
      const { pool, factory, settle, clock } = harness({ maxIdle: end === 'thaw' ? 4 : 0, idleTimeoutMillis: 10 });
      await pool.warm(4);
      factory.onDestroy = () => {
        for (const resource of [1, 2, 3, 4]) factory.break(resource);
      };
      if (end === 'thaw') clock.jumpWall(10);
      void pool[end]();
      await settle();
      expect([...factory.destroyed.values()]).toEqual([1, 1, 1, 1]);
      expect(pool.stats().total).toBe(0);
    }
  });

  test('makes the others suspect before anybody hears that it is leaving', async () => {
    const { pool, factory, check } = harness();
    await pool.warm(2);
    const lease = await pool.acquire();
    let inside: Lease<number> | undefined;
    during(pool, to('closing'), () => void (inside = pool.tryAcquire()));
    factory.break(2);
    expect([lease.held, inside, pool.stats().idle]).toEqual([false, undefined, 1]);
    check();
  });

  test('by the reset of another leaves that one suspect, which is asked before it serves anybody', async () => {
    const { pool, factory, settle } = harness({ reset: true, max: 2 });
    const [first] = [await pool.acquire(), await pool.acquire()];
    factory.hold('create');
    const waiting = watch(pool.acquire());
    factory.onReset = () => {
      factory.break(2);
      return true;
    };
    first?.release();
    expect(pool.stats()).toMatchObject({ validating: 1, leased: 0 });
    await settle();
    expect([waiting.value?.resource, factory.callsOf('validate')]).toEqual([1, ['1']]);
  });

  test('while its lease is released by an observer goes to nobody', async () => {
    const { pool, factory, settle } = harness({ max: 1 });
    const lease = await pool.acquire();
    const waiting = watch(pool.acquire());
    during(pool, is('epoch'), () => lease.release());
    factory.break(1);
    await settle();
    expect(factory.callsOf('destroy')).toEqual(['1 broken']);
    expect(waiting.value?.resource).toBe(2);
  });
});

describe('a pool that is called from inside', () => {
  test('by a factory that acquires while it makes one stays within max', async () => {
    const { pool, factory, settle } = harness({ max: 3 });
    const inner: Watched<Lease<number>>[] = [];
    let left = 5;
    factory.onCreate = (resource) => {
      if (left === 0) return resource;
      left -= 1;
      inner.push(watch(pool.acquire()));
      return resource;
    };
    const outer = watch(pool.acquire());
    await settle();
    expect(pool.stats()).toMatchObject({ total: 3, leased: 3, waiting: 1 });
    expect(outer.state).toBe('fulfilled');
    expect(inner.filter(({ state }) => state === 'fulfilled')).toHaveLength(2);
  });

  test('by an observer and a factory that both acquire stays within max', async () => {
    const { pool, factory, settle } = harness({ max: 3 });
    let left = 4;
    const another = (): void => {
      if (left === 0) return;
      left -= 1;
      void watch(pool.acquire());
    };
    // Two wait before anything is made for either, so that there is more than one to make at once.
    during(pool, is('queued'), another);
    factory.onCreate = (resource) => {
      another();
      return resource;
    };
    void watch(pool.acquire());
    await settle();
    expect(factory.made).toBe(3);
    expect(pool.stats()).toMatchObject({ total: 3, leased: 3, waiting: 2 });
  });

  test.each(['creating', 'created', 'create-failed'])(
    'by an observer that closes it at "%s" comes to an end',
    async (kind) => {
      const { pool, factory, settle } = harness();
      if (kind === 'create-failed') factory.onCreate = () => Promise.reject(new Error('refused'));
      let closed: Watched<void> | undefined;
      during(
        pool,
        (event) => event.type === kind || to(kind)(event),
        () => void (closed = watch(pool.close())),
      );
      const abort = new AbortController();
      const waiting = watch(pool.acquire({ signal: abort.signal }));
      abort.abort();
      await settle();
      expect(waiting.state).toBe('rejected');
      expect(closed?.state).toBe('fulfilled');
      expect(pool.stats().total).toBe(0);
    },
  );

  test.each(['freeze', 'close'] as const)(
    'by an observer that wants %s of a creation that is only beginning',
    async (end) => {
      const { pool, factory, settle } = harness();
      const abort = new AbortController();
      let ended: Watched<void> | undefined;
      during(pool, to('creating'), () => {
        abort.abort();
        ended = watch(pool[end]());
      });
      const waiting = watch(pool.acquire({ signal: abort.signal }));
      await settle();
      expect([waiting.state, ended?.state]).toEqual(['rejected', 'fulfilled']);
      expect(factory.calls).toEqual([]);
      expect(pool.stats().total).toBe(0);
    },
  );

  test('by a factory that wants a freeze while it makes one gives that one up', async () => {
    const { pool, factory, settle } = harness();
    const abort = new AbortController();
    factory.onCreate = (resource) => {
      abort.abort();
      void pool.freeze();
      return resource;
    };
    const waiting = watch(pool.acquire({ signal: abort.signal }));
    await settle();
    expect(waiting.state).toBe('rejected');
    expect(factory.calls).toEqual(['create 1', 'destroy 1 surplus']);
    expect(pool.stats()).toMatchObject({ total: 0, created: 1 });
  });

  test('by an observer that freezes it at a timeout of a creation frees the place once', async () => {
    const { pool, factory, advance } = harness({ max: 1, createTimeoutMillis: 20, destroyTimeoutMillis: 10 });
    factory.hold('create');
    during(pool, is('create-failed'), () => void pool.freeze());
    const first = watch(pool.acquire());
    await advance(20);
    const second = watch(pool.acquire());
    await advance(10);
    expect([first.state, second.state]).toEqual(['rejected', 'pending']);
    expect(pool.stats()).toMatchObject({ total: 1, creating: 1 });
  });

  test('by a destruction that closes it destroys each once and refuses from then on', async () => {
    const { pool, factory, settle } = harness();
    await pool.warm(3);
    let refused: Watched<Lease<number>> | undefined;
    factory.onDestroy = () => {
      void pool.close();
      refused ??= watch(pool.acquire());
    };
    const closed = watch(pool.close());
    await settle();
    expect(closed.state).toBe('fulfilled');
    expect(refused?.error).toMatchObject({ code: 'ERR_POOL_CLOSED' });
    expect([...factory.destroyed.values()]).toEqual([1, 1, 1]);
  });

  test('by a destruction that takes the next one keeps its hands off what is leased', async () => {
    for (const end of ['freeze', 'thaw'] as const) {
      const { pool, factory, settle, clock } = harness({
        maxIdle: 0,
        idleTimeoutMillis: 50,
        validateAfterIdleMillis: 0,
      });
      const leases: Watched<Lease<number>>[] = [];
      await pool.warm(2);
      if (end === 'thaw') clock.jumpWall(50);
      factory.onDestroy = () => void (leases.length === 0 && leases.push(watch(pool.acquire())));
      void pool[end]();
      await settle();
      expect(leases[0]?.state).toBe('fulfilled');
      expect(factory.destroyed.has(leases[0]?.value?.resource ?? 0)).toBe(false);
    }
  });

  test('by an observer of a reclaim that releases the same lease gives it back once', async () => {
    const { pool, check } = harness();
    const owner = {};
    const lease = await pool.acquire({ owner });
    during(pool, is('reclaimed'), () => lease.release());
    expect(pool.reclaim(owner)).toBe(1);
    expect(pool.stats()).toMatchObject({ idle: 1, released: 1, reclaimed: 1 });
    check();
  });

  test('by an observer of a release that reclaims gives it back once', async () => {
    const { pool, check } = harness();
    const owner = {};
    const lease = await pool.acquire({ owner });
    during(pool, is('released'), () => void pool.reclaim(owner));
    lease.release();
    expect(pool.stats()).toMatchObject({ idle: 1, released: 1, reclaimed: 0 });
    check();
  });

  test('by a destruction that aborts the acquire which has caused it fails that one at once', async () => {
    const { pool, factory, advance, settle } = harness({ idleTimeoutMillis: 100, max: 1 });
    await pool.warm();
    await advance(100);
    const abort = new AbortController();
    factory.onDestroy = () => abort.abort('enough');
    const refused = watch(pool.acquire({ signal: abort.signal }));
    const next = watch(pool.acquire());
    await settle();
    expect(refused.error).toMatchObject({ code: 'ERR_POOL_ACQUIRE_ABORTED', cause: 'enough' });
    expect([next.value?.resource, pool.stats().acquireFailed]).toEqual([2, 1]);
  });

  test('by whoever hears that a wait was aborted serves the next in order', async () => {
    const { pool, settle } = harness({ max: 1 });
    const lease = await pool.acquire();
    const abort = new AbortController();
    const gone = watch(pool.acquire({ signal: abort.signal }));
    const next = watch(pool.acquire());
    during(pool, is('acquire-failed'), () => lease.release());
    abort.abort();
    await settle();
    expect([gone.state, next.state]).toEqual(['rejected', 'fulfilled']);
  });
});

describe('a destruction that fails', () => {
  test.each<[string, () => Promise<void>]>([
    [
      'at once',
      () => {
        throw new Error('no goodbye');
      },
    ],
    ['later', () => Promise.reject(new Error('no goodbye'))],
  ])('%s frees the place, and the event says so', async (_, onDestroy) => {
    const { pool, factory, settle, events } = harness({ max: 1 });
    factory.onDestroy = onDestroy;
    const lease = await pool.acquire();
    const waiting = watch(pool.acquire());
    lease.destroy();
    await settle();
    expect(waiting.value?.resource).toBe(2);
    expect(events).toContainEqual({
      type: 'transition',
      slot: 1,
      from: 'closing',
      to: 'gone',
      error: new Error('no goodbye'),
    });
  });
});
