// The strategies of docs/strategies.md, each by the settings that are named there.

import { type CreatePoolOptions, type PgPool, withPool } from 'thawpool';
import { describe, expect, it } from 'vitest';
import { makeContext } from './invocations.ts';
import { failure, until, useDatabase, usePools } from './support.ts';

const database = useDatabase();
const makePool = usePools(() => ({ connectionString: database.connectionString }));

/** A pool with settings out of the environment, as the page gives them. */
const poolOf = (env: Record<string, string>, options: CreatePoolOptions = {}): PgPool =>
  makePool({ env, ...options }).pool;

/** Runs so many statements at once in one invocation, and tells which sessions answered. */
const invoke = (pool: PgPool, atOnce: number): Promise<(number | undefined)[]> =>
  withPool(
    async (_event: object, { db }) => {
      const leases = await Promise.all(Array.from({ length: atOnce }, () => db.acquire()));
      const pids = leases.map(async ({ client }) => {
        const { rows } = await client.query<{ pid: number }>('select pg_backend_pid() as pid');
        return rows[0]?.pid;
      });
      const all = await Promise.all(pids);
      for (const lease of leases) lease.release();
      return all;
    },
    { pool },
  )({}, makeContext());

describe('no pool', () => {
  it('keeps nothing over a freeze, and connects each time', async () => {
    const pool = poolOf({ THAWPOOL_MAX_IDLE: '0' });
    const [first] = await invoke(pool, 1);
    expect(pool.stats()).toMatchObject({ total: 0, created: 1 });
    expect(await invoke(pool, 1)).not.toEqual([first]);
  });
});

describe('one connection that persists', () => {
  it('serves everything in turn, invocation after invocation', async () => {
    const pool = poolOf({ THAWPOOL_MAX: '1' });
    const first = await invoke(pool, 1);
    const queries = Array.from({ length: 5 }, () => pool.query<{ pid: number }>('select pg_backend_pid() as pid'));
    expect(pool.stats()).toMatchObject({ total: 1, leased: 1, waiting: 4 });
    const pids = (await Promise.all(queries)).map(({ rows }) => rows[0]?.pid);
    expect(new Set([...first, ...pids, ...(await invoke(pool, 1))]).size).toBe(1);
    expect(pool.stats()).toMatchObject({ created: 1, idle: 1 });
  });
});

describe('a fixed number of connections', () => {
  const fixed = { THAWPOOL_MAX: '3', THAWPOOL_MAX_IDLE: '3' };

  it('stays open over freezes, all of it', async () => {
    const pool = poolOf(fixed);
    const first = await invoke(pool, 3);
    expect(new Set(first).size).toBe(3);
    expect(new Set(await invoke(pool, 3))).toEqual(new Set(first));
    expect(pool.stats()).toMatchObject({ created: 3, idle: 3, total: 3 });
  });

  it('is opened ahead of need where that is asked for, and not before', async () => {
    const pool = poolOf(fixed);
    expect(pool.stats()).toMatchObject({ total: 0 });
    await pool.warm(3);
    expect(pool.stats()).toMatchObject({ idle: 3 });
    expect(await database.sessions()).toHaveLength(3);
  });

  it('is made of connections whose age counts nevertheless', async () => {
    const pool = poolOf(fixed, { maxUses: 1 });
    const first = await invoke(pool, 3);
    for (const pid of await invoke(pool, 3)) expect(first).not.toContain(pid);
  });
});

describe('a soft limit with overflow', () => {
  const dynamic = { THAWPOOL_MAX_IDLE: '2', THAWPOOL_MAX: '4', THAWPOOL_ACQUIRE_TIMEOUT_MS: '30000' };

  it('grows to the hard limit, has further callers wait, and shrinks at the end of the invocation', async () => {
    const pool = poolOf(dynamic);
    const held = await Promise.all(Array.from({ length: 4 }, () => pool.acquire()));
    const fifth = pool.acquire();
    await until(pool, () => pool.stats().waiting === 1);
    expect(pool.stats()).toMatchObject({ total: 4, leased: 4 });
    held[0]?.release();
    (await fifth).release();
    for (const lease of held.slice(1)) lease.release();
    expect(pool.stats()).toMatchObject({ idle: 4, created: 4 });
    await invoke(pool, 1);
    expect(pool.stats()).toMatchObject({ idle: 2, total: 2, destroyed: { surplus: 2 } });
  });

  it('is one connection and three unless told, with a wait that ends', async () => {
    const pool = poolOf({ THAWPOOL_ACQUIRE_TIMEOUT_MS: '50' });
    expect(pool.stats()).toMatchObject({ max: 4, maxIdle: 1 });
    await pool.warm(4);
    const held = await Promise.all(Array.from({ length: 4 }, () => pool.acquire()));
    expect(await failure(pool.acquire())).toMatchObject({ code: 'ERR_POOL_ACQUIRE_TIMEOUT' });
    for (const lease of held) lease.release();
  });
});
