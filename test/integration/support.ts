/** What the integration tests share: a database for each file, pools that are ended, and sight of the server's sessions. */
import { randomUUID } from 'node:crypto';
import pg from 'pg';
import { type CreatePoolOptions, createPool, type PgPool, type PoolEvent } from 'thawpool';
import { afterAll, afterEach, beforeAll, inject } from 'vitest';
import { type ChaosProxy, startChaosProxy } from '../lab/chaos-proxy.ts';
import { slowClock } from '../support/slow-clock.ts';

/** A database of the test file's own, and a client beside the pools to look at it with. */
export interface TestDatabase {
  readonly name: string;
  readonly connectionString: string;
  /** Runs a statement on a connection that belongs to no pool. */
  query<R extends pg.QueryResultRow>(text: string, values?: unknown[]): Promise<R[]>;
  /** Ends a session as an administrator would, and waits until it is gone. */
  terminate(pid: number): Promise<void>;
  /** Process ids of the sessions in this database, those of pools only. */
  sessions(): Promise<number[]>;
}

/** Makes a database before the file's tests and drops it after them. */
export function useDatabase(): TestDatabase {
  const { connectionString } = inject('postgres');
  const name = `t_${randomUUID().replaceAll('-', '')}`;
  const url = Object.assign(new URL(connectionString), { pathname: `/${name}` }).toString();
  const admin = new pg.Client({ connectionString, application_name: 'test-admin' });
  const beside = new pg.Client({ connectionString: url, application_name: 'test-beside' });

  beforeAll(async () => {
    await admin.connect();
    await admin.query(`create database ${name}`);
    await beside.connect();
  });
  afterAll(async () => {
    await beside.end();
    // Sessions of other roles, which cannot be forced to end from here, are on their way out: their pools are closed.
    const others = 'select from pg_stat_activity where datname = $1 and usename <> current_user';
    while ((await admin.query(others, [name])).rowCount) await new Promise((resolve) => setImmediate(resolve));
    await admin.query(`drop database ${name} with (force)`);
    await admin.end();
  });

  const query = async <R extends pg.QueryResultRow>(text: string, values?: unknown[]): Promise<R[]> =>
    (await beside.query<R>(text, values)).rows;
  return {
    name,
    connectionString: url,
    query,
    async terminate(pid) {
      // With a timeout it waits until the process is gone (PostgreSQL documentation, 9.28.2).
      const { rows } = await admin.query<{ done: boolean }>('select pg_terminate_backend($1, 30000) as done', [pid]);
      if (!rows[0]?.done) throw new Error(`Session ${pid} was not there to be ended.`);
    },
    async sessions() {
      const rows = await query<{ pid: number }>(
        `select pid from pg_stat_activity where datname = $1 and backend_type = 'client backend'
           and application_name <> 'test-beside' order by backend_start`,
        [name],
      );
      return rows.map((row) => row.pid);
    },
  };
}

/** A pool, and what it has said so far. */
export interface TestPool {
  readonly pool: PgPool;
  readonly warnings: string[];
  readonly events: PoolEvent[];
}

/**
 * Returns a maker of pools that are ended after each test. The process's environment is not looked at, and time passes
 * slowly for them: a limit that is to run out is best a short one.
 */
export function usePools(defaults: () => CreatePoolOptions): (options?: CreatePoolOptions) => TestPool {
  const made: PgPool[] = [];
  afterEach(async () => {
    // A test that has failed may hold a lease, for which end() would wait.
    const patience = new Promise((resolve) => void setTimeout(resolve, 10_000).unref());
    for (const pool of made.splice(0)) if (!pool.ending) await Promise.race([pool.end(), patience]);
  });
  return (options = {}) => {
    const warnings: string[] = [];
    const onWarning = (message: string): void => void warnings.push(message);
    const pool = createPool({ env: {}, clock: slowClock(), onWarning, ...defaults(), ...options });
    const events: PoolEvent[] = [];
    pool.observe((event) => events.push(event));
    made.push(pool);
    return { pool, warnings, events };
  };
}

/** A chaos proxy in front of the server, closed after the file's tests and healed after each. */
export function useProxy(): () => ChaosProxy {
  let proxy: ChaosProxy | undefined;
  beforeAll(async () => {
    const { host, port } = inject('postgres');
    proxy = await startChaosProxy({ targetHost: host, targetPort: port });
  });
  afterEach(() => proxy?.healed());
  afterAll(() => proxy?.close());
  return () => {
    if (proxy === undefined) throw new Error('The proxy is started before the tests, not before the file.');
    return proxy;
  };
}

/** The same database by way of another port. */
export function through(port: number, connectionString: string): string {
  return Object.assign(new URL(connectionString), { port: String(port) }).toString();
}

/** The error that a promise is rejected with. */
export async function failure(promise: Promise<unknown>): Promise<Error & { code?: string }> {
  try {
    await promise;
  } catch (error) {
    return error as Error & { code?: string };
  }
  throw new Error('It did not fail.');
}

/** What a function throws. */
export function thrown(fn: () => unknown): Error & { code?: string } {
  try {
    fn();
  } catch (error) {
    return error as Error & { code?: string };
  }
  throw new Error('It did not throw.');
}

/** Resolves with the next event of the pool that meets the condition. */
export function nextEvent(pool: PgPool, met: (event: PoolEvent) => boolean): Promise<PoolEvent> {
  return new Promise((resolve) => {
    const stop = pool.observe((event) => {
      if (!met(event)) return;
      stop();
      resolve(event);
    });
  });
}

/** Resolves once the condition holds; it is looked at after each event of the pool. */
export async function until(pool: PgPool, met: () => boolean): Promise<void> {
  while (!met()) await nextEvent(pool, () => true);
}
