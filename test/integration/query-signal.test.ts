// AbortSignal for statements: what is told, what is left behind, and whom a cancel may strike.

import pg from 'pg';
import { AcquireError, type PgQueryConfig, QueryAbortedError } from 'thawpool';
import { describe, expect, inject, it } from 'vitest';
import { freePort } from '../support/free-port.ts';
import { Cursor } from '../support/pg-cursor.ts';
import { failure, through, until, useDatabase, usePools, useProxy } from './support.ts';

const database = useDatabase();
const proxy = useProxy();
const makePool = usePools(() => ({ connectionString: database.connectionString }));

/** Resolves once a statement with this text is running in the database. */
async function running(text: string): Promise<number> {
  for (;;) {
    const [row] = await database.query<{ pid: number }>(
      `select pid from pg_stat_activity where datname = $1 and state = 'active' and query like $2 and pid <> pg_backend_pid()`,
      [database.name, `%${text}%`],
    );
    if (row) return row.pid;
  }
}

const reason = new Error('the caller has gone');

describe('a query with a signal', () => {
  it('runs as usual while the signal keeps quiet, in every form', async () => {
    const { pool } = makePool();
    const { signal } = new AbortController();
    expect((await pool.query({ text: 'select $1::int as a', values: [1], signal })).rows).toEqual([{ a: 1 }]);
    const config = { text: 'select $1::int as a', signal };
    expect((await pool.query(config, [2])).rows).toEqual([{ a: 2 }]);
    const bound: PgQueryConfig = { ...config, values: [3] };
    const called = new Promise((resolve) => {
      pool.query(bound, (error, result) => resolve([error, result.rows]));
    });
    expect(await called).toEqual([undefined, [{ a: 3 }]]);
    expect(bound).toEqual({ text: 'select $1::int as a', values: [3], signal });
    expect((await failure(pool.query({ text: 'selct', signal }))).code).toBe('42601');
    await pool.use(async (client) => {
      expect((await client.query({ text: 'select 4 as a', signal })).rows).toEqual([{ a: 4 }]);
      const answer = new Promise((resolve) => {
        client.query(bound, (error, result) => resolve([error, result.rows]));
      });
      expect(await answer).toEqual([null, [{ a: 3 }]]);
    });
    await pool.transaction(async (tx) => {
      expect((await tx.query({ text: 'select 6 as a', signal })).rows).toEqual([{ a: 6 }]);
    });
  });

  it('sends nothing once the signal has fired', async () => {
    const { pool } = makePool({ application_name: 'unsent' });
    const signal = AbortSignal.abort(reason);
    for (const attempt of [
      () => pool.query({ text: 'select 1', signal }),
      () => pool.use((client) => client.query({ text: 'select 1', signal })),
      () => pool.transaction((tx) => tx.query({ text: 'select 1', signal })),
    ]) {
      const error = await failure(attempt());
      expect(error).toBeInstanceOf(QueryAbortedError);
      expect(error).toMatchObject({ code: 'ERR_POOL_QUERY_ABORTED', statement: 'not-sent', cause: reason });
      expect(error.message).toBe(
        'The statement was aborted by its AbortSignal: it was not sent. See ERR_POOL_QUERY_ABORTED.',
      );
    }
    expect((await pool.query('select 1')).rowCount).toBe(1);
  });

  it('leaves the queue for a connection', async () => {
    const { pool } = makePool({ max: 1 });
    const client = await pool.connect();
    const controller = new AbortController();
    const failing = failure(pool.query({ text: 'select 1', signal: controller.signal }));
    await until(pool, () => pool.waitingCount === 1).catch(() => {});
    controller.abort(reason);
    expect(await failing).toMatchObject({ code: 'ERR_POOL_QUERY_ABORTED', statement: 'not-sent', cause: reason });
    expect(pool.waitingCount).toBe(0);
    client.release();
  });

  it('is cancelled while it runs, and its connection serves the next', async () => {
    const { pool } = makePool({ max: 1 });
    const controller = new AbortController();
    const failing = failure(pool.query({ text: 'select pg_sleep(3600)', signal: controller.signal }));
    const pid = await running('pg_sleep(3600)');
    controller.abort(reason);
    const error = await failing;
    expect(error).toMatchObject({ code: 'ERR_POOL_QUERY_ABORTED', statement: 'cancelled', cause: reason });
    expect(error.stack).toContain('query-signal.test.ts');
    expect((await pool.query('select pg_backend_pid() as pid')).rows).toEqual([{ pid }]);
    expect(pool.stats()).toMatchObject({ total: 1, idle: 1 });
  });

  it('tells the callback', async () => {
    const { pool } = makePool({ max: 1 });
    const controller = new AbortController();
    const answer = new Promise((resolve) =>
      pool.query({ text: 'select pg_sleep(3601)', signal: controller.signal } as pg.QueryConfig, resolve),
    );
    await running('pg_sleep(3601)');
    controller.abort();
    expect(await answer).toMatchObject({ statement: 'cancelled', cause: { name: 'AbortError' } });
  });

  it('is taken out of the queue of a lent client, and what is before it goes on', async () => {
    const { pool } = makePool({ max: 1 });
    await pool.use(async (client) => {
      const controller = new AbortController();
      const first = client.query('select pg_sleep(0.05), 1 as a');
      const second = failure(client.query({ text: 'select 2', signal: controller.signal }));
      const third = client.query('select 3 as a');
      controller.abort(reason);
      expect(await second).toMatchObject({ statement: 'not-sent' });
      expect((await first).rows).toMatchObject([{ a: 1 }]);
      expect((await third).rows).toEqual([{ a: 3 }]);
    });
    expect(pool.stats()).toMatchObject({ idle: 1 });
  });

  it('holds back what waits behind it on the same client until the cancel cannot strike any more', async () => {
    const { pool } = makePool({ max: 1 });
    await pool.use(async (client) => {
      const controller = new AbortController();
      const first = failure(client.query({ text: 'select pg_sleep(3602)', signal: controller.signal }));
      const second = client.query('select pg_sleep(0.02), 2 as a');
      await running('pg_sleep(3602)');
      controller.abort();
      expect(await first).toMatchObject({ statement: 'cancelled' });
      expect((await second).rows).toMatchObject([{ a: 2 }]);
    });
  });

  it('answers as usual when it was done before the cancel came', async () => {
    const { pool } = makePool({ max: 1 });
    const controller = new AbortController();
    // The server has answered when the signal fires.
    const query = pool.query({ text: 'select 7 as a', signal: controller.signal });
    const done = "select 1 from pg_stat_activity where datname = $1 and query = 'select 7 as a' and state = 'idle'";
    for (let rows: unknown[] = []; rows.length === 0; ) rows = await database.query(done, [database.name]);
    controller.abort();
    expect((await query).rows).toEqual([{ a: 7 }]);
  });

  it('refuses a signal that is none', async () => {
    const { pool } = makePool();
    const error = await failure(pool.query({ text: 'select 1', signal: 'now' as never }));
    expect(error).toBeInstanceOf(TypeError);
    expect(error.message).toBe('signal must be an AbortSignal, got string');
    await pool.use(async (client) => {
      expect(await failure(client.query({ text: 'select 1', signal: {} as never }))).toBeInstanceOf(TypeError);
    });
    await pool.query({ text: 'select 1', signal: undefined });
  });

  it('costs its listener when it is over', async () => {
    const { pool } = makePool();
    const { signal } = new AbortController();
    let listeners = 0;
    const counting = {
      aborted: false,
      addEventListener: (...args: Parameters<AbortSignal['addEventListener']>) => {
        listeners += 1;
        signal.addEventListener(...args);
      },
      removeEventListener: (...args: Parameters<AbortSignal['removeEventListener']>) => {
        listeners -= 1;
        signal.removeEventListener(...args);
      },
    } as unknown as AbortSignal;
    await pool.query({ text: 'select 1', signal: counting });
    await pool.use((client) => client.query({ text: 'select 1', signal: counting }), { signal: counting });
    await pool.transaction({ signal: counting }, (tx) => tx.query('select 1'));
    for await (const row of pool.iterate('select 1', [], { signal: counting })) expect(row).toBeDefined();
    expect(listeners).toBe(0);
  });
});

describe('where a cancel is not to be had', () => {
  it('closes the connection of a server without a key to cancel by', async () => {
    const { pool } = makePool({ max: 1 });
    pool.on('connect', (client) => Object.assign(client, { processID: null, secretKey: null }));
    const controller = new AbortController();
    const failing = failure(pool.query({ text: 'select pg_sleep(3603)', signal: controller.signal }));
    const pid = await running('pg_sleep(3603)');
    controller.abort(reason);
    expect(await failing).toMatchObject({ code: 'ERR_POOL_QUERY_ABORTED', statement: 'unknown', cause: reason });
    const { rows } = await pool.query<{ pid: number }>('select pg_backend_pid() as pid');
    expect(rows[0]?.pid).not.toBe(pid);
    await database.terminate(pid).catch(() => {});
  });

  it('closes the connection when the cancel gets lost on its way', async () => {
    const { pool } = makePool({ max: 1, connectionString: through(proxy().port, database.connectionString) });
    const controller = new AbortController();
    const failing = failure(pool.query({ text: 'select pg_sleep(3604)', signal: controller.signal }));
    const pid = await running('pg_sleep(3604)');
    proxy().retarget('127.0.0.1', await freePort());
    controller.abort(reason);
    expect(await failing).toMatchObject({ statement: 'unknown' });
    const { host, port } = inject('postgres');
    proxy().retarget(host, port);
    const { rows } = await pool.query<{ pid: number }>('select pg_backend_pid() as pid');
    expect(rows[0]?.pid).not.toBe(pid);
    await database.terminate(pid).catch(() => {});
  });
});

describe('a transaction with a signal', () => {
  it('is rolled back, sends nothing more, and leaves a sound connection', async () => {
    await database.query('create table kept (a int)');
    const { pool, warnings } = makePool({ max: 1 });
    const controller = new AbortController();
    const seen: unknown[] = [];
    const failing = failure(
      pool.transaction({ signal: controller.signal }, async (tx) => {
        await tx.query('insert into kept values (1)');
        seen.push(await failure(tx.query('select pg_sleep(3605)')));
        seen.push(await failure(tx.query('select 1')));
        seen.push(await failure(tx.transaction((inner) => inner.query('select 1'))));
        return 'done';
      }),
    );
    const pid = await running('pg_sleep(3605)');
    controller.abort(reason);
    expect(await failing).toMatchObject({ code: 'ERR_POOL_QUERY_ABORTED', statement: 'cancelled', cause: reason });
    expect(seen).toMatchObject([
      { statement: 'cancelled', cause: reason },
      { statement: 'not-sent', cause: reason },
      { statement: 'not-sent', cause: reason },
    ]);
    expect(await database.query('select * from kept')).toEqual([]);
    expect((await pool.query('select pg_backend_pid() as pid')).rows).toEqual([{ pid }]);
    expect(warnings).toEqual([]);
  });

  it('is not committed when the signal fires between its last statement and COMMIT', async () => {
    await database.query('create table late (a int)');
    const { pool } = makePool({ max: 1 });
    const controller = new AbortController();
    const error = await failure(
      pool.transaction({ signal: controller.signal, retries: 3 }, async (tx) => {
        await tx.query('insert into late values (1)');
        controller.abort(reason);
      }),
    );
    expect(error).toMatchObject({ code: 'ERR_POOL_QUERY_ABORTED', cause: reason });
    expect(await database.query('select * from late')).toEqual([]);
    expect(pool.stats()).toMatchObject({ idle: 1 });
  });

  it('does not begin once the signal has fired, nor while it waits', async () => {
    const { pool } = makePool({ max: 1 });
    const refused = await failure(pool.transaction({ signal: AbortSignal.abort(reason) }, () => 1));
    expect(refused).toBeInstanceOf(AcquireError);
    expect(refused).toMatchObject({ code: 'ERR_POOL_ACQUIRE_ABORTED', cause: reason });
  });

  it('cancels the cursor that is read in it', async () => {
    const { pool } = makePool({ max: 1 });
    const controller = new AbortController();
    const failing = failure(
      pool.transaction({ signal: controller.signal }, async (tx) => {
        const cursor = tx.query(new Cursor('select pg_sleep(3606)'));
        await cursor.read(1);
      }),
    );
    await running('pg_sleep(3606)');
    controller.abort(reason);
    expect(await failing).toMatchObject({ statement: 'cancelled' });
    expect((await pool.query('select 1 as a')).rows).toEqual([{ a: 1 }]);
  });
});

describe('use with a signal', () => {
  it('cancels what runs, refuses what comes, lets ROLLBACK through', async () => {
    const { pool, warnings } = makePool({ max: 1 });
    const controller = new AbortController();
    const seen: unknown[] = [];
    const working = pool.use(
      async (client) => {
        await client.query('begin');
        seen.push(await failure(client.query('select pg_sleep(3607)')));
        seen.push(await failure(client.query('select 1')));
        await client.query('rollback');
      },
      { signal: controller.signal },
    );
    const pid = await running('pg_sleep(3607)');
    controller.abort(reason);
    await working;
    expect(seen).toMatchObject([{ statement: 'cancelled' }, { statement: 'not-sent' }]);
    expect(warnings).toEqual([]);
    // The next one's client refuses nothing.
    expect((await pool.use((client) => client.query('select pg_backend_pid() as pid'))).rows).toEqual([{ pid }]);
  });
});

describe('connect with a signal', () => {
  it('ends the wait', async () => {
    const { pool } = makePool({ max: 1 });
    const client = await pool.connect();
    const controller = new AbortController();
    const failing = failure(pool.connect({ signal: controller.signal }));
    controller.abort(reason);
    expect(await failing).toMatchObject({ code: 'ERR_POOL_ACQUIRE_ABORTED', cause: reason });
    client.release();
  });
});

describe('a cancel', () => {
  it('never strikes the statement of the next user', async () => {
    // Each statement takes about as long as a cancel: in many rounds it is over when the cancel arrives.
    const { pool } = makePool({ max: 2 });
    let cancelled = 0;
    let done = 0;
    const round = async (index: number): Promise<void> => {
      const controller = new AbortController();
      const aborted = pool.query({ text: `select pg_sleep(${(index % 8) / 1000})`, signal: controller.signal }).then(
        () => (done += 1),
        (error: QueryAbortedError) => {
          expect(error).toMatchObject({ code: 'ERR_POOL_QUERY_ABORTED' });
          cancelled += 1;
        },
      );
      // By other means than time, because a timer is coarser than a statement.
      for (let turn = index % 13; turn > 0; turn -= 1) await new Promise((resolve) => setImmediate(resolve));
      controller.abort();
      // Long enough to be struck.
      const next = pool.query('select pg_sleep(0.003), 1 as a');
      await aborted;
      expect((await next).rows).toMatchObject([{ a: 1 }]);
    };
    const worker = async (from: number): Promise<void> => {
      for (let index = from; index < 300; index += 3) await round(index);
    };
    await Promise.all([worker(0), worker(1), worker(2)]);
    expect(cancelled).toBeGreaterThan(0);
    expect(cancelled + done).toBe(300);
  }, 60_000);
});
