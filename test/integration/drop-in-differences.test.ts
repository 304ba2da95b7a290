// Where ours differs from pg's pool on purpose: each difference seen on both, and the page that tells of them.

import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import pg from 'pg';
import { createPool, PoolError } from 'thawpool';
import { afterAll, describe, expect, it, vi } from 'vitest';
import { Cursor } from '../support/pg-cursor.ts';
import { failure, useDatabase } from './support.ts';

const database = useDatabase();

const pools: pg.Pool[] = [];
const both = (options: pg.PoolConfig = {}): [theirs: pg.Pool, ours: pg.Pool] => {
  const config = { connectionString: database.connectionString, ...options };
  const theirs = new pg.Pool(config);
  const ours = createPool({ env: {}, ...(config as object) });
  pools.push(theirs, ours);
  // Its `end()` does not wait for the sockets: the server may end them first.
  theirs.on('error', () => {});
  return [theirs, ours];
};
afterAll(async () => {
  for (const pool of pools) if (!pool.ending) await pool.end();
});

const pid = async (pool: pg.Pool): Promise<unknown> => (await pool.query('select pg_backend_pid() as pid')).rows[0].pid;

/** The first column of the table, and how it is seen. */
const differences: Readonly<Record<string, () => unknown>> = {
  'defaults of `max`, `idleTimeoutMillis`, `connectionTimeoutMillis`': () => {
    const [theirs, ours] = both();
    expect([theirs.options.max, theirs.options.idleTimeoutMillis]).toEqual([10, 10_000]);
    expect([ours.options.max, ours.options.idleTimeoutMillis]).toEqual([4, 300_000]);
  },
  'errors of a connection that cannot be had': async () => {
    const [theirs, ours] = both({ max: 1, connectionTimeoutMillis: 2000 });
    for (const pool of [theirs, ours]) {
      const client = await pool.connect();
      const error = await failure(pool.query('select 1'));
      if (pool === theirs) expect(error.message).toBe('timeout exceeded when trying to connect');
      else expect(error).toMatchObject({ code: 'ERR_POOL_ACQUIRE_TIMEOUT', phase: 'queued' });
      client.release();
    }
    const nobody = { connectionString: undefined, host: '127.0.0.1', port: 1 } as unknown as pg.PoolConfig;
    const [refused] = both(nobody);
    const [, told] = both({ ...nobody, connectionTimeoutMillis: 1500 });
    expect((await failure(refused.query('select 1'))).code).toBe('ECONNREFUSED');
    expect(await failure(told.query('select 1'))).toMatchObject({
      code: 'ERR_POOL_CONNECT_REFUSED',
      cause: { cause: { code: 'ECONNREFUSED' } },
    });
  },
  'a statement that fails in `pool.query`': async () => {
    const [theirs, ours] = both();
    for (const pool of [theirs, ours]) {
      const before = await pid(pool);
      await failure(pool.query('selct'));
      const after = await pid(pool);
      if (pool === theirs) expect(after).not.toBe(before);
      else expect(after).toBe(before);
    }
  },
  'a connection released in an open transaction': async () => {
    const [theirs, ours] = both({ max: 1 });
    for (const pool of [theirs, ours]) {
      const client = await pool.connect();
      await client.query('begin');
      client.release();
      const { rows } = await pool.query('select now() = statement_timestamp() as alone');
      expect(rows[0].alone).toBe(pool === ours);
    }
  },
  'what a session was left with: `SET`, temporary tables, listeners': async () => {
    const [theirs, ours] = both({ max: 1 });
    for (const pool of [theirs, ours]) {
      await pool.query("set work_mem = '7MB'");
      const { rows } = await pool.query('show work_mem');
      expect(rows[0].work_mem === '7MB').toBe(pool === theirs);
    }
  },
  'a client that is used after its release': async () => {
    const [theirs, ours] = both();
    for (const pool of [theirs, ours]) {
      const client = await pool.connect();
      client.release();
      const used = client.query('select 1');
      if (pool === theirs) await used;
      else expect((await failure(used)).code).toBe('ERR_POOL_USE_AFTER_RELEASE');
    }
  },
  'an `error` that no listener hears': async () => {
    const [theirs, ours] = both();
    for (const pool of [theirs, ours]) {
      const client = await pool.connect();
      client.release();
      pool.removeAllListeners('error');
      // What pg's pool does when the connection is lost, without the end of this process.
      const emit = () => client.emit('error', new Error('lost'));
      if (pool === theirs) expect(emit).toThrow('lost');
      else expect(emit).not.toThrow();
    }
  },
  timers: async () => {
    const [theirs, ours] = both({ idleTimeoutMillis: 10 });
    const removed = once(theirs, 'remove');
    await theirs.query('select 1');
    await ours.query('select 1');
    await removed;
    expect(theirs.totalCount).toBe(0);
    expect([ours.totalCount, ours.expiredCount]).toEqual([1, 0]);
  },
  '`min`': () => {
    const [theirs, ours] = both({ min: 3, max: 4 });
    expect(theirs.options.min).toBe(3);
    expect((ours as ReturnType<typeof createPool>).stats().maxIdle).toBe(3);
  },
  '`totalCount` and `ended` while connections close': async () => {
    const [theirs, ours] = both();
    for (const pool of [theirs, ours]) {
      const client = await pool.connect();
      client.release(true);
      expect(pool.totalCount).toBe(pool === theirs ? 0 : 1);
      (await pool.connect()).release();
      const ending = pool.end();
      expect(pool.ended).toBe(pool === theirs);
      await ending;
      expect(pool.ended).toBe(true);
    }
  },
  'a connection that `verify` or `onConnect` refuses': async () => {
    const [theirs, ours] = both({ verify: (_, done) => done(new Error('no')) });
    for (const pool of [theirs, ours]) {
      const heard: string[] = [];
      for (const name of ['acquire', 'release'] as const) pool.on(name, () => heard.push(name));
      await failure(pool.query('select 1'));
      expect(heard).toEqual(pool === theirs ? ['acquire', 'release'] : []);
    }
  },
  'a cursor or stream given to `pool.query`': async () => {
    const [theirs, ours] = both({ max: 1 });
    for (const pool of [theirs, ours]) {
      let client: pg.PoolClient | undefined;
      pool.on('acquire', (acquired) => {
        client = acquired;
      });
      const cursor = new Cursor('select n from generate_series(1, 3) n');
      const answer = pool.query(cursor) as unknown as Promise<unknown>;
      expect(await cursor.read(10)).toHaveLength(3);
      await cursor.close();
      if (pool === ours) {
        await answer;
        expect(pool.idleCount).toBe(1);
      } else {
        expect([pool.totalCount, pool.idleCount]).toEqual([1, 0]);
        // It is lent for good.
        pools.splice(pools.indexOf(pool), 1);
        await (client as unknown as pg.Client).end();
      }
    }
  },
  'names of options that nobody knows': () => {
    const config = { maxidle: 3 } as pg.PoolConfig;
    expect(() => new pg.Pool(config)).not.toThrow();
    expect(() => createPool({ env: {}, ...(config as object) })).toThrow(PoolError);
  },
  'settings of the environment': () => {
    const ours = createPool({ env: { THAWPOOL_MAX: '2', DATABASE_URL: database.connectionString } });
    pools.push(ours);
    expect(ours.options.max).toBe(2);
    vi.stubEnv('DATABASE_URL', 'postgres://elsewhere/db');
    expect(new pg.Client().host).not.toBe('elsewhere');
    vi.unstubAllEnvs();
  },
  TLS: async () => {
    const nobody = { connectionString: undefined, host: 'db.example.com', port: 1 } as unknown as pg.PoolConfig;
    expect(new pg.Client(nobody).ssl).toBe(false);
    const { tlsFor } = await import('../../src/auth/tls.ts');
    expect(tlsFor({ host: 'db.example.com' })).not.toBe(false);
  },
};

describe('ours differs from pg’s pool in', () => {
  it.each(Object.entries(differences))('%s', async (_, seen) => {
    await seen();
  });
});

describe('docs/migrating.md', () => {
  it('has a row for each difference, and for no other', () => {
    const page = readFileSync(new URL('../../docs/migrating.md', import.meta.url), 'utf8');
    const table = page.split('## What is different')[1]?.split('\n## ')[0] ?? '';
    const rows = [...table.matchAll(/^\| (.+?) \|/gm)].map((match) => match[1]);
    expect(rows).toEqual(['what', ...Object.keys(differences)]);
  });
});
