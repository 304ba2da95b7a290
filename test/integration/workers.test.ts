/**
 * `maxPerEnvironment` with real worker threads, each with a module scope and so a pool of its own, as on Lambda Managed
 * Instances. Their sockets are counted where they are opened and closed, which misses no moment.
 */
import type { CreatePoolOptions } from 'thawpool';
import { describe, expect, inject, it } from 'vitest';
import { startChaosProxy } from '../lab/chaos-proxy.ts';
import { type PoolWorker, useWorkers, type WorkerError } from './fixtures/worker-pool.ts';
import { through, useDatabase, useProxy } from './support.ts';

const database = useDatabase();
const proxy = useProxy();
const workers = useWorkers();

const limit = 5;
const limited = (options: CreatePoolOptions = {}): CreatePoolOptions => ({
  connectionString: through(proxy().port, database.connectionString),
  max: limit,
  maxIdle: limit,
  maxPerEnvironment: limit,
  // Whatever does not run out on purpose must not do so on a loaded machine, nor become doubtful.
  acquireTimeoutMillis: 50_000,
  validateAfterIdleMillis: 60_000,
  ...options,
});

const start = (count: number, options?: CreatePoolOptions): Promise<PoolWorker[]> =>
  Promise.all(Array.from({ length: count }, () => workers.start(limited(options))));

async function two(options?: CreatePoolOptions): Promise<[PoolWorker, PoolWorker]> {
  const [first, second] = await start(2, options);
  if (first === undefined || second === undefined) throw new Error('Two were asked for.');
  return [first, second];
}

async function refused(promise: Promise<unknown>): Promise<WorkerError> {
  return promise.then(
    () => {
      throw new Error('It did not fail.');
    },
    (error: WorkerError) => error,
  );
}

describe('the limit', () => {
  it('holds at every moment over four workers that could each have four, and every query is answered', async () => {
    const four = await start(4, { max: 4, maxIdle: 4 });
    const answers = await Promise.all(four.map((worker) => worker.ask('queries', 12)));
    expect(answers).toStrictEqual([240, 240, 240, 240]);
    expect(workers.sockets().peak).toBe(limit);
    expect(proxy().snapshot().opened).toBeGreaterThanOrEqual(limit);
  });

  it('is a share of the process: without it each worker has its own', async () => {
    const { maxPerEnvironment: _, ...options } = limited({ max: 4, maxIdle: 4 });
    const four = await Promise.all(Array.from({ length: 4 }, () => workers.start(options)));
    await Promise.all(four.map((worker) => worker.ask('warm', 4)));
    expect(workers.sockets().peak).toBe(16);
    const loaded = (await Promise.all(four.map((worker) => worker.ask('loaded')))) as string[][];
    expect(loaded.flat().filter((url) => /environment-limit|kernel-name|give-up-idle/.test(url))).toStrictEqual([]);
    expect(loaded[0]?.some((url) => url.endsWith('/src/create-pool.ts'))).toBe(true);
  });

  it('is the smaller of max and maxPerEnvironment where there is one thread', async () => {
    const worker = await workers.start(limited({ max: 4, maxIdle: 2, maxPerEnvironment: 2 }));
    expect((await worker.stats()).max).toBe(2);
    await worker.ask('warm', 2);
    expect(await worker.stats()).toMatchObject({ total: 2, idle: 2 });
  });

  it('counts pools of different names apart', async () => {
    const reads = await workers.start(limited({ name: 'reads' }));
    const writes = await workers.start(limited({ name: 'writes' }));
    await reads.ask('acquire', limit);
    await writes.ask('acquire', limit);
    expect(workers.sockets()).toStrictEqual({ open: 10, peak: 10 });
  });
});

describe('a worker that has idle connections', () => {
  it('gives one up when another worker waits, and keeps the rest', async () => {
    const [hoarder, other] = await two();
    await hoarder.ask('warm', limit);
    await other.ask('query');
    expect((await hoarder.stats()).idle).toBe(limit - 1);
    expect(workers.sockets()).toStrictEqual({ open: limit, peak: limit });
  });

  it('gives up one that has been silent for so long that it is proven alive first', async () => {
    const [hoarder, other] = await two({ validateAfterIdleMillis: 0 });
    await hoarder.ask('warm', limit);
    await other.ask('query');
    expect((await hoarder.stats()).total).toBe(limit - 1);
  });

  it('gives up one that turns out to be dead, and makes no other in its place', async () => {
    const [hoarder, other] = await two({ validateAfterIdleMillis: 0 });
    await hoarder.ask('warm', limit);
    proxy().blackhole();
    await other.ask('query');
    expect(await hoarder.stats()).toMatchObject({ total: limit - 1, creating: 0, created: limit, invalidated: 1 });
  });

  it('gives up one that is overdue', async () => {
    const [hoarder, other] = await two({ idleTimeoutMillis: 1 });
    await hoarder.ask('warm', limit);
    await other.ask('query');
    expect((await hoarder.stats()).destroyed.idle).toBeGreaterThanOrEqual(1);
    expect((await hoarder.stats()).created).toBe(limit);
  });

  it('tells the server goodbye', async () => {
    const [hoarder, other] = await two();
    await hoarder.ask('warm', limit);
    const before = proxy().snapshot();
    await other.ask('query');
    await proxy().until((counts) => counts.open === limit);
    expect(proxy().since(before).frontend['Terminate']).toBe(1);
  });
});

describe('a worker that uses every connection', () => {
  it('lets another have one after a while, although its own callers wait', async () => {
    const [busy, other] = await two();
    await busy.ask('load', 2 * limit);
    await other.ask('query');
    expect(await busy.ask('endLoad')).toBeGreaterThan(0);
    expect(workers.sockets().peak).toBe(limit);
  });

  it('lets another have one when it is released', async () => {
    const [busy, other] = await two();
    await busy.ask('acquire', limit);
    const waiting = other.ask('query');
    await other.ask('creating');
    await busy.ask('release', 1);
    await waiting;
    expect(await busy.stats()).toMatchObject({ leased: limit - 1, idle: 0 });
  });

  it('makes another run out of time with an error that names the limit and who holds it', async () => {
    const [busy, other] = await two();
    await busy.ask('acquire', limit - 1);
    await other.ask('acquire', 1);
    const error = await refused(other.ask('acquireWithin', 1500));
    expect(error.code).toBe('ERR_POOL_ACQUIRE_TIMEOUT');
    expect(error.message).toContain('maxPerEnvironment 5 reached, 1 held here, 4 by other threads');
    expect(error.because).toContain('All 5 connections that maxPerEnvironment allows to this process are taken');
    await busy.ask('release', 1);
    await other.ask('query');
    expect(workers.sockets().peak).toBe(limit);
  });
});

describe('a connection that cannot be made', () => {
  it('takes no place once that is certain', async () => {
    const nowhere = Object.assign(new URL(database.connectionString), { pathname: '/nowhere' }).toString();
    const failing = await workers.start(limited({ connectionString: nowhere }));
    const errors = await Promise.all([1, 2].map(() => refused(failing.ask('query'))));
    expect(errors.map(({ code }) => code)).toStrictEqual(Array(2).fill('ERR_POOL_CONNECT_DATABASE'));
    const [other] = await start(1);
    await other?.ask('acquire', limit);
    expect(workers.sockets()).toStrictEqual({ open: limit, peak: limit });
  });

  it('takes no place once connecting has lasted too long', async () => {
    const one = { max: 1, maxIdle: 1, maxPerEnvironment: 1 };
    const hanging = await workers.start(limited({ ...one, acquireTimeoutMillis: 200 }));
    const other = await workers.start(limited(one));
    proxy().hold('toClient');
    expect((await refused(hanging.ask('query'))).code).toBe('ERR_POOL_ACQUIRE_TIMEOUT');
    // The next caller of the one that has given up counts on a connection that is not made any more, and is told so.
    expect((await refused(hanging.ask('query'))).code).toMatch(/ERR_POOL_(CREATE|ACQUIRE)_TIMEOUT/);
    proxy().letGo();
    await other.ask('acquireWithin', 50_000);
    expect(workers.sockets().peak).toBe(1);
  });
});

describe('a pool that is ended', () => {
  it('leaves its share to the others', async () => {
    const [ended, other] = await two();
    await ended.ask('warm', limit);
    await ended.ask('end');
    await other.ask('acquire', limit);
    expect(workers.sockets()).toStrictEqual({ open: limit, peak: limit });
  });
});

describe('a worker that waits', () => {
  it('wants no connection any more once its callers are served otherwise', async () => {
    const [busy, other] = await two();
    await busy.ask('acquire', limit - 1);
    await other.ask('acquire', 1);
    const waiting = other.ask('query');
    await other.ask('creating');
    await other.ask('release', 1);
    await waiting;
    await busy.ask('release', limit - 1);
    // One of its own: there is nobody left to have them all closed for.
    await busy.ask('query');
    expect((await busy.stats()).created).toBe(limit - 1);
    expect(await other.stats()).toMatchObject({ idle: 1, created: 1, createFailed: 0 });
  });
});

describe('a worker that dies', () => {
  it.each(['terminate', 'throw', 'exit', 'spin'] as const)(
    'leaves its share to the others, its connections before that: %s',
    async (how) => {
      const { host, port } = inject('postgres');
      await using own = await startChaosProxy({ targetHost: host, targetPort: port });
      const [dying, other] = await two({ connectionString: through(own.port, database.connectionString) });
      await dying.ask('acquire', limit);
      const waiting = other.ask('query');
      await other.ask('creating');
      if (how === 'spin') await dying.ask('spin');
      if (how === 'throw' || how === 'exit') void dying.ask(how).catch(() => {});
      else await dying.worker.terminate();
      await dying.gone;
      await waiting;
      await other.ask('acquire', limit);
      expect((await other.stats()).leased).toBe(limit);
      // A thread that has died counts its sockets no more: the network saw them.
      expect(own.peak).toBe(limit);
    },
  );

  it('leaves it also while it waits itself, and does not keep those behind it waiting', async () => {
    const [busy, dying] = await two();
    const last = await workers.start(limited());
    await busy.ask('acquire', limit);
    void dying.ask('query').catch(() => {});
    await dying.ask('creating');
    const waiting = last.ask('query');
    await last.ask('creating');
    await dying.worker.terminate();
    await busy.ask('release', 1);
    await waiting;
    expect((await last.stats()).total).toBe(1);
  });
});
