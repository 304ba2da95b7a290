import { runInNewContext } from 'node:vm';
import { describe, expect, test } from 'vitest';
import { settingsStatement, settingsTexts, type TransactionSettings } from '../../../src/pg/transaction-settings.ts';

/** What is thrown for them. */
const refusal = (settings: unknown): unknown => {
  try {
    return settingsStatement(settings as TransactionSettings);
  } catch (error) {
    return error;
  }
};

describe('the settings of a transaction', () => {
  test.each<[string, TransactionSettings | undefined]>([
    ['undefined', undefined],
    ['an empty object', {}],
  ])('are no statement where there are none: %s', (_, settings) => {
    expect(settingsStatement(settings)).toBeUndefined();
  });

  test('are one statement, whose text holds neither names nor values', () => {
    const settings = { 'app.tenant': "o'neill", statement_timeout: 5000, 'app.flag': true, 'app.big': 2n ** 60n };
    expect(settingsStatement(settings)).toEqual({
      text: 'SELECT pg_catalog.set_config($1, $2, true), pg_catalog.set_config($3, $4, true), pg_catalog.set_config($5, $6, true), pg_catalog.set_config($7, $8, true)',
      values: [
        'app.tenant',
        "o'neill",
        'statement_timeout',
        '5000',
        'app.flag',
        'true',
        'app.big',
        '1152921504606846976',
      ],
    });
  });

  test.each(['a', '_', 'A_b$9', 'app.tenant', '_a._b$.C_'])('may be called %s', (name) => {
    expect(settingsStatement({ [name]: '' })?.values).toEqual([name, '']);
  });

  test.each(['', '1', '.', 'a.', '.a', 'a..b', 'a.1', 'a b', 'a-b', "a'", 'a;b', 'é', '$a', 'a\n', 'a\0'])(
    'may not be called %j',
    (name) => {
      expect(refusal({ [name]: 'top-secret' })).toMatchObject({
        code: 'ERR_POOL_INVALID_OPTION',
        message: `settings has a name that PostgreSQL takes for none, ${JSON.stringify(name)}: write it as app.tenant. See ERR_POOL_INVALID_OPTION.`,
      });
    },
  );

  test.each<[unknown, string]>([
    [undefined, 'undefined'],
    [null, 'null'],
    [Number.NaN, 'NaN'],
    [Number.POSITIVE_INFINITY, 'Infinity'],
    [{ secret: 'top-secret' }, 'a value of type object'],
    [['top-secret'], 'a value of type object'],
    [() => 'top-secret', 'a value of type function'],
    [Symbol('top-secret'), 'a value of type symbol'],
    [new Date(0), 'a value of type object'],
    ['top-secret\0', 'a string with a NUL in it'],
  ])('may not be %o', (value, what) => {
    expect(refusal({ 'app.fine': 'x', 'app.tenant': value })).toMatchObject({
      code: 'ERR_POOL_INVALID_OPTION',
      message: `settings has ${what} for "app.tenant": it takes a string, a finite number or a boolean. See ERR_POOL_INVALID_OPTION.`,
    });
  });

  test.each<[string, unknown]>([
    ['null', null],
    ['a string', 'app.tenant=1'],
    ['an array', [['app.tenant', 1]]],
    ['a Map', new Map([['app.tenant', 1]])],
    ['an instance of a class', new (class extends Map {})()],
    ['a function', () => ({})],
  ])('are an object, and not %s, which would be read as none', (_, settings) => {
    expect(refusal(settings)).toMatchObject({
      code: 'ERR_POOL_INVALID_OPTION',
      message:
        "settings must be an object of names and values, such as { 'app.tenant': id }. See ERR_POOL_INVALID_OPTION.",
    });
  });

  test.each<[string, unknown]>([
    ['without a prototype', Object.assign(Object.create(null) as object, { a: 1 })],
    ['of another realm', runInNewContext('({ a: 1 })')],
  ])('may be an object %s', (_, settings) => {
    expect(settingsStatement(settings as TransactionSettings)?.values).toEqual(['a', '1']);
  });
});

describe('as text, for RDS Proxy', () => {
  test.each<[TransactionSettings | undefined, string[]]>([
    [undefined, []],
    [{}, []],
    [{ 'app.tenant': 'a' }, [`SET LOCAL "app"."tenant" = 'a'`]],
    [{ 'app.user': "O'Hara\\" }, [`SET LOCAL "app"."user" =  E'O''Hara\\\\'`]],
    [
      { work_mem: '8MB', 'a.b': 7, 'a.c': true },
      [`SET LOCAL "work_mem" = '8MB'`, `SET LOCAL "a"."b" = '7'`, `SET LOCAL "a"."c" = 'true'`],
    ],
    [{ search_path: 'a, b' }, [`SELECT pg_catalog.set_config('search_path', 'a, b', true)`]],
  ])('%o is %o', (settings, texts) => {
    expect(settingsTexts(settings)).toEqual(texts);
  });

  test('refuses what it refuses otherwise', () => {
    expect(() => settingsTexts({ 'a; drop table x': 1 })).toThrow('settings has a name');
  });
});
