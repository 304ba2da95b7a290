// The double's own reading of Amazon's list of what pins.

import { describe, expect, it } from 'vitest';
import { findPins } from '../support/rds-proxy/pinning.ts';

describe('what pins', () => {
  it('is a text of more than 16 KB, in bytes', () => {
    const most = `select '${'ü'.repeat(8187)}' `;
    expect(Buffer.byteLength(most)).toBe(16 * 1024);
    expect(findPins(most).pins).toEqual([]);
    expect(findPins(`${most} `).pins).toEqual(['statement-size']);
  });

  it.each([
    [
      'set',
      'SET work_mem = 1',
      '  set search_path to x',
      'SET SESSION x.y = 1',
      'reset all',
      'begin; Set a = 1; commit',
    ],
    ['set', '/* why */ SET x.y TO 1', '-- why\nset x.y = 1', 'SET SESSION CHARACTERISTICS AS TRANSACTION READ ONLY'],
    ['set-config', "select set_config('a.b', '1', false)", "select pg_catalog.SET_CONFIG ('a.b', '1', true)"],
    ['prepared-statement', 'prepare x as select 1', 'EXECUTE x', 'deallocate all', 'explain analyze execute x'],
    ['prepared-statement', 'create table a as execute x'],
    ['discard', 'DISCARD ALL', 'discard temp'],
    [
      'temporary-object',
      'create temp table a ()',
      'CREATE TEMPORARY VIEW a AS SELECT 1',
      'create local temp table a()',
    ],
    ['temporary-object', 'create temporary sequence a', 'create or replace temp view a as select 1'],
    [
      'temporary-object',
      'select 1 into temp a',
      'create table pg_temp.a ()',
      'explain (analyze) create temp table a as select 1',
    ],
    ['cursor', 'declare c cursor for select 1'],
    ['listen', 'listen a'],
    ['load', "LOAD 'auto_explain'"],
    ['sequence', "insert into a values (nextval('s'))", 'select "setval"(\'s\', 1)', "select $1, NextVal ('s')"],
    [
      'advisory-lock',
      'select pg_advisory_lock(1)',
      'select pg_try_advisory_lock_shared(1)',
      'select pg_advisory_unlock_all()',
    ],
  ])('is %s', (reason, ...texts) => {
    for (const text of texts) expect(findPins(text), text.slice(0, 80)).toEqual({ pins: [reason], suspicions: [] });
  });

  it.each([
    'select 1',
    'update a set b = 1',
    "select 'set x = 1; listen y'",
    "select e'\\'; set x = 1'",
    'select $$; set x = 1; nextval(1)$$',
    'select $tag$ $$; listen x $tag$',
    'select 1 /* ; set x = 1 */ -- ; listen x',
    'select "listen; set x"',
    'select my_nextval(1), nextvalue(2)',
    'select pg_advisory_xact_lock(1), pg_try_advisory_xact_lock_shared(2)',
    'create function f() returns int language sql set search_path = a as $$ select 1 $$',
    'create table temperature (i int)',
    'insert into temp_readings values (1)',
    'begin; savepoint a; release a; commit',
    'explain select 1',
    'show search_path',
    'fetch 1 from c',
    'create trigger t after insert on a execute function f()',
    "notify x, 'y'",
  ])('is not: %s', (text) => {
    expect(findPins(text)).toEqual({ pins: [], suspicions: [] });
  });

  it.each([
    ['set-local', 'set local x.y = 1'],
    ['set-transaction', 'SET TRANSACTION READ ONLY'],
    ['set-transaction', 'set constraints all deferred'],
    ['prepare-transaction', "prepare transaction 'x'"],
    ['session-sequence', "select currval('s')"],
    ['unlisten', 'unlisten *'],
  ])('is left open by the documentation: %s', (reason, text) => {
    expect(findPins(text)).toEqual({ pins: [], suspicions: [reason] });
  });
});
