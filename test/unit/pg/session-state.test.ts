import { describe, expect, test } from 'vitest';
import { cleaningStatements, type SessionState, sessionState, stateLeftBy } from '../../../src/pg/session-state.ts';
import { tokensOf } from '../../../src/pg/sql-lexer.ts';
import { fc } from '../../support/fast-check.ts';

type Flag = Exclude<keyof typeof sessionState, 'clean'>;
const flags = Object.keys(sessionState).filter((name): name is Flag => name !== 'clean');

function named(state: SessionState): Flag[] {
  return flags.filter((flag) => (state & sessionState[flag]) !== 0);
}

const leaves: Readonly<Record<Flag, readonly string[]>> = {
  settings: [
    'set a = 1',
    'SET a TO 1',
    'Set Session a = 1',
    'set a.b = 1',
    'set "a"."B" = 1',
    'set search_path = a, b',
    'set time zone default',
    "set timezone to 'UTC'",
    "set names 'utf8'",
    'set schema a',
    'set seed to 0.5',
    'set xml option document',
    'set session characteristics as transaction read only',
    'set statement_timeout to default',
    ';;set a = 1',
    ' \n\tset a = 1;',
    '/* set local */ set a = 1',
    '-- name: x\nset a = 1',
    '/* /* nested */ ; */ set a = 1',
    'select 1; set a = 1',
    'select 1;/**/set/**/a/**/=/**/1',
    "select ';'; set a = 1; select 2",
    'begin; set a = 1; commit',
    'begin; set local a = 1; set a = 1; commit',
    'set/* x */local_preload_libraries = a',
    'set "local" = 1',
    "select set_config('a', 'b', false)",
    "select set_config('a', 'b', 'f')",
    "select set_config('a', 'b', 'off')",
    "select set_config('a', 'b', 'no')",
    "select set_config('a', 'b', not true)",
    "select set_config('a', 'b', true and false)",
    "select set_config('a', 'b', true = false)",
    "select set_config('a', 'b', (true))",
    "select set_config('a', 'b', $1)",
    "select set_config('a', 'b', $1::boolean)",
    "select set_config('a', 'b', null)",
    "select set_config('a', 'b', \"true\")",
    "select set_config('a', 'b', t.true)",
    "select set_config('a', 'b', E'true')",
    "select set_config('a', 'b', 'truer')",
    "select set_config('a', 'b', true::text::boolean)",
    "select set_config('a', 'b')",
    "select set_config('a'",
    "select pg_catalog.set_config('a', 'b', false)",
    "select PG_CATALOG . SET_CONFIG ( 'a' , 'b' , FALSE )",
    'select "pg_catalog"."set_config"(\'a\', \'b\', false)',
    "select u&\"set\\005fconfig\"('a', 'b', false)",
    "select app.pg_catalog.set_config('a', 'b', false)",
    "select set_config/* (,,true) */('a', 'b', false)",
    "select 1 from t where x = (select set_config('a', 'b', false))",
    "insert into t select set_config('a', 'b', false)",
    "update t set a = set_config('a', 'b', false)",
    "with x as (select set_config('a', 'b', false)) select 1",
    "values (1, (set_config('a', 'b', false)))",
    "call p(set_config('a', 'b', false))",
    "select set_config('a', set_config('b', 'c', false), true)",
    "select set_config('a', set_config('b', 'c', true), false)",
    "select set_config('a', array_to_string(array['b', 'c'], ','), false), set_config('a', 'b', true)",
    "select set_config('a', (array['x', true, 'y'])[1], false)",
    "select f('set_config(', set_config('a', 'b', false))",
    "create table t as select set_config('a', 'b', false)",
    "create materialized view v as select set_config('a', 'b', false)",
    "explain analyze select set_config('a', 'b', false)",
    "explain (costs off, analyze) select set_config('a', 'b', false)",
    "EXPLAIN ANALYSE VERBOSE select set_config('a', 'b', false)",
    "copy (select set_config('a', 'b', false)) to stdout",
    'set a = 1; begin; reset all; rollback',
    'set a = 1; discard all',
    'reset all; set a = 1',
    'set a = 1; reset a',
  ],
  role: [
    'set role a',
    'set session role a',
    'SET ROLE NONE',
    'set role = a',
    'set "role" to a',
    'set "Role" to a',
    'set session authorization a',
    "set session authorization default; select 'set a = 1'",
    'set session_authorization = a',
    "select set_config('role', 'a', false)",
    "select set_config('ROLE', $1, false)",
    "select set_config('session_authorization', 'a', false)",
    'set role a; reset all',
  ],
  temp: [
    'create temp table t (a int)',
    'create temporary table if not exists t (a int)',
    'CREATE LOCAL TEMP TABLE t (a int)',
    'create global temporary table t (a int)',
    'create temp table t (a int) on commit delete rows',
    'create temp table t (a int) on commit preserve rows',
    'create temp table t as select 1',
    "create temp table t as select 'on commit drop'",
    'create temp view v as select 1',
    'create or replace temporary view v as select 1',
    'create or replace temp recursive view v (n) as select 1',
    'create temp sequence s',
    'create table pg_temp.t (a int)',
    'create table "pg_temp".t (a int)',
    'create table pg_temp_3.t (a int)',
    'create function pg_temp.f() returns int language sql return 1',
    'create view v as select * from pg_temp.t',
    'create type pg_temp.e as enum ()',
    'select 1 as a into temp t',
    'select 1 as a into temp table t',
    'select 1 as a into temporary t from x',
    'select 1 as a INTO LOCAL TEMP t',
    'select 1 as a into global temporary table t',
    'select 1 as a into pg_temp.t',
    'with x as (select 1) select * into temp t from x',
    'select 1 into temp "from"',
    '/* a */ create /* b */ temp /* c */ table t (a int)',
    'select 1; create temp table t (a int); select 2',
    'explain analyze create temp table t as select 1',
    'explain analyze verbose create temp table t as select 1',
    'discard temp; create temp table t (a int)',
    'set local search_path = pg_temp, public',
  ],
  listen: [
    'listen a',
    'LISTEN "A b"',
    'select 1;listen a',
    '--\nlisten a',
    'unlisten *; listen a',
    'listen a; unlisten a',
    'listen a; unlisten "*"',
    'begin; listen a; unlisten *; rollback to b; commit',
    'listen set_config',
    "listen a; prepare transaction 'b'; unlisten *",
  ],
  locks: [
    'select pg_advisory_lock(1)',
    'select pg_advisory_lock(1, 2)',
    'select pg_advisory_lock_shared($1)',
    'select pg_try_advisory_lock(1)',
    'select pg_try_advisory_lock_shared(1)',
    'SELECT PG_CATALOG.PG_ADVISORY_LOCK(1)',
    'insert into t select pg_advisory_lock(1)',
    'insert into t values (pg_advisory_lock(1))',
    'select 1 from t where pg_try_advisory_lock(t.id) limit 1',
    'select case when pg_try_advisory_lock(1) then 1 end',
    'select * from pg_try_advisory_lock(1)',
    'delete from t where id in (select pg_advisory_lock(1))',
    "prepare transaction 'a'; select pg_advisory_lock(1)",
    'select pg_advisory_xact_lock(1), pg_advisory_lock(2)',
    'select pg_advisory_lock(1); select pg_advisory_unlock(1)',
    'select pg_advisory_lock(1',
    'declare a cursor for select pg_advisory_lock(1)',
    'create function f() begin atomic select 1; end; select pg_advisory_lock(1)',
  ],
  prepared: [
    'prepare a as select 1',
    'PREPARE a (int, text) AS SELECT $1, $2',
    'prepare "transaction" as select 1',
    'prepare transaction as select 1',
    'prepare transaction (int) as select $1',
    'select 1; prepare a as select 1',
    'prepare a as select 1; deallocate a',
    'prepare a as select 1; deallocate all',
  ],
  cursors: [
    'declare a cursor with hold for select 1',
    'DECLARE a BINARY INSENSITIVE NO SCROLL CURSOR WITH HOLD FOR SELECT 1',
    'declare cursor cursor with hold for select 1',
    'declare "cursor" scroll cursor with hold for select 1',
    'begin; declare a cursor with hold for select 1; commit',
    'declare a cursor with hold for select 1; close a',
    'close all; declare a cursor with hold for select 1',
  ],
  unknown: [
    'do $$ begin end $$',
    "DO 'begin end'",
    'do language plpgsql $do$ begin perform 1; end $do$',
    'select 1; do $$ begin end $$',
    '-- a\ndo $$ begin end $$',
    'do $$ begin end $$; reset all',
  ],
};

const leavesNothing: readonly string[] = [
  '',
  ';',
  '-- set a = 1',
  '/* set a = 1 */',
  '/* /* */ ; set a = 1 */',
  'select 1',
  'select 1;',
  "select 'set a = 1'",
  "select '; set a = 1'",
  "select '''; set a = 1'",
  "select E'\\'; set a = 1'",
  "select E'a'\n'\\'; set a = 1'",
  "select U&'; set a = 1'",
  'select $$; set a = 1$$',
  'select $a$ $$; set a = 1; $$ $a$',
  'select $a$; set a = 1',
  "select '; set a = 1",
  'select "; set a = 1"',
  'select 1 as "a""; set a = 1"',
  'select 1 /* ; set a = 1 */',
  'select 1 -- ; set a = 1',
  'select 1 /* ; /* ; */ ; set a = 1 */; select 2',
  'select 1; -- set a = 1\nselect 2',
  'select 1; /* set a = 1 */ select 2',
  'select 1; select 2 as set',
  'select "set" from t; select set.a from t as set',
  'update t set a = 1',
  'UPDATE t SET a = 1; UPDATE t SET b = 2',
  '/* x */ update t\nset a = 1',
  'insert into t values (1) on conflict do update set a = 1',
  '/* x */ insert into t values (1) on conflict (a) do nothing',
  'merge into t using s on t.a = s.a when matched then update set a = 1 when not matched then do nothing',
  'merge into temp using s on true when matched then do nothing',
  'alter table t set (fillfactor = 70)',
  'alter table t alter column a set default 1',
  'alter table t set schema b',
  'alter role r set search_path = a',
  'alter role r in database d set role = a',
  'alter database d set work_mem = 1',
  "alter system set work_mem = '1MB'",
  'alter function f() set search_path = a, pg_temp',
  'create function f() returns int language sql set search_path = a, pg_temp as $$ select 1 $$',
  "create function f() returns text language sql as $$ select set_config('a', 'b', false) $$",
  'create function f() returns void language plpgsql as $body$ begin set a = 1; listen b; end $body$',
  "create function f() returns text begin atomic select 1; select set_config('a', 'b', false); end",
  'create or replace procedure p() begin atomic; listen a; select case when true then pg_advisory_lock(1) end; end',
  'create function f(a text default set_config($$a$$, $$b$$, false)) returns int return 1',
  "create view v as select set_config('a', 'b', false), pg_advisory_lock(1)",
  'create rule r as on update to t do instead select pg_advisory_lock(1)',
  'create policy p on t using (pg_try_advisory_lock(1))',
  'create table t (a int default pg_catalog.pg_advisory_lock(1))',
  'drop function set_config(text, text, boolean)',
  'grant execute on function pg_catalog.set_config(text, text, boolean) to r',
  'alter function pg_advisory_lock(bigint) owner to r',
  'drop procedure pg_advisory_lock(bigint); drop routine pg_advisory_lock(bigint)',
  'insert into set_config (a, b) values (1, 2)',
  'create table set_config (a int, b int)',
  "select my.set_config('a', 'b', false)",
  'select my.pg_advisory_lock(1)',
  "select my_set_config('a', 'b', false), set_config2('a', 'b', false)",
  'select set_config from t',
  'select a.set_config, set_config + (1) from t',
  "select 'set_config(''a'', ''b'', false)'",
  'select "set_config(1,2,false)"',
  'select "SET_CONFIG"(1, 2, false)',
  'set local a = 1',
  'SET LOCAL role = a',
  'set local session authorization a',
  'set /* a */ local /* b */ a = 1',
  'set transaction isolation level serializable',
  "set transaction snapshot 'a'",
  'set constraints all deferred',
  'begin; set local a = 1; commit',
  'begin isolation level serializable read only; commit',
  'start transaction; savepoint a; release a; rollback to a; end',
  'begin; set transaction read only; set constraints a immediate; abort',
  'reset a',
  'reset all',
  'reset role; reset session authorization',
  'show a; show all',
  "select set_config('a', 'b', true)",
  "SELECT SET_CONFIG('a', $1, TRUE)",
  "select pg_catalog.set_config('a', $1, true), set_config($2, $3, true)",
  "select set_config('a', 'b', true::boolean)",
  "select set_config('a', 'b', 't')",
  "select set_config('a', 'b', 'on')",
  "select set_config('a', 'b', ' YES ')",
  "select set_config('a', 'b', '1'::bool)",
  "select set_config('a', f('b', (1, 2), array[1, 2]), true)",
  "select set_config('a', ', false)', true)",
  "select set_config('a', /* , false) */ 'b', true)",
  "select set_config('a', set_config('b', 'c', true), true)",
  "select set_config('role', 'a', true)",
  "update t set a = 1 where set_config('a', 'b', true) is not null",
  'create table t (a int)',
  'create table temp (a int)',
  'create table temporary (temp int)',
  'create unlogged table t (a int)',
  'create view temp as select 1',
  'create index temp on t (temp)',
  'select temp from t',
  'select temp.a from temp',
  'select 1 as temp; drop table temp',
  'insert into temp values (1)',
  'insert into temp select 1',
  'insert into pg_temp.t values (1)',
  'select 1 as a into temp from t',
  'select 1 as a into temp',
  'select 1 as a into t',
  "select 'into temp t'",
  'select * from pg_temp.t',
  'drop table pg_temp.t',
  'drop table if exists temp',
  'truncate temp',
  'create temp table t (a int) on commit drop',
  'begin; CREATE TEMPORARY TABLE t ON COMMIT DROP AS SELECT 1; commit',
  'create temp table t (a int) on /* x */ commit -- y\n drop',
  'create temp table t (a int); discard temp',
  'explain create temp table t as select 1',
  "explain select set_config('a', 'b', false)",
  'explain (select pg_advisory_lock(1))',
  'explain verbose select pg_advisory_lock(1)',
  'explain (verbose, costs off) select pg_advisory_lock(1) as analyze',
  'explain select analyze, pg_advisory_lock(1) from t',
  'unlisten a',
  'unlisten *',
  'notify a',
  "notify listen, 'listen a'",
  'select listen from t; select 1 as listen',
  'select pg_notify($1, $2)',
  '/* x */ select listen(1), listen from listen',
  'listen a; unlisten *',
  'select pg_advisory_xact_lock(1)',
  'select pg_advisory_xact_lock_shared(1), pg_try_advisory_xact_lock(1), pg_try_advisory_xact_lock_shared(1)',
  'select pg_advisory_unlock(1)',
  'select pg_advisory_unlock_all()',
  "select 'pg_advisory_lock(1)'",
  'select pg_advisory_lock from t',
  'select 1 as pg_advisory_lock',
  'lock table t',
  "prepare transaction 'a'",
  "PREPARE /* x */ TRANSACTION E'a'",
  "commit prepared 'a'; rollback prepared 'a'",
  'execute a',
  'execute a(1)',
  'deallocate a',
  'deallocate all',
  'deallocate prepare all',
  'select prepare from t',
  'declare a cursor for select 1',
  'declare a cursor without hold for select 1',
  'declare a cursor for with hold as (select 1) select * from hold',
  "declare a cursor for select 'cursor with hold'",
  'fetch all from a',
  'move 1 in a',
  'close a',
  'close all',
  'declare a cursor with hold for select 1; close all',
  'discard all',
  'discard plans',
  'discard sequences',
  'discard temporary',
  "load 'auto_explain'",
  'call p()',
  'call listen(1)',
  'select f()',
  'select do from t',
  'copy t from stdin',
  'vacuum; analyze',
  "comment on table t is 'set a = 1; listen b'",
  'set a = 1; reset all',
  "select set_config('a', 'b', false); reset all; select 1",
  'select case when a then b end from t; select 1',
];

const both: readonly (readonly [sql: string, ...flags: Flag[]])[] = [
  ['set a = 1; listen b', 'settings', 'listen'],
  ['set search_path = pg_temp', 'settings', 'temp'],
  ['set role a; set b = 1', 'settings', 'role'],
  ['select set_config($1, $2, false)', 'settings', 'role'],
  ["select set_config(E'role', 'a', false)", 'settings', 'role'],
  ["select set_config('ro' || 'le', 'a', false)", 'settings', 'role'],
  ["update pg_settings set setting = 'a' where name = 'b'", 'settings', 'role'],
  ['UPDATE ONLY pg_catalog."pg_settings" SET setting = \'a\'', 'settings', 'role'],
  ["with x as (update pg_settings set setting = 'a' returning 1) select * from x", 'settings', 'role'],
  ['prepare a as select pg_advisory_lock(1)', 'locks', 'prepared'],
  ['declare a cursor with hold for select pg_advisory_lock(1)', 'locks', 'cursors'],
  ['create temp table t as select pg_advisory_lock(1)', 'temp', 'locks'],
  [
    "set a = 1; set role b; create temp table t (a int); listen c; select pg_advisory_lock(1); prepare p as select 1; declare d cursor with hold for select 1; do ''",
    ...flags,
  ],
  ['set a = 1; listen b; reset all', 'listen'],
  ['set a = 1; listen b; unlisten *', 'settings'],
];

const everyRow: readonly (readonly [sql: string, flags: readonly Flag[]])[] = [
  ...flags.flatMap((flag) => leaves[flag].map((sql) => [sql, [flag]] as const)),
  ...leavesNothing.map((sql) => [sql, []] as const),
  ...both.map(([sql, ...expected]) => [sql, expected] as const),
];

describe('stateLeftBy', () => {
  for (const flag of flags) {
    test.each(leaves[flag].map((sql) => [sql]))(`finds ${flag} in %j`, (sql) => {
      expect(named(stateLeftBy(sql))).toEqual([flag]);
    });
  }

  test.each(leavesNothing.map((sql) => [sql]))('finds nothing in %j', (sql) => {
    expect(named(stateLeftBy(sql))).toEqual([]);
  });

  test.each(both)('finds all of it in %j', (sql, ...expected) => {
    expect(named(stateLeftBy(sql))).toEqual(expected);
  });

  test.each<[sql: string, ...left: Flag[]]>([
    ['select 1', ...flags],
    ['discard all'],
    ['/* a */ DISCARD ALL;'],
    ['discard all; select 1', ...flags],
    ['discard plans', ...flags],
    ['reset all', ...flags.filter((flag) => flag !== 'settings')],
    ['RESET "all"', ...flags],
    ['reset role', ...flags],
    ['unlisten *', ...flags.filter((flag) => flag !== 'listen')],
    ['unlisten a', ...flags],
    ['close all', ...flags.filter((flag) => flag !== 'cursors')],
    ['close a', ...flags],
    ['deallocate all', ...flags.filter((flag) => flag !== 'prepared')],
    ['deallocate prepare all', ...flags.filter((flag) => flag !== 'prepared')],
    ['deallocate a', ...flags],
    ['discard temp', ...flags.filter((flag) => flag !== 'temp')],
    ['reset all; unlisten *', ...flags.filter((flag) => flag !== 'settings' && flag !== 'listen')],
    ['reset all; set a = 1', ...flags],
    ['begin; reset all; rollback', ...flags],
    ['begin; reset all; commit', ...flags],
    ["select 'discard all'", ...flags],
  ])('with everything before it, leaves what %j does not clear', (sql, ...left) => {
    expect(named(stateLeftBy(sql, 255))).toEqual(left);
  });

  test('takes a text that is too long to read for unknown, and only when it is suspicious', () => {
    const filler = ` -- ${'x'.repeat(300_000)}`;
    expect(named(stateLeftBy(`select 1${filler}`))).toEqual([]);
    expect(named(stateLeftBy(`set local a = 1${filler}`))).toEqual(['unknown']);
    expect(named(stateLeftBy(`reset all${filler}`, sessionState.settings))).toEqual(['settings', 'unknown']);
  });

  test('has the same answer the second time', () => {
    for (const [sql, expected] of everyRow) expect(named(stateLeftBy(sql)), sql).toEqual(expected);
  });
});

const row = fc.constantFrom(...everyRow.filter(([sql]) => sql !== ''));
const comment = fc.constantFrom(
  ' /* */ ',
  '/* ; set a = 1; */',
  "/* ' */",
  ' /* /* $$ */ ; listen b */ ',
  '-- "\n',
  "\n--'; set_config(\n",
  '\t--\n/*"*/--\r',
);

describe('what is found does not change', () => {
  /** Text with something between each two tokens, and around them. */
  function interspersed(
    sql: string,
    between: (index: number) => string,
    token = (text: string): string => text,
  ): string {
    let text = '';
    let at = 0;
    let index = 0;
    for (const { kind, start, end } of tokensOf(sql)) {
      const value = sql.slice(start, end);
      text += sql.slice(at, start) + between(index) + (kind === 'word' ? token(value) : value);
      at = end;
      index += 1;
    }
    return text + sql.slice(at);
  }

  test('when comments are put between the tokens', () => {
    fc.assert(
      fc.property(
        row,
        fc.array(fc.option(comment, { nil: '' }), { minLength: 1, maxLength: 40 }),
        ([sql, expected], comments) => {
          const text = interspersed(sql, (index) => comments[index % comments.length] ?? '');
          expect(named(stateLeftBy(text)), text).toEqual(expected);
        },
      ),
      { numRuns: 5000 },
    );
  });

  test('when words change their case', () => {
    fc.assert(
      fc.property(row, fc.infiniteStream(fc.boolean()), ([sql, expected], upper) => {
        const text = interspersed(
          sql,
          () => '',
          (word) =>
            word.replace(/[a-z]/gi, (letter) => (upper.next().value ? letter.toUpperCase() : letter.toLowerCase())),
        );
        expect(named(stateLeftBy(text)), text).toEqual(expected);
      }),
      { numRuns: 3000 },
    );
  });

  test('when harmless statements stand around it', () => {
    const harmless = fc.constantFrom(
      'select 1',
      'update t set a = 1',
      "select '; set a = 1'",
      '',
      '/* ; */',
      'select $a$;listen b$a$',
    );
    const closed = row.filter(
      ([sql]) => !/'b'\)$|set_config\('a'$|lock\(1$|discard all|\$a\$; set|'; set a = 1$/.test(sql),
    );
    fc.assert(
      fc.property(closed, harmless, harmless, ([sql, expected], before, after) => {
        const text = `${before}\n;${sql}\n;${after}`;
        expect(named(stateLeftBy(text)), text).toEqual(expected);
      }),
      { numRuns: 3000 },
    );
  });

  test('whether or not the text was let through unread', () => {
    const pieces = fc.constantFrom(
      ...everyRow.map(([sql]) => sql),
      ...'set listen temp into do ; " \' $$ /* */ -- \n set_config( , false ) pg_temp . create table prepare declare a cursor with hold for'.split(
        ' ',
      ),
    );
    fc.assert(
      fc.property(fc.array(pieces, { maxLength: 8 }), (parts) => {
        const text = parts.join(' ');
        // A comment at the start is always worth reading.
        expect(stateLeftBy(text, 255)).toBe(stateLeftBy(`/**/${text}`, 255));
        expect(stateLeftBy(text)).toBe(stateLeftBy(`/**/${text}`));
      }),
      { numRuns: 5000 },
    );
  });
});

describe('cleaningStatements', () => {
  test('is empty for a clean session', () => expect(cleaningStatements(sessionState.clean)).toBe(''));

  test.each<[flag: Flag, sql: RegExp]>([
    ['settings', /^RESET ALL$/],
    ['role', /^RESET SESSION AUTHORIZATION; RESET ROLE$/],
    ['temp', /^DISCARD TEMP$/],
    ['listen', /^UNLISTEN \*$/],
    ['locks', /^SELECT pg_catalog\.pg_advisory_unlock_all\(\)$/],
    ['prepared', /^DO \$thawpool\$.*WHERE p\.from_sql.*\$thawpool\$$/],
    ['cursors', /^CLOSE ALL$/],
  ])('cleans %s and nothing else', (flag, sql) => {
    expect(cleaningStatements(sessionState[flag])).toMatch(sql);
  });

  test('puts what is marked into one text, first that which the rest depends on', () => {
    const { settings, temp, role } = sessionState;
    expect(cleaningStatements(temp | settings | role)).toBe(
      'RESET SESSION AUTHORIZATION; RESET ROLE; RESET ALL; DISCARD TEMP',
    );
  });

  test('cleans everything where it is not known what is left', () => {
    const all = flags.reduce((state, flag) => state | sessionState[flag], sessionState.clean);
    expect(cleaningStatements(sessionState.unknown)).toBe(cleaningStatements(all));
    for (const flag of flags)
      expect(cleaningStatements(sessionState.unknown)).toContain(cleaningStatements(sessionState[flag]));
  });

  test('never drops what pg named in the protocol', () => {
    expect(cleaningStatements(sessionState.unknown)).not.toMatch(/DEALLOCATE ALL|DISCARD (?:ALL|PLANS)/i);
  });
});
