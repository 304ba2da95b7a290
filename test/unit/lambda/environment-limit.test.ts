// One thread stands for many here: each limit below is what a thread would have, and they know nothing of each other.
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { EnvironmentLimit } from '../../../src/lambda/environment-limit.ts';
import { holdName, Line } from '../../../src/lambda/kernel-name.ts';
import { type Lease, Pool, type PoolOptions } from '../../../src/pool/index.ts';
import { deferred } from '../../support/deferred.ts';

let lastName = 0;
/** Of this test, and of no other: the kernel's names are the whole machine's. */
let name = '';
beforeEach(() => {
  lastName += 1;
  name = `test-${process.pid}-${lastName}`;
});

/** A pool of numbers that keeps the limit as a connector does. */
interface Member {
  readonly pool: Pool<number>;
  /** What its creations have said, in order. */
  readonly phases: [phase: string, why: unknown][];
  /** Resolves when a creation has begun to wait. */
  waits(): Promise<void>;
}

let open = 0;
let peak = 0;
const members: Pool<number>[] = [];
afterEach(async () => {
  // A test that has failed may hold a lease, for which close() would wait.
  for (const pool of members.splice(0)) {
    const closed = pool.close();
    if (pool.stats().leased === 0) await closed;
  }
  open = 0;
  peak = 0;
});

function member(limit: number, options: PoolOptions & { env?: Record<string, string> } = {}): Member {
  const { env = {}, ...poolOptions } = options;
  const permits = new Map<number, () => void>();
  const phases: Member['phases'] = [];
  const watchers = new Set<() => void>();
  let made = 0;
  const pool: Pool<number> = new Pool<number>(
    {
      create: async (context) => {
        const giveBack = await limiter.take({
          ...context,
          phase: (phase, why) => {
            phases.push([phase, why]);
            context.phase(phase, why);
            for (const watcher of watchers) watcher();
          },
        });
        if (context.signal.aborted) {
          giveBack();
          throw context.signal.reason;
        }
        open += 1;
        peak = Math.max(peak, open);
        made += 1;
        permits.set(made, giveBack);
        return made;
      },
      validate: () => true,
      reset: () => !limiter.wanted(),
      destroy: (resource) => {
        open -= 1;
        permits.get(resource)?.();
      },
    },
    { name, max: 100, maxIdle: 100, validateAfterIdleMillis: 60_000, acquireTimeoutMillis: 50_000, ...poolOptions },
  );
  const limiter = new EnvironmentLimit({ limit, pool, env });
  members.push(pool);
  const waits = async (): Promise<void> => {
    if (phases.length > 0) return;
    await new Promise<void>((resolve) => void watchers.add(resolve));
  };
  return { pool, phases, waits };
}

const take = (pool: Pool<number>, count: number): Promise<Lease<number>[]> =>
  Promise.all(Array.from({ length: count }, () => pool.acquire()));

async function failure(promise: Promise<unknown>): Promise<Error & { code?: string }> {
  return promise.then(
    () => {
      throw new Error('It did not fail.');
    },
    (error: Error) => error,
  );
}

describe.runIf(process.platform === 'linux')('a name of the kernel’s', () => {
  it('has one holder at a time', async () => {
    const held = await holdName(name);
    expect(await holdName(name)).toBeUndefined();
    held?.release();
    const again = await holdName(name);
    expect(again).toBeDefined();
    again?.release();
  });

  it('tells those who wait that it is free, and their places in the order of their tickets', async () => {
    const held = await holdName(name, { asked: (_, answer) => answer('no'), changed: () => {} });
    const lines = [5n, 3n, 2n ** 63n].map((ticket) => new Line(name, { ticket }));
    await held?.hear();
    expect(held?.callers).toBe(3);
    expect(held?.first).toBe(3n);
    held?.release(true);
    await Promise.all(lines.map((line) => line.ended));
    expect(lines.map((line) => line.place)).toStrictEqual([1, 0, 2]);
  });

  it('ends a wait at once when nobody holds it, without a place', async () => {
    const line = new Line(name);
    await line.ended;
    expect(line.place).toBeUndefined();
    expect(await line.ask(0, 60_000)).toBe('soon');
  });

  it('carries a question to its holder and the reply back', async () => {
    const asked: number[] = [];
    const changed = deferred();
    let changes = 0;
    const held = await holdName(name, {
      asked: (question, answer) => {
        asked.push(question);
        answer(question === 7 ? 'soon' : 'no');
      },
      changed: () => {
        changes += 1;
        if (changes === 2) changed.resolve();
      },
    });
    const line = new Line(name);
    expect(await line.ask(0, 60_000)).toBe('no');
    expect(await line.ask(7, 60_000)).toBe('soon');
    expect(asked).toStrictEqual([0, 7]);
    expect(line.place).toBeUndefined();
    line.hangUp();
    await line.ended;
    await changed.promise;
    expect(held?.callers).toBe(0);
    held?.release();
  });

  it('takes silence for a no', async () => {
    const held = await holdName(name, { asked: () => {}, changed: () => {} });
    const line = new Line(name);
    expect(await line.ask(0, 1)).toBe('no');
    line.hangUp();
    held?.release();
  });
});

describe.runIf(process.platform === 'linux')('the limit of an environment', () => {
  it('lets as many be open as it says, whoever has them, and tells who must wait why', async () => {
    const [one, two] = [member(3), member(3)];
    await take(one.pool, 2);
    await take(two.pool, 1);
    expect([...one.phases, ...two.phases]).toStrictEqual([]);
    const controller = new AbortController();
    const waiting = [one.pool.acquire({ signal: controller.signal }), two.pool.acquire({ signal: controller.signal })];
    await Promise.all([one.waits(), two.waits()]);
    expect(one.phases).toMatchObject([
      [
        'maxPerEnvironment 3 reached, 2 held here, 1 by other threads',
        { code: 'ERR_POOL_ENVIRONMENT_LIMIT', message: expect.stringContaining('All 3 connections') as string },
      ],
    ]);
    expect(one.pool.stats()).toMatchObject({ total: 3, leased: 2, creating: 1 });
    expect(two.phases[0]?.[0]).toBe('maxPerEnvironment 3 reached, 1 held here, 2 by other threads');
    controller.abort();
    await Promise.all(waiting.map(failure));
  });

  it('hands a place on to whoever waits, however it was given back', async () => {
    const [one, two] = [member(1), member(1)];
    const [released] = await take(one.pool, 1);
    const first = two.pool.acquire();
    await two.waits();
    released?.release();
    const lease = await first;
    const second = one.pool.acquire();
    await one.waits();
    lease.destroy();
    (await second).release();
    expect(peak).toBe(1);
  });

  it('serves first who has waited longest', async () => {
    const holder = member(1);
    const [held] = await take(holder.pool, 1);
    const order: number[] = [];
    const waiting: Promise<void>[] = [];
    for (const place of [1, 2, 3, 4, 5]) {
      const next = member(1);
      waiting.push(
        next.pool.acquire().then((lease) => {
          order.push(place);
          lease.release();
        }),
      );
      await next.waits();
    }
    held?.release();
    await Promise.all(waiting);
    expect(order).toStrictEqual([1, 2, 3, 4, 5]);
    expect(peak).toBe(1);
  });

  it('gives one place to one of those who wait when several come free at once', async () => {
    const [one, two] = [member(3), member(3)];
    const leases = await take(one.pool, 3);
    const waiting = two.pool.acquire();
    await two.waits();
    for (const lease of leases) lease.destroy();
    await waiting;
    await take(one.pool, 2);
    expect(open).toBe(3);
    expect(peak).toBe(3);
  });

  it('keeps a place for nobody who has given up', async () => {
    const [one, two] = [member(1), member(1, { maxIdle: 0 })];
    const [held] = await take(one.pool, 1);
    const controller = new AbortController();
    const waiting = two.pool.acquire({ signal: controller.signal });
    await two.waits();
    controller.abort();
    expect((await failure(waiting)).code).toBe('ERR_POOL_ACQUIRE_ABORTED');
    await two.pool.freeze();
    held?.destroy();
    await take(one.pool, 1);
    expect(two.pool.stats()).toMatchObject({ total: 0, created: 0 });
  });

  it('takes nobody’s connection, and nobody’s turn, for somebody who has been served otherwise', async () => {
    const [one, two, three] = [member(2), member(2), member(2)];
    const [busy] = await take(one.pool, 1);
    const [lease] = await take(two.pool, 1);
    const waiting = two.pool.acquire();
    await two.waits();
    lease?.release();
    await waiting;
    busy?.release();
    // Whoever has the turn is first.
    await three.pool.acquire();
    expect(one.pool.stats()).toMatchObject({ total: 0, created: 1 });
    expect(two.pool.stats()).toMatchObject({ leased: 1, creating: 1, created: 1, createFailed: 0 });
    await two.pool.freeze();
    expect(two.pool.stats()).toMatchObject({ leased: 1, creating: 0, createFailed: 0 });
  });

  it('wakes a creation that sleeps when somebody needs it again', async () => {
    const [one, two] = [member(2), member(2)];
    const [busy] = await take(one.pool, 1);
    const [lease] = await take(two.pool, 1);
    const waiting = two.pool.acquire();
    await two.waits();
    lease?.release();
    await waiting;
    await new Promise((resolve) => setImmediate(resolve));
    const again = two.pool.acquire();
    busy?.release();
    await again;
    expect(two.pool.stats()).toMatchObject({ leased: 2, created: 2, createFailed: 0 });
  });

  it('fails nobody who asks just as a connection turns out not to be needed', async () => {
    const [one, two] = [member(2), member(2)];
    const [busy] = await take(one.pool, 1);
    const [lease] = await take(two.pool, 1);
    const waiting = two.pool.acquire();
    await two.waits();
    lease?.release();
    const served = await waiting;
    // In every turn from here to where the creation has been given up.
    const later: Promise<Lease<number>>[] = [];
    for (let turn = 0; turn < 5; turn += 1) {
      later.push(two.pool.acquire());
      await new Promise((resolve) => setImmediate(resolve));
    }
    served.release();
    for (const next of later) (await next).release();
    busy?.release();
    expect(peak).toBe(2);
  });

  it('has an idle connection closed for somebody who waits, one that must be proven alive first too', async () => {
    for (const validateAfterIdleMillis of [60_000, 0]) {
      const [hoarder, other] = [member(3, { validateAfterIdleMillis }), member(3)];
      await hoarder.pool.warm(3);
      await take(other.pool, 1);
      expect(hoarder.pool.stats()).toMatchObject({ total: 2, idle: 2 });
      await hoarder.pool.close();
      await other.pool.freeze();
      members.length = 0;
      name += '-again';
    }
  });

  it('has a connection closed after a while for which its own pool has use', async () => {
    const [busy, other] = [member(1), member(1)];
    const over = new AbortController();
    const call = async (): Promise<void> => {
      while (!over.signal.aborted) {
        const lease = await busy.pool.acquire();
        await new Promise((resolve) => setImmediate(resolve));
        lease.release();
      }
    };
    const calls = [call(), call(), call()];
    const lease = await other.pool.acquire();
    over.abort();
    lease.release();
    await Promise.all(calls);
    expect(peak).toBe(1);
  });

  it('watches more places than it keeps lines to', async () => {
    const limit = 70;
    const warnings: string[] = [];
    const onWarning = (warning: Error): void => void warnings.push(warning.message);
    process.on('warning', onWarning);
    const [one, two] = [member(limit), member(limit)];
    // The places are taken, and watched, in their order.
    vi.spyOn(Math, 'random').mockReturnValue(0);
    const leases = await take(one.pool, limit);
    for (const lease of [leases.at(-1), leases[0]]) {
      const waiting = two.pool.acquire();
      await two.waits();
      two.phases.length = 0;
      lease?.destroy();
      await waiting;
    }
    expect(peak).toBe(limit);
    process.off('warning', onWarning);
    expect(warnings).toStrictEqual([]);
  });

  it('is one for each name', async () => {
    const one = member(1);
    name += '-other';
    const two = member(1);
    await take(one.pool, 1);
    await take(two.pool, 1);
    expect(open).toBe(2);
  });
});

describe('a platform without the kernel’s names', () => {
  afterEach(() => void vi.unstubAllGlobals());
  const elsewhere = (): void => void vi.stubGlobal('process', { ...process, platform: 'darwin', pid: process.pid });

  it('needs none where there is one thread', async () => {
    elsewhere();
    const { pool } = member(1);
    (await pool.acquire()).release();
    expect(pool.stats().idle).toBe(1);
  });

  it('refuses to open what it cannot count where there are several', async () => {
    elsewhere();
    const { pool } = member(1, { env: { AWS_LAMBDA_MAX_CONCURRENCY: '10' } });
    const error = await failure(pool.acquire());
    expect(error.code).toBe('ERR_POOL_INVALID_OPTION');
    expect(error.message).toContain('maxPerEnvironment (1) cannot be kept over several threads on darwin');
  });
});
