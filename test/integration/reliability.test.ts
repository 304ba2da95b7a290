import { type PgPool, withPool } from 'thawpool';
import { FakeClock } from 'thawpool/testing';
import { describe, expect, test } from 'vitest';
import { deferred } from '../support/deferred.ts';
import { makeContext, onLambda } from './invocations.ts';
import { refusingServer } from './refusing-server.ts';
import { failure, useDatabase, usePools, useProxy } from './support.ts';

const database = useDatabase();
const proxy = useProxy();
const makePool = usePools(() => ({ connectionString: database.connectionString }));

const setting = async (pool: PgPool, name: string): Promise<string> =>
  (await pool.query<{ value: string }>('select current_setting($1) as value', [name])).rows[0]?.value ?? '';

describe('the startup packet', () => {
  test('tells the server to end what a sandbox leaves behind', async () => {
    const { pool } = makePool({ idleTimeoutMillis: 60_000 });
    expect(await setting(pool, 'idle_session_timeout')).toBe('90s');
    expect(await setting(pool, 'idle_in_transaction_session_timeout')).toBe('1min');
  });

  test('leaves the last word to the user', async () => {
    const { pool } = makePool({
      options: '-c idle_session_timeout=7s -c work_mem=8MB',
      idle_in_transaction_session_timeout: 9000,
    });
    expect(await setting(pool, 'idle_session_timeout')).toBe('7s');
    expect(await setting(pool, 'work_mem')).toBe('8MB');
    expect(await setting(pool, 'idle_in_transaction_session_timeout')).toBe('9s');
  });

  test('goes without these parameters to a server that refuses them, and remembers that', async () => {
    const refusal = ['42704', 'unrecognized configuration parameter "idle_session_timeout"'] as const;
    await using server = await refusingServer(proxy(), [refusal]);
    const { pool } = makePool({ host: '127.0.0.1', connectionString: moved(server.port), max: 2 });
    expect(await setting(pool, 'idle_session_timeout')).toBe('0');
    // The second connection would be let in with the parameter: only the memory keeps it out.
    expect(await pool.use(() => setting(pool, 'idle_session_timeout'))).toBe('0');
    expect(server.refused).toBe(1);
  });
});

describe("the server's role", () => {
  test('keeps a pool that writes from a read-only server, and lets one that reads in', async () => {
    await database.query(`alter database ${database.name} set default_transaction_read_only = on`);
    try {
      const writer = makePool({ acquireTimeoutMillis: 300 });
      await expect(writer.pool.query('select 1')).rejects.toMatchObject({
        code: 'ERR_POOL_CONNECT_READ_ONLY',
        message: expect.stringContaining('default_transaction_read_only'),
      });
      const reader = makePool({ readOnly: true });
      expect((await reader.pool.query('select 1 as a')).rows).toEqual([{ a: 1 }]);
    } finally {
      await database.query(`alter database ${database.name} reset default_transaction_read_only`);
    }
  });
});

describe('the deadline of an invocation', () => {
  test('cancels what is running, says so, and leaves no session in a transaction', async () => {
    const clock = new FakeClock();
    // Four seconds of the reserve are the server's to cancel in: far more than it takes.
    const { pool } = makePool({ clock, env: onLambda, deadlineReserveMillis: 10_000 });
    const handler = withPool(
      async (_event: object, { db }) => db.transaction((tx) => tx.query('select pg_sleep(30)')),
      { pool },
    );
    const context = makeContext({ getRemainingTimeInMillis: () => 30_000 });
    const refused = failure(handler({}, context));
    await expect.poll(sleeping).toBe(1);
    await clock.advance(20_000);
    expect(await refused).toMatchObject({ code: 'ERR_POOL_DEADLINE', cause: { code: '57014' } });
    expect(await inTransaction()).toBe(0);
    expect((await pool.query('select 1')).rowCount).toBe(1);
    expect(pool.stats()).toMatchObject({ created: 1 });
  });

  test('closes a connection that idles in a transaction when its time is over', async () => {
    const clock = new FakeClock();
    const { pool } = makePool({ clock, env: onLambda, deadlineReserveMillis: 100 });
    const [begun, ended] = [deferred(), deferred()];
    const handler = withPool(
      async (_event: object, { db }) => {
        const client = await db.connect();
        await client.query('begin');
        client.once('end', () => ended.resolve());
        begun.resolve();
        await ended.promise;
        // The server hears of it a little later.
        await expect.poll(inTransaction).toBe(0);
        return 'over';
      },
      { pool },
    );
    const answer = handler({}, makeContext({ getRemainingTimeInMillis: () => 250 }));
    await begun.promise;
    await clock.advance(150);
    expect(await answer).toBe('over');
  });
});

describe('transaction()', () => {
  test('runs again after a serialization failure when it was asked to, and only then', async () => {
    const { pool } = makePool();
    await pool.query('create table counters (id int primary key, n int)');
    await pool.query('insert into counters values (1, 0), (2, 0)');
    let runs = 0;
    const increment = (retries: number): Promise<unknown> =>
      pool.transaction({ isolationLevel: 'serializable', retries }, async (tx) => {
        runs += 1;
        await tx.query('select n from counters where id = 1');
        // Somebody else is faster, on the first run only.
        if (runs === 1) await database.query('update counters set n = n + 1 where id = 1');
        await tx.query('update counters set n = n + 1 where id = 1');
      });
    await expect(increment(0)).rejects.toMatchObject({ code: '40001' });
    expect(runs).toBe(1);
    runs = 0;
    await increment(1);
    expect(runs).toBe(2);
    expect((await pool.query('select n from counters where id = 1')).rows).toEqual([{ n: 3 }]);
  });
});

describe('a snapshot', () => {
  test('finds nothing open, and nothing is opened ahead of need before it', async () => {
    const { pool } = makePool({ env: { AWS_LAMBDA_INITIALIZATION_TYPE: 'snap-start' } });
    await pool.warm();
    expect(pool.stats()).toMatchObject({ created: 0, total: 0 });
    await pool.afterRestore();
    await pool.warm();
    expect(pool.stats()).toMatchObject({ created: 1, idle: 1 });
    await pool.beforeCheckpoint();
    expect(pool.stats()).toMatchObject({ total: 0, destroyed: { closed: 1 } });
    const { epoch } = pool.stats();
    await pool.afterRestore();
    expect(pool.stats().epoch).toBe(epoch + 1);
    expect((await pool.query('select 1')).rowCount).toBe(1);
  });
});

/** The database's address with another port on the loopback. */
function moved(port: number): string {
  return Object.assign(new URL(database.connectionString), { hostname: '127.0.0.1', port: String(port) }).toString();
}

/** Statements that the server is at. */
async function sleeping(): Promise<number> {
  const [row] = await database.query<{ count: string }>(
    `select count(*) from pg_stat_activity where datname = current_database() and state = 'active' and query like 'select pg_sleep%'`,
  );
  return Number(row?.count);
}

async function inTransaction(): Promise<number> {
  const [row] = await database.query<{ count: string }>(
    `select count(*) from pg_stat_activity where datname = current_database() and pid <> pg_backend_pid()
       and (state like 'idle in transaction%' or (state = 'active' and xact_start is not null))`,
  );
  return Number(row?.count);
}
