// Whose async context things run in, what is published, and how a pool ends with its block.

import { AsyncLocalStorage, createHook, executionAsyncId, triggerAsyncId } from 'node:async_hooks';
import { execFile } from 'node:child_process';
import { subscribe, unsubscribe } from 'node:diagnostics_channel';
import { once } from 'node:events';
import { createPool, type PoolEvent } from 'thawpool';
import { describe, expect, it } from 'vitest';
import { useDatabase, usePools } from './support.ts';

const database = useDatabase();
const makePool = usePools(() => ({ connectionString: database.connectionString }));
/** Runs a script in a process of its own, to its end. */
const run = (script: string): Promise<string> =>
  new Promise((resolve, reject) => {
    const args = ['--conditions=@thawpool/source', '--input-type=module', '-e', script];
    const env = { PATH: process.env['PATH'], URL: database.connectionString };
    execFile(process.execPath, args, { env, timeout: 30_000 }, (error, stdout) => {
      if (error instanceof Error) reject(error);
      else resolve(stdout);
    });
  });

const store = new AsyncLocalStorage<string>();

/** What is in the store where a callback is called. */
const called = (begin: (callback: () => void) => unknown): Promise<string | undefined> =>
  new Promise((resolve) => void begin(() => resolve(store.getStore())));

describe('the async context', () => {
  it('is the caller’s after each kind of wait, whoever made the connection', async () => {
    const { pool } = makePool({ max: 1 });
    // Another request's connection.
    await store.run('first', () => pool.query('select 1'));
    const held = await store.run('holder', () => pool.connect());
    const names = ['a', 'b', 'c'];
    const waiting = names.map((name) =>
      store.run(name, async () => {
        await pool.query('select 1');
        return store.getStore();
      }),
    );
    const lent = store.run('d', async () => {
      const client = await pool.connect();
      const before = store.getStore();
      await client.query('select 1');
      client.release();
      return [before, store.getStore()];
    });
    const working = store.run('e', () =>
      pool.transaction(async (tx) => {
        const before = store.getStore();
        await tx.query('select 1');
        return [before, store.getStore(), await tx.transaction(() => store.getStore())];
      }),
    );
    const rows = store.run('f', async () => {
      const seen = [];
      for await (const _ of pool.iterate('select generate_series(1, 3)', [], { batchSize: 1 }))
        seen.push(store.getStore());
      return seen;
    });
    store.run('holder', () => held.release());
    expect(await Promise.all(waiting)).toEqual(names);
    expect(await lent).toEqual(['d', 'd']);
    expect(await working).toEqual(['e', 'e', 'e']);
    expect(await rows).toEqual(['f', 'f', 'f']);
  });

  it('is the caller’s in callbacks', async () => {
    const { pool } = makePool({ max: 1 });
    await store.run('first', () => pool.query('select 1'));
    const seen = store.run('mine', async () => [
      await called((callback) => pool.query('select 1', callback)),
      await called((callback) => pool.query('select $1', ['x'], callback)),
      await called((callback) =>
        pool.connect((_, __, done) => {
          done();
          callback();
        }),
      ),
      await pool.use((client) => called((callback) => client.query('select 1', callback))),
      await pool.use((client) => called((callback) => client.query('select $1', ['x'], callback))),
      await pool
        .transaction((tx) => called((callback) => tx.query('selct', callback)).catch(() => {}))
        .catch(() => 'mine'),
    ]);
    expect(await seen).toEqual(Array.from({ length: 6 }, () => 'mine'));
  });

  it('is the caller’s in listeners of acquire and release, and nobody’s in those of the connection’s own life', async () => {
    const { pool } = makePool({ max: 1 });
    const seen: unknown[] = [];
    for (const name of ['connect', 'acquire', 'release', 'error'] as const) {
      pool.on(name, () => seen.push([name, store.getStore()]));
    }
    const { rows } = await store.run('first', () => pool.query<{ pid: number }>('select pg_backend_pid() as pid'));
    await store.run('second', async () => (await pool.connect()).release());
    const lost = once(pool, 'error');
    await database.terminate(rows[0]?.pid ?? 0);
    await lost;
    // pool.query gives its connection back in the turn of the socket.
    seen.splice(2, 1);
    expect(seen).toEqual([
      ['connect', undefined],
      ['acquire', 'first'],
      ['acquire', 'second'],
      ['release', 'second'],
      ['error', undefined],
    ]);
  });

  it('has ids for async hooks that lead somewhere', async () => {
    const { pool } = makePool({ max: 1 });
    const parents = new Map<number, number>();
    const hook = createHook({ init: (id, _, trigger) => void parents.set(id, trigger) }).enable();
    const ids = await pool.use(
      (client) =>
        new Promise<number[]>((resolve) => {
          client.query('select 1', () => resolve([executionAsyncId(), triggerAsyncId()]));
        }),
    );
    hook.disable();
    expect(ids[0]).toBeGreaterThan(0);
    expect(ids[1]).toBeGreaterThan(0);
    expect(parents.has(ids[0] ?? 0)).toBe(true);
  });
});

describe('diagnostics_channel', () => {
  interface Message {
    readonly name: string;
    readonly event: PoolEvent;
    readonly pool: unknown;
  }

  it('has each event of every pool while somebody subscribes, and the pool pays nothing else', async () => {
    const heard: Message[] = [];
    const hear = (message: unknown): void => void heard.push(message as Message);
    const early = createPool({
      env: {},
      name: 'early',
      connectionString: database.connectionString,
      readerHost: '127.0.0.1',
    });
    await early.query('select 1');
    subscribe('thawpool:pool:acquired', hear);
    subscribe('thawpool:pool:released', hear);
    const late = createPool({ env: {}, name: 'late', connectionString: database.connectionString });
    await early.query('select 1');
    await late.query('select 1');
    expect(heard.map(({ name, event }) => [name, event.type])).toEqual([
      ['early', 'acquired'],
      ['early', 'released'],
      ['late', 'acquired'],
      ['late', 'released'],
    ]);
    expect(heard[0]?.pool).toBe(early);
    unsubscribe('thawpool:pool:acquired', hear);
    unsubscribe('thawpool:pool:released', hear);
    heard.length = 0;
    await early.query('select 1');
    subscribe('thawpool:pool:freeze', hear);
    await early.query('select 1');
    expect(heard).toEqual([]);
    subscribe('thawpool:pool:acquired', hear);
    await early.query('select 1');
    expect(heard.map(({ name }) => name)).toEqual(['early']);
    unsubscribe('thawpool:pool:acquired', hear);
    unsubscribe('thawpool:pool:freeze', hear);
    await Promise.all([early.end(), late.end()]);
  });
});

describe('await using', () => {
  it('ends the pool with its block, unless that was done', async () => {
    let left: ReturnType<typeof createPool>;
    {
      await using pool = createPool({ env: {}, connectionString: database.connectionString });
      await pool.query('select 1');
      left = pool;
    }
    expect([left.ended, left.totalCount]).toEqual([true, 0]);
    {
      await using pool = createPool({ env: {}, connectionString: database.connectionString });
      await pool.end();
      left = pool;
    }
    expect(left.ended).toBe(true);
  });
});

describe('allowExitOnIdle', () => {
  const script = (options: string): string => `
    const { createPool } = await import('thawpool');
    const pool = createPool({ env: {}, connectionString: process.env.URL, max: 1, ${options} });
    const other = pool.query('select 1');
    await Promise.all([pool.query('select pg_sleep(0.1)'), other]);
    await (await pool.connect()).release();
    pool.observe(() => {});
    console.log('idle', pool.idleCount);
  `;

  it('lets the process end while a connection is idle', async () => {
    expect(await run(script('allowExitOnIdle: true'))).toBe('idle 1\n');
  });

  it('keeps it alive for who waits for a proof of life', async () => {
    expect(await run(script('allowExitOnIdle: true, validateAfterIdleMillis: 0'))).toBe('idle 1\n');
  });
});
