import pg from 'pg';
import type { PgPool } from 'thawpool';
import { describe, expect, it } from 'vitest';
import { failure, through, useDatabase, usePools, useProxy } from './support.ts';

const database = useDatabase();
const proxy = useProxy();
const makePool = usePools(() => ({ connectionString: database.connectionString }));

/** pg's overloads do not name every form that its code takes. */
type AnyQuery = (...args: unknown[]) => unknown;

const anyQuery = (pool: PgPool): AnyQuery => pool.query.bind(pool);

/** What a callback is called with, once it is. */
function called(start: (callback: (...args: unknown[]) => void) => unknown): Promise<unknown[]> {
  return new Promise((resolve) => void start((...args) => resolve(args)));
}

describe('the forms of pool.query', () => {
  it('takes a text, and values', async () => {
    const { pool } = makePool();
    expect((await pool.query('select 1 as one')).rows).toEqual([{ one: 1 }]);
    expect((await pool.query('select $1::int + $2::int as sum', [2, 3])).rows).toEqual([{ sum: 5 }]);
    expect(pool.stats()).toMatchObject({ created: 1, acquired: 2, released: 2, idle: 1, leased: 0 });
  });

  it('takes a config object, with values inside or beside it', async () => {
    const { pool } = makePool();
    expect((await pool.query({ text: 'select $1::text as word', values: ['in'] })).rows).toEqual([{ word: 'in' }]);
    expect((await pool.query({ text: 'select $1::text as word' }, ['beside'])).rows).toEqual([{ word: 'beside' }]);
  });

  it('gives rows as arrays when asked to', async () => {
    const { pool } = makePool();
    const { rows } = await pool.query<[number, string]>({ text: `select 1, 'x'`, rowMode: 'array' });
    expect(rows).toEqual([[1, 'x']]);
  });

  it('prepares a named statement once on each connection', async () => {
    const { pool } = makePool();
    const named = (value: number) =>
      pool.query({ name: 'twice', text: 'select $1::int * 2 as twice', values: [value] });
    expect((await named(2)).rows).toEqual([{ twice: 4 }]);
    expect((await named(3)).rows).toEqual([{ twice: 6 }]);
    const { rows } = await pool.query(
      `select generic_plans + custom_plans as runs from pg_prepared_statements where name = 'twice'`,
    );
    expect(rows).toEqual([{ runs: '2' }]);
  });

  it('calls back, without and with values', async () => {
    const { pool } = makePool();
    const [error, result] = await called((callback) => anyQuery(pool)('select 1 as one', callback));
    expect(error).toBeUndefined();
    expect((result as pg.QueryResult).rows).toEqual([{ one: 1 }]);
    const [, second] = await called((callback) => anyQuery(pool)('select $1::int as x', [7], callback));
    expect((second as pg.QueryResult).rows).toEqual([{ x: 7 }]);
    const [, third] = await called((callback) => anyQuery(pool)({ text: 'select 8 as x' }, callback));
    expect((third as pg.QueryResult).rows).toEqual([{ x: 8 }]);
    const [, fourth] = await called((callback) => anyQuery(pool)('select 9 as x', undefined, callback));
    expect((fourth as pg.QueryResult).rows).toEqual([{ x: 9 }]);
    expect(anyQuery(pool)('select 1', () => {})).toBeUndefined();
  });

  it('calls back with the error', async () => {
    const { pool } = makePool();
    const [error, result] = await called((callback) => anyQuery(pool)('select nothing_there', callback));
    expect(error).toMatchObject({ code: '42703' });
    expect(result).toBeUndefined();
    expect(pool.stats()).toMatchObject({ created: 1, leased: 0 });
  });

  it('has released the connection when it calls back', async () => {
    const { pool } = makePool({ max: 1 });
    const leased = await called((callback) => anyQuery(pool)('select 1', () => callback(pool.stats().leased)));
    expect(leased).toEqual([0]);
  });

  it('runs a submittable', async () => {
    const { pool } = makePool();
    const result = (await anyQuery(pool)(new pg.Query('select 5 as five'))) as pg.QueryResult;
    expect(result.rows).toEqual([{ five: 5 }]);
    const error = await failure(anyQuery(pool)(new pg.Query('select nothing_there')) as Promise<unknown>);
    expect(error.code).toBe('42703');
    await pool.query('select 1');
    expect(pool.stats()).toMatchObject({ created: 1, idle: 1, leased: 0 });
  });

  it('refuses null with the driver’s own error and keeps the connection', async () => {
    const { pool } = makePool();
    for (const config of [null, undefined]) {
      const error = await failure(anyQuery(pool)(config) as Promise<unknown>);
      expect(error).toBeInstanceOf(TypeError);
      expect(error.message).toBe('Client was passed a null or undefined query');
    }
    const [error] = await called((callback) => anyQuery(pool)(null, callback));
    expect(error).toBeInstanceOf(TypeError);
    await pool.query('select 1');
    expect(pool.stats()).toMatchObject({ created: 1, idle: 1, leased: 0 });
  });

  it('tells a function given as the first argument that it is none, as pg does', async () => {
    const { pool } = makePool();
    const [error] = await called((callback) => anyQuery(pool)(callback));
    expect((error as Error).message).toBe('Passing a function as the first parameter to pool.query is not supported');
    expect(pool.stats().acquired).toBe(0);
  });

  it('runs several statements in one text', async () => {
    const { pool } = makePool();
    const results = (await pool.query('select 1 as a; select 2 as b')) as unknown as pg.QueryResult[];
    expect(results.map((result) => result.rows)).toEqual([[{ a: 1 }], [{ b: 2 }]]);
  });

  it('lets what the callback throws be an uncaught exception, not a lost rejection', async () => {
    const { pool } = makePool();
    const before = process.listeners('uncaughtException');
    process.removeAllListeners('uncaughtException');
    const uncaught = new Promise<Error>((resolve) => process.once('uncaughtException', resolve));
    anyQuery(pool)('select 1', () => {
      throw new Error('thrown by the callback');
    });
    expect((await uncaught).message).toBe('thrown by the callback');
    for (const listener of before) process.on('uncaughtException', listener);
    expect(pool.stats().leased).toBe(0);
  });
});

describe('a statement that fails', () => {
  it.each<[string, unknown[]]>([
    ['a syntax error', ['selct 1']],
    ['a syntax error with parameters', ['selct $1', [1]]],
    ['a wrong value for a parameter', ['select $1::int', ['ten']]],
    ['an error in the middle of several statements', ['select 1; select 1/0; select 2']],
    ['an error in the middle of the rows', ['select 1 / (50000 - n) from generate_series(1, 100000) n']],
    [
      'an unknown prepared statement’s table',
      [{ name: 'lost', text: 'select * from not_there where id = $1', values: [1] }],
    ],
    ['values that are no array', ['select $1::int', 'ten']],
    ['neither text nor name', [{}]],
    [
      'a value that cannot be turned into a parameter',
      [
        'select $1',
        [
          {
            toPostgres: () => {
              throw new Error('cannot');
            },
          },
        ],
      ],
    ],
  ])('keeps its connection after %s', async (_, args) => {
    const { pool, events } = makePool({ max: 1 });
    await pool.query('select 1');
    await failure(anyQuery(pool)(...args) as Promise<unknown>);
    expect((await pool.query('select 2 as two')).rows).toEqual([{ two: 2 }]);
    expect(pool.stats(), JSON.stringify(events)).toMatchObject({ created: 1, idle: 1 });
  });

  it('rolls back what several statements in one text had left open', async () => {
    const { pool, warnings } = makePool({ max: 1 });
    await failure(pool.query('begin; select 1/0'));
    expect((await pool.query('select now() = statement_timestamp() as fresh')).rows).toEqual([{ fresh: true }]);
    expect(pool.stats().created).toBe(1);
    expect(warnings).toEqual([
      'A connection was released with an open transaction, which was rolled back: end it with COMMIT or ROLLBACK, or use transaction(fn), which does.',
    ]);
  });

  it('has a stack that leads to whoever asked', async () => {
    const { pool } = makePool();
    async function theAsker(): Promise<void> {
      await pool.query('selct 1');
    }
    expect((await failure(theAsker())).stack).toContain('theAsker');
  });
});

describe('query_timeout', () => {
  /** Whatever is answered at all is answered within this time, also on a loaded machine. */
  const answeredMillis = 1500;

  it('closes the connection whose answer the driver no longer waits for', async () => {
    const { pool, events } = makePool({ query_timeout: answeredMillis });
    const error = await failure(pool.query('select pg_sleep(10)'));
    expect(error.message).toBe('Query read timeout');
    expect((await pool.query('select 1 as one')).rows).toEqual([{ one: 1 }]);
    expect(pool.stats()).toMatchObject({ created: 2, destroyed: { broken: 1 } });
    expect(events).toContainEqual(expect.objectContaining({ to: 'closing', reason: 'broken', error }));
  });

  it('closes it also when the client was lent out, without waiting for the answer on release', async () => {
    const { pool, events } = makePool({ query_timeout: answeredMillis, max: 1 });
    const client = await pool.connect();
    await failure(client.query('select pg_sleep(10)'));
    client.release();
    expect(events.at(-1)).toMatchObject({ type: 'transition', from: 'leased', to: 'closing' });
    expect((await pool.query('select 1 as one')).rows).toEqual([{ one: 1 }]);
    expect(pool.stats()).toMatchObject({ created: 2 });
  });

  it('takes effect for one statement that asks for it', async () => {
    const { pool, events } = makePool({ max: 1 });
    const client = await pool.connect();
    const slow = { text: 'select pg_sleep(10)', query_timeout: 50 };
    const [error] = await called((callback) => (client.query as AnyQuery)(slow, callback));
    expect((error as Error).message).toBe('Query read timeout');
    client.release();
    expect(events.at(-1)).toMatchObject({ type: 'transition', from: 'leased', to: 'closing' });
    await pool.query('select 1');
    expect(pool.stats()).toMatchObject({ created: 2 });
  });

  it('sends nothing more into a transaction whose answer is not waited for', async () => {
    const connectionString = through(proxy().port, database.connectionString);
    const { pool, events } = makePool({ connectionString, query_timeout: answeredMillis, max: 1 });
    await pool.warm();
    const before = proxy().snapshot();
    events.length = 0;
    const error = await failure(pool.transaction((tx) => tx.query('select pg_sleep(10)')));
    expect(error.message).toBe('Query read timeout');
    expect(
      events.some((event) => event.type === 'transition' && event.from === 'leased' && event.to !== 'closing'),
    ).toBe(false);
    expect(proxy().since(before).frontend).toEqual({ Query: 2 });
    await pool.query('select 1');
    expect(pool.stats()).toMatchObject({ created: 2 });
  });

  it('leaves no timer behind after a proof of life', async () => {
    const { pool } = makePool({ query_timeout: 60_000, validateAfterIdleMillis: 0 });
    await pool.query('select 1');
    const timers = () => process.getActiveResourcesInfo().filter((kind) => kind === 'Timeout').length;
    const before = timers();
    for (let i = 0; i < 5; i += 1) await pool.query('select 1');
    expect(pool.stats()).toMatchObject({ created: 1, validated: 5 });
    expect(timers()).toBeLessThanOrEqual(before);
  });
});

describe('much at once', () => {
  it('answers hundreds of queries on four connections', async () => {
    const { pool } = makePool();
    // Otherwise three may have done everything before the fourth is there.
    await pool.warm(4);
    const numbers = Array.from({ length: 400 }, (_, index) => index);
    const results = await Promise.all(numbers.map((n) => pool.query('select $1::int as n, pg_sleep(0.001)', [n])));
    expect(results.map((result) => (result.rows[0] as { n: number }).n)).toEqual(numbers);
    expect(pool.stats()).toMatchObject({ created: 4, total: 4, idle: 4, waiting: 0, acquired: 404, released: 404 });
  });

  it('brings big results', async () => {
    const { pool } = makePool();
    const { rows } = await pool.query<{ n: number; pad: string }>(
      `select n, repeat('x', 1000) as pad from generate_series(1, 20000) n`,
    );
    expect(rows).toHaveLength(20_000);
    expect(rows.at(-1)).toEqual({ n: 20_000, pad: 'x'.repeat(1000) });
    const { rows: one } = await pool.query<{ length: number }>(`select length($1) as length`, ['y'.repeat(5_000_000)]);
    expect(one).toEqual([{ length: 5_000_000 }]);
  });

  it('serves first come, first served', async () => {
    const { pool } = makePool({ max: 1 });
    const order: number[] = [];
    await Promise.all([3, 1, 2].map((n) => pool.query('select 1').then(() => order.push(n))));
    expect(order).toEqual([3, 1, 2]);
  });

  it('works with a pipelining client', async () => {
    const { pool } = makePool({ pipeline: true, max: 1, validateAfterIdleMillis: 0 });
    await pool.query('select 1');
    const client = await pool.connect();
    const answers = await Promise.all([1, 2, 3].map((n) => client.query<{ n: number }>('select $1::int as n', [n])));
    client.release();
    expect(answers.map((answer) => answer.rows[0]?.n)).toEqual([1, 2, 3]);
    await pool.query('select 1');
    expect(pool.stats()).toMatchObject({ created: 1, invalidated: 0 });
  });
});

describe('a custom Client', () => {
  it('makes the connections', async () => {
    const made: pg.ClientConfig[] = [];
    class Custom extends pg.Client {
      readonly custom = true;
      constructor(config: pg.ClientConfig) {
        super(config);
        made.push(config);
      }
    }
    const { pool } = makePool({ Client: Custom });
    const client = await pool.connect();
    expect((client as pg.PoolClient & { custom?: boolean }).custom).toBe(true);
    client.release();
    expect(made).toHaveLength(1);
    expect(made[0]).toMatchObject({ keepAlive: true, keepAliveInitialDelayMillis: 30_000, ssl: false });
  });

  it('may set types of its own', async () => {
    const types = { getTypeParser: () => (value: string) => `<${value}>` } as unknown as pg.CustomTypesConfig;
    const { pool } = makePool({ types });
    expect((await pool.query('select 1 as one')).rows).toEqual([{ one: '<1>' }]);
  });
});
