// Settings for one transaction: what may be asked for, and the statements that make them. Pure.

import pg from 'pg';
import { PoolError } from '../pool/errors.ts';
import type { BatchedStatement } from './batch.ts';

/**
 * Settings by name: the server's own (`statement_timeout`, `role`, `search_path`), or your own with a dot in it
 * (`app.tenant`), which policies and functions read by `current_setting('app.tenant')`.
 */
export type TransactionSettings = Readonly<Record<string, string | number | bigint | boolean>>;

/**
 * Returns the statement that makes these settings until the transaction ends; nothing where there are none.
 *
 * The values are bound and not written into the text: the server shows texts in pg_stat_activity and, beside the error
 * of a statement, in its log, and one may be a token. Its log has bound values only where it is told to log them.
 *
 * @throws PoolError `ERR_POOL_INVALID_OPTION`, with the name of the setting and never its value
 */
export function settingsStatement(settings: TransactionSettings | undefined): BatchedStatement | undefined {
  if (settings === undefined) return undefined;
  if (!isPlain(settings)) {
    throw refusal("settings must be an object of names and values, such as { 'app.tenant': id }");
  }
  const values: string[] = [];
  for (const [name, value] of Object.entries(settings)) values.push(checkedName(name), checkedValue(name, value));
  if (values.length === 0) return undefined;
  const calls = Array.from({ length: values.length / 2 }, (_, at) => {
    return `pg_catalog.set_config($${2 * at + 1}, $${2 * at + 2}, true)`;
  });
  return { text: `SELECT ${calls.join(', ')}`, values };
}

/** Settings that are lists: SET takes a list in one string for a single name (PostgreSQL, GUC_LIST_QUOTE). */
const lists = /^(?:search_path|temp_tablespaces|(?:local|session|shared)_preload_libraries)$/i;

/**
 * Returns the same as statements without anything bound, for a way on which binding costs more than it saves: RDS Proxy
 * pins a session for set_config(), whatever its third argument, and for SET LOCAL not beyond the transaction.
 *
 * @throws PoolError `ERR_POOL_INVALID_OPTION`, with the name of the setting and never its value
 */
export function settingsTexts(settings: TransactionSettings | undefined): string[] {
  const { values = [] } = settingsStatement(settings) ?? {};
  return Array.from({ length: values.length / 2 }, (_, at) => {
    const [name = '', value = ''] = values.slice(2 * at);
    const literal = pg.escapeLiteral(value);
    if (lists.test(name)) return `SELECT pg_catalog.set_config('${name}', ${literal}, true)`;
    // Each part quoted, since it may be a word of SQL's own; capitals make no difference to a setting.
    return `SET LOCAL ${name.split('.').map(pg.escapeIdentifier).join('.')} = ${literal}`;
  });
}

/** A Map, an array or an instance of a class would be read as having no settings, and the transaction run without. */
function isPlain(settings: unknown): boolean {
  if (typeof settings !== 'object' || settings === null) return false;
  const prototype = Object.getPrototypeOf(settings) as object | null;
  // Of another realm as well, such as a test runner's.
  return prototype === null || Object.getPrototypeOf(prototype) === null;
}

/** Identifiers with dots between them (PostgreSQL 18, src/backend/utils/misc/guc.c, valid_custom_variable_name), in ASCII. */
const namePattern = /^[a-z_][\w$]*(?:\.[a-z_][\w$]*)*$/i;

function checkedName(name: string): string {
  if (namePattern.test(name)) return name;
  throw refusal(`settings has a name that PostgreSQL takes for none, ${JSON.stringify(name)}: write it as app.tenant`);
}

function checkedValue(name: string, value: unknown): string {
  const usable =
    typeof value === 'string'
      ? // PostgreSQL's text cannot hold it (documentation, 8.3 Character Types).
        !value.includes('\0')
      : typeof value === 'boolean' || typeof value === 'bigint' || Number.isFinite(value);
  if (usable) return String(value);
  const what = typeof value === 'string' ? 'a string with a NUL in it' : describe(value);
  throw refusal(`settings has ${what} for ${JSON.stringify(name)}: it takes a string, a finite number or a boolean`);
}

/** What a value is, without the value. */
function describe(value: unknown): string {
  if (typeof value === 'number') return String(value);
  return value === null || value === undefined ? String(value) : `a value of type ${typeof value}`;
}

function refusal(problem: string): PoolError {
  return new PoolError('ERR_POOL_INVALID_OPTION', `${problem}. See ERR_POOL_INVALID_OPTION.`);
}
