// A real PgBouncer in transaction mode: every transaction may run on another backend, and a client has none in between.

import pg from 'pg';
import type { CreatePoolOptions } from 'thawpool';
import { simulateFreeze } from 'thawpool/testing';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { startChaosProxy } from '../lab/chaos-proxy.ts';
import { startPgBouncer, type TestPgBouncer, type TestPgBouncerOptions, whyNoPgBouncer } from '../support/pgbouncer.ts';
import { startPostgres, type TestPostgres } from '../support/postgres.ts';
import { failure, through, until, usePools } from './support.ts';

const reason = process.env['DATABASE_URL']
  ? 'a server of our own is needed, and DATABASE_URL names another'
  : whyNoPgBouncer();
if (reason !== undefined) console.warn(`The tests of PgBouncer are skipped: ${reason}.`);

describe.skipIf(reason)(`behind PgBouncer${reason ? ` (${reason})` : ''}`, () => {
  let server: TestPostgres;
  /** One that nothing happens to, for most tests. */
  let shared: TestPgBouncer;
  const makePool = usePools(() => ({ route: 'pgbouncer', connectionString: shared.connectionString }));

  const start = (options: Omit<TestPgBouncerOptions, 'target'> = {}): Promise<TestPgBouncer> =>
    startPgBouncer({ target: server, ...options });
  const poolAt = (bouncer: TestPgBouncer, options: CreatePoolOptions = {}) =>
    makePool({ connectionString: bouncer.connectionString, ...options });
  const plainClient = async (bouncer: TestPgBouncer): Promise<pg.Client> => {
    const client = new pg.Client({ connectionString: bouncer.connectionString });
    client.on('error', () => {});
    await client.connect();
    return client;
  };
  /** Has every backend of a PgBouncer with one of them busy, until it is called. */
  const occupy = async (bouncer: TestPgBouncer): Promise<() => Promise<void>> => {
    const client = await plainClient(bouncer);
    await client.query('begin');
    return () => client.end();
  };
  const waiting = async (bouncer: TestPgBouncer): Promise<number> => {
    const pools = await bouncer.admin('show pools');
    return Number(pools.find(({ database }) => database === server.database)?.['cl_waiting']);
  };
  /** Asks again until a statement waits for a backend; each question is a round trip. */
  const queued = async (bouncer: TestPgBouncer, count = 1): Promise<void> => {
    while ((await waiting(bouncer)) < count);
  };

  beforeAll(async () => {
    server = await startPostgres({ maxConnections: 60 });
    shared = await start({ defaultPoolSize: 2 });
    await server.admin('create table notes (note text)');
    await server.admin(`grant all on notes to ${server.user}`);
  });
  afterAll(async () => {
    await shared?.[Symbol.asyncDispose]();
    await server?.close();
  });

  const one = [{ one: 1 }];
  const backend = 'select pg_backend_pid() as pid';

  describe('a startup packet', () => {
    it('has nothing in it that PgBouncer refuses', async () => {
      const { pool, warnings } = makePool({ application_name: 'thaw' });
      expect((await pool.query("select current_setting('application_name') as name")).rows).toEqual([{ name: 'thaw' }]);
      expect(pool.stats()).toMatchObject({ created: 1 });
      expect(warnings).toEqual([]);
      expect(shared.log.join('\n')).not.toContain('unsupported startup parameter');
    });

    it('leaves out what was set, and says so', async () => {
      const { pool, warnings } = makePool({
        options: '-c work_mem=64kB',
        lock_timeout: 1000,
        idle_in_transaction_session_timeout: 1000,
      });
      expect((await pool.query('select 1 as one')).rows).toEqual(one);
      expect(warnings).toHaveLength(1);
      for (const name of ['options', 'lock_timeout', 'idle_in_transaction_session_timeout']) {
        expect(warnings[0]).toContain(name);
      }
      expect(shared.log.join('\n')).not.toContain('unsupported startup parameter');
    });

    it('is sent without what PgBouncer refuses once that is known, on a direct route', async () => {
      await using bouncer = await start();
      const { pool } = poolAt(bouncer, { route: 'direct' });
      expect((await pool.query('select 1 as one')).rows).toEqual(one);
      expect(bouncer.log.filter((line) => line.includes('unsupported startup parameter')).length).toBeGreaterThan(0);
    });

    it('says which parameter it was, where that cannot be left out', async () => {
      const { pool } = makePool({ route: 'direct', lock_timeout: 1000 });
      const error = await failure(pool.query('select 1'));
      expect(error).toHaveProperty('code', 'ERR_POOL_CONNECT_FAILED');
      expect(error.message).toContain('unsupported startup parameter: lock_timeout');
      expect(error.message).toContain('THAWPOOL_ROUTE');
      // The second time without what the pool itself had asked for.
      expect(error.message).toContain('Tried 2 times');
    });
  });

  describe('a session', () => {
    it('runs named statements on whatever backend there is', async () => {
      const { pool } = makePool();
      const named = { name: 'whose', text: backend };
      const pids = new Set<number>();
      const ask = async (): Promise<void> =>
        void pids.add((await pool.query<{ pid: number }>(named)).rows[0]?.pid ?? 0);
      await ask();
      // Whoever has the backend of before in a transaction keeps it; the next statement runs on the other one.
      await pool.transaction(async (tx) => {
        await tx.query(backend);
        await ask();
      });
      await Promise.all([pool.transaction(async (tx) => void (await tx.query(named))), ask()]);
      expect(pids.size).toBe(2);
    });

    it('is one for which a plain client’s names fail', async () => {
      const client = await plainClient(shared);
      const other = await plainClient(shared);
      const named = { name: 'plain', text: backend };
      const { rows } = await client.query<{ pid: number }>(named);
      await other.query('begin');
      expect((await other.query<{ pid: number }>(backend)).rows).toEqual(rows);
      expect(await failure(client.query(named))).toHaveProperty('code', '26000');
      await other.end();
      await client.end();
    });

    it('has nothing sent to it but what the caller says', async () => {
      const proxy = await startChaosProxy({ targetHost: shared.host, targetPort: shared.port });
      try {
        for (const reset of ['auto', 'always'] as const) {
          const { pool } = makePool({ connectionString: through(proxy.port, shared.connectionString), reset });
          await pool.query('select 1 as one');
          const before = proxy.snapshot();
          await pool.query("set local application_name = 'x'");
          await pool.query("select set_config('thaw.x', '1', true)");
          await pool.query('select 1 as one');
          expect(proxy.since(before).frontend).toEqual({ Query: 3 });
        }
      } finally {
        await proxy.close();
      }
    });
  });

  describe('a transaction', () => {
    it('stays on one backend, with its savepoints and cursors', async () => {
      const { pool } = makePool();
      await server.admin('truncate notes');
      await pool.transaction(async (tx) => {
        const first = (await tx.query(backend)).rows;
        await tx.query("insert into notes values ('kept')");
        await failure(
          tx.transaction(async (inner) => {
            await inner.query("insert into notes values ('undone')");
            throw new Error('no');
          }),
        );
        await tx.query('declare rows cursor for select generate_series(1, 3) as n');
        expect((await tx.query('fetch 2 from rows')).rows).toEqual([{ n: 1 }, { n: 2 }]);
        expect((await tx.query('fetch 2 from rows')).rows).toEqual([{ n: 3 }]);
        expect((await tx.query(backend)).rows).toEqual(first);
      });
      expect((await pool.query('select note from notes')).rows).toEqual([{ note: 'kept' }]);
    });

    it('has settings of its own that end with it', async () => {
      await using bouncer = await start({ defaultPoolSize: 1 });
      const { pool } = poolAt(bouncer);
      const tenant = "select nullif(current_setting('app.tenant', true), '') as tenant";
      const inside = await pool.transaction(
        { settings: { 'app.tenant': 'a' } },
        async (tx) => (await tx.query(tenant)).rows,
      );
      expect(inside).toEqual([{ tenant: 'a' }]);
      expect((await pool.query(tenant)).rows).toEqual([{ tenant: null }]);
      const other = await plainClient(bouncer);
      expect((await other.query(tenant)).rows).toEqual([{ tenant: null }]);
      await other.end();
    });
  });

  describe('a statement that is cancelled', () => {
    it('is stopped at the server, by the key that PgBouncer gave', async () => {
      const { pool } = makePool();
      const client = await pool.connect();
      const { sendCancel } = await import('../../src/pg/cancel.ts');
      const { processID, secretKey } = client as unknown as { processID: number; secretKey: number };
      await client.query('begin');
      const running = failure(client.query('select pg_sleep(60)'));
      while (
        (
          await server.admin(
            "select 1 from pg_stat_activity where query like 'select pg_sleep(60)%' and state = 'active'",
          )
        ).rows.length === 0
      );
      await sendCancel({ host: shared.host, port: shared.port, processId: processID, secretKey, ssl: false }, 5000);
      expect(await running).toHaveProperty('code', '57014');
      await client.query('rollback');
      client.release();
    });
  });

  describe('proof of life', () => {
    const ping = (client: pg.Client): Promise<'answered'> =>
      new Promise((resolve, reject) => {
        const query = {
          callback: (error?: Error) => (error ? reject(error) : resolve('answered')),
          submit: (connection: pg.Connection) => connection.sync(),
          handleReadyForQuery: () => query.callback(),
          handleError: (error: Error) => query.callback(error),
        };
        client.query(query as unknown as pg.Submittable);
      });

    it('takes a backend, and waits for one where all are busy', async () => {
      await using bouncer = await start({ defaultPoolSize: 1 });
      const client = await plainClient(bouncer);
      expect(await ping(client)).toBe('answered');
      const free = await occupy(bouncer);
      const answer = ping(client);
      await queued(bouncer);
      await free();
      expect(await answer).toBe('answered');
      await client.end();
    });

    it('gives way to a new connection when it waits too long, which costs no backend', async () => {
      await using bouncer = await start({ defaultPoolSize: 1 });
      const { pool } = poolAt(bouncer, { validateTimeoutMillis: 20 });
      await pool.query('select 1');
      const free = await occupy(bouncer);
      simulateFreeze(pool, { forMillis: 60_000, sockets: 'alive' });
      const answer = pool.query('select 1 as one');
      await until(pool, () => pool.stats().created === 2);
      await queued(bouncer);
      await free();
      expect((await answer).rows).toEqual(one);
    });
  });

  describe('what PgBouncer closes', () => {
    it('is a matter between it and the server, when it is a backend', async () => {
      await using bouncer = await start({ settings: { server_lifetime: '1', server_idle_timeout: '1' } });
      const { pool } = poolAt(bouncer);
      const first = (await pool.query(backend)).rows;
      await bouncer.logged(/closing because: server (lifetime|idle)/);
      expect((await pool.query(backend)).rows).not.toEqual(first);
      expect(pool.stats()).toMatchObject({ created: 1 });
    });

    it('is replaced, when it is an idle client', async () => {
      await using bouncer = await start({ settings: { client_idle_timeout: '1' } });
      const { pool } = poolAt(bouncer);
      await pool.query('select 1');
      const gone = until(pool, () => pool.stats().total === 0);
      await gone;
      expect((await pool.query('select 1 as one')).rows).toEqual(one);
      expect(pool.stats()).toMatchObject({ created: 2 });
    });

    it.each(['closed', 'reset', 'black-holed'] as const)(
      'is replaced after a freeze in which it was %s',
      async (sockets) => {
        const { pool } = makePool();
        await pool.query('select 1');
        simulateFreeze(pool, { forMillis: 120_000, sockets });
        expect((await pool.query('select 1 as one')).rows).toEqual(one);
        expect(pool.stats()).toMatchObject({ created: 2 });
      },
    );

    it('is replaced when PgBouncer was restarted', async () => {
      await using bouncer = await start();
      const { pool } = poolAt(bouncer);
      await pool.query('select 1');
      await bouncer.stop();
      const answer = pool.query('select 1 as one');
      await bouncer.start();
      expect((await answer).rows).toEqual(one);
    });
  });

  describe('work on PgBouncer', () => {
    it('makes statements wait, between PAUSE and RESUME', async () => {
      await using bouncer = await start();
      const { pool } = poolAt(bouncer);
      await pool.query('select 1');
      await bouncer.admin('pause');
      const answer = pool.query('select 1 as one');
      await queued(bouncer);
      await bouncer.admin('resume');
      expect((await answer).rows).toEqual(one);
      expect(pool.stats()).toMatchObject({ created: 1 });
    });
  });

  describe('a pool that is too small', () => {
    it('says that the statement did not run, when no backend was free in time', async () => {
      await using bouncer = await start({ defaultPoolSize: 1, settings: { query_wait_timeout: '1' } });
      const free = await occupy(bouncer);
      const { pool } = poolAt(bouncer);
      for (const run of [() => pool.query('select 1'), () => pool.transaction(() => 1)]) {
        const error = await failure(run());
        expect(error).toHaveProperty('code', 'ERR_POOL_NO_BACKEND');
        expect(error.message).toBe(
          "PgBouncer had no server connection for the statement in time (query_wait_timeout) and closed the connection: the statement did not run. Raise PgBouncer's default_pool_size or query_wait_timeout, or shorten transactions. See ERR_POOL_NO_BACKEND.",
        );
      }
      await free();
      expect((await pool.query('select 1 as one')).rows).toEqual(one);
    });

    it('is waited for while connecting, when it has as many clients as it may', async () => {
      await using bouncer = await start({ maxClientConn: 1 });
      const client = await plainClient(bouncer);
      const { pool } = poolAt(bouncer);
      const refused = bouncer.logged(/no more connections allowed/);
      const answer = pool.query('select 1 as one');
      await refused;
      await client.end();
      expect((await answer).rows).toEqual(one);
    });

    it('says so when there is no room in time', async () => {
      await using bouncer = await start({ maxClientConn: 1 });
      const client = await plainClient(bouncer);
      const { pool } = poolAt(bouncer, { acquireTimeoutMillis: 300 });
      const error = await failure(pool.query('select 1'));
      expect(error).toHaveProperty('code', 'ERR_POOL_CONNECT_UNAVAILABLE');
      expect(error.message).toMatch(/has as many clients as it may.*max_client_conn/);
      await client.end();
    });
  });

  describe('a login', () => {
    it.each([
      ['password', { password: 'wrong' }, 'ERR_POOL_CONNECT_AUTH', 'PgBouncer at'],
      ['user', { user: 'nobody' }, 'ERR_POOL_CONNECT_AUTH', 'refused user "nobody"'],
      ['database', { database: 'nothing' }, 'ERR_POOL_CONNECT_DATABASE', 'There is no database "nothing"'],
    ])('is tried once with a wrong %s', async (_, wrong, code, words) => {
      const { host, port, user, password, database } = { ...server, port: shared.port };
      const { pool } = makePool({ connectionString: undefined, host, port, user, password, database, ...wrong });
      const error = await failure(pool.query('select 1'));
      expect(error).toHaveProperty('code', code);
      expect(error.message).toContain(words);
      expect(error.message).not.toContain('Tried');
    });

    it('says that it is PgBouncer that the server refuses', async () => {
      await using bouncer = await startPgBouncer({ target: { ...server, password: 'wrong' } });
      const { pool } = poolAt(bouncer);
      const error = await failure(pool.query('select 1'));
      expect(error).toHaveProperty('code', 'ERR_POOL_CONNECT_AUTH');
      expect(error.message).toContain('could not log in at the server behind it');
      expect(error.message).not.toContain('Tried');
    });
  });

  it('has every invocation answered: 200 connections over 10 backends', async () => {
    await using bouncer = await start({ defaultPoolSize: 10, maxClientConn: 250, settings: { auth_type: 'trust' } });
    const pools = Array.from(
      { length: 50 },
      () => poolAt(bouncer, { max: 4, maxIdle: 4, acquireTimeoutMillis: 60_000 }).pool,
    );
    // All connected at once, so that there are 200.
    await Promise.all(pools.map((pool) => pool.warm(4)));
    let most = 0;
    const invoke = async (pool: (typeof pools)[number], n: number): Promise<number> => {
      const { rows } = await pool.query<{ n: number; backends: number }>(
        `select $1::int as n, (select count(*)::int from pg_stat_activity where usename = '${server.user}') as backends`,
        [n],
      );
      most = Math.max(most, rows[0]?.backends ?? 0);
      return rows[0]?.n ?? -1;
    };
    const answers = await Promise.all(pools.flatMap((pool, p) => [0, 1, 2, 3].map((i) => invoke(pool, p * 4 + i))));
    expect(answers).toEqual(Array.from({ length: 200 }, (_, n) => n));
    const pool = (await bouncer.admin('show pools')).find(({ database }) => database === server.database);
    expect(Number(pool?.['cl_active'])).toBe(200);
    expect(most).toBeGreaterThan(1);
    // The other PgBouncer of this file has at most two of them.
    expect(most).toBeLessThanOrEqual(12);
    await Promise.all(pools.map((each) => each.end()));
  }, 60_000);
});
