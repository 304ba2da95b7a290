import { describe, expect, it } from 'vitest';
import type { PoolEvent, PoolOptions } from '../../../src/pool/index.ts';
import { Fold } from '../../../src/telemetry/fold.ts';
import { type Harness, harness } from '../pool/harness.ts';

interface Folding extends Harness {
  /** What has happened since the last call. */
  take(always?: boolean): Readonly<Record<string, unknown>> | undefined;
  details(): Readonly<Record<string, number>> | undefined;
}

function folding(options: PoolOptions = {}): Folding {
  const made = harness(options);
  const fold = new Fold(made.pool.stats(), () => 0.999);
  made.pool.observe((event) => fold.hear(event));
  return {
    ...made,
    take: (always = false) => fold.take(made.pool.stats(), always)?.values,
    details: () => fold.take(made.pool.stats(), true)?.details,
  };
}

/** One invocation of a pool that keeps one connection. */
async function warm(options: PoolOptions = {}): Promise<Folding> {
  const fold = folding({ validateAfterIdleMillis: 1000, ...options });
  await fold.pool.warm();
  fold.take();
  return fold;
}

describe('a fold', () => {
  it('has what an invocation did, and nothing that it did not', async () => {
    const { pool, take } = folding();
    const lease = await pool.acquire();
    lease.release();
    expect(take()).toEqual({
      AcquireCount: 1,
      AcquireWaitTime: [0],
      ConnectCount: 1,
      ConnectTime: [0],
      ConnectionsOpen: 1,
      ConnectionsIdle: 1,
      ConnectionsLeased: 1,
      ConnectionsWaiting: 1,
    });
  });

  it('begins anew when it is taken', async () => {
    const { pool, take } = await warm();
    expect(take()).toEqual({ ConnectionsOpen: 1, ConnectionsIdle: 1, ConnectionsLeased: 0 });
    (await pool.acquire()).release();
    expect(take()).toMatchObject({ AcquireCount: 1, AcquireWaitTime: [0] });
    expect(take()).toEqual({ ConnectionsOpen: 1, ConnectionsIdle: 1, ConnectionsLeased: 0 });
  });

  it('counts from where it began', async () => {
    const { pool } = harness();
    await pool.warm();
    const fold = new Fold(pool.stats());
    expect(fold.take(pool.stats(), false)?.values).toEqual({
      ConnectionsOpen: 1,
      ConnectionsIdle: 1,
      ConnectionsLeased: 0,
    });
  });

  it('has a value for each wait and each connect', async () => {
    const { pool, factory, clock, take } = folding({ max: 2 });
    factory.hold('create');
    const leases = [pool.acquire(), pool.acquire()];
    await clock.advance(30);
    factory.resume('create');
    for (const lease of await Promise.all(leases)) lease.release();
    (await pool.acquire()).release();
    expect(take()).toMatchObject({
      AcquireCount: 3,
      AcquireWaitTime: [30, 30, 0],
      ConnectCount: 2,
      ConnectTime: [30, 30],
      ConnectionsWaiting: 2,
      ConnectionsLeased: 2,
      ConnectionsOpen: 2,
      ConnectionsIdle: 2,
    });
  });

  it('has the most of what there was at one time', async () => {
    const { pool, take } = folding({ max: 5, maxIdle: 1 });
    const leases = await Promise.all([pool.acquire(), pool.acquire(), pool.acquire()]);
    for (const lease of leases) lease.release();
    (await pool.acquire()).release();
    await pool.freeze();
    expect(take()).toMatchObject({ ConnectionsOpen: 3, ConnectionsLeased: 3, ConnectionsIdle: 1, EvictedSurplus: 2 });
    expect(take()).toMatchObject({ ConnectionsOpen: 1, ConnectionsLeased: 0, ConnectionsIdle: 1 });
  });

  it('has the most that waited, not the last', async () => {
    const { pool, take } = folding({ max: 2 });
    const leases = await Promise.all([pool.acquire(), pool.acquire()]);
    const waiting = pool.acquire();
    for (const lease of leases) lease.release();
    (await waiting).release();
    expect(take()).toMatchObject({ ConnectionsWaiting: 2 });
    expect(take()).not.toHaveProperty('ConnectionsWaiting');
  });

  it('counts connections that came one after the other as one at a time', async () => {
    const { pool, settle, take } = folding();
    for (let count = 0; count < 3; count += 1) {
      (await pool.acquire()).destroy();
      await settle();
    }
    expect(take()).toMatchObject({ ConnectCount: 3, ConnectionsOpen: 1 });
    expect(take()).toBeUndefined();
  });

  it('carries over what is still in use', async () => {
    const { pool, take, settle } = folding();
    const lease = await pool.acquire();
    take();
    expect(take()).toMatchObject({ ConnectionsOpen: 1, ConnectionsLeased: 1, ConnectionsIdle: 0 });
    lease.destroy();
    expect(take()).toMatchObject({ ConnectionsLeased: 1, EvictedBroken: 1 });
    await settle();
    take();
    expect(take(true)).toMatchObject({ ConnectionsLeased: 0, ConnectionsOpen: 0 });
  });

  it('counts a connection that was lost in use as in use no longer', async () => {
    const { pool, factory, take } = await warm();
    await pool.acquire();
    factory.break(1);
    take();
    expect(take(true)).toMatchObject({ ConnectionsLeased: 0 });
    (await pool.acquire()).release();
    expect(take()).toMatchObject({ ConnectionsLeased: 1 });
  });

  it('has the freeze and the proof of life after it', async () => {
    const { pool, clock, take, factory } = await warm();
    factory.hold('validate');
    clock.freeze(60_000, { monotonicRuns: false });
    const thawed = pool.thaw(60_000);
    await clock.advance(3);
    factory.resume('validate');
    await clock.turn();
    await thawed;
    expect(take()).toEqual({
      FrozenTime: [60_000],
      PingCount: 1,
      PingTime: [3],
      ConnectionsOpen: 1,
      ConnectionsIdle: 1,
      ConnectionsLeased: 0,
    });
  });

  it('has a failed proof of life, and what came in its place', async () => {
    const { pool, factory, take } = await warm({ validateAfterIdleMillis: 0 });
    factory.onValidate = (resource) => resource > 1;
    (await pool.acquire()).release();
    const values = take();
    expect(values).toMatchObject({ PingCount: 1, FailedProofsOfLife: 1, EvictedInvalid: 1, ConnectCount: 1 });
    expect(values).not.toHaveProperty('PingTime');
  });

  it('says nothing of a freeze that took no time, or of which nobody knows', async () => {
    const { pool, take, clock } = await warm();
    for (const gap of [0, undefined]) {
      const thawed = pool.thaw(gap);
      await clock.turn();
      await thawed;
    }
    expect(take()).not.toHaveProperty('FrozenTime');
  });

  it('tells timeouts from other failures', async () => {
    const { pool, clock, take } = folding({ max: 1, acquireTimeoutMillis: 100 });
    await pool.acquire();
    const controller = new AbortController();
    const failed = Promise.allSettled([pool.acquire(), pool.acquire({ signal: controller.signal })]);
    controller.abort();
    await clock.advance(100);
    await failed;
    expect(take()).toMatchObject({ AcquireFailures: 2, AcquireTimeouts: 1, ConnectionsWaiting: 2 });
    expect(take()).not.toHaveProperty('AcquireTimeouts');
  });

  it('counts connections that could not be made', async () => {
    const { pool, factory, take } = folding();
    factory.onCreate = () => Promise.reject(new Error('nobody there'));
    await pool.acquire().catch(() => {});
    expect(take()).toMatchObject({ ConnectFailures: 1, AcquireFailures: 1, ConnectionsOpen: 1, ConnectionsIdle: 0 });
  });

  it('counts leaks', async () => {
    const { pool, take } = folding();
    const owner = {};
    await pool.acquire({ owner });
    pool.reclaim(owner);
    expect(take()).toMatchObject({ LeaksReclaimed: 1 });
  });

  it.each([
    ['expired', 'EvictedExpired'],
    ['idle', 'EvictedIdle'],
    ['broken', 'EvictedBroken'],
    ['invalid', 'EvictedInvalid'],
    ['stale-credentials', 'EvictedStaleCredentials'],
    ['surplus', 'EvictedSurplus'],
    ['closed', 'EvictedClosed'],
  ] as const)('counts what is closed as %s as %s', async (reason, name) => {
    const { pool, take } = await warm();
    pool.evict(reason);
    expect(take()).toEqual({ [name]: 1, ConnectionsOpen: 1, ConnectionsIdle: 0, ConnectionsLeased: 0 });
  });

  it.each([
    ['pin', 'Pins'],
    ['fallback', 'Fallbacks'],
    ['credentials-renewed', 'CredentialsRenewed'],
    ['connect-retried', 'Retries'],
    ['statement-retried', 'Retries'],
    ['transaction-retried', 'Retries'],
  ])('counts the note %s as %s', async (note, name) => {
    const { pool, take } = await warm();
    pool.note(note, 'a detail');
    pool.note(note);
    expect(take()).toMatchObject({ [name]: 2 });
    expect(take()).not.toHaveProperty(name);
  });

  it('tells in its details what was retried', async () => {
    const { pool, details } = await warm();
    for (const note of ['connect-retried', 'statement-retried', 'statement-retried', 'transaction-retried', 'pin']) {
      pool.note(note);
    }
    expect(details()).toEqual({ connectRetries: 1, statementRetries: 2, transactionRetries: 1 });
    expect(details()).toEqual({});
  });

  it('passes over notes that it does not know', async () => {
    const { pool, take } = await warm();
    pool.note('something-else');
    pool.note('constructor');
    expect(take()).toEqual({ ConnectionsOpen: 1, ConnectionsIdle: 1, ConnectionsLeased: 0 });
  });

  it('is nothing where nothing has happened and nothing is open', async () => {
    const { pool, clock, take } = folding();
    expect(take()).toBeUndefined();
    const thawed = pool.thaw(60_000);
    await clock.turn();
    await thawed;
    await pool.freeze();
    expect(take()).toBeUndefined();
    expect(take(true)).toEqual({ ConnectionsOpen: 0, ConnectionsIdle: 0, ConnectionsLeased: 0 });
  });

  it('makes nothing of events of kinds that come later', () => {
    const { pool } = harness();
    const fold = new Fold(pool.stats());
    expect(() => fold.hear({ type: 'not yet known' } as unknown as PoolEvent)).not.toThrow();
  });
});
