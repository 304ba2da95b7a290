import type pg from 'pg';
import type { PgPool } from 'thawpool';
import { beforeAll, describe, expect, it } from 'vitest';
import { failure, through, useDatabase, usePools, useProxy } from './support.ts';

const database = useDatabase();
const proxy = useProxy();
const makePool = usePools(() => ({ connectionString: database.connectionString, max: 1 }));

/** What is prepared under a name of ours on the pool's only connection, the oldest first. */
async function prepared(pool: Pick<PgPool, 'query'>): Promise<string[]> {
  const { rows } = await pool.query<{ statement: string }>(
    `select statement from pg_prepared_statements where name like 'thawpool\\_%' order by prepare_time, name`,
  );
  return rows.map(({ statement }) => statement);
}

/** Runs a text so often that it is prepared and its columns are known. */
async function warmUp(pool: Pick<PgPool, 'query'>, text: string, values: unknown[]): Promise<void> {
  for (let use = 0; use < 3; use += 1) await pool.query(text, values);
}

describe('on the wire', () => {
  it('a statement that is used again is three messages: Bind, Execute, Sync', async () => {
    const { pool } = makePool({ connectionString: through(proxy().port, database.connectionString) });
    const sent: Record<string, number>[] = [];
    for (let use = 0; use < 4; use += 1) {
      await pool.query('select 0');
      const before = proxy().snapshot();
      expect((await pool.query('select $1::int as n', [use])).rows).toEqual([{ n: use }]);
      sent.push(proxy().since(before).frontend);
    }
    const five = { Parse: 1, Bind: 1, Describe: 1, Execute: 1, Sync: 1 };
    const three = { Bind: 1, Execute: 1, Sync: 1 };
    expect(sent).toEqual([five, five, three, three]);
  });

  it('what makes room is closed with the next message, in no round trip of its own', async () => {
    const { pool } = makePool({
      connectionString: through(proxy().port, database.connectionString),
      statementCache: 1,
    });
    await warmUp(pool, 'select $1::int as a', [1]);
    await pool.query('select $1::int as b', [1]);
    const before = proxy().snapshot();
    await pool.query('select $1::int as b', [1]);
    expect(proxy().since(before).frontend).toEqual({ Close: 1, Parse: 1, Bind: 1, Describe: 1, Execute: 1, Sync: 1 });
    expect(await prepared(pool)).toEqual(['select $1::int as b']);
  });
});

describe('what is prepared', () => {
  it('is a text with values, at its second use on a connection', async () => {
    const { pool } = makePool();
    await pool.query('select $1::int', [1]);
    expect(await prepared(pool)).toEqual([]);
    await pool.query({ text: 'select $1::int', values: [2], rowMode: 'array' });
    expect(await prepared(pool)).toEqual(['select $1::int']);
  });

  it('is the same by pool.query, a lent client and a transaction, with promises and callbacks', async () => {
    const { pool } = makePool();
    await warmUp(pool, 'select $1::int as n', [1]);
    await pool.use(async (client) => {
      expect((await client.query('select $1::int as n', [2])).rows).toEqual([{ n: 2 }]);
      const answer = await new Promise((resolve) => {
        const returned: unknown = client.query('select $1::int as n', [3], (error, result) =>
          resolve([error, result.rows]),
        );
        expect(returned).toBeUndefined();
      });
      expect(answer).toEqual([null, [{ n: 3 }]]);
    });
    await pool.transaction(async (tx) => {
      expect((await tx.query('select $1::int as n', [4])).rows).toEqual([{ n: 4 }]);
    });
    const { rows } = await pool.query(
      `select generic_plans + custom_plans as runs from pg_prepared_statements where name like 'thawpool%'`,
    );
    expect(rows).toEqual([{ runs: '5' }]);
  });

  it.each([
    ['no values', ['select 1 as n']],
    ['an empty list of values', ['select 1 as n', []]],
    ['a name', [{ name: 'mine', text: 'select $1::int as n', values: [1] }]],
    ['rows a portal at a time', [{ text: 'select $1::int as n', values: [1], rows: 1 }]],
    ['a portal', [{ text: 'select $1::int as n', values: [1], portal: 'p' }]],
    ['an EXPLAIN', ['explain select $1::int', [1]]],
  ])('is nothing with %s', async (_, args) => {
    const { pool } = makePool();
    for (let use = 0; use < 3; use += 1) await (pool.query as (...all: unknown[]) => unknown)(...args);
    expect(await prepared(pool)).toEqual([]);
  });

  it('is nothing where it is turned off, and nothing on a pipelining client', async () => {
    for (const options of [{ statementCache: 0 }, { env: { THAWPOOL_STATEMENT_CACHE: '0' } }, { pipeline: true }]) {
      const { pool } = makePool(options);
      await warmUp(pool, 'select $1::int', [1]);
      expect(await prepared(pool)).toEqual([]);
      await pool.end();
    }
  });

  it('is nothing behind a pooler, where asking for it is a warning', async () => {
    for (const route of ['pgbouncer', 'rds-proxy'] as const) {
      const { pool, warnings } = makePool({ route, statementCache: 5, ssl: false, pinning: 'off' });
      await warmUp(pool, 'select $1::int', [1]);
      expect(await prepared(pool)).toEqual([]);
      expect(warnings).toEqual([
        `statementCache is 5 (option statementCache, environment THAWPOOL_STATEMENT_CACHE), but has no effect by way of ${route}: a statement that is prepared there is not found by the next transaction, or pins the connection. Leave it out.`,
      ]);
      expect(makePool({ route, statementCache: 0 }).warnings).toEqual([]);
      expect(makePool({ route }).warnings).toEqual([]);
    }
  });

  it('is at most as much as was said, the most recent', async () => {
    const { pool } = makePool({ statementCache: 2 });
    for (const n of [1, 2, 3]) await warmUp(pool, `select $1::int as c${n}`, [1]);
    await pool.query('select $1::int as c3', [1]);
    await pool.query('select $1::int as c2', [1]);
    expect(await prepared(pool)).toEqual(['select $1::int as c2', 'select $1::int as c3']);
  });

  it('has another name on each connection', async () => {
    const { pool } = makePool({ max: 2 });
    const names = await pool.use((a) =>
      pool.use(async (b) => {
        const all = [];
        for (const client of [a, b]) {
          for (let use = 0; use < 2; use += 1) await client.query('select $1::int', [1]);
          all.push((await client.query<{ name: string }>('select name from pg_prepared_statements')).rows[0]?.name);
        }
        return all;
      }),
    );
    expect(names).toEqual([expect.stringMatching(/^thawpool_[\da-f]{12}_1$/), expect.any(String)]);
    expect(new Set(names).size).toBe(2);
  });
});

describe('a statement that is not good any more', () => {
  const select = 'select * from changing where id = $1';
  beforeAll(async () => {
    await database.query('create table changing (id int, note text)');
    await database.query(`insert into changing values (1, 'one')`);
  });

  it('is prepared anew when its columns have changed, which nobody notices', async () => {
    const { pool, events } = makePool();
    await warmUp(pool, select, [1]);
    await database.query('alter table changing add column more int default 7');
    const result = await pool.query(select, [1]);
    expect(result.rows).toEqual([{ id: 1, note: 'one', more: 7 }]);
    expect(result.fields.map(({ name }) => name)).toEqual(['id', 'note', 'more']);
    expect(events).toContainEqual({ type: 'noted', what: 'statement-reprepared', detail: '0A000' });
    expect(await prepared(pool)).toEqual([select]);
    await database.query('alter table changing drop column more');
    expect((await pool.query({ text: select, values: [1], rowMode: 'array' })).rows).toEqual([[1, 'one']]);
  });

  it('is read by the parsers of its client when it is prepared anew', async () => {
    const parse = (value: string): string => `mine: ${value}`;
    const { pool } = makePool({ types: { getTypeParser: () => parse } as unknown as pg.CustomTypesConfig });
    await warmUp(pool, select, [1]);
    await database.query('alter table changing add column more int default 7');
    expect((await pool.query(select, [1])).rows).toEqual([{ id: 'mine: 1', note: 'mine: one', more: 'mine: 7' }]);
    await database.query('alter table changing drop column more');
  });

  it('leaves the session as clean as it would without a name', async () => {
    const { pool } = makePool();
    await warmUp(pool, `select set_config('mine.word', $1, false)`, ['left behind']);
    expect((await pool.query(`select current_setting('mine.word', true) as word`)).rows).toEqual([{ word: '' }]);
  });

  it('is prepared anew before whatever was sent behind it', async () => {
    const { pool } = makePool();
    await warmUp(pool, select, [1]);
    await database.query('alter table changing add column more int default 7');
    await pool.use(async (client) => {
      const order: string[] = [];
      const first = client.query(select, [1]).then(({ rows }) => order.push(JSON.stringify(rows)));
      const second = client.query('select 2').then(() => order.push('second'));
      await Promise.all([first, second]);
      expect(order).toEqual(['[{"id":1,"note":"one","more":7}]', 'second']);
    });
    await database.query('alter table changing drop column more');
  });

  it('ends a transaction with the error as it is, and is prepared anew after that', async () => {
    const { pool } = makePool();
    await warmUp(pool, select, [1]);
    await database.query('alter table changing add column more int default 7');
    const error = await failure(pool.transaction((tx) => tx.query(select, [1])));
    expect(error).toMatchObject({ code: '0A000', message: 'cached plan must not change result type' });
    expect((await pool.transaction((tx) => tx.query(select, [1]))).rows).toEqual([{ id: 1, note: 'one', more: 7 }]);
    await database.query('alter table changing drop column more');
  });

  it.each(['discard all', 'deallocate all'])('is prepared anew after %s, in a transaction too', async (text) => {
    const { pool, events } = makePool();
    await warmUp(pool, select, [1]);
    await pool.query(text);
    expect(await prepared(pool)).toEqual([]);
    await pool.transaction(async (tx) => {
      expect((await tx.query(select, [1])).rows).toEqual([{ id: 1, note: 'one' }]);
      expect((await tx.query(select, [1])).rows).toEqual([{ id: 1, note: 'one' }]);
    });
    expect(await prepared(pool)).toEqual([select]);
    expect(events.filter((event) => event.type === 'noted')).toEqual([]);
  });

  it('is prepared anew when it is gone without a word, three times at most', async () => {
    const { pool, events, warnings } = makePool();
    const other = 'select $1::text as other';
    for (let time = 0; time < 3; time += 1) {
      await warmUp(pool, select, [1]);
      await pool.query(`do $$ begin execute 'deallocate all'; end $$`);
      expect((await pool.query(select, [1])).rows).toEqual([{ id: 1, note: 'one' }]);
    }
    expect(events.filter((event) => event.type === 'noted')).toHaveLength(3);
    expect(warnings).toEqual([expect.stringMatching(/^Prepared statements are not found where they were prepared/)]);
    await warmUp(pool, other, ['x']);
    expect(await prepared(pool)).toEqual([select]);
  });

  it('outlives the cleaning of a session', async () => {
    const { pool } = makePool();
    await warmUp(pool, select, [1]);
    await pool.query('set work_mem to 4000');
    await pool.query('prepare mine as select 1');
    await pool.query('create temp table t (a int)');
    expect(await prepared(pool)).toEqual([select]);
    expect((await pool.query(`select name from pg_prepared_statements where from_sql`)).rows).toEqual([]);
    expect((await pool.query(select, [1])).rows).toEqual([{ id: 1, note: 'one' }]);
  });

  it('follows the type of the column that its parameter is compared with', async () => {
    await database.query('create table typed (code int)');
    await database.query('insert into typed values (1)');
    const { pool } = makePool();
    const text = 'select code from typed where code = $1';
    await warmUp(pool, text, [1]);
    await database.query('alter table typed alter column code type text');
    expect((await pool.query(text, ['1'])).rows).toEqual([{ code: '1' }]);
    expect((await pool.query(text, ['abc'])).rows).toEqual([]);
  });

  it('follows a type that was dropped and made again', async () => {
    await database.query(`create type mood as enum ('good')`);
    const { pool } = makePool();
    await warmUp(pool, 'select $1::mood as mood', ['good']);
    await database.query('drop type mood');
    await database.query(`create type mood as enum ('good', 'better')`);
    expect((await pool.query('select $1::mood as mood', ['better'])).rows).toEqual([{ mood: 'better' }]);
  });

  it('follows search_path, and what is found there may have other columns', async () => {
    for (const [schema, type] of [
      ['one', 'int'],
      ['two', 'int'],
      ['three', 'text'],
    ]) {
      await database.query(`create schema ${schema}`);
      await database.query(`create table ${schema}.tenants (id ${type})`);
      await database.query(`insert into ${schema}.tenants values ('${{ one: 1, two: 2, three: 3 }[schema as 'one']}')`);
    }
    const { pool } = makePool();
    await pool.use(async (client) => {
      await client.query('set search_path to one');
      for (const expected of [1, 1, 1]) {
        expect((await client.query('select * from tenants where $1', [true])).rows).toEqual([{ id: expected }]);
      }
      await client.query('set search_path to two');
      expect((await client.query('select * from tenants where $1', [true])).rows).toEqual([{ id: 2 }]);
      await client.query('set search_path to three');
      expect((await client.query('select * from tenants where $1', [true])).rows).toEqual([{ id: '3' }]);
    });
  });

  it('is tried again for a value that it cannot take, which fails then with the text’s own error', async () => {
    const { pool } = makePool();
    await warmUp(pool, 'select $1::int as n', [1]);
    const error = await failure(pool.query('select $1::int as n', ['x']));
    expect(error).toMatchObject({ code: '22P02', message: 'invalid input syntax for type integer: "x"' });
    expect((await pool.query('select $1::int as n', [2])).rows).toEqual([{ n: 2 }]);
  });

  it('is never run twice: what failed as it ran is told as it is', async () => {
    await database.query('create sequence runs');
    await database.query(`create function refuse(a int) returns int language plpgsql as $$ begin
      perform nextval('runs'); if a = 2 then raise exception 'no' using errcode = '0A000'; end if; return a; end $$`);
    const { pool, events } = makePool();
    await warmUp(pool, 'select refuse($1)', [1]);
    expect(await failure(pool.query('select refuse($1)', [2]))).toMatchObject({ code: '0A000', message: 'no' });
    expect(await database.query(`select last_value::int as runs from runs`)).toEqual([{ runs: 4 }]);
    expect(events.filter((event) => event.type === 'noted')).toEqual([]);
    const before = proxy().snapshot();
    expect(await prepared(pool)).toEqual(['select refuse($1)']);
    expect(proxy().since(before).opened).toBe(0);
  });

  it('that could not be parsed is not taken for prepared', async () => {
    const { pool } = makePool();
    for (let use = 0; use < 3; use += 1) {
      expect(await failure(pool.query('select late from not_yet where $1', [true]))).toHaveProperty('code', '42P01');
    }
    await database.query('create table not_yet as select 1 as late');
    for (let use = 0; use < 3; use += 1) {
      expect((await pool.query('select late from not_yet where $1', [true])).rows).toEqual([{ late: 1 }]);
    }
  });

  it('whose first run fails is prepared all the same', async () => {
    await database.query('create table keys (id int primary key)');
    const { pool } = makePool();
    const insert = 'insert into keys values ($1)';
    await pool.query(insert, [1]);
    for (let use = 0; use < 2; use += 1) {
      expect(await failure(pool.query(insert, [1]))).toHaveProperty('code', '23505');
      expect(await prepared(pool)).toEqual([insert]);
    }
    expect(await pool.query(insert, [2])).toMatchObject({ command: 'INSERT', rowCount: 1, fields: [] });
  });

  it('that is driven out while it waits for its turn goes without a name', async () => {
    const { pool } = makePool({ statementCache: 1 });
    await pool.use(async (client) => {
      const run = (n: number) => client.query(`select $1::int as c${n}`, [n]);
      await run(1);
      const before = client.query('select 0');
      const behind = [1, 2, 2].map(run);
      await before;
      expect((await Promise.all(behind)).map(({ rows }) => rows)).toEqual([[{ c1: 1 }], [{ c2: 2 }], [{ c2: 2 }]]);
      expect(await prepared(client as unknown as PgPool)).toEqual(['select $1::int as c2']);
    });
  });
});
