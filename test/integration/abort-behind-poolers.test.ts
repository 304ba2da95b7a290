// Signals and rows one by one where something stands between: who is cancelled, who holds what, and what is told.

import { readFileSync } from 'node:fs';
import pg from 'pg';
import type { QueryAbortedError } from 'thawpool';
import { systemClock } from 'thawpool/core';
import { afterAll, beforeAll, describe, expect, inject, it } from 'vitest';
import { type Certificates, makeCertificates, whyNoCertificates } from '../support/certificates.ts';
import { startPgBouncer, type TestPgBouncer, whyNoPgBouncer } from '../support/pgbouncer.ts';
import { startPostgres, type TestPostgres } from '../support/postgres.ts';
import { type RdsProxy, startRdsProxy } from '../support/rds-proxy/rds-proxy.ts';
import { failure, useDatabase, usePools } from './support.ts';

const reason = new Error('the caller has gone');
const numbers = 'select n from generate_series(1, $1::int) n';
const noPgBouncer = process.env['DATABASE_URL']
  ? 'a server of our own is needed, and DATABASE_URL names another'
  : whyNoPgBouncer();
const noProxy = whyNoCertificates();

describe.skipIf(noPgBouncer)(`behind PgBouncer${noPgBouncer ? ` (${noPgBouncer})` : ''}`, () => {
  let server: TestPostgres;
  let bouncer: TestPgBouncer;
  /** Looks at the server itself. */
  let beside: pg.Client;
  const makePool = usePools(() => ({ route: 'pgbouncer', connectionString: bouncer.connectionString, max: 2 }));
  beforeAll(async () => {
    server = await startPostgres({ maxConnections: 30 });
    // One server connection: whatever a loop holds, nobody else has.
    bouncer = await startPgBouncer({ target: server, defaultPoolSize: 1 });
    beside = new pg.Client({ connectionString: server.connectionString });
    await beside.connect();
  });
  afterAll(async () => {
    await beside?.end();
    await bouncer?.[Symbol.asyncDispose]();
    await server?.close();
  });
  const running = async (text: string): Promise<number> => {
    for (;;) {
      const { rows } = await beside.query<{ pid: number }>(
        "select pid from pg_stat_activity where state = 'active' and query like $1 and pid <> pg_backend_pid()",
        [`%${text}%`],
      );
      if (rows[0]) return rows[0].pid;
    }
  };
  /** Resolves when so many clients wait for the server connection. */
  const queued = async (count: number): Promise<void> => {
    for (;;) {
      const pools = await bouncer.admin('show pools');
      if (Number(pools.find(({ database }) => database === server.database)?.['cl_waiting']) >= count) return;
    }
  };

  it('has a statement cancelled, and keeps both connections', async () => {
    const { pool } = makePool();
    const controller = new AbortController();
    const failing = failure(pool.query({ text: 'select pg_sleep(3700)', signal: controller.signal }));
    const pid = await running('pg_sleep(3700)');
    controller.abort(reason);
    expect(await failing).toMatchObject({ statement: 'cancelled', cause: reason });
    expect((await pool.query('select pg_backend_pid() as pid')).rows).toEqual([{ pid }]);
    expect(pool.stats()).toMatchObject({ created: 1, idle: 1 });
  });

  it('has a transaction rolled back', async () => {
    const { pool, warnings } = makePool();
    const controller = new AbortController();
    const failing = failure(pool.transaction({ signal: controller.signal }, (tx) => tx.query('select pg_sleep(3701)')));
    await running('pg_sleep(3701)');
    controller.abort(reason);
    expect(await failing).toMatchObject({ statement: 'cancelled', cause: reason });
    expect((await pool.query('select 1 as a')).rows).toEqual([{ a: 1 }]);
    expect(pool.stats()).toMatchObject({ created: 1, idle: 1 });
    expect(warnings).toEqual([]);
  });

  it('cancels no statement of others on the same server connection', async () => {
    const { pool } = makePool();
    for (let round = 0; round < 60; round += 1) {
      const controller = new AbortController();
      const aborted = pool
        .query({ text: `select pg_sleep(${(round % 4) / 1000})`, signal: controller.signal })
        .catch((error: QueryAbortedError) => error);
      for (let turn = round % 13; turn > 0; turn -= 1) await new Promise((resolve) => setImmediate(resolve));
      controller.abort(reason);
      const next = pool.query('select pg_sleep(0.003), $1::int as a', [round]);
      await aborted;
      expect((await next).rows).toMatchObject([{ a: round }]);
    }
  });

  it('ends a statement that PgBouncer has not sent on, by closing its connection', async () => {
    // Time passes as usual: the cancel strikes nothing, and is waited for until it has taken too long.
    const { pool } = makePool({ clock: systemClock, acquireTimeoutMillis: 60_000 });
    await pool.query('select 1');
    const controller = new AbortController();
    const other = new pg.Client({ connectionString: bouncer.connectionString });
    await other.connect();
    await other.query('begin');
    const failing = failure(pool.query({ text: 'select 1', signal: controller.signal }));
    await queued(1);
    controller.abort(reason);
    expect(await failing).toMatchObject({ statement: 'unknown', cause: reason });
    await other.query('commit');
    await other.end();
    expect((await pool.query('select 1 as a')).rows).toEqual([{ a: 1 }]);
  });

  it('lets a loop have a server connection from its first row to its last', async () => {
    const { pool } = makePool();
    const rows = pool.iterate<{ n: number }>(numbers, [5], { batchSize: 2 });
    expect((await rows.next()).value).toEqual({ n: 1 });
    const other = pool.query('select 1 as a');
    await queued(1);
    const seen: number[] = [];
    for await (const { n } of rows) seen.push(n);
    expect(seen).toEqual([2, 3, 4, 5]);
    expect((await other).rows).toEqual([{ a: 1 }]);
    expect(pool.stats()).toMatchObject({ created: 2, idle: 2 });
  });

  it.each(['break', 'abort'])('has it back after %s', async (how) => {
    const { pool } = makePool();
    const controller = new AbortController();
    const rows = pool.iterate(numbers, [50], { batchSize: 2, signal: controller.signal });
    await rows.next();
    const other = pool.query('select 1 as a');
    await queued(1);
    if (how === 'break') await rows.return();
    else controller.abort(reason);
    // After an abort it is free before the loop hears of it.
    expect((await other).rows).toEqual([{ a: 1 }]);
    if (how === 'abort') expect(await failure(rows.next())).toMatchObject({ statement: 'stopped' });
    expect(pool.stats()).toMatchObject({ created: 2, idle: 2 });
  });

  it('iterates in a transaction', async () => {
    const { pool } = makePool();
    const seen: unknown[] = [];
    await pool.transaction(async (tx) => {
      for await (const row of tx.iterate(numbers, [5], { batchSize: 2 })) seen.push(row);
    });
    expect(seen).toHaveLength(5);
  });
});

describe.skipIf(noProxy)(`behind RDS Proxy${noProxy ? ` (${noProxy})` : ''}`, () => {
  const database = useDatabase();
  let certificates: Certificates;
  let proxy: RdsProxy;
  const makePool = usePools(() => ({
    route: 'rds-proxy',
    host: proxy.host,
    port: proxy.port,
    user: 'app',
    password: 'proxy password',
    database: database.name,
    ssl: { ca: readFileSync(certificates.caFile, 'utf8') },
    max: 2,
  }));
  beforeAll(async () => {
    certificates = makeCertificates();
    const { host, port, user, password } = inject('postgres');
    proxy = await startRdsProxy({
      target: { host, port, user, password },
      tls: certificates.local,
      auth: { kind: 'password', users: { app: 'proxy password' } },
      maxBackends: 1,
    });
  });
  afterAll(async () => {
    await proxy?.close();
    certificates?.dispose();
  });
  const running = async (text: string): Promise<void> => {
    for (let rows: unknown[] = []; rows.length === 0; )
      rows = await database.query(
        "select 1 from pg_stat_activity where datname = current_database() and state = 'active' and query = $1",
        [text],
      );
  };

  it('closes the connection, asks for no cancel, and says that the statement may have run', async () => {
    const { pool } = makePool();
    const controller = new AbortController();
    const text = 'select pg_sleep(0.2) /* 3710 */';
    const failing = failure(pool.query({ text, signal: controller.signal }));
    await running(text);
    controller.abort(reason);
    expect(await failing).toMatchObject({ statement: 'unknown', cause: reason });
    expect((await pool.query('select 1 as a')).rows).toEqual([{ a: 1 }]);
    expect(pool.stats()).toMatchObject({ created: 2, total: 1 });
    expect(proxy.refusals).toEqual([]);
  });

  it('closes the connection of a transaction, which is rolled back', async () => {
    await database.query('create table if not exists kept (a int)');
    const { pool, warnings } = makePool();
    const controller = new AbortController();
    const text = 'select pg_sleep(0.2) /* 3711 */';
    const failing = failure(
      pool.transaction({ signal: controller.signal }, async (tx) => {
        await tx.query('insert into kept values (1)');
        await tx.query(text);
      }),
    );
    await running(text);
    controller.abort(reason);
    expect(await failing).toMatchObject({ statement: 'unknown', cause: reason });
    expect((await pool.query('select * from kept')).rows).toEqual([]);
    expect(warnings).toEqual([]);
  });

  it('lets a loop have a backend from its first row to its last, and pins none', async () => {
    const { pool } = makePool();
    await pool.query('select 1');
    const rows = pool.iterate<{ n: number }>(numbers, [5], { batchSize: 2 });
    expect((await rows.next()).value).toEqual({ n: 1 });
    const other = pool.query('select 1 as a');
    await proxy.until(() => proxy.stats().waiting.now === 1);
    const seen: number[] = [];
    for await (const { n } of rows) seen.push(n);
    expect(seen).toEqual([2, 3, 4, 5]);
    expect((await other).rows).toEqual([{ a: 1 }]);
    proxy.assertRulesKept();
  });

  it('ends a loop between two batches and keeps the connection', async () => {
    const { pool } = makePool();
    const controller = new AbortController();
    const rows = pool.iterate(numbers, [50], { batchSize: 2, signal: controller.signal });
    await rows.next();
    controller.abort(reason);
    expect(await failure(rows.next())).toMatchObject({ statement: 'stopped', cause: reason });
    expect((await pool.query('select 1 as a')).rows).toEqual([{ a: 1 }]);
    expect(pool.stats()).toMatchObject({ created: 1, idle: 1 });
    proxy.assertRulesKept();
  });
});
