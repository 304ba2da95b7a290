/** What a text means is asked again each time it runs, whether it is prepared or not. */
import { Buffer } from 'node:buffer';
import pg from 'pg';
import type { PgPool } from 'thawpool';
import { describe, expect, it } from 'vitest';
import { failure, useDatabase, usePools } from './support.ts';

const database = useDatabase();
const makePool = usePools(() => ({ connectionString: database.connectionString, max: 1 }));

type Asked = Pick<PgPool, 'query'>;

/** The first column of the first row. */
async function only(pool: Asked, text: string, values: unknown[]): Promise<unknown> {
  const { rows } = await pool.query({ text, values, rowMode: 'array' });
  return rows[0]?.[0];
}

/** Runs a text so often that it is prepared and its columns are known. */
async function warmUp(pool: Asked, text: string, values: unknown[]): Promise<void> {
  for (let use = 0; use < 3; use += 1) await pool.query(text, values);
}

async function prepared(pool: Asked): Promise<string[]> {
  const { rows } = await pool.query<{ statement: string }>(
    `select statement from pg_prepared_statements where name like 'thawpool\\_%' order by prepare_time, name`,
  );
  return rows.map(({ statement }) => statement);
}

describe('a literal', () => {
  it.each([
    `select timestamptz 'now' :: text, $1::int`,
    `select (' NOW '::timestamptz)::text, $1::int`,
    `select (cast($$now$$ as timestamptz))::text, $1::int`,
    String.raw`select (E'\x6eow'::timestamptz)::text, $1::int`,
    String.raw`select (U&'\006eow'::timestamptz)::text, $1::int`,
  ])('that is a moment is another one each time: %s', async (text) => {
    const { pool } = makePool();
    const moments = new Set<unknown>();
    for (let use = 0; use < 5; use += 1) moments.add(await only(pool, text, [1]));
    expect(moments.size).toBe(5);
    expect(await prepared(pool)).toEqual([]);
  });

  it.each(['today', 'tomorrow', 'yesterday'])('that says %s is not prepared', async (day) => {
    const { pool } = makePool();
    await warmUp(pool, `select $1::int where now() > '${day}'`, [1]);
    expect(await prepared(pool)).toEqual([]);
  });

  it.each([
    ['TimeZone', `select ('2026-01-01 00:00'::timestamptz at time zone 'UTC')::text, $1::int`, 'Asia/Tokyo'],
    ['DateStyle', `select extract(month from '02/01/2026'::date)::int, $1::int`, 'ISO, DMY'],
    ['IntervalStyle', `select extract(epoch from interval '-1 1:00')::int, $1::int`, 'sql_standard'],
  ])('is read by the %s of each transaction', async (name, text, value) => {
    const { pool } = makePool();
    await warmUp(pool, text, [1]);
    const before = await only(pool, text, [1]);
    const other = await pool.transaction({ settings: { [name]: value } }, async (tx) => {
      const [first, second] = [await only(tx, text, [1]), await only(tx, text, [1])];
      expect(second).toBe(first);
      return first;
    });
    expect(other).not.toBe(before);
    expect(await only(pool, text, [1])).toBe(before);
    expect(await only(pool, text, [1])).toBe(before);
  });

  it('without a digit stays prepared when the time zone changes', async () => {
    const { pool } = makePool();
    await warmUp(pool, `select 'text', $1::int`, [1]);
    await warmUp(pool, `select 'text 1', $1::int`, [1]);
    await pool.transaction({ settings: { TimeZone: 'Asia/Tokyo' } }, () => Promise.resolve());
    await pool.query('select $1::text', ['so that what was given up is closed']);
    await pool.query('select $1::text', ['so that what was given up is closed']);
    expect(await prepared(pool)).toEqual([`select 'text', $1::int`, 'select $1::text']);
  });
});

describe('a temporary table', () => {
  const select = 'select note from shadowed where id = $1';
  it.each([
    ['create temp table shadowed (id int, note text)', []],
    ['create temporary table shadowed (id int, note text) on commit drop', []],
    ['create table pg_temp.shadowed (id int, note text)', []],
    [`create temp table shadowed as select 1 as id, 'x' as note where false`, []],
    [`select 1 as id, 'x' as note into temp shadowed where false`, []],
    ['select $1::int as id, null::text as note into temp shadowed where false', [1]],
    [`create temp view shadowed as select 1 as id, 'temporary' as note`, []],
  ])('hides a table from what was prepared before: %s', async (create, values) => {
    await database.query('create table if not exists shadowed (id int, note text)');
    await database.query(`truncate shadowed`);
    await database.query(`insert into shadowed values (1, 'permanent')`);
    const { pool } = makePool();
    // The session's schema for them exists already: its search path stays as it is.
    await pool.query('create temp table another (a int)');
    await warmUp(pool, select, [1]);
    for (let round = 0; round < 3; round += 1) {
      await pool.transaction(async (tx) => {
        await tx.query(create, values);
        if (!create.includes('view')) await tx.query(`insert into shadowed values (1, 'temporary')`);
        for (let use = 0; use < 3; use += 1) expect(await only(tx, select, [1])).toBe('temporary');
        await tx.query(create.includes('view') ? 'drop view shadowed' : 'drop table shadowed');
      });
      for (let use = 0; use < 3; use += 1) expect(await only(pool, select, [1])).toBe('permanent');
    }
  });

  it('is made by a text that was queued before another', async () => {
    await database.query(`create table queued as select 'permanent' as note`);
    const { pool } = makePool();
    const text = 'select note from queued where $1';
    await pool.query('create temp table another (a int)');
    await warmUp(pool, text, [true]);
    await pool.use(async (client) => {
      const answers = [
        client.query(text, [true]),
        client.query(`create temp table queued as select 'temporary' as note`),
        client.query(text, [true]),
      ];
      const rows = (await Promise.all(answers)).map((answer) => answer.rows as unknown[]);
      expect(rows).toEqual([[{ note: 'permanent' }], [], [{ note: 'temporary' }]]);
    });
  });
});

describe('the values', () => {
  it('are those that were given, also when the statement is sent again', async () => {
    await database.query(`create table given (id int)`);
    const { pool } = makePool();
    const text = 'select *, $1::text as a, $2::bytea as b, $3::jsonb as c, $4::text as d from given';
    await database.query('insert into given values (1)');
    await warmUp(pool, text, ['a', Buffer.from('b'), { c: 1 }, 'd']);
    await database.query('alter table given add more int');
    const bytes = Buffer.from('b');
    let asked = 0;
    const d = {
      toPostgres: () => {
        asked += 1;
        return `asked ${asked}`;
      },
    };
    const values: unknown[] = ['a', bytes, { c: 1 }, d];
    await pool.use(async (client) => {
      const answer = client.query(text, values);
      bytes.write('x');
      (values[2] as { c: number }).c = 2;
      values.splice(0, 1, 'changed');
      expect((await answer).rows).toEqual([
        { id: 1, more: null, a: 'a', b: Buffer.from('b'), c: { c: 1 }, d: 'asked 1' },
      ]);
    });
  });

  it('are as many as the protocol has room for', async () => {
    const { pool } = makePool();
    const values = Array.from({ length: 65_535 }, (_, index) => index);
    const text = 'select $1::int as n';
    await warmUp(pool, text, [1]);
    const bare = new pg.Client({ connectionString: database.connectionString, application_name: 'test-beside' });
    await bare.connect();
    const expected = await failure(bare.query(text, values));
    await bare.end();
    expect(await failure(pool.query(text, values))).toMatchObject({ code: expected.code });
    expect(await failure(pool.query(text, [...values, 1]))).toHaveProperty('code');
    expect(await only(pool, text, [2])).toBe(2);
  });

  it('of a config may be read by getters, one of which throws', async () => {
    const { pool } = makePool();
    const text = 'select $1::int as n';
    await warmUp(pool, text, [1]);
    const config = {
      text,
      get values(): unknown[] {
        throw new RangeError('mine');
      },
    };
    expect(await failure(pool.query(config))).toMatchObject({ name: 'RangeError', message: 'mine' });
    expect(await only(pool, text, [2])).toBe(2);
    expect(pool.stats()).toMatchObject({ idle: 1, leased: 0 });
  });
});

describe('parsers', () => {
  it('that are set for all clients later are used from then on', async () => {
    const { pool } = makePool();
    await warmUp(pool, 'select $1::int as n', [1]);
    const parse = pg.types.getTypeParser(23);
    try {
      pg.types.setTypeParser(23, (value) => `global ${value}`);
      expect(await only(pool, 'select $1::int as n', [1])).toBe('global 1');
    } finally {
      pg.types.setTypeParser(23, parse);
    }
    expect(await only(pool, 'select $1::int as n', [1])).toBe(1);
  });
});
