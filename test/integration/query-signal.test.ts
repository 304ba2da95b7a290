// AbortSignal for statements: what is told, what is left behind, and whom a cancel may strike.

import { type EventEmitter, getEventListeners } from 'node:events';
import pg from 'pg';
import { AcquireError, type PgQueryConfig, QueryAbortedError } from 'thawpool';
import { systemClock } from 'thawpool/core';
import { describe, expect, inject, it, vi } from 'vitest';
import { controlOf } from '../../src/pg/control.ts';
import { startCancelRelay } from '../support/cancel-relay.ts';
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

describe('a signal', () => {
  it.each([
    ['an error', reason],
    ['a text', 'enough'],
    ['null', null],
    ['a number', 0],
  ])('may have %s for a reason', async (_, given) => {
    const { pool } = makePool();
    const error = await failure(pool.query({ text: 'select 1', signal: AbortSignal.abort(given) }));
    expect(error).toBeInstanceOf(QueryAbortedError);
    expect(error.cause).toBe(given);
  });

  it('may be that of a thousand statements at once, and keeps nothing of them', async () => {
    const { pool } = makePool({ max: 2 });
    const { signal } = new AbortController();
    const warned: Error[] = [];
    const hear = (warning: Error): void => void warned.push(warning);
    process.on('warning', hear);
    const answers = Array.from({ length: 1000 }, (_, n) =>
      pool.query({ text: 'select $1::int as n', values: [n], signal }),
    );
    expect((await Promise.all(answers)).map(({ rows }) => rows[0]?.['n'])).toEqual(answers.map((__, n) => n));
    await new Promise((resolve) => setImmediate(resolve));
    process.off('warning', hear);
    expect(warned.filter(({ name }) => name === 'MaxListenersExceededWarning')).toEqual([]);
    expect(getEventListeners(signal, 'abort')).toEqual([]);
  });

  it('hides nothing that is thrown, whatever it is', async () => {
    const { pool } = makePool();
    const { signal } = new AbortController();
    const types = {
      getTypeParser: () => () => {
        // oxlint-disable-next-line typescript/only-throw-error -- what somebody will do
        throw 'no error at all';
      },
    } as never;
    const answer = pool.query({ text: 'select 1 as a', types, signal });
    await expect(answer).rejects.toBe('no error at all');
  });

  it('ends a statement in a savepoint, and what is around it goes on', async () => {
    const { pool } = makePool({ max: 1 });
    const controller = new AbortController();
    const answer = await pool.transaction(async (tx) => {
      const inner = failure(
        tx.transaction((nested) => nested.query({ text: 'select pg_sleep(3609)', signal: controller.signal })),
      );
      await running('pg_sleep(3609)');
      controller.abort(reason);
      expect(await inner).toMatchObject({ statement: 'cancelled', cause: reason });
      return (await tx.query('select 2 as a')).rows;
    });
    expect(answer).toEqual([{ a: 2 }]);
  });

  it('ends each of the statements that a client pipelines', async () => {
    const { pool } = makePool({ max: 1, pipeline: true });
    const controllers = [new AbortController(), new AbortController()];
    const failing = pool.use(async (client) => {
      const answers = controllers.map(({ signal }, n) =>
        failure(client.query({ text: `select pg_sleep(361${n})`, signal })),
      );
      await running('pg_sleep(3610)');
      controllers[1]?.abort(reason);
      return Promise.all(answers);
    });
    expect((await failing)[1]).toMatchObject({ statement: 'unknown', cause: reason });
    const controller = new AbortController();
    const all = pool.use(
      (client) => Promise.all([3612, 3613].map((n) => failure(client.query(`select pg_sleep(${n})`)))),
      { signal: controller.signal },
    );
    await running('pg_sleep(3612)');
    controller.abort(reason);
    expect(await all).toMatchObject([{ statement: 'unknown' }, { statement: 'unknown' }]);
    expect((await pool.query('select 1 as a')).rows).toEqual([{ a: 1 }]);
    for (const pid of await database.sessions()) await database.terminate(pid).catch(() => {});
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

  it('is not worked on when the signal fires while it begins', async () => {
    const { pool, warnings } = makePool({ max: 1 });
    await pool.query('select 1');
    const controller = new AbortController();
    pool.once('acquire', ({ connection }: { connection?: EventEmitter }) => {
      // Heard after the driver has told of it, and before anybody who waited for it goes on.
      connection?.once('readyForQuery', () => controller.abort(reason));
    });
    const work = vi.fn();
    const failing = await failure(pool.transaction({ signal: controller.signal }, work));
    expect(failing).toMatchObject({ code: 'ERR_POOL_QUERY_ABORTED', statement: 'not-sent', cause: reason });
    expect(work).not.toHaveBeenCalled();
    expect(await pool.query('select 1')).toMatchObject({ rowCount: 1 });
    expect(warnings).toEqual([]);
  });

  it('is rolled back although the signal fires while ROLLBACK waits for what is running', async () => {
    const { pool, warnings } = makePool({ max: 1 });
    const controller = new AbortController();
    const seen: Promise<Error>[] = [];
    const failing = failure(
      pool.transaction({ signal: controller.signal }, async (tx) => {
        seen.push(failure(tx.query('select pg_sleep(3614)')));
        await running('pg_sleep(3614)');
        setImmediate(() => controller.abort(reason));
        throw new Error('mine');
      }),
    );
    expect((await failing).message).toBe('mine');
    expect(await seen[0]).toMatchObject({ statement: 'cancelled', cause: reason });
    await until(pool, () => pool.stats().idle === 1);
    expect(warnings).toEqual([]);
    expect(pool.stats()).toMatchObject({ created: 1, idle: 1 });
  });

  it('is told of its signal and of that of its statement, in whatever order they fire', async () => {
    for (const first of ['statement', 'transaction']) {
      const { pool, warnings } = makePool({ max: 1 });
      const mine = new AbortController();
      const whole = new AbortController();
      const failing = failure(
        pool.transaction({ signal: whole.signal }, (tx) =>
          tx.query({ text: 'select pg_sleep(3615)', signal: mine.signal }),
        ),
      );
      await running('pg_sleep(3615)');
      for (const one of first === 'statement' ? [mine, whole] : [whole, mine]) one.abort(reason);
      expect(await failing).toMatchObject({ statement: 'cancelled', cause: reason });
      expect((await pool.query('select 1 as a')).rows).toEqual([{ a: 1 }]);
      expect(pool.stats().created).toBe(1);
      expect(warnings).toEqual([]);
    }
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

describe('use with a signal, at its edges', () => {
  it('refuses a signal that is none, before it takes a connection', async () => {
    const { pool } = makePool({ max: 1 });
    await pool.query('select 1');
    const work = vi.fn();
    const error = await failure(pool.use(work, { signal: 'now' as never }));
    expect(error.message).toBe('signal must be an AbortSignal, got string');
    expect(work).not.toHaveBeenCalled();
    expect(pool.stats()).toMatchObject({ leased: 0, idle: 1 });
  });

  it('ends nothing of whoever has the connection after it was released', async () => {
    const { pool } = makePool({ max: 1 });
    const controller = new AbortController();
    await pool.use(
      async (client) => {
        await client.query('select 1');
        client.release();
        const other = await pool.connect();
        expect(other).toBe(client);
        const running = other.query('select pg_sleep(0.1), 1 as a');
        controller.abort(reason);
        expect((await running).rows).toMatchObject([{ a: 1 }]);
        expect((await other.query('select 2 as a')).rows).toEqual([{ a: 2 }]);
        other.release();
      },
      { signal: controller.signal },
    );
    expect(pool.stats()).toMatchObject({ created: 1, idle: 1 });
  });

  it('lets a ROLLBACK through that waits for what is cancelled', async () => {
    const { pool, warnings } = makePool({ max: 1 });
    const controller = new AbortController();
    await pool.use(
      async (client) => {
        await client.query('begin');
        const sleeping = failure(client.query('select pg_sleep(3616)'));
        const rolledBack = client.query('rollback');
        await running('pg_sleep(3616)');
        controller.abort(reason);
        expect(await sleeping).toMatchObject({ statement: 'cancelled' });
        expect((await rolledBack).command).toBe('ROLLBACK');
      },
      { signal: controller.signal },
    );
    expect(warnings).toEqual([]);
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

describe('a cancel that comes late', () => {
  const lock = 4711;
  /** Whether somebody waits for the lock. */
  const waits = async (): Promise<void> => {
    for (let rows: unknown[] = []; rows.length === 0; )
      rows = await database.query(
        "select 1 from pg_locks l join pg_stat_activity a using (pid) where l.locktype = 'advisory' and not l.granted and a.datname = $1",
        [database.name],
      );
  };

  it.each(['an abort', 'the deadline'])('of %s strikes nobody', async (whose) => {
    await using relay = await startCancelRelay();
    // Time passes as usual: the cancel is waited for until it has taken too long.
    const { pool } = makePool({
      max: 1,
      clock: systemClock,
      connectionString: through(relay.port, database.connectionString),
      acquireTimeoutMillis: 60_000,
    });
    const control = controlOf(pool);
    const owner = { deadline: undefined };
    const controller = new AbortController();
    await database.query(`select pg_advisory_lock(${lock})`);
    const text = `select pg_advisory_xact_lock(${lock})`;
    const first = control.viewFor(owner).query(whose === 'an abort' ? { text, signal: controller.signal } : { text });
    first.catch(() => {});
    await waits();
    const held = relay.holds();
    if (whose === 'an abort') controller.abort(reason);
    const expired = whose === 'an abort' ? undefined : control.expire(owner, 200);
    await held;
    // It is done before the cancel reaches the server.
    await database.query(`select pg_advisory_unlock(${lock})`);
    // Long enough to be struck.
    const next = pool.query('select pg_sleep(0.1), 1 as a');
    await Promise.race([next, running('pg_sleep(0.1)')]);
    relay.deliver();
    expect((await next).rows).toMatchObject([{ a: 1 }]);
    await expired;
    await first.catch(() => {});
  });
});

describe('the deadline and a signal', () => {
  it('at once end a statement once', async () => {
    const { pool } = makePool({ max: 1 });
    const control = controlOf(pool);
    for (const order of ['signal first', 'deadline first']) {
      const owner = { deadline: undefined };
      const controller = new AbortController();
      const failing = failure(
        control.viewFor(owner).query({ text: 'select pg_sleep(3617)', signal: controller.signal }),
      );
      await running('pg_sleep(3617)');
      if (order === 'signal first') controller.abort(reason);
      const expired = control.expire(owner, 100);
      controller.abort(reason);
      expect((await failing).code).toBe('ERR_POOL_DEADLINE');
      await expired;
      expect((await pool.query('select 1 as a')).rows).toEqual([{ a: 1 }]);
      expect(pool.stats()).toMatchObject({ leased: 0, waiting: 0 });
    }
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
