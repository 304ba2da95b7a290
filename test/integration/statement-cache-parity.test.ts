/** The same statements by a bare `pg.Client` and by a pool that prepares them: results and errors are the same, to the field. */
import { Buffer } from 'node:buffer';
import pg from 'pg';
import type { PgPool } from 'thawpool';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { fc } from '../support/fast-check.ts';
import { useDatabase, usePools } from './support.ts';

type AnyQuery = (...args: readonly unknown[]) => Promise<unknown>;

const database = useDatabase();
const parse = (value: string): string => `mine: ${value}`;
const types = { getTypeParser: () => parse };
const makePool = usePools(() => ({ connectionString: database.connectionString, max: 1 }));
const bare = (() => {
  let client: pg.Client | undefined;
  beforeAll(async () => {
    client = new pg.Client({ connectionString: database.connectionString, application_name: 'test-beside' });
    await client.connect();
  });
  afterAll(() => client?.end());
  return (): AnyQuery => client?.query.bind(client) as AnyQuery;
})();

beforeAll(async () => {
  await database.query(`create type mood as enum ('sad', 'it''s "good"')`);
  await database.query(`create type pair as (a int, b text)`);
  await database.query('create domain positive as int check (value > 0)');
  await database.query('create table things (id int primary key, note text, price numeric, at timestamptz)');
  await database.query(
    `insert into things select n, 'note ' || n, n * 1.5, '2026-01-01Z' from generate_series(1, 3) n`,
  );
});

let pool: PgPool;
beforeEach(() => {
  ({ pool } = makePool());
});

/** What came of it: a result with all that pg keeps in it, or an error with all that the server says of it. */
async function outcome(query: AnyQuery, args: readonly unknown[]): Promise<unknown> {
  try {
    return await query(...args);
  } catch (error) {
    const { name, message } = error as Error;
    const thrown = Object.getPrototypeOf(error) as unknown;
    // The only word of it that is ours, in an error of the protocol: what the statement is called.
    const ours = /"thawpool_\w+"/.exec(message)?.[0];
    if (ours === undefined) return { thrown, name, message, ...(error as object) };
    const { length } = error as { length: number };
    return {
      ...(error as object),
      thrown,
      name,
      message: message.replace(ours, '""'),
      length: length - ours.length + 2,
    };
  }
}

/** Runs it as often as it takes to be prepared, and once more, with the same end each time. */
async function expectTheSame(args: () => readonly unknown[], times = 4): Promise<void> {
  for (let use = 0; use < times; use += 1) {
    const expected = await outcome(bare(), args());
    expect(await outcome(pool.query.bind(pool) as AnyQuery, args())).toStrictEqual(expected);
  }
}

describe('results', () => {
  const one = 'select $1::int as n';
  it.each<[string, () => readonly unknown[]]>([
    ['a row', () => [one, [1]]],
    ['a config', () => [{ text: one, values: [1] }]],
    ['values beside the config', () => [{ text: one, values: [2] }, [1]]],
    ['rows as arrays', () => [{ text: 'select $1::int as n, $2::text as n', values: [1, 'x'], rowMode: 'array' }]],
    ['columns of one name', () => ['select $1::int as n, $2::text as n', [1, 'x']]],
    ['types of one’s own', () => [{ text: one, values: [1], types }]],
    ['the extended protocol, asked for', () => [{ text: one, values: [1], queryMode: 'extended' }]],
    ['no row', () => ['select * from things where id = $1', [0]]],
    ['all rows of a table', () => ['select * from things where id > $1 order by id', [0]]],
    ['no column', () => ['select from things where id > $1', [0]]],
    ['many rows', () => ["select n, repeat('x', 100) from generate_series(1, $1) n", [2000]]],
    ['a long value', () => ['select $1::text as long', ['ü'.repeat(300_000)]]],
    ['an insert', () => ['insert into things values ($1, $2) on conflict do nothing', [1, 'x']]],
    ['returning', () => ['insert into things values ($1) on conflict (id) do update set id = $1 returning *', [1]]],
    ['an update', () => ['update things set note = $1 where id < 3', ['y']]],
    ['an update that returns', () => ['update things set note = $1 where id < 3 returning id', ['y']]],
    ['a delete', () => ['delete from things where id = $1', [0]]],
    ['a CTE', () => ['with a as (update things set note = $1 returning id) select count(*) from a', ['z']]],
    ['values', () => ['values ($1::int), (2)', [1]]],
    ['a merge', () => ['merge into things using (select $1::int as k) s on id = k when matched then do nothing', [1]]],
    ['select into', () => ['select $1::int as a where false union select 2', [1]]],
    ['an EXPLAIN', () => ['explain (costs off) select * from things where id = $1', [1]]],
    ['a fixed plan', () => ['select note from things where id = $1', [2]]],
    ['NULL and undefined', () => ['select $1::text as a, $2::int as b', [null, undefined]]],
    ['a hole in the values', () => ['select $1::text as a, $2::int as b', Object.assign([] as unknown[], { 1: 2 })]],
    ['a value with toPostgres', () => ['select $1::text as a', [{ toPostgres: () => 'mine' }]]],
    ['a view of bytes', () => ['select $1::bytea as a', [new Uint8Array([0, 1, 255]).subarray(1)]]],
    ['an object', () => ['select $1::jsonb as a', [{ a: [1, { b: null }] }]]],
    [
      'an array of arrays',
      () => [
        'select $1::text[] as a',
        [
          [
            ['a', null],
            ['"', '\\'],
          ],
        ],
      ],
    ],
    [
      'a date and an array of dates',
      () => ['select $1::timestamptz as a, $2::date[] as b', [new Date(0), [new Date(0)]]],
    ],
    ['a bigint', () => ['select $1::int8 as a', [9_007_199_254_740_993n]]],
    ['an enum, a row, a domain', () => ['select $1::mood, row(1, $2)::pair, $3::positive', ['sad', 'x', 1]]],
  ])('are the same: %s', async (_, args) => expectTheSame(args, 7));

  it('are the same for one text with values of different types, whichever comes first', async () => {
    for (const text of ['select $1 as v', 'select * from things where id = $1', 'select coalesce($1, 1) as v']) {
      for (const value of ['1', 1, 1n, null, true, '1.5', 2.5, [1], { a: 1 }, '1']) {
        await expectTheSame(() => [text, [value]], 2);
      }
    }
  });

  it('are the same for one text in different modes', async () => {
    const text = 'select id, note from things where id > $1 order by id';
    const forms: (() => readonly unknown[])[] = [
      () => [text, [0]],
      () => [{ text, values: [0], rowMode: 'array' }],
      () => [{ text, values: [0], types }],
      () => [{ text, values: [0], binary: true, rowMode: 'array' }],
      () => [{ text, values: [0], rows: 1 }],
      () => [{ text, values: [0], name: 'mine' }],
    ];
    for (let round = 0; round < 3; round += 1) for (const args of forms) await expectTheSame(args, 1);
  });

  it('are each one’s own: what is done to one is not seen in the next', async () => {
    const run = () => pool.query('select $1::int as n', [1]);
    for (let use = 0; use < 4; use += 1) {
      const result = await run();
      expect(result).toMatchObject({ rows: [{ n: 1 }], fields: [{ name: 'n' }] });
      for (const field of result.fields) field.name = 'changed';
      result.fields.pop();
      result.rows.pop();
    }
  });

  it('follow a parser that is set later', async () => {
    const client = await pool.connect();
    const run = async () => (await client.query<{ n: unknown }>('select $1::int as n', [1])).rows[0]?.n;
    expect([await run(), await run(), await run()]).toEqual([1, 1, 1]);
    client.setTypeParser(23, (value) => `int ${value}`);
    expect(await run()).toBe('int 1');
    client.release(true);
  });

  it('are the same for whatever value of whatever type', async () => {
    const text = fc.string({ unit: 'binary', maxLength: 30 }).map((value) => value.replaceAll('\0', ''));
    const kinds: Readonly<Record<string, fc.Arbitrary<unknown>>> = {
      int4: fc.oneof(fc.integer(), text),
      int8: fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n }),
      float8: fc.double(),
      numeric: fc.oneof(fc.double({ noDefaultInfinity: true }), fc.integer()),
      bool: fc.boolean(),
      text,
      'varchar(5)': text,
      bytea: fc.uint8Array({ maxLength: 50 }).map((bytes) => Buffer.from(bytes)),
      json: fc.object({ maxDepth: 2, values: [text, fc.integer(), fc.constant(null)] }),
      jsonb: fc.object({ maxDepth: 2, values: [text, fc.integer(), fc.constant(null)] }),
      'text[]': fc.array(fc.oneof(text, fc.constant(null))),
      'int4[]': fc.array(fc.integer()),
      timestamptz: fc.date({ min: new Date('1900-01-01'), max: new Date('2100-01-01'), noInvalidDate: true }),
      uuid: fc.oneof(fc.uuid(), text),
    };
    const given = fc
      .constantFrom(...Object.keys(kinds))
      .chain((kind) => fc.tuple(fc.constant(kind), fc.option(kinds[kind] as fc.Arbitrary<unknown>)));
    await fc.assert(
      fc.asyncProperty(given, fc.constantFrom(undefined, 'array'), async ([kind, value], rowMode) => {
        await expectTheSame(
          () => [{ text: `select $1::${kind} as v, $1::${kind} is null as n`, values: [value], rowMode }],
          1,
        );
      }),
      { numRuns: 300 },
    );
  });
});

describe('errors', () => {
  it.each<[string, () => readonly unknown[]]>([
    ['a syntax error', () => ['select $1::int as from', [1]]],
    ['a column that is not there', () => ['select nothing from things where id = $1', [1]]],
    ['a function that is not there', () => ['select nothing($1)', [1]]],
    ['a value that is none of its type', () => ['select $1::int', ['x']]],
    ['a value out of range', () => ['select $1::int', [2 ** 40]]],
    ['too few values', () => ['select $1::int, $2::int', [1]]],
    ['too many values', () => ['select $1::int', [1, 2]]],
    ['several statements', () => ['select $1::int; select 2', [1]]],
    ['division by zero, while it is planned', () => ['select 1 / 0, $1::int', [1]]],
    ['division by zero, while it runs', () => ['select 1 / (n - 2) from generate_series(1, $1) n', [3]]],
    ['a key that is there', () => ['insert into things values ($1)', [1]]],
    ['a domain', () => ['select $1::positive', [-1]]],
    [
      'a value that cannot be sent',
      () => [
        'select $1::text',
        [
          {
            toPostgres: () => {
              throw new RangeError('mine');
            },
          },
        ],
      ],
    ],
    [
      'a parser that throws',
      () => [
        {
          text: 'select $1::int as n',
          values: [1],
          types: {
            getTypeParser: () => () => {
              throw new RangeError('mine');
            },
          },
        },
      ],
    ],
    ['no text', () => [{ values: [1] }]],
    ['values that are no list', () => ['select $1::int', { 0: 1 }]],
    ['null', () => [null, [1]]],
    ['copy from', () => ['copy things from stdin', []]],
    ['copy with a value', () => ['copy (select $1) to stdout', [1]]],
  ])('are the same: %s', async (_, args) => {
    await expectTheSame(args);
    await expectTheSame(() => ['select $1::int as still', [1]]);
  });

  it('are the same where a good value comes after a bad one', async () => {
    for (const value of [1, 'x', 2, 2 ** 40, 3, null, 'y', 4, 5, 6])
      await expectTheSame(() => ['select $1::int', [value]], 1);
  });

  it('lead to whoever asked', async () => {
    async function asks(): Promise<unknown> {
      return await pool.use((client) => client.query('select 1 / $1::int', [0]));
    }
    for (let use = 0; use < 3; use += 1) {
      const error = await asks().catch((reason: unknown) => reason as Error);
      expect((error as Error).stack).toContain('asks');
    }
  });
});
