import { describe, expect, test } from 'vitest';
import { memoByText, statementsOf, suspects, tokensOf } from '../../../src/pg/sql-lexer.ts';
import { fc } from '../../support/fast-check.ts';

/** Tokens as `kind:value`, with the kinds that stand for themselves left out. */
function spelled(sql: string): string[] {
  return [...tokensOf(sql)].map(({ kind, value }) =>
    kind === 'word' || kind === 'operator' || kind === 'other' || kind === 'number' || kind === 'parameter'
      ? value
      : `${kind}:${value}`,
  );
}

function split(sql: string): string[] {
  return [...statementsOf(sql)].map((statement) => sql.slice(statement[0]?.start, statement.at(-1)?.end));
}

describe('tokensOf', () => {
  test.each<[sql: string, ...tokens: string[]]>([
    [''],
    [' \t\n\v\f\r '],
    ['select 1', 'select', '1'],
    ['SELECT Größe, Ärger$1 FROM T', 'select', 'größe', ',', 'Ärger$1', 'from', 't'],
    ['a\u00a0b', 'a\u00a0b'],
    ['pg_advisory_loc\u212a', 'pg_advisory_loc\u212a'],
    ['_a1$b', '_a1$b'],
    // Comments
    ['-- select 1'],
    ['-- a\nb', 'b'],
    ['-- a\rb', 'b'],
    ['a--b', 'a'],
    ['a-- b\n;', 'a', ';'],
    ['/**/a', 'a'],
    ['a/*b*/c', 'a', 'c'],
    ['/* /* */ a */ b', 'b'],
    ['/*/ a */ b', 'b'],
    ['/* /*/ */ a */ b', 'b'],
    ['/* -- */ a', 'a'],
    ['-- /*\na', 'a'],
    ["/* ' */ a", 'a'],
    ['/* a', ...[]],
    ['/* /* */ a'],
    ['*/', '*/'],
    ['2*/**/3', '2', '*', '3'],
    ['2+-- x\n3', '2', '+', '3'],
    // Strings
    ["'a'", 'string:a'],
    ["''", 'string:'],
    ["'it''s'", "string:it's"],
    ["''''", "string:'"],
    ["'a\\'", 'string:a\\'],
    ["'a\\' c'", 'string:a\\', 'c', 'string:'],
    ["'a -- b'", 'string:a -- b'],
    ["'a /* b'c", 'string:a /* b', 'c'],
    ["'a;b'", 'string:a;b'],
    ["'a", 'string:a'],
    ["'", 'string:'],
    ["E'a\\'b'c", "verbatim:E'a\\'b'", 'c'],
    ["e'a\\\\'b", "verbatim:e'a\\\\'", 'b'],
    ["E'a''b'", "verbatim:E'a''b'"],
    ["E'a\\", "verbatim:E'a\\"],
    ["E'a\\'", "verbatim:E'a\\'"],
    ["E 'a\\'", 'e', 'string:a\\'],
    ["ne'a'", 'ne', 'string:a'],
    ["U&'a\\'b", "verbatim:U&'a\\'", 'b'],
    ["u & 'a'", 'u', '&', 'string:a'],
    ["B'01' x'ff' N'a'", "verbatim:B'01'", "verbatim:x'ff'", "verbatim:N'a'"],
    ["'a' 'b'", 'string:a', 'string:b'],
    ["'a'\n'b'", "string:a'\n'b"],
    ["'a' -- c\n 'b' c", "string:a' -- c\n 'b", 'c'],
    ["E'a'\n'\\'b'c", "verbatim:E'a'\n'\\'b'", 'c'],
    ["E'a'\r'\\'b'c", "verbatim:E'a'\r'\\'b'", 'c'],
    ["'a'\n'\\'c", "string:a'\n'\\", 'c'],
    ["'a' -- b", 'string:a'],
    ["'a'\n/**/'b'", 'string:a', 'string:b'],
    // Dollar quotes
    ['$$a$$', 'verbatim:$$a$$'],
    ["$$it's$$ b", "verbatim:$$it's$$", 'b'],
    ['$a$ $$ $b$ $a$ c', 'verbatim:$a$ $$ $b$ $a$', 'c'],
    ['$A$ $a$ $A$', 'verbatim:$A$ $a$ $A$'],
    ['$a$ $$a$', 'verbatim:$a$ $$a$'],
    ['$ä$ ; $ä$;', 'verbatim:$ä$ ; $ä$', ';'],
    ['$a$ b', 'verbatim:$a$ b'],
    ['$$', 'verbatim:$$'],
    ['$1$2', '$1', '$2'],
    ['$1::int', '$1', '::', 'int'],
    ['a$b$c$b$', 'a$b$c$b$'],
    ['$a b$', '$', 'a', 'b$'],
    ['$', '$'],
    // Identifiers in quotes
    ['"A b"', 'quoted:A b'],
    ['"a""b"', 'quoted:a"b'],
    ['"a', 'quoted:a'],
    ['"a;--b"c', 'quoted:a;--b', 'c'],
    ['U&"s\\0065t\\+00005f\\\\"', 'quoted:set_\\'],
    ['U&"\\+ffffff"', 'quoted:\\+ffffff'],
    // Numbers, parameters, operators, the rest
    ['1 1.5 .5 1. 1e10 1.5e-3 0x1F 0b10 1_000', '1', '1.5', '.5', '1.', '1e10', '1.5e-3', '0x1F', '0b10', '1_000'],
    ['1a', '1', 'a'],
    ['1e', '1', 'e'],
    ['a->>b', 'a', '->>', 'b'],
    ['a::text[]', 'a', '::', 'text', '[', ']'],
    ['a:=b', 'a', ':=', 'b'],
    ['a.b', 'a', '.', 'b'],
    ['f(a,b);', 'f', '(', 'a', ',', 'b', ')', ';'],
    ['\u000e\u001f', '\u000e', '\u001f'],
    ['\\ { } \u0000', '\\', '{', '}', '\u0000'],
  ])('reads %j', (sql, ...tokens) => {
    expect(spelled(sql)).toEqual(tokens);
  });
});

test('tokensOf tells the kinds apart', () => {
  const sql = `a "a" 'a' E'a' U&'a' B'1' $$a$$ $1 1.5 0o17 <= || :: := = ( [ , . ; : \\`;
  expect([...tokensOf(sql)].map(({ kind }) => kind)).toEqual([
    ...['word', 'quoted', 'string', 'verbatim', 'verbatim', 'verbatim', 'verbatim', 'parameter', 'number', 'number'],
    ...['operator', 'operator', 'operator', 'operator', 'operator'],
    ...['other', 'other', 'other', 'other', 'other', 'other', 'other'],
  ]);
});

describe('statementsOf', () => {
  test.each<[sql: string, ...statements: string[]]>([
    [''],
    [' ; ;; /* a */ ; -- b'],
    ['a', 'a'],
    ['a;', 'a'],
    ['a;b', 'a', 'b'],
    ['/* c */ a /* c */; -- d\n b ', 'a', 'b'],
    [
      "select ';'; select $$;$$; select \";\"; select E'\\';'; /* ; */ b",
      "select ';'",
      'select $$;$$',
      'select ";"',
      "select E'\\';'",
      'b',
    ],
    ["select '; b", "select '; b"],
    ['begin; atomic; end; b', 'begin', 'atomic', 'end', 'b'],
    [
      'create function f() begin atomic select 1; select 2; end; b',
      'create function f() begin atomic select 1; select 2; end',
      'b',
    ],
    ['CREATE OR REPLACE PROCEDURE p() BEGIN ATOMIC END; b', 'CREATE OR REPLACE PROCEDURE p() BEGIN ATOMIC END', 'b'],
    [
      'create function f() begin atomic select case when a then case b when 1 then 2 end else 3 end; end; b',
      'create function f() begin atomic select case when a then case b when 1 then 2 end else 3 end; end',
      'b',
    ],
    [
      'create function f() begin atomic select a as end, t.end, "end", b as case, t.case; end; b',
      'create function f() begin atomic select a as end, t.end, "end", b as case, t.case; end',
      'b',
    ],
    ['create function f() begin atomic select 1; b', 'create function f() begin atomic select 1; b'],
    ['create function f() as $$ begin atomic $$; b', 'create function f() as $$ begin atomic $$', 'b'],
    ['create view v as select begin atomic from t; b', 'create view v as select begin atomic from t', 'b'],
    ['create function begin() return 1; b', 'create function begin() return 1', 'b'],
    ['create table "function" (a int) begin atomic; b', 'create table "function" (a int) begin atomic', 'b'],
    ['select begin atomic; b', 'select begin atomic', 'b'],
  ])('splits %j', (sql, ...statements) => {
    expect(split(sql)).toEqual(statements);
  });
});

/** Pieces that mean something to a lexer, in any order, and anything else. */
const anyText = fc
  .array(
    fc.oneof(
      {
        weight: 4,
        arbitrary: fc.constantFrom(
          ...`' " $$ $a$ $1 $ -- /* */ \\ ; ( ) [ ] , . :: := E' U&' U&" B' '' "" \n \r \t set select begin atomic case end create function as 1.5 0x + -> ä \u00a0`.split(
            ' ',
          ),
          ' ',
        ),
      },
      { weight: 1, arbitrary: fc.string({ unit: 'binary', maxLength: 5 }) },
    ),
    { maxLength: 40 },
  )
  .map((pieces) => pieces.join(''));

describe('a text of any kind', () => {
  test('is covered by its tokens in order, with nothing but white space and comments between', () => {
    fc.assert(
      fc.property(anyText, (sql) => {
        let at = 0;
        for (const { start, end } of tokensOf(sql)) {
          expect(start).toBeGreaterThanOrEqual(at);
          expect(end).toBeGreaterThan(start);
          expect(sql.slice(at, start)).toMatch(/^(?:\s|--|\/\*[^]*\*\/|--[^\n\r]*[\n\r])*$/);
          expect([...tokensOf(sql.slice(at, start))]).toEqual([]);
          at = end;
        }
        expect(at).toBeLessThanOrEqual(sql.length);
        expect([...tokensOf(sql.slice(at))]).toEqual([]);
      }),
      { numRuns: 3000 },
    );
  });

  test('is made of its statements and the semicolons between them', () => {
    fc.assert(
      fc.property(anyText, (sql) => {
        const tokens = [...tokensOf(sql)];
        const statements = [...statementsOf(sql)];
        const within = new Set(statements.flat().map(({ start }) => start));
        expect(statements.flat()).toEqual(tokens.filter(({ start }) => within.has(start)));
        for (const token of tokens) if (!within.has(token.start)) expect(token.value).toBe(';');
        for (const statement of statements) expect(statement.length).toBeGreaterThan(0);
      }),
      { numRuns: 2000 },
    );
  });

  // What is not linear here takes minutes, not seconds: the time limit of the test is the assertion.
  test.each(
    [
      "'",
      "''",
      "' ",
      "'\n",
      "'a' -- \n",
      "'a'    ",
      "E'\\",
      "E'",
      '"',
      '"a" ',
      '/*',
      '/* */',
      '*/',
      '-- ',
      '--\n',
      '$$',
      '$',
      '$a',
      '$a$',
      ';',
      '; ',
      ' ',
      '\n',
      '(',
      '()',
      'a',
      'a ',
      '1',
      '1.',
      '+',
      '+-',
      '/',
      '-',
      'U&"\\',
      'case ',
      'begin atomic ',
      'create function begin atomic case end;',
    ].map((piece) => [piece]),
  )('is read in linear time: 300,000 characters of %j', (piece) => {
    let characters = 0;
    const sql = piece.repeat(Math.ceil(300_000 / piece.length));
    for (const statement of statementsOf(sql)) for (const { start, end } of statement) characters += end - start;
    expect(characters).toBeLessThanOrEqual(sql.length);
  });
});

describe('suspects', () => {
  const suspicious = suspects({ statements: ['set', 'listen'], anywhere: ['set_config', '\\btemp\\b'] });

  test.each([
    'set a = 1',
    'SET a',
    ' \n\tlisten a',
    'select 1;set a',
    'select 1 ; ; LISTEN a',
    '/* a */ select 1',
    '-- a\nselect 1',
    'select 1; -- a',
    'select 1; /* a */ select 2',
    'select Set_Config($1, $2, true)',
    'select 1 into temp a',
    'select u&"set\\005fconfig"()',
  ])('takes %j for worth reading', (sql) => expect(suspicious(sql)).toBe(true));

  test.each([
    '',
    'select 1',
    'select 1;',
    'select 1; select 2',
    'update t set a = 1',
    'select temperature, my_temp from t',
    'settle a',
    'select 1 -- a',
    'select 1 /* a */',
    'select set, listen from t',
  ])('lets %j through', (sql) => expect(suspicious(sql)).toBe(false));
});

describe('memoByText', () => {
  function counting(): { readonly read: (sql: string) => string; readonly reads: string[] } {
    const reads: string[] = [];
    const read = memoByText((sql) => {
      reads.push(sql);
      return sql.toUpperCase();
    });
    return { read, reads };
  }

  test('reads a text once', () => {
    const { read, reads } = counting();
    expect([read('a'), read('b'), read('a')]).toEqual(['A', 'B', 'A']);
    expect(reads).toEqual(['a', 'b']);
  });

  test('forgets what was not asked for, and keeps what was, however many texts come by', () => {
    const { read, reads } = counting();
    read('rare');
    for (let n = 0; n < 2000; n += 1) {
      read('frequent');
      read(`once ${n}`);
    }
    read('rare');
    expect(reads.filter((sql) => sql === 'frequent')).toHaveLength(1);
    expect(reads.filter((sql) => sql === 'rare')).toHaveLength(2);
  });

  test('does not keep a text of more than 4096 characters', () => {
    const { read, reads } = counting();
    const long = 'a'.repeat(4097);
    read(long);
    read(long);
    read(long.slice(1));
    read(long.slice(1));
    expect(reads.map(({ length }) => length)).toEqual([4097, 4097, 4096]);
  });
});
