import { describe, expect, it } from 'vitest';
import { sessionState } from '../../../src/pg/session-state.ts';
import {
  isStale,
  makesTemporary,
  type Statement,
  StatementCache,
  StatementWatch,
} from '../../../src/pg/statement-cache.ts';
import { fc } from '../../support/fast-check.ts';

function makeCache(size = 100): StatementCache {
  return new StatementCache(size, 'p_');
}

/** Uses a text until it is kept. */
function kept(cache: StatementCache, text: string): Statement {
  const statement = cache.use(text) ?? cache.use(text);
  if (statement === undefined) throw new Error(`${text} is not kept.`);
  return statement;
}

describe('what is kept', () => {
  it('is a text from its second use on, always as the same statement', () => {
    const cache = makeCache();
    expect(cache.use('select $1')).toBeUndefined();
    const statement = cache.use('select $1');
    expect(statement).toEqual({
      text: 'select $1',
      name: 'p_1',
      leaves: 0,
      dated: false,
      stage: 'new',
      fields: undefined,
    });
    expect(cache.use('select $1')).toBe(statement);
    expect(cache.use('select $2')).toBeUndefined();
    expect(cache.use('select $2')?.name).toBe('p_2');
  });

  it('says what the text leaves behind in the session', () => {
    expect(kept(makeCache(), "select set_config('a', $1, false)").leaves).toBe(sessionState.settings);
  });

  it.each([
    'select $1',
    'INSERT into a values ($1)',
    'update a set b = $1',
    'delete from a where b = $1',
    'values ($1)',
  ])('is a text that runs by a plan: %s', (text) => {
    expect(kept(makeCache(), text).text).toBe(text);
  });

  it.each([
    'with a as (select $1) select * from a',
    'merge into a using b on a.id = $1 when matched then delete',
    '((select $1) union select 2)',
    '-- name: one\n/* two */ select $1',
  ])('is also a text that begins otherwise: %s', (text) => {
    expect(kept(makeCache(), text).text).toBe(text);
  });

  it.each([
    'explain select $1',
    'call p($1)',
    'declare c cursor for select $1',
    'create table a as select $1',
    '"select"',
  ])('is no text of another kind, however often it is used: %s', (text) => {
    const cache = makeCache();
    for (let use = 0; use < 5; use += 1) expect(cache.use(text)).toBeUndefined();
  });

  it.each(['', '((', '-- select'])('is no text without a word: %j', (text) => {
    const cache = makeCache();
    expect([cache.use(text), cache.use(text), cache.use(text)]).toEqual([undefined, undefined, undefined]);
  });

  it('is a text of 16384 characters, and no longer one', () => {
    const cache = makeCache();
    const longest = `select $1 -- ${'x'.repeat(16_371)}`;
    expect(longest).toHaveLength(16_384);
    expect(kept(cache, longest).text).toBe(longest);
    expect([cache.use(`${longest}x`), cache.use(`${longest}x`)]).toEqual([undefined, undefined]);
  });
});

/** Whether a text is kept that is used again and again. */
function isKept(text: string): boolean {
  const cache = makeCache();
  for (let use = 0; use < 4; use += 1) if (cache.use(text) !== undefined) return true;
  return false;
}

describe('a literal', () => {
  it.each([
    "'now'",
    "' TODAY '",
    "'tomorrow 12:00'",
    "'[yesterday,)'",
    '$$now$$',
    '$a$now$a$',
    "N'now'",
    "E'\\x6eow'",
    "E'\\156ow'",
    "E'\\u006eow'",
    "E'\\U0000006eow'",
    "U&'\\006eow'",
    "U&'\\+00006eow'",
  ])('that is another moment each time is parsed each time: %s', (literal) => {
    expect(isKept(`select $1, ${literal}`)).toBe(false);
  });

  it.each([
    "'known'",
    "'nowhere'",
    "'x', now()",
    'now',
    '\'x\' as "now"',
    "'x' -- 'now'",
    "E'\\n'",
    String.raw`'\x6eow'`,
    String.raw`'x', "\x"`,
  ])('that says no such thing is not: %s', (literal) => {
    expect(isKept(`select $1, ${literal}`)).toBe(true);
  });

  it.each([
    ["'2026-01-01'", true],
    ["'x', 'y1'", true],
    ['$$1 day$$', true],
    ["'x'", false],
    ['\'\', 1, a2, "3", $1', false],
  ])('may be read by the session’s settings if it has a digit: %s', (literal, dated) => {
    expect(kept(makeCache(), `select $1, ${literal}`).dated).toBe(dated);
  });
});

describe('a text that makes something temporary', () => {
  it.each([
    'create temp table a (b int)',
    'CREATE TEMPORARY TABLE a (b int) on commit drop',
    'select 1; create table pg_temp.a (b int)',
    'select 1 into temp a',
    'explain analyze create temp table a as select 1',
    `${'-- a temporary thing'.padEnd(262_144)}\n`,
  ])('is told from others: %#', (text) => {
    expect(makesTemporary(text)).toBe(true);
    expect(isKept(text)).toBe(false);
  });

  it.each([
    'select temp from a',
    'drop table pg_temp.a',
    'create table temperatures (a int)',
    "select 'create temp table a ()'",
    'select 1',
    '',
    `${'-- a temporary thing'.padEnd(262_143)}\n`,
    'select 1'.padEnd(300_000),
  ])('is no other: %#', (text) => {
    expect(makesTemporary(text)).toBe(false);
  });

  it('is not prepared though it begins as others do', () => {
    expect(isKept('select $1::int as a into temp b')).toBe(false);
    expect(isKept('select $1::int as a into b')).toBe(true);
  });
});

describe('what makes room', () => {
  it('is the statement that was used least recently, which the server is told of once', () => {
    const cache = makeCache(2);
    const [a, b] = [kept(cache, 'select a'), kept(cache, 'select b')];
    cache.use('select a');
    expect(cache.takeClosing()).toEqual([]);
    const c = kept(cache, 'select c');
    expect([a.stage, b.stage, c.stage]).toEqual(['new', 'gone', 'new']);
    expect(cache.takeClosing()).toEqual([b.name]);
    expect(cache.takeClosing()).toEqual([]);
    expect(cache.use('select a')).toBe(a);
    expect(cache.use('select c')).toBe(c);
  });

  it('has to be used twice again', () => {
    const cache = makeCache(1);
    const a = kept(cache, 'select a');
    kept(cache, 'select b');
    expect(cache.use('select a')).toBeUndefined();
    expect(cache.use('select a')?.name).not.toBe(a.name);
  });

  it('is, of the texts that were used once, the one used the longest ago', () => {
    const cache = makeCache(2);
    for (const text of ['select a', 'select b', 'select c']) cache.use(text);
    expect(cache.use('select a')).toBeUndefined();
    expect(cache.use('select c')).toBeDefined();
    expect(cache.use('select a')).toBeDefined();
  });

  it('is never what is used each time, whatever else is used once', () => {
    const cache = makeCache(1);
    const a = kept(cache, 'select a');
    for (let n = 0; n < 50; n += 1) {
      cache.use(`select ${n}`);
      expect(cache.use('select a')).toBe(a);
    }
    expect(cache.takeClosing()).toEqual([]);
  });
});

describe('what is given up', () => {
  it('is closed, and prepared under another name at its next use', () => {
    const cache = makeCache();
    const a = kept(cache, 'select a');
    a.stage = 'ready';
    cache.forget(a);
    expect(a.stage).toBe('gone');
    expect(cache.takeClosing()).toEqual([a.name]);
    expect(cache.use('select a')).toMatchObject({ name: 'p_2', stage: 'new' });
  });

  it('is given up once', () => {
    const cache = makeCache();
    const a = kept(cache, 'select a');
    cache.forget(a);
    const again = cache.use('select a');
    cache.forget(a);
    expect(cache.takeClosing()).toEqual([a.name]);
    expect(cache.use('select a')).toBe(again);
  });

  it('is renewed at once where that is asked for, and counts as kept and not as used once', () => {
    const cache = makeCache(2);
    const a = kept(cache, 'select a');
    const renewed = cache.renew(a);
    expect(renewed).toMatchObject({ text: 'select a', name: 'p_2', stage: 'new' });
    expect(a.stage).toBe('gone');
    expect(cache.takeClosing()).toEqual([a.name]);
    expect(cache.use('select a')).toBe(renewed);
    kept(cache, 'select b');
    kept(cache, 'select c');
    expect(renewed.stage).toBe('gone');
    expect(cache.use('select a')).toBeUndefined();
  });

  it('is not renewed twice: whoever comes second finds the new one', () => {
    const cache = makeCache();
    const a = kept(cache, 'select a');
    expect(cache.renew(a)).toBe(cache.renew(a));
  });

  it('is everything when names may mean something else, and the server is told', () => {
    const cache = makeCache();
    const both = [kept(cache, "select 'a 1'"), kept(cache, 'select b')];
    cache.forgetAll();
    expect(both.map(({ stage }) => stage)).toEqual(['gone', 'gone']);
    expect(cache.takeClosing()).toEqual(both.map(({ name }) => name));
    expect(cache.use('select b')?.name).toBe('p_3');
  });

  it('is what has literals of dates and times when they may be read otherwise', () => {
    const cache = makeCache();
    const both = [kept(cache, "select 'a 1'"), kept(cache, 'select b')];
    cache.forgetDated();
    expect(both.map(({ stage }) => stage)).toEqual(['gone', 'new']);
    expect(cache.takeClosing()).toEqual([both[0]?.name]);
  });

  it('is everything when the server has given up everything: then nothing is left to close', () => {
    const cache = makeCache();
    const both = [kept(cache, 'select a'), kept(cache, 'select b')];
    cache.clear();
    expect(both.map(({ stage }) => stage)).toEqual(['gone', 'gone']);
    expect(cache.takeClosing()).toEqual([]);
    expect(cache.use('select a')?.name).toBe('p_3');
  });
});

it('holds at most its size, never two statements of one name, and closes each that it gives up once', () => {
  const step = fc.tuple(fc.constantFrom('use', 'forget', 'renew', 'take'), fc.integer({ min: 0, max: 9 }));
  fc.assert(
    fc.property(fc.integer({ min: 1, max: 4 }), fc.array(step, { maxLength: 60 }), (size, steps) => {
      const cache = makeCache(size);
      const given = new Map<string, Statement>();
      const closed: string[] = [];
      for (const [what, n] of steps) {
        const text = `select ${n}`;
        const known = [...given.values()].findLast((statement) => statement.text === text);
        if (what === 'take') closed.push(...cache.takeClosing());
        else if (what === 'use' || known === undefined) note(given, cache.use(text));
        else if (what === 'forget') cache.forget(known);
        else note(given, cache.renew(known));
      }
      closed.push(...cache.takeClosing());
      const alive = [...given.values()].filter(({ stage }) => stage !== 'gone');
      expect(alive.length).toBeLessThanOrEqual(size);
      expect(new Set(alive.map(({ text }) => text)).size).toBe(alive.length);
      const gone = [...given.values()].filter(({ stage }) => stage === 'gone').map(({ name }) => name);
      expect(closed.toSorted()).toEqual(gone.toSorted());
    }),
  );
});

function note(given: Map<string, Statement>, statement: Statement | undefined): void {
  if (statement === undefined) return;
  expect(given.get(statement.name) ?? statement).toBe(statement);
  given.set(statement.name, statement);
}

describe('a refusal before the statement ran', () => {
  it.each(['0A000', '26000', 'XX000', '22P02', '42883', '42P18'])('may be none of its text’s: %s', (code) => {
    expect(isStale(code)).toBe(true);
  });

  it.each(['57014', '57P01', '40001', '53300', '0A001', 'A0A000', '08P01', '', undefined])(
    'is its own otherwise: %s',
    (code) => {
      expect(isStale(code)).toBe(false);
    },
  );
});

describe('what all connections have in common', () => {
  function makeWatch(size = 100): { watch: StatementWatch; heard: (string | undefined)[] } {
    const heard: (string | undefined)[] = [];
    const watch = new StatementWatch(size, { onRenewed: (code) => heard.push(code), onLost: () => heard.push('lost') });
    return { watch, heard };
  }

  it('is on unless there is to be no statement', () => {
    expect(makeWatch().watch).toMatchObject({ on: true, size: 100 });
    expect(makeWatch(1).watch.on).toBe(true);
    expect(makeWatch(0).watch.on).toBe(false);
  });

  it('is off once three statements were not where they were prepared, which it says once', () => {
    const { watch, heard } = makeWatch();
    for (const code of ['26000', '0A000', '0A000', '0A000', '26000']) watch.refused(code);
    expect(watch.on).toBe(true);
    watch.refused('26000');
    expect(watch.on).toBe(false);
    watch.refused('26000');
    expect(heard).toEqual(['26000', '0A000', '0A000', '0A000', '26000', '26000', 'lost', '26000']);
  });
});
