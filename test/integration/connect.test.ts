import { inspect } from 'node:util';
import pg from 'pg';
import { AcquireError, PgPool, PoolError } from 'thawpool';
import { systemClock } from 'thawpool/core';
import { describe, expect, it } from 'vitest';
import { deferred } from '../support/deferred.ts';
import { failure, nextEvent, thrown, until, useDatabase, usePools } from './support.ts';

const database = useDatabase();
const makePool = usePools(() => ({ connectionString: database.connectionString }));

const usedAfterRelease =
  'This connection was used after it had been released: it may be somebody else’s by now.'.replace('’', "'") +
  ' Release it after its last use, or wait for every promise that uses it. See ERR_POOL_USE_AFTER_RELEASE.';
const releasedTwice =
  'Release called on client which has already been released to the pool. Release it exactly once, in a finally block, or use `await using` or use(fn), which do it for you. See ERR_POOL_DOUBLE_RELEASE.';

describe('connect', () => {
  it('lends a pg client and takes it back', async () => {
    const { pool } = makePool();
    const client = await pool.connect();
    expect(client).toBeInstanceOf(pg.Client);
    expect(pool.stats()).toMatchObject({ leased: 1, idle: 0 });
    expect((await client.query('select 1 as one')).rows).toEqual([{ one: 1 }]);
    client.release();
    expect(pool.stats()).toMatchObject({ leased: 0, idle: 1, created: 1 });
  });

  it('lends by callback', async () => {
    const { pool } = makePool();
    const answer = deferred<unknown[]>();
    expect(pool.connect((...args) => answer.resolve(args))).toBeUndefined();
    const [error, client, done] = (await answer.promise) as [undefined, pg.PoolClient, () => void];
    expect(error).toBeUndefined();
    expect((await client.query('select 1 as one')).rows).toEqual([{ one: 1 }]);
    done();
    expect(pool.stats()).toMatchObject({ leased: 0, idle: 1 });
    expect(thrown(() => client.release()).code).toBe('ERR_POOL_DOUBLE_RELEASE');
  });

  it('tells the callback why it cannot', async () => {
    const { pool } = makePool();
    await pool.end();
    const answer = deferred<unknown[]>();
    pool.connect((...args) => answer.resolve(args));
    const [error, client, done] = (await answer.promise) as [PoolError, undefined, () => void];
    expect(error).toMatchObject({ code: 'ERR_POOL_CLOSED' });
    expect(client).toBeUndefined();
    expect(() => done()).not.toThrow();
  });

  it('refuses a second release', async () => {
    const { pool } = makePool();
    const client = await pool.connect();
    client.release();
    const error = thrown(() => client.release());
    expect(error).toBeInstanceOf(PoolError);
    expect(error.code).toBe('ERR_POOL_DOUBLE_RELEASE');
    expect(error.message).toBe(releasedTwice);
    expect(pool.stats()).toMatchObject({ idle: 1, released: 1 });
  });

  it('refuses use after release as a promise, by callback and to a submittable', async () => {
    const { pool } = makePool();
    const client = await pool.connect();
    client.release();
    const error = await failure(client.query('select 1'));
    expect(error.code).toBe('ERR_POOL_USE_AFTER_RELEASE');
    expect(error.message).toBe(usedAfterRelease);

    const called = deferred<unknown>();
    client.query('select 1', (problem) => called.resolve(problem));
    expect(await called.promise).toMatchObject({ code: 'ERR_POOL_USE_AFTER_RELEASE' });
    const withValues = deferred<unknown>();
    client.query('select $1', [1], (problem) => withValues.resolve(problem));
    expect(await withValues.promise).toMatchObject({ code: 'ERR_POOL_USE_AFTER_RELEASE' });

    const submitted = deferred<unknown>();
    const query = new pg.Query('select 1');
    query.on('error', (problem) => submitted.resolve(problem));
    expect(client.query(query)).toBe(query);
    expect(await submitted.promise).toMatchObject({ code: 'ERR_POOL_USE_AFTER_RELEASE' });
    expect(pool.stats()).toMatchObject({ idle: 1, created: 1 });
  });

  it.each<[string, Error | boolean]>([
    ['true', true],
    ['an error', new Error('I no longer trust it')],
  ])('closes the connection that is released with %s', async (_, problem) => {
    const { pool } = makePool();
    const client = await pool.connect();
    const pid = (await client.query<{ pid: number }>('select pg_backend_pid() as pid')).rows[0]?.pid;
    client.release(problem);
    await until(pool, () => pool.stats().total === 0);
    expect(pool.stats().destroyed.broken).toBe(1);
    const { rows } = await pool.query<{ pid: number }>('select pg_backend_pid() as pid');
    expect(rows[0]?.pid).not.toBe(pid);
  });

  it('waits for what was sent before the release, however much, before anybody else has the client', async () => {
    const { pool, warnings } = makePool({ max: 1 });
    const client = await pool.connect();
    const slow = client.query('select pg_sleep(0.05)');
    const begin = client.query('begin');
    const set = client.query(`set local application_name = 'somebody else'`);
    client.release();
    const { rows } = await pool.query('select now() = statement_timestamp() as outside');
    expect(rows).toEqual([{ outside: true }]);
    await Promise.all([slow, begin, set]);
    expect(warnings).toHaveLength(1);
    expect(pool.stats()).toMatchObject({ created: 1 });
  });

  it('rolls back what was left open, says so, and shows it to nobody', async () => {
    const { pool, warnings } = makePool({ max: 1 });
    await pool.query('create table left_open (id int)');
    const client = await pool.connect();
    await client.query('begin');
    await client.query('insert into left_open values (1)');
    client.release();
    expect((await pool.query('select * from left_open')).rows).toEqual([]);
    expect(warnings).toEqual([
      expect.stringMatching(/^A connection was released with an open transaction, which was rolled back/),
    ]);
    expect(pool.stats()).toMatchObject({ created: 1 });
  });

  it('rolls back a failed transaction too', async () => {
    const { pool, warnings } = makePool({ max: 1 });
    const client = await pool.connect();
    await client.query('begin');
    await failure(client.query('select nothing_there'));
    client.release();
    expect((await pool.query('select 1 as one')).rows).toEqual([{ one: 1 }]);
    expect(warnings).toHaveLength(1);
    expect(pool.stats()).toMatchObject({ created: 1 });
  });

  it('closes a connection whose statement never ends instead of lending it out', async () => {
    const { pool } = makePool({ max: 1, clock: systemClock });
    const client = await pool.connect();
    const stuck = failure(client.query('select pg_sleep(60)'));
    client.release();
    expect((await pool.query('select 1 as one')).rows).toEqual([{ one: 1 }]);
    expect(pool.stats()).toMatchObject({ created: 2, destroyed: { invalid: 1 } });
    expect((await stuck).message).toMatch(/^Connection terminated/);
  });

  it('says what the driver says of a connection that was lost under its holder', async () => {
    const { pool } = makePool();
    const client = await pool.connect();
    const pid = (await client.query<{ pid: number }>('select pg_backend_pid() as pid')).rows[0]?.pid as number;
    const lost = nextEvent(pool, (event) => event.type === 'transition' && event.to === 'closing');
    await database.terminate(pid);
    await lost;
    const error = await failure(client.query('select 1'));
    expect(error.code).toBeUndefined();
    expect(error.message).toBe('Client has encountered a connection error and is not queryable');
    expect(() => client.release()).not.toThrow();
    expect((await pool.query('select 1 as one')).rows).toEqual([{ one: 1 }]);
  });

  it('carries notifications', async () => {
    const { pool } = makePool();
    const client = await pool.connect();
    const heard = new Promise<pg.Notification>((resolve) => client.once('notification', resolve));
    await client.query('listen orders');
    await pool.query(`select pg_notify('orders', 'seven')`);
    expect(await heard).toMatchObject({ channel: 'orders', payload: 'seven' });
    client.release(true);
  });
});

describe('acquire and use', () => {
  it('gives the connection back at the end of the block', async () => {
    const { pool } = makePool();
    let lease: Awaited<ReturnType<PgPool['acquire']>>;
    {
      await using held = await pool.acquire();
      lease = held;
      expect((await held.client.query('select 1 as one')).rows).toEqual([{ one: 1 }]);
      expect(pool.stats().leased).toBe(1);
    }
    expect(pool.stats()).toMatchObject({ leased: 0, idle: 1 });
    expect(thrown(() => lease.client).message).toBe(usedAfterRelease);
    expect(thrown(() => lease.release()).message).toBe(releasedTwice);
    expect(thrown(() => lease.destroy()).code).toBe('ERR_POOL_DOUBLE_RELEASE');
  });

  it('lets the block release, or destroy, by itself', async () => {
    const { pool } = makePool();
    {
      await using lease = await pool.acquire();
      lease.release();
    }
    {
      using lease = await pool.acquire();
      lease.destroy(new Error('no good'));
    }
    await until(pool, () => pool.stats().total === 0);
    expect(pool.stats()).toMatchObject({ created: 1, released: 2, destroyed: { broken: 1 } });
  });

  it('releases after fn, also when that throws or releases by itself', async () => {
    const { pool } = makePool({ max: 1 });
    expect(await pool.use((client) => client.query('select 1 as one').then(({ rows }) => rows))).toEqual([{ one: 1 }]);
    const error = new Error('of the function');
    expect(
      await failure(
        pool.use(() => {
          throw error;
        }),
      ),
    ).toBe(error);
    expect(
      await pool.use(async (client) => {
        await client.query('select 1');
        client.release();
        return 'done';
      }),
    ).toBe('done');
    expect(pool.stats()).toMatchObject({ created: 1, idle: 1, leased: 0, acquired: 3, released: 3 });
  });

  it('gives up the wait, not the connection, when the signal fires', async () => {
    const { pool } = makePool({ max: 1 });
    const client = await pool.connect();
    const controller = new AbortController();
    const waiting = failure(pool.acquire({ signal: controller.signal }));
    expect(pool.stats().waiting).toBe(1);
    const reason = new Error('no longer wanted');
    controller.abort(reason);
    const error = await waiting;
    expect(error).toBeInstanceOf(AcquireError);
    expect(error).toMatchObject({ code: 'ERR_POOL_ACQUIRE_ABORTED', cause: reason, phase: 'queued' });
    expect(error.message).toMatch(
      /^The wait for a connection was aborted after \d+ ms, at "queued" \(max 1, leased 1, waiting 0\): its AbortSignal fired\. See ERR_POOL_ACQUIRE_ABORTED\.$/,
    );
    client.release();
    await pool.use(() => undefined, { signal: new AbortController().signal });
    expect(await failure(pool.use(() => undefined, { signal: controller.signal }))).toMatchObject({ cause: reason });
  });

  it('waits no longer than told', async () => {
    const { pool } = makePool({ max: 1, clock: systemClock });
    const client = await pool.connect();
    const error = await failure(pool.acquire({ timeoutMillis: 20 }));
    expect(error.code).toBe('ERR_POOL_ACQUIRE_TIMEOUT');
    expect(error.message).toBe(
      'Timed out after 20 ms waiting for a connection (max 1, leased 1, waiting 0): every connection is leased. Release sooner, run fewer at once, or raise max. See ERR_POOL_ACQUIRE_TIMEOUT.',
    );
    const late = await failure(pool.acquire({ deadline: Date.now() - 5 }));
    expect(late.message).toMatch(
      /^No time left to wait for a connection \(budget -\d+ ms; max 1, leased 1, waiting 0\)/,
    );
    client.release();
  });

  it('warms', async () => {
    const { pool } = makePool({ maxIdle: 2 });
    await pool.warm();
    expect(pool.stats()).toMatchObject({ idle: 2, created: 2 });
    await pool.warm(3);
    expect(pool.stats()).toMatchObject({ idle: 3, created: 3 });
    await pool.warm(100);
    expect(pool.stats()).toMatchObject({ idle: 4, created: 4 });
  });
});

describe('what a pg.Pool has', () => {
  it('is one', () => {
    const { pool } = makePool();
    expect(pool).toBeInstanceOf(pg.Pool);
    expect(pool).toBeInstanceOf(PgPool);
    expect(pool.options).toMatchObject({ max: 4, idleTimeoutMillis: 300_000 });
  });

  it('counts', async () => {
    const { pool } = makePool({ max: 2 });
    const numbers = () => [pool.totalCount, pool.idleCount, pool.waitingCount, pool.expiredCount];
    expect(numbers()).toEqual([0, 0, 0, 0]);
    const clients = await Promise.all([pool.connect(), pool.connect()]);
    const third = pool.connect();
    expect(numbers()).toEqual([2, 0, 1, 0]);
    await clients[0].query('select 1');
    clients[0].release();
    expect(numbers()).toEqual([2, 0, 0, 0]);
    (await third).release();
    clients[1].release();
    expect(numbers()).toEqual([2, 2, 0, 0]);
  });

  it('emits pg’s events with pg’s arguments', async () => {
    const heard: unknown[][] = [];
    const { pool } = makePool();
    let client: pg.PoolClient | undefined;
    // A client in a message about a difference would fill pages.
    const shown = (arg: unknown) => (arg === client ? 'the client' : arg instanceof pg.Client ? 'another client' : arg);
    for (const name of ['connect', 'acquire', 'release', 'remove', 'error'] as const) {
      pool.on(name, (...args: unknown[]) => {
        if (name === 'connect') client = args[0] as pg.PoolClient;
        heard.push([name, ...args.map(shown)]);
      });
    }
    expect(await pool.connect()).toBe(client);
    expect(heard).toEqual([
      ['connect', 'the client'],
      ['acquire', 'the client'],
    ]);
    heard.length = 0;
    client?.release();
    expect(heard).toEqual([['release', undefined, 'the client']]);
    heard.length = 0;
    await pool.query('select 1');
    expect(heard).toEqual([
      ['acquire', 'the client'],
      ['release', undefined, 'the client'],
    ]);
    heard.length = 0;
    const failed = await failure(pool.query('selct'));
    expect(heard).toEqual([
      ['acquire', 'the client'],
      ['release', expect.objectContaining({ code: '42601' }), 'the client'],
    ]);
    expect(failed.code).toBe('42601');
    heard.length = 0;
    const problem = new Error('no good');
    const removed = new Promise((resolve) => pool.once('remove', resolve));
    (await pool.connect()).release(problem);
    await removed;
    expect(heard).toEqual([
      ['acquire', 'the client'],
      ['release', problem, 'the client'],
      ['remove', 'the client'],
    ]);
    heard.length = 0;
    const second = await pool.connect();
    second.release(true);
    expect(heard.at(-1)).toEqual(['release', true, 'the client']);
  });

  it('emits error with the client that an idle connection’s end belongs to', async () => {
    const { pool } = makePool();
    const heard = new Promise<unknown[]>((resolve) => pool.once('error', (...args: unknown[]) => resolve(args)));
    const client = await pool.connect();
    const { rows } = await client.query<{ pid: number }>('select pg_backend_pid() as pid');
    client.release();
    await database.terminate(rows[0]?.pid as number);
    const [error, which] = await heard;
    expect(error).toMatchObject({ code: '57P01' });
    expect(which).toBe(client);
  });

  it('has what a listener of connect has set in force for the first user', async () => {
    const { pool } = makePool();
    pool.on('connect', (client) => void client.query(`set search_path = 'somewhere'`));
    expect((await pool.query('show search_path')).rows).toEqual([{ search_path: 'somewhere' }]);
    const client = await pool.connect();
    expect((await client.query('show search_path')).rows).toEqual([{ search_path: 'somewhere' }]);
    client.release();
    expect((await pool.query('show search_path')).rows).toEqual([{ search_path: 'somewhere' }]);
    // Each is used: what a listener has sent on one that nobody needs fails with it, and that is nobody's to hear.
    const clients = await Promise.all(Array.from({ length: 4 }, () => pool.connect()));
    const many = await Promise.all(clients.map((each) => each.query('show search_path')));
    for (const each of clients) each.release();
    expect(new Set(many.map(({ rows }) => JSON.stringify(rows)))).toEqual(new Set(['[{"search_path":"somewhere"}]']));
  });

  it('ends no process for what a listener of connect sends on a connection that nobody needs', async () => {
    const { pool } = makePool({ max: 1 });
    const sent = deferred();
    pool.on('connect', (client) => {
      void client.query('select pg_sleep(60)');
      sent.resolve();
    });
    const controller = new AbortController();
    const waiting = failure(pool.acquire({ signal: controller.signal }));
    controller.abort();
    await waiting;
    await sent.promise;
    // Vitest fails a run in which a rejection is not handled.
    await pool.end();
    await new Promise((resolve) => setImmediate(resolve));
    expect(pool.stats().total).toBe(0);
  });

  it('lets a listener of acquire use the client', async () => {
    const { pool } = makePool();
    const answers: unknown[] = [];
    pool.on('acquire', (client) => {
      void client.query('select 1 as one').then(({ rows }) => answers.push(rows));
    });
    await pool.query('select 2');
    await pool.query('select 3');
    (await pool.connect()).release();
    await pool.query('select 4');
    expect(answers).toEqual(Array.from({ length: 4 }, () => [{ one: 1 }]));
  });

  it('loses neither a place nor an answer to a listener that throws', async () => {
    const { pool, warnings } = makePool({ max: 1 });
    for (const name of ['connect', 'acquire', 'release', 'remove'] as const) {
      pool.on(name, () => {
        throw new Error(`in ${name}`);
      });
    }
    expect((await pool.query('select 1 as one')).rows).toEqual([{ one: 1 }]);
    await pool.use((client) => client.query('select 1'));
    (await pool.connect()).release(true);
    await until(pool, () => pool.stats().total === 0);
    expect(pool.stats()).toMatchObject({ leased: 0, acquired: 3, released: 3 });
    expect(warnings).toContain(
      `A listener of the pool's "acquire" event threw, and was passed over: Error: in acquire`,
    );
    expect(new Set(warnings).size).toBe(4);
  });
});

describe('end', () => {
  it('closes every session, and refuses what comes after', async () => {
    const { pool } = makePool({ application_name: 'ended' });
    await pool.warm(3);
    const closed = until(pool, () => pool.stats().total === 0);
    expect([pool.ending, pool.ended]).toEqual([false, false]);
    const ending = pool.end();
    expect([pool.ending, pool.ended]).toEqual([true, false]);
    await ending;
    await closed;
    expect([pool.ending, pool.ended]).toEqual([true, true]);
    expect(pool.stats()).toMatchObject({ total: 0, destroyed: { closed: 3 } });
    const sentence =
      'Cannot use a pool after calling end on the pool: the pool "default" is closed. End it later, or make a new one. See ERR_POOL_CLOSED.';
    for (const attempt of [
      () => pool.query('select 1'),
      () => pool.connect(),
      () => pool.acquire(),
      () => pool.use(() => 1),
      () => pool.transaction(() => 1),
      () => pool.warm(),
    ]) {
      const error = await failure(attempt());
      expect(error).toMatchObject({ code: 'ERR_POOL_CLOSED', message: sentence });
    }
  });

  it('calls back', async () => {
    const { pool } = makePool();
    await pool.query('select 1');
    const called = deferred();
    expect(pool.end(() => called.resolve())).toBeUndefined();
    await called.promise;
    expect(pool.ended).toBe(true);
  });

  it('refuses a second time, as pg does', async () => {
    const { pool } = makePool();
    await pool.end();
    const error = await failure(pool.end());
    expect(error.code).toBe('ERR_POOL_CLOSED');
    expect(error.message).toBe(
      'Called end on pool more than once: the pool is closed or closing. See ERR_POOL_CLOSED.',
    );
    const called = deferred<unknown>();
    pool.end(((problem: unknown) => called.resolve(problem)) as () => void);
    expect(await called.promise).toMatchObject({ code: 'ERR_POOL_CLOSED' });
  });

  it('waits for leases that are out, and serves those who wait already', async () => {
    const { pool } = makePool({ max: 1 });
    const client = await pool.connect();
    const waiting = pool.query('select 2 as two');
    let over = false;
    const ending = pool.end().then(() => (over = true));
    expect((await client.query('select 1 as one')).rows).toEqual([{ one: 1 }]);
    expect(over).toBe(false);
    client.release();
    expect((await waiting).rows).toEqual([{ two: 2 }]);
    await ending;
    expect(pool.stats().total).toBe(0);
  });

  it('says goodbye to the server', async () => {
    const { pool } = makePool();
    const { rows } = await pool.query<{ pid: number }>('select pg_backend_pid() as pid');
    const pid = rows[0]?.pid;
    expect(await database.sessions()).toContain(pid);
    await pool.end();
    await expect.poll(() => database.sessions()).not.toContain(pid);
  });
});

describe('secrets', () => {
  it('shows the password nowhere', async () => {
    const password = 'sesame-open-0815';
    const { pool } = makePool({
      password,
      connectionString: undefined as never,
      host: '127.0.0.1',
      port: 1,
      user: 'app',
      acquireTimeoutMillis: 100,
    });
    const shown = (value: unknown): string => {
      const own = inspect(value, { depth: Infinity, showHidden: false });
      return `${own}\n${JSON.stringify(value, (_, inner: unknown) => (typeof inner === 'bigint' ? String(inner) : inner))}`;
    };
    expect(shown(pool)).not.toContain(password);
    expect(shown(pool.options)).not.toContain(password);
    expect(shown(pool.stats())).not.toContain(password);
    const error = await failure(pool.query('select 1'));
    expect(shown(error)).not.toContain(password);
  });

  it('shows it of no client and no failed login', async () => {
    const { pool } = makePool();
    const { password } = new URL(database.connectionString);
    const client = await pool.connect();
    const text = inspect(client, { depth: 6 }) + inspect(pool, { depth: 6, showHidden: true });
    client.release();
    expect(text).not.toContain(decodeURIComponent(password));
    expect(text).not.toContain(password);
    const url = Object.assign(new URL(database.connectionString), { password: 'not-the-password-4711' });
    const wrong = makePool({ connectionString: url.toString() }).pool;
    const error = await failure(wrong.query('select 1'));
    expect(error.code).toBe('ERR_POOL_CONNECT_AUTH');
    expect(inspect(error, { depth: Infinity, showHidden: true })).not.toContain('not-the-password-4711');
  });
});
