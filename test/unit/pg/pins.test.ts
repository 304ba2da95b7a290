import { describe, expect, test } from 'vitest';
import { type PinKind, pinsOf } from '../../../src/pg/pins.ts';

const kinds = (sql: string, byteLength?: number): PinKind[] => pinsOf(sql, byteLength).map(({ kind }) => kind);

const pinning: Readonly<Record<Exclude<PinKind, 'long-statement'>, readonly string[]>> = {
  setting: [
    'set a = 1',
    'SET SESSION a TO 1',
    '-- x\nset a = 1',
    'select 1; set a = 1',
    'set role a',
    'set session authorization a',
    "set time zone 'UTC'",
    'set session characteristics as transaction read only',
    'reset a',
    'reset all',
    'RESET ROLE',
    "select set_config('a', 'b', false)",
    "select set_config('a', 'b', $1)",
    'select "pg_catalog"."set_config"($1, $2, false)',
    "insert into t select set_config('a', 'b', false)",
  ],
  'transaction-setting': [
    'set local a = 1',
    'begin; SET LOCAL a = 1; commit',
    "select set_config('a', 'b', true)",
    "select pg_catalog.set_config('a', $1, TRUE)",
    "select set_config('a', 'b', 'on'::boolean)",
  ],
  'transaction-mode': [
    'set transaction isolation level serializable',
    "set transaction snapshot 'a'",
    'set constraints all deferred',
  ],
  'prepared-statement': [
    'prepare a as select 1',
    'prepare transaction as select 1',
    'execute a',
    'execute a(1, 2)',
    'deallocate a',
    'deallocate all',
    'select 1; /* x */ execute a',
    'explain analyze execute a',
    'explain (analyze) execute a(1)',
    'create table t as execute a',
    'create unlogged table t (b, c) with (fillfactor = 70) as /* x */ execute a(1) with data',
    'explain analyze create table t as execute a',
  ],
  discard: ['discard all', 'DISCARD PLANS', 'discard sequences', 'discard temp'],
  library: ["load 'auto_explain'"],
  'temporary-object': [
    'create temp table t (a int)',
    'create temporary table t (a int) on commit drop',
    'create local temporary view v as select 1',
    'create or replace temp view v as select 1',
    'create temp sequence s',
    'select 1 as a into temp t',
    'create table pg_temp.t (a int)',
  ],
  cursor: [
    'declare a cursor for select 1',
    'DECLARE a CURSOR WITH HOLD FOR SELECT 1',
    'begin; declare a no scroll cursor without hold for select 1; fetch all from a; commit',
  ],
  listen: ['listen a', 'select 1; LISTEN "a"'],
  sequence: [
    "select nextval('s')",
    "select setval('s', 1, false)",
    "insert into t (id) values (nextval('s'))",
    "insert into t (id) values (default), (pg_catalog.nextval('s'::regclass))",
    "with x as (select NEXTVAL('s') as id) insert into t select id from x",
    'select 1 where "nextval" (\'s\') > 1',
  ],
  'advisory-lock': [
    'select pg_advisory_lock(1)',
    'select pg_advisory_lock_shared(1, 2)',
    'select pg_try_advisory_lock($1)',
    'select pg_try_advisory_lock_shared(1)',
    'select pg_advisory_unlock(1)',
    'select pg_advisory_unlock_shared(1)',
    'select pg_advisory_unlock_all()',
    'insert into t select pg_advisory_lock(1)',
  ],
};

const harmless: readonly string[] = [
  '',
  'select 1',
  'select * from orders where id = $1',
  'update t set a = 1',
  'insert into t values (1) on conflict (a) do update set a = excluded.a returning id',
  'alter table t set (fillfactor = 70)',
  'alter role r set search_path = a',
  'create function f() returns int language sql set search_path = a as $$ select 1 $$',
  "create function f() returns bigint begin atomic select nextval('s'); end",
  "create function f() returns bigint language sql as $$ select nextval('s') $$",
  "create table t (id bigint default nextval('s'))",
  "alter table t alter column id set default pg_catalog.nextval('s')",
  "create view v as select nextval('s')",
  'create sequence s; alter sequence s restart; drop sequence s',
  "select currval('s'), lastval()",
  'select \'nextval(1)\', "nextval(1)", $$nextval(1)$$ /* nextval(1) */ -- nextval(1)',
  'select nextval from t',
  "select my.nextval('s')",
  'grant execute on function nextval(regclass) to r',
  'begin; commit',
  'begin isolation level serializable; savepoint a; release a; rollback',
  "prepare transaction 'a'",
  "commit prepared 'a'",
  'select pg_advisory_xact_lock(1)',
  'select pg_advisory_xact_lock_shared(1), pg_try_advisory_xact_lock(1), pg_try_advisory_xact_lock_shared(1)',
  'notify a',
  "select pg_notify('a', 'b')",
  'unlisten a',
  'show a',
  'fetch all from a',
  'close a',
  'call p()',
  'do $$ begin end $$',
  'explain execute a',
  'create table t as select 1 as execute',
  'create trigger t before insert on u for each row execute function f()',
  "explain select nextval('s')",
  "explain (verbose) select set_config('a', 'b', false)",
  "select '; set a = 1'",
  'select 1; -- set a = 1',
  'select execute, load, reset, declare, listen from t',
  'select temp from temp',
  'insert into temp values (1)',
];

describe('pinsOf', () => {
  for (const [kind, texts] of Object.entries(pinning)) {
    test.each(texts.map((sql) => [sql]))(`finds ${kind} in %j`, (sql) => expect(kinds(sql)).toEqual([kind]));
  }

  test.each(harmless.map((sql) => [sql]))('finds nothing in %j', (sql) => expect(kinds(sql)).toEqual([]));

  test('names each kind once, in the order of the text', () => {
    expect(
      kinds("listen a; set a = 1; select nextval('s'), nextval('s'), set_config('a', 'b', true); listen b; reset a"),
    ).toEqual(['listen', 'setting', 'sequence', 'transaction-setting']);
    expect(kinds('declare a cursor with hold for select pg_advisory_lock(1)')).toEqual(['cursor', 'advisory-lock']);
    expect(kinds("create temp table t as select nextval('s')")).toEqual(['temporary-object', 'sequence']);
  });

  test('says of each pin why, and what to do instead, in one sentence each', () => {
    const everything = [...Object.values(pinning).flat(), `select '${'x'.repeat(17_000)}'`];
    const found = new Map(everything.flatMap((sql) => pinsOf(sql)).map((pin) => [pin.kind, pin]));
    expect([...found.keys()].toSorted()).toEqual([...Object.keys(pinning), 'long-statement'].toSorted());
    for (const { reason, fix } of found.values()) {
      for (const sentence of [reason, fix]) expect(sentence).toMatch(/^\S.*[^.]\.$/);
    }
  });

  test('marks what AWS does not say', () => {
    const doubtful = Object.entries(pinning)
      .filter(([, texts]) => texts.some((sql) => pinsOf(sql).some(({ certainty }) => certainty === 'undocumented')))
      .map(([kind]) => kind);
    expect(doubtful).toEqual(['transaction-setting', 'transaction-mode']);
  });

  test('hands out what nobody can change', () => {
    expect(Object.isFrozen(pinsOf('select 1'))).toBe(true);
    expect(Object.isFrozen(pinsOf('listen a'))).toBe(true);
    expect(Object.isFrozen(pinsOf('listen a')[0])).toBe(true);
    expect(pinsOf('listen a')).toBe(pinsOf('listen a'));
  });
});

describe('a text of 16 KB', () => {
  const select = (bytes: number, filler = 'x'): string => {
    const around = "select ''".length;
    return `select '${filler.repeat((bytes - around) / Buffer.byteLength(filler))}'`;
  };

  test.each([
    [16_384, 'x', []],
    [16_385, 'x', ['long-statement']],
    // 9 bytes around it, so that 2 × 8188 and 3 × 5459 are 16,385 and 16,386; one character less is within.
    [9 + 2 * 8188, 'ä', ['long-statement']],
    [9 + 2 * 8187, 'ä', []],
    [9 + 3 * 5459, '€', ['long-statement']],
    [9 + 3 * 5458, '€', []],
    [9 + 4 * 4094, '😀', ['long-statement']],
    [9 + 4 * 4093, '😀', []],
  ])('counts in bytes: %i of %s', (bytes, filler, expected) => {
    const sql = select(bytes, filler);
    expect(Buffer.byteLength(sql)).toBe(bytes);
    expect(kinds(sql)).toEqual(expected);
  });

  test('takes the length from who knows it', () => {
    expect(kinds('select 1', 16_385)).toEqual(['long-statement']);
    expect(kinds(select(20_000), 16_384)).toEqual([]);
  });

  test('is still read', () => expect(kinds(`listen a; ${select(20_000)}`)).toEqual(['listen', 'long-statement']));

  test('is not read above 256 K characters, where its length says enough', () => {
    expect(kinds(`listen a; ${select(300_000)}`)).toEqual(['long-statement']);
  });
});
