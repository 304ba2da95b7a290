// What is documented for pg's pool, and what can be seen of it: one suite for a real `pg.Pool`, which proves the
// assertions, and for ours. Where the two differ on purpose is in drop-in-differences.test.ts.

import { once } from 'node:events';
import { pipeline } from 'node:stream/promises';
import pg from 'pg';
import copyStreams from 'pg-copy-streams';
import QueryStream from 'pg-query-stream';
import { type CreatePoolOptions, createPool } from 'thawpool';
import { afterEach, describe, expect, it, vi } from 'vitest';
import { deferred } from '../support/deferred.ts';
import { Cursor } from '../support/pg-cursor.ts';
import { failure, thrown, useDatabase } from './support.ts';

const database = useDatabase();

/** Where pg's pool tells nobody; its second would be short on a machine that is busy. */
const patience = { timeout: 30_000 };

type Make = (options?: pg.PoolConfig) => pg.Pool;

const subjects: Readonly<Record<string, Make>> = {
  'pg.Pool': (options) => new pg.Pool({ connectionString: database.connectionString, ...options }),
  thawpool: (options) =>
    createPool({ env: {}, connectionString: database.connectionString, ...options } as unknown as CreatePoolOptions),
};

describe.each(Object.entries(subjects))('%s', (_, construct) => {
  const made: pg.Pool[] = [];
  const make: Make = (options) => {
    const pool = construct(options);
    made.push(pool);
    // pg's `end()` does not wait for the sockets: the server may end them first.
    pool.on('error', () => {});
    return pool;
  };
  afterEach(async () => {
    for (const pool of made.splice(0)) if (!pool.ending) await pool.end();
  });

  describe('makes', () => {
    it('a pg.Pool that has opened nothing', () => {
      const pool = make();
      expect(pool).toBeInstanceOf(pg.Pool);
      expect([pool.totalCount, pool.idleCount, pool.waitingCount, pool.expiredCount]).toEqual([0, 0, 0, 0]);
      expect([pool.ending, pool.ended]).toEqual([false, false]);
    });

    it('connections from a connection string', async () => {
      const { rows } = await make().query('select current_database() as name');
      expect(rows).toEqual([{ name: database.name }]);
    });

    it('connections from single options', async () => {
      const url = new URL(database.connectionString);
      const pool = make({
        connectionString: undefined,
        host: url.hostname,
        port: Number(url.port),
        user: decodeURIComponent(url.username),
        password: () => Promise.resolve(decodeURIComponent(url.password)),
        database: database.name,
        application_name: 'single',
      });
      expect((await pool.query('show application_name')).rows).toEqual([{ application_name: 'single' }]);
    });

    it('connections with the settings of pg’s Client', async () => {
      const pool = make({
        statement_timeout: 12_000,
        lock_timeout: 11_000,
        idle_in_transaction_session_timeout: 13_000,
        options: '-c work_mem=7MB',
        client_encoding: 'utf8',
        keepAlive: true,
      });
      const { rows } = await pool.query(
        `select current_setting('statement_timeout') as s, current_setting('lock_timeout') as l,
           current_setting('idle_in_transaction_session_timeout') as i, current_setting('work_mem') as w`,
      );
      expect(rows).toEqual([{ s: '12s', l: '11s', i: '13s', w: '7MB' }]);
    });

    it('results by type parsers of one’s own', async () => {
      const pool = make({ types: { getTypeParser: () => (value: string) => `<${value}>` } });
      expect((await pool.query('select 1 as a')).rows).toEqual([{ a: '<1>' }]);
    });

    it('clients of a class of one’s own', async () => {
      class Own extends pg.Client {}
      const client = await make({ Client: Own }).connect();
      expect(client).toBeInstanceOf(Own);
      client.release();
    });

    it('an error of a query that took too long', async () => {
      const pool = make({ query_timeout: 20, max: 1 });
      expect((await failure(pool.query('select pg_sleep(0.5)'))).message).toBe('Query read timeout');
    });
  });

  describe('query', () => {
    it('answers by promise: text, values, config, rows as arrays', async () => {
      const pool = make();
      expect((await pool.query('select 1 as a')).rows).toEqual([{ a: 1 }]);
      expect((await pool.query('select $1::int as a', [2])).rows).toEqual([{ a: 2 }]);
      expect((await pool.query({ text: 'select $1::int as a', values: [3] })).rows).toEqual([{ a: 3 }]);
      expect((await pool.query({ text: 'select $1::int as a', name: 'named' }, [4])).rows).toEqual([{ a: 4 }]);
      expect((await pool.query({ text: 'select 5 as a', rowMode: 'array' })).rows).toEqual([[5]]);
      expect([pool.totalCount, pool.idleCount]).toEqual([1, 1]);
    });

    it('answers by callback, and returns nothing then', async () => {
      const pool = make();
      const answers: unknown[] = [];
      const first = deferred();
      const done = (error: unknown, result: pg.QueryResult): void => {
        answers.push([error ?? undefined, result.rows]);
        if (answers.length === 3) first.resolve();
      };
      expect(pool.query('select 1 as a', done)).toBeUndefined();
      expect(pool.query('select $1::int as a', [1], done)).toBeUndefined();
      expect(pool.query({ text: 'select $1::int as a', values: [1] }, done)).toBeUndefined();
      await first.promise;
      expect(answers).toEqual(Array.from({ length: 3 }, () => [undefined, [{ a: 1 }]]));
    });

    it('tells an error by promise and by callback', async () => {
      const pool = make();
      const error = await failure(pool.query('select nothing from nowhere'));
      expect(error).toBeInstanceOf(pg.DatabaseError);
      expect(error.code).toBe('42P01');
      expect(error.stack).toContain('drop-in.test.ts');
      const told = deferred<unknown>();
      pool.query('selct', (problem) => told.resolve(problem));
      expect(await told.promise).toMatchObject({ code: '42601' });
      const bound = deferred<unknown>();
      pool.query('select $1::int', ['x'], (problem) => bound.resolve(problem));
      expect(await bound.promise).toMatchObject({ code: '22P02' });
    });

    it('tells a function given first that it is none', async () => {
      const told = deferred<Error>();
      make().query(((error: Error) => told.resolve(error)) as never);
      expect((await told.promise).message).toBe(
        'Passing a function as the first parameter to pool.query is not supported',
      );
    });

    it('serves more than there are connections', async () => {
      const pool = make({ max: 3 });
      const all = await Promise.all(
        Array.from({ length: 50 }, (__, index) => pool.query('select $1::int as a', [index])),
      );
      expect(all.map(({ rows }) => rows[0].a)).toEqual(Array.from({ length: 50 }, (__, index) => index));
      expect(pool.totalCount).toBe(3);
    });
  });

  describe('connect', () => {
    it('lends a client by promise, which goes back by release', async () => {
      const pool = make();
      const client = await pool.connect();
      expect((await client.query('select 1 as a')).rows).toEqual([{ a: 1 }]);
      expect([pool.totalCount, pool.idleCount]).toEqual([1, 0]);
      client.release();
      expect([pool.totalCount, pool.idleCount]).toEqual([1, 1]);
      expect(await pool.connect()).toBe(client);
      client.release();
    });

    it('lends a client by callback, with what gives it back', async () => {
      const pool = make();
      const lent = deferred<unknown[]>();
      expect(pool.connect((...args) => lent.resolve(args))).toBeUndefined();
      const [error, client, done] = (await lent.promise) as [undefined, pg.PoolClient, () => void];
      expect(error ?? undefined).toBeUndefined();
      expect((await client.query('select 1 as a')).rows).toEqual([{ a: 1 }]);
      done();
      expect(pool.idleCount).toBe(1);
    });

    it('tells the callback of a failure, with a release that does nothing', async () => {
      const pool = make({ connectionString: undefined, host: '127.0.0.1', port: 1, connectionTimeoutMillis: 200 });
      const told = deferred<unknown[]>();
      pool.connect((...args) => told.resolve(args));
      const [error, client, done] = (await told.promise) as [Error, unknown, () => void];
      expect(error).toBeInstanceOf(Error);
      expect(client).toBeUndefined();
      expect(() => done()).not.toThrow();
      await vi.waitFor(() => expect(pool.totalCount).toBe(0), patience);
    });

    it('has those wait who find no connection, in the order of their coming', async () => {
      const pool = make({ max: 1 });
      const client = await pool.connect();
      const order: number[] = [];
      const waiting = [1, 2, 3].map(async (name) => {
        const next = await pool.connect();
        order.push(name);
        next.release();
      });
      expect(pool.waitingCount).toBe(3);
      client.release();
      await Promise.all(waiting);
      expect(order).toEqual([1, 2, 3]);
      expect([pool.totalCount, pool.idleCount, pool.waitingCount]).toEqual([1, 1, 0]);
    });

    it('stops waiting after connectionTimeoutMillis, and goes on', async () => {
      // The connection itself must be there in time as well, on a machine that is busy.
      const pool = make({ max: 1, connectionTimeoutMillis: 2000 });
      const client = await pool.connect();
      const failing = failure(pool.connect());
      const told = deferred<unknown>();
      pool.query('select 1', (error) => told.resolve(error));
      expect(await failing).toBeInstanceOf(Error);
      expect(await told.promise).toBeInstanceOf(Error);
      expect(pool.waitingCount).toBe(0);
      client.release();
      expect((await pool.query('select 1 as a')).rows).toEqual([{ a: 1 }]);
    });
  });

  describe('release', () => {
    it('refuses the second time', async () => {
      const pool = make();
      const client = await pool.connect();
      client.release();
      expect(thrown(() => client.release()).message).toMatch(
        /^Release called on client which has already been released to the pool\./,
      );
      expect(pool.idleCount).toBe(1);
    });

    it.each([
      ['true', true],
      ['an error', new Error('of no use')],
    ])('closes the connection when told %s', async (__, why) => {
      const pool = make();
      const client = await pool.connect();
      const removed = once(pool, 'remove');
      client.release(why);
      expect(await removed).toEqual([client]);
      await vi.waitFor(() => expect([pool.totalCount, pool.idleCount]).toEqual([0, 0]), patience);
    });

    it('has the next one get another connection then', async () => {
      const pool = make({ max: 1 });
      const client = await pool.connect();
      const next = pool.connect();
      client.release(true);
      expect(await next).not.toBe(client);
      (await next).release();
    });

    it('closes a client that its holder has ended', async () => {
      const pool = make();
      const client = (await pool.connect()) as pg.PoolClient & { end(): Promise<void> };
      await client.end();
      client.release();
      await vi.waitFor(() => expect(pool.totalCount).toBe(0), patience);
      expect((await pool.query('select 1 as a')).rows).toEqual([{ a: 1 }]);
    });
  });

  describe('the events', () => {
    it('are connect, acquire, release, remove, with the client, in this order', async () => {
      const pool = make();
      const heard: unknown[][] = [];
      for (const name of ['connect', 'acquire', 'release', 'remove'] as const) {
        pool.on(name, (...args: unknown[]) => {
          heard.push([name, ...args.map((arg) => (arg instanceof pg.Client ? 'client' : arg))]);
        });
      }
      const client = await pool.connect();
      expect(heard.splice(0)).toEqual([
        ['connect', 'client'],
        ['acquire', 'client'],
      ]);
      client.release();
      expect(heard.splice(0)).toEqual([['release', undefined, 'client']]);
      await pool.query('select 1');
      expect(heard.splice(0).map(([name]) => name)).toEqual(['acquire', 'release']);
      const error = new Error('of no use');
      const again = await pool.connect();
      const removed = once(pool, 'remove');
      again.release(error);
      await removed;
      expect(heard.splice(0)).toEqual([
        ['acquire', 'client'],
        ['release', error, 'client'],
        ['remove', 'client'],
      ]);
    });

    it('name the same client in each', async () => {
      const pool = make();
      const clients = new Set<unknown>();
      pool.on('connect', (client) => clients.add(client));
      pool.on('acquire', (client) => clients.add(client));
      pool.on('release', (__, client) => clients.add(client));
      const client = await pool.connect();
      client.release();
      expect([...clients]).toEqual([client]);
    });

    it('include error, for a connection that is lost while idle, with the client', async () => {
      const pool = make();
      const client = await pool.connect();
      const { rows } = await client.query<{ pid: number }>('select pg_backend_pid() as pid');
      client.release();
      const lost = once(pool, 'error') as Promise<[Error & { client?: unknown }, unknown]>;
      await database.terminate(rows[0]?.pid ?? 0);
      const [error, whose] = await lost;
      expect(error).toMatchObject({ code: '57P01' });
      expect(whose).toBe(client);
      expect(error.client).toBe(client);
      await vi.waitFor(() => expect(pool.totalCount).toBe(0), patience);
      expect((await pool.query('select 1 as a')).rows).toEqual([{ a: 1 }]);
    });

    it('let a listener of connect set the connection up before its first user has it', async () => {
      const pool = make();
      pool.on('connect', (client) => void client.query("set application_name = 'set up'"));
      expect((await pool.query('show application_name')).rows).toEqual([{ application_name: 'set up' }]);
    });
  });

  describe('the options of pg’s Pool', () => {
    it('max is the most there are', async () => {
      const pool = make({ max: 2 });
      const clients = await Promise.all([pool.connect(), pool.connect()]);
      const third = pool.connect();
      expect([pool.totalCount, pool.waitingCount]).toEqual([2, 1]);
      for (const client of clients) client.release();
      (await third).release();
    });

    it('maxUses closes a connection that was used so often', async () => {
      const pool = make({ maxUses: 2, max: 1 });
      const pids = [];
      for (let use = 0; use < 5; use += 1) {
        const { rows } = await pool.query<{ pid: number }>('select pg_backend_pid() as pid');
        pids.push(rows[0]?.pid);
      }
      expect(pids[0]).toBe(pids[1]);
      expect(pids[2]).toBe(pids[3]);
      expect(new Set(pids).size).toBe(3);
    });

    it('maxLifetimeSeconds closes a connection that is older', async () => {
      const pool = make({ maxLifetimeSeconds: 1 });
      const { rows } = await pool.query('select pg_backend_pid() as pid, pg_sleep(1.2)');
      const { rows: after } = await pool.query('select pg_backend_pid() as pid');
      expect(after[0].pid).not.toBe(rows[0].pid);
    });

    it('idleTimeoutMillis has a connection not used that was idle for longer', async () => {
      const pool = make({ idleTimeoutMillis: 20 });
      const { rows } = await pool.query('select pg_backend_pid() as pid');
      await database.query('select pg_sleep(0.1)');
      const { rows: after } = await pool.query('select pg_backend_pid() as pid');
      expect(after[0].pid).not.toBe(rows[0].pid);
    });

    it('onConnect prepares a connection before its first user has it', async () => {
      const pool = make({
        // oxlint-disable-next-line typescript/no-misused-promises -- pg's pool waits for it, whatever its types say
        onConnect: async (client: pg.ClientBase) => void (await client.query("set application_name = 'prepared'")),
      });
      expect((await pool.query('show application_name')).rows).toEqual([{ application_name: 'prepared' }]);
    });

    it('onConnect fails whoever waits when it fails, and the next one gets another', async () => {
      let calls = 0;
      const problem = new Error('not today');
      const pool = make({
        onConnect: () => {
          calls += 1;
          if (calls === 1) throw problem;
        },
      });
      expect(await failure(pool.query('select 1'))).toBe(problem);
      expect((await pool.query('select 1 as a')).rows).toEqual([{ a: 1 }]);
      expect(calls).toBe(2);
    });

    it('verify sees each connection once, with its client', async () => {
      const seen: unknown[] = [];
      const pool = make({
        verify: (client: pg.PoolClient, done: (error?: Error) => void) => {
          seen.push(client);
          done();
        },
      });
      const client = await pool.connect();
      client.release();
      await pool.query('select 1');
      expect(seen).toEqual([client]);
    });

    it('verify refuses a connection, and the error is that of who waits', async () => {
      const problem = new Error('not good enough');
      const pool = make({ verify: (__, done) => done(problem), max: 1 });
      expect(await failure(pool.query('select 1'))).toBe(problem);
      const told = deferred<unknown>();
      pool.connect((error) => told.resolve(error));
      expect(await told.promise).toBe(problem);
      await vi.waitFor(() => expect(pool.totalCount).toBe(0), patience);
    });

    it('log hears what the pool does', async () => {
      const lines: unknown[][] = [];
      const pool = make({ log: (...line: unknown[]) => lines.push(line) });
      await pool.query('select 1');
      expect(lines.length).toBeGreaterThan(2);
      expect(lines.every(([first]) => typeof first === 'string')).toBe(true);
    });

    it('Promise is what the pool answers with', async () => {
      class Own<T> extends Promise<T> {}
      const pool = make({ Promise: Own });
      const answers = [pool.query('select 1'), pool.connect(), failure(pool.query('selct'))];
      expect(answers[0]).toBeInstanceOf(Own);
      expect(answers[1]).toBeInstanceOf(Own);
      await Promise.all(answers);
      ((await answers[1]) as unknown as pg.PoolClient).release();
      const ended = pool.end();
      expect(ended).toBeInstanceOf(Own);
      await ended;
    });

    it('are shown as options', () => {
      const pool = make({ max: 7, idleTimeoutMillis: 1234, maxUses: 5 });
      expect(pool.options).toMatchObject({ max: 7, idleTimeoutMillis: 1234, maxUses: 5 });
      expect(JSON.stringify(pool.options)).not.toContain('password');
    });
  });

  describe('submittables', () => {
    it('pg-cursor reads in batches', async () => {
      const pool = make();
      const client = await pool.connect();
      const cursor = client.query(new Cursor('select n from generate_series(1, 5) n'));
      expect(await cursor.read(3)).toEqual([{ n: 1 }, { n: 2 }, { n: 3 }]);
      expect(await cursor.read(3)).toEqual([{ n: 4 }, { n: 5 }]);
      expect(await cursor.read(3)).toEqual([]);
      await cursor.close();
      client.release();
      expect((await pool.query('select 1 as a')).rows).toEqual([{ a: 1 }]);
    });

    it('pg-cursor closes early and leaves a sound connection', async () => {
      const pool = make({ max: 1 });
      const client = await pool.connect();
      const cursor = client.query(new Cursor('select n from generate_series(1, 500) n'));
      await cursor.read(1);
      await cursor.close();
      client.release();
      expect((await pool.query('select 1 as a')).rows).toEqual([{ a: 1 }]);
    });

    it('pg-cursor tells an error', async () => {
      const pool = make({ max: 1 });
      const client = await pool.connect();
      const cursor = client.query(new Cursor('select nothing from nowhere'));
      expect((await failure(cursor.read(1))).code).toBe('42P01');
      client.release();
      expect((await pool.query('select 1 as a')).rows).toEqual([{ a: 1 }]);
    });

    it('pg-query-stream streams', async () => {
      const pool = make();
      const client = await pool.connect();
      const rows: unknown[] = [];
      for await (const row of client.query(new QueryStream('select n from generate_series(1, 250) n'))) rows.push(row);
      client.release();
      expect(rows).toHaveLength(250);
      expect(pool.idleCount).toBe(1);
    });

    it('pg-copy-streams copies in and out', async () => {
      await database.query('create table if not exists copied (a int)');
      const pool = make();
      const client = await pool.connect();
      await client.query('truncate copied');
      await pipeline(['1\n', '2\n', '3\n'], client.query(copyStreams.from('copy copied from stdin')));
      const chunks: Buffer[] = [];
      for await (const chunk of client.query(copyStreams.to('copy copied to stdout'))) chunks.push(chunk as Buffer);
      client.release();
      expect(Buffer.concat(chunks).toString()).toBe('1\n2\n3\n');
      expect(pool.idleCount).toBe(1);
    });

    it('pg’s own Query goes through pool.query', async () => {
      const pool = make();
      const rows: unknown[] = [];
      const query = new pg.Query('select 1 as a');
      query.on('row', (row) => rows.push(row));
      await (pool.query(query) as unknown as Promise<unknown>);
      expect(rows).toEqual([{ a: 1 }]);
      expect(pool.idleCount).toBe(1);
    });
  });

  describe('end', () => {
    it('closes what is idle, and says so', async () => {
      const pool = make();
      for (const client of await Promise.all([pool.connect(), pool.connect()])) client.release();
      const removed = vi.fn();
      pool.on('remove', removed);
      const ending = pool.end();
      expect(pool.ending).toBe(true);
      await ending;
      expect([pool.ending, pool.ended, pool.totalCount]).toEqual([true, true, 0]);
      await vi.waitFor(() => expect(removed).toHaveBeenCalledTimes(2), patience);
    });

    it('calls back, and returns nothing then', async () => {
      const pool = make();
      const done = deferred();
      expect(pool.end(() => done.resolve())).toBeUndefined();
      await done.promise;
      expect(pool.ended).toBe(true);
    });

    it('waits for what is lent', async () => {
      const pool = make();
      const client = await pool.connect();
      let over = false;
      const ending = pool.end().then(() => {
        over = true;
      });
      expect((await client.query('select 1 as a')).rows).toEqual([{ a: 1 }]);
      expect(over).toBe(false);
      client.release();
      await ending;
      expect(pool.totalCount).toBe(0);
    });

    it('is an error the second time, by promise and by callback', async () => {
      const pool = make();
      await pool.end();
      expect((await failure(pool.end())).message).toMatch(/^Called end on pool more than once/);
      const told = deferred<unknown>();
      pool.end(((error: unknown) => told.resolve(error)) as () => void);
      expect(await told.promise).toBeInstanceOf(Error);
    });

    it('has what comes after it fail, by promise and by callback', async () => {
      const pool = make();
      await pool.end();
      const words = /^Cannot use a pool after calling end on the pool/;
      expect((await failure(pool.connect())).message).toMatch(words);
      expect((await failure(pool.query('select 1'))).message).toMatch(words);
      const told = deferred<Error | undefined>();
      pool.connect((error) => told.resolve(error));
      expect((await told.promise)?.message).toMatch(words);
      const asked = deferred<Error>();
      pool.query('select 1', (error) => asked.resolve(error));
      expect((await asked.promise).message).toMatch(words);
    });
  });

  describe('a lost connection', () => {
    it('under a lent client fails its query, and the pool goes on', async () => {
      const pool = make({ max: 1 });
      pool.on('error', () => {});
      const client = await pool.connect();
      client.on('error', () => {});
      const { rows } = await client.query<{ pid: number }>('select pg_backend_pid() as pid');
      const failing = failure(client.query('select pg_sleep(3600)'));
      await database.terminate(rows[0]?.pid ?? 0);
      expect(await failing).toBeInstanceOf(Error);
      client.release(true);
      expect((await pool.query('select 1 as a')).rows).toEqual([{ a: 1 }]);
    });
  });
});
