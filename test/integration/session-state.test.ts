import pg from 'pg';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, inject, test } from 'vitest';
import { cleaningStatements, sessionState, stateLeftBy } from '../../src/pg/session-state.ts';
import { statementsOf } from '../../src/pg/sql-lexer.ts';
import { fc } from '../support/fast-check.ts';

const coordinates = inject('postgres');
const database = `session_state_${process.pid}`;

/** What a real session holds, by the flag that stands for it. */
type Left = Record<'settings' | 'role' | 'temp' | 'listen' | 'locks' | 'prepared' | 'cursors', readonly string[]>;

// In the order of the flags. transaction_isolation is the current transaction's, whatever its source is said to be. A setting with a dot is not in pg_settings: the one that the tests use is asked for by name.
const look = `select json_build_object(
  'settings', array(select name || '=' || setting from pg_settings where source = 'session' and name not in ('role', 'session_authorization', 'transaction_isolation')
    union all select 'app.tenant=' || t from nullif(current_setting('app.tenant', true), '') t where t is not null),
  'role', array(select r from nullif(current_setting('role'), 'none') r where r is not null),
  'temp', array(select relname from pg_class where relnamespace = pg_my_temp_schema()
    union all select proname from pg_proc where pronamespace = pg_my_temp_schema()),
  'listen', array(select pg_listening_channels()),
  'locks', array(select objid::text from pg_locks where locktype = 'advisory' and pid = pg_backend_pid()),
  'prepared', array(select name from pg_prepared_statements where from_sql),
  'cursors', array(select name from pg_cursors where is_holdable)) as left`;

async function admin(sql: string): Promise<void> {
  const client = new pg.Client({ connectionString: coordinates.connectionString });
  await client.connect();
  try {
    await client.query(sql);
  } finally {
    await client.end();
  }
}

function connect(config: pg.ClientConfig = {}): Promise<pg.Client> {
  const { host, port, user, password } = coordinates;
  const client = new pg.Client({ host, port, user, password, database, ...config });
  return client.connect().then(() => client);
}

/** The unnamed cursor of the very query that looks is not holdable, and no statement of ours in the protocol is from SQL. */
async function leftIn(client: pg.Client): Promise<Left> {
  const { rows } = await client.query<{ left: Left }>(look);
  return rows[0]?.left as Left;
}

function kindsOf(left: Left): string[] {
  return Object.entries(left).flatMap(([kind, things]) => (things.length > 0 ? [kind] : []));
}

function flagsOf(state: number): string[] {
  return Object.entries(sessionState).flatMap(([name, flag]) => ((state & flag) === 0 ? [] : [name]));
}

/** Runs something and counts how often the server said that it is ready again. */
async function countRoundTrips(client: pg.Client, run: () => Promise<unknown>): Promise<number> {
  let count = 0;
  const ready = (): void => void (count += 1);
  client.connection.on('readyForQuery', ready);
  await run();
  client.connection.off('readyForQuery', ready);
  return count;
}

let client: pg.Client;

beforeAll(async () => {
  await admin(`create database ${database}`);
  await admin(`alter database ${database} set work_mem = '5MB'`);
  const owner = await connect();
  await owner.query('create table kept (a text)');
  await owner.end();
});
afterAll(() => admin(`drop database ${database} with (force)`));
beforeEach(async () => void (client = await connect()));
afterEach(() => client.end());

/** What leaves state, and what of it is visible then. */
const leaving: readonly (readonly [kind: keyof Left, sql: string, thing: string])[] = [
  ['settings', "set work_mem = '7MB'", 'work_mem=7168'],
  ['settings', "set app.tenant = 'a'", 'app.tenant=a'],
  ['settings', "set time zone 'Asia/Tokyo'", 'TimeZone=Asia/Tokyo'],
  ['settings', 'set session characteristics as transaction read only', 'default_transaction_read_only=on'],
  ['settings', "select set_config('app.tenant', 'b', false)", 'app.tenant=b'],
  ['settings', "select u&\"set\\005fconfig\"('app.tenant', 'c', 1 = 2)", 'app.tenant=c'],
  ['settings', "select set_config('app.tenant', 'd', (true)), set_config('app.tenant', 'e', 'f')", 'app.tenant=e'],
  ['settings', "insert into kept select set_config('app.tenant', 'f', false)", 'app.tenant=f'],
  ['settings', "explain analyze select set_config('app.tenant', 'g', false)", 'app.tenant=g'],
  ['settings', "update pg_settings set setting = '8MB' where name = 'work_mem'", 'work_mem=8192'],
  ['settings', "begin; set local app.tenant = 'x'; set app.tenant = 'h'; commit", 'app.tenant=h'],
  ['role', `set role "${coordinates.user}"`, coordinates.user],
  ['role', `select set_config('role', '${coordinates.user}', false)`, coordinates.user],
  ['temp', 'create temp table a (n int)', 'a'],
  ['temp', 'create temp table a (n int) on commit delete rows', 'a'],
  ['temp', 'create or replace temp view b as select 1', 'b'],
  ['temp', 'create temporary sequence c', 'c'],
  ['temp', 'create table pg_temp.d (n int)', 'd'],
  ['temp', 'create function pg_temp.e() returns int begin atomic select 1; end', 'e'],
  ['temp', 'select 1 as n into temp f', 'f'],
  ['temp', 'select 1 as n into local temporary table g', 'g'],
  ['temp', 'begin; set local search_path = pg_temp, public; create table h (n int); commit', 'h'],
  ['temp', 'explain analyze create temp table i as select 1', 'i'],
  ['listen', 'listen a', 'a'],
  ['listen', 'begin; listen "B b"; commit', 'B b'],
  ['locks', 'select pg_advisory_lock(11)', '11'],
  ['locks', 'insert into kept select pg_try_advisory_lock(12)::text', '12'],
  ['locks', 'select pg_catalog.pg_advisory_lock_shared(13); select pg_try_advisory_lock_shared(14)', '14'],
  ['prepared', 'prepare a as select 1', 'a'],
  ['prepared', 'prepare transaction as select 1', 'transaction'],
  ['prepared', 'prepare "all" as select 1', 'all'],
  ['prepared', 'prepare prepare as select 1', 'prepare'],
  ['prepared', `prepare "it's ""; $$ %I" as select 1`, 'it\'s "; $$ %I'],
  ['cursors', 'declare a cursor with hold for select 1', 'a'],
  ['cursors', 'begin; declare cursor scroll cursor with hold for select 1; commit', 'cursor'],
];

/** What leaves nothing, although it looks like it. */
const leavingNothing: readonly string[] = [
  'begin; set local work_mem = 77; commit',
  "begin; select set_config('app.tenant', 'a', true); commit",
  "select set_config('app.tenant', 'a', 'yes'::boolean)",
  'set transaction isolation level serializable; set constraints all deferred',
  'create temp table a (n int) on commit drop',
  'begin; create temp table a on commit drop as select 1; commit',
  'create table temp (n int); insert into temp values (1); select n into temporary from temp; drop table temp, temporary',
  "explain select set_config('app.tenant', 'a', false), pg_advisory_lock(1)",
  'explain create temp table a as select 1',
  'explain (select pg_advisory_lock(1))',
  'begin; select pg_advisory_xact_lock(1), pg_try_advisory_xact_lock_shared(2); commit',
  'begin; declare a cursor for with hold as (select 1) select * from hold; commit',
  'listen a; unlisten *',
  "set work_mem = '7MB'; reset all",
  'declare a cursor with hold for select 1; close all',
  'create temp table a (n int); discard temp',
  'create function pg_lock_later() returns void begin atomic select pg_advisory_lock(1); end; drop function pg_lock_later()',
  'create view v as select pg_try_advisory_lock(1) as a; drop view v',
];

describe('on a real server', () => {
  test.each(leaving)('sees and cleans %s left by %j, in one round trip', async (kind, sql, thing) => {
    expect(kindsOf(await leftIn(client))).toEqual([]);
    await client.query(sql);
    const left = await leftIn(client);
    expect(kindsOf(left)).toEqual([kind]);
    expect(left[kind]).toContain(thing);
    const state = stateLeftBy(sql);
    expect(flagsOf(state)).toContain(kind);
    expect(await countRoundTrips(client, () => client.query(cleaningStatements(state)))).toBe(1);
    expect(kindsOf(await leftIn(client))).toEqual([]);
  });

  test.each(leavingNothing.map((sql) => [sql]))('neither sees nor finds anything after %j', async (sql) => {
    await client.query(sql);
    expect(kindsOf(await leftIn(client))).toEqual([]);
    expect(flagsOf(stateLeftBy(sql))).toEqual([]);
  });

  test.each(['discard all', 'reset all; unlisten *; close all; deallocate all; discard temp'])(
    'agrees with the server on what %j clears',
    async (sql) => {
      let state = sessionState.clean;
      for (const [, leave] of leaving.slice(-30)) {
        await client.query(leave).catch(() => {});
        state |= stateLeftBy(leave);
      }
      expect(kindsOf(await leftIn(client))).toEqual(Object.keys(await leftIn(client)));
      await client.query(sql);
      expect(flagsOf(stateLeftBy(sql, state))).toEqual(expect.arrayContaining(kindsOf(await leftIn(client))));
    },
  );
});

describe('everything at once', () => {
  const all = [
    "set work_mem = '7MB'",
    'set default_transaction_read_only = on',
    "set search_path = 'nowhere'",
    'set standard_conforming_strings = off',
    'listen a',
    'select pg_advisory_lock(1), pg_advisory_lock(1), pg_advisory_lock_shared(2)',
    'prepare a as select 1',
    'prepare b as select 2',
    'declare c cursor with hold for select 1',
    `set role "${coordinates.user}"`,
  ];

  test.each([
    ['as it was found', undefined],
    ['when it is not known what is left', sessionState.unknown],
  ])('is cleaned in one round trip, and pg’s named statements live: %s', async (_, given) => {
    const named = (n: number): Promise<pg.QueryResult<{ n: number }>> =>
      client.query({ name: 'of pg', text: 'select $1::int as n', values: [n] });
    await named(1);
    await client.query('create temp table d (n int)');
    let state = sessionState.temp;
    for (const sql of all) {
      await client.query(sql);
      state |= stateLeftBy(sql);
    }
    expect(kindsOf(await leftIn(client))).toEqual(Object.keys(await leftIn(client)));
    expect(await countRoundTrips(client, () => client.query(cleaningStatements(given ?? state)))).toBe(1);
    expect(kindsOf(await leftIn(client))).toEqual([]);
    expect((await named(2)).rows).toEqual([{ n: 2 }]);
    const { rows } = await client.query('select name, from_sql from pg_prepared_statements');
    expect(rows).toEqual([{ name: 'of pg', from_sql: false }]);
  });

  test('leaves what the connection said at its start, and what its database says', async () => {
    const mine = await connect({ statement_timeout: 12_345, application_name: 'mine', options: '-c search_path=mine' });
    try {
      await mine.query("set statement_timeout = 0; set application_name = 'x'; set search_path = y; set work_mem = 77");
      await mine.query(cleaningStatements(sessionState.unknown));
      const { rows } = await mine.query(
        "select name, setting from pg_settings where name in ('statement_timeout', 'application_name', 'search_path', 'work_mem', 'client_encoding') order by name",
      );
      expect(Object.fromEntries(rows.map(({ name, setting }) => [name, setting]))).toEqual({
        application_name: 'mine',
        client_encoding: 'UTF8',
        search_path: 'mine',
        statement_timeout: '12345',
        work_mem: '5120',
      });
    } finally {
      await mine.end();
    }
  });

  test('cleans what a DO block left', async () => {
    const sql =
      "do $$ begin perform set_config('app.tenant', 'a', false), pg_advisory_lock(1); execute 'listen a'; create temp table b (n int); end $$";
    await client.query(sql);
    expect(kindsOf(await leftIn(client))).toEqual(['settings', 'temp', 'listen', 'locks']);
    await client.query(cleaningStatements(stateLeftBy(sql)));
    expect(kindsOf(await leftIn(client))).toEqual([]);
  });

  test('costs nothing but the round trip on a clean session', async () => {
    await client.query(cleaningStatements(sessionState.unknown));
    expect(kindsOf(await leftIn(client))).toEqual([]);
  });
});

describe('what the server allows in one text', () => {
  test('refuses DISCARD ALL beside another statement, which is why a text never counts as cleaned by it', async () => {
    await expect(client.query('discard all; select 1')).rejects.toMatchObject({ code: '25001' });
    await expect(client.query('set app.tenant = 1; discard all')).rejects.toMatchObject({ code: '25001' });
  });

  test('takes everything back when one statement fails, except locks and prepared statements', async () => {
    await client.query("set work_mem = '7MB'; listen a; prepare b as select 1; select pg_advisory_lock(1)");
    await client.query('create temp table c (n int); declare d cursor with hold for select 1');
    const before = await leftIn(client);
    await expect(client.query(`${cleaningStatements(sessionState.unknown)}; select 1/0`)).rejects.toThrow('zero');
    const { settings, temp, listen, locks, prepared } = await leftIn(client);
    expect({ settings, temp, listen }).toEqual({ settings: before.settings, temp: before.temp, listen: before.listen });
    expect({ locks, prepared }).toEqual({ locks: [], prepared: [] });
  });

  test('keeps the name of a setting of one’s own: it is empty then, not missing', async () => {
    const ask = async (): Promise<unknown> =>
      (await client.query("select current_setting('app.tenant', true) as a")).rows[0].a;
    expect(await ask()).toBeNull();
    await client.query('set app.tenant = 1');
    await client.query(cleaningStatements(sessionState.settings));
    expect(await ask()).toBe('');
  });
});

describe('against the server, on texts that no one would write', () => {
  const statement = fc.constantFrom(
    ...leaving.map(([, sql]) => sql),
    ...leavingNothing.filter((sql) => !/create (?:table|function|view)|^set transaction/.test(sql)),
    ...['select 1', '', 'reset all', 'unlisten *', 'close all', 'discard temp', 'begin', 'commit', 'rollback'],
  );
  /** Opened and closed around a statement; where that has such a quote of its own, part of it is outside. */
  const hidden = fc
    .tuple(
      fc.constantFrom<[string, string]>(
        ["select '", "'"],
        ["select E'\\'", "'"],
        ["select U&'", "'"],
        ["select 'a'\n'", "'"],
        ["select E'a' --\n'\\'", "'"],
        ['select $$', '$$'],
        ['select $a$ $$ $', '$a$'],
        ['select 1 as "', '"'],
        ['select 1 as "a""', '"'],
        ['/*', '*/'],
        ['/* /* */ ', '*/'],
        ['--', '\n'],
        ["select '\\'; ", ''],
      ),
      statement,
    )
    .map(([[open, close], sql]) => `${open}${sql}${close}`);
  const noise = fc.constantFrom(...`' " $$ $a$ /* */ -- \n \\ '' "" E' U&" ( )`.split(' '));
  const piece = fc.oneof(
    { weight: 6, arbitrary: statement },
    { weight: 4, arbitrary: hidden },
    { weight: 1, arbitrary: noise },
  );
  const between = fc.constantFrom(';', ';', ';', ' ; ', '/* ; */;', '; -- ;\n', '\n', '');
  const text = fc
    .array(fc.tuple(piece, between), { minLength: 1, maxLength: 5 })
    .map((pieces) => pieces.flat().join(''));

  test('finds at least what is left, splits as the server does, and cleans what it found', {
    timeout: 300_000,
  }, async () => {
    let accepted = 0;
    let dirty = 0;
    let state = sessionState.clean;
    await fc.assert(
      fc.asyncProperty(text, fc.boolean(), async (sql, cleans) => {
        const result = await client.query(sql).catch(() => undefined);
        const succeeded = result !== undefined && client.getTransactionStatus() === 'I';
        await client.query('rollback');
        state = succeeded ? stateLeftBy(sql, state) : state | stateLeftBy(sql);
        const left = kindsOf(await leftIn(client));
        expect(flagsOf(state)).toEqual(expect.arrayContaining(left));
        if (result !== undefined) {
          // A text without a statement has a result too, without a command.
          const results = [result as pg.QueryResult | pg.QueryResult[]]
            .flat()
            .filter(({ command }) => command !== null);
          expect([...statementsOf(sql)]).toHaveLength(results.length);
        }
        accepted += result === undefined ? 0 : 1;
        dirty += left.length > 0 ? 1 : 0;
        if (!cleans) return;
        if (state !== sessionState.clean) await client.query(cleaningStatements(state));
        state = sessionState.clean;
        expect(kindsOf(await leftIn(client))).toEqual([]);
      }),
      { numRuns: 1500 },
    );
    // Otherwise the texts were too strange to say anything.
    expect(accepted).toBeGreaterThan(500);
    expect(dirty).toBeGreaterThan(300);
  });
});
