// What pins an RDS Proxy session to one backend until the client is gone. Pure: a text in, reasons out. Source: Amazon RDS
// User Guide, "Avoiding pinning an RDS Proxy", conditions for all engines and for RDS for PostgreSQL. It must not know who
// is told: the linter does.
//
// Functions and procedures do not pin by being called, whatever they do inside (same page), so nothing of them is read. What
// a DO block does to a session is not documented: it is not reported.

import {
  callsIn,
  executed,
  isDefinition,
  isTransactionConfig,
  isTransactionSet,
  preparesTransaction,
  temporaryObject,
} from './session-state.ts';
import { isWord, longestRead, memoByText, type Statement, statementsOf, suspects } from './sql-lexer.ts';

/** What pins, by kind. */
export type PinKind =
  | 'setting'
  | 'transaction-setting'
  | 'transaction-mode'
  | 'prepared-statement'
  | 'discard'
  | 'library'
  | 'temporary-object'
  | 'cursor'
  | 'listen'
  | 'sequence'
  | 'advisory-lock'
  | 'long-statement';

/** One reason for which a proxy would pin the session. */
export interface Pin {
  readonly kind: PinKind;
  /**
   * Whether AWS says that it pins. `undocumented`: AWS names SET and set_config and does not say whether those that end with
   * the transaction are meant, so a linter should count these and not warn about what is the fix for the others.
   */
  readonly certainty: 'documented' | 'undocumented';
  /** Why it pins, one sentence. */
  readonly reason: string;
  /** What to do instead, one sentence. */
  readonly fix: string;
}

function documented(kind: PinKind, reason: string, fix: string): Pin {
  return Object.freeze({ kind, certainty: 'documented', reason, fix });
}

function undocumented(kind: PinKind, reason: string, fix: string): Pin {
  return Object.freeze({ kind, certainty: 'undocumented', reason, fix });
}

const pins: Readonly<Record<PinKind, Pin>> = {
  setting: documented(
    'setting',
    'SET, RESET and set_config(…, false) change a setting for the whole session.',
    'Set it for the transaction only with set_config(name, value, true), or for every session of a role with ALTER ROLE … SET.',
  ),
  'transaction-setting': undocumented(
    'transaction-setting',
    'SET LOCAL and set_config(…, true) end with the transaction, but AWS’s user guide does not except them from the SET commands that pin; its agent toolkit says that SET LOCAL pins for the transaction only.',
    'Use transaction({ settings }), which sends SET LOCAL behind RDS Proxy; where the value is the same for every session of a role, ALTER ROLE … SET. Watch DatabaseConnectionsCurrentlySessionPinned.',
  ),
  'transaction-mode': undocumented(
    'transaction-mode',
    'SET TRANSACTION and SET CONSTRAINTS end with the transaction, but AWS does not except them from the SET commands that pin.',
    'Say the mode in BEGIN ISOLATION LEVEL … READ ONLY, and declare the constraint INITIALLY DEFERRED.',
  ),
  'prepared-statement': documented(
    'prepared-statement',
    'PREPARE, EXECUTE and DEALLOCATE use prepared statements that exist on one backend only.',
    'Send the statement with parameters ($1, $2, …) through query(text, values), which does not pin.',
  ),
  discard: documented(
    'discard',
    'DISCARD throws away the state of one backend.',
    'Leave it out: a session that keeps no state needs none discarded.',
  ),
  library: documented(
    'library',
    'LOAD loads a library into one backend.',
    'Name the library in session_preload_libraries or shared_preload_libraries of the parameter group.',
  ),
  'temporary-object': documented(
    'temporary-object',
    'A temporary table, view or sequence exists in one backend only, ON COMMIT DROP or not.',
    'Use a WITH query or unnest($1::…) over an array parameter, or an unlogged table with a column that tells the users apart.',
  ),
  cursor: documented(
    'cursor',
    'A cursor that was made with DECLARE exists in one backend only, with or without WITH HOLD.',
    'Read page by page by key (WHERE id > $1 ORDER BY id LIMIT n), or take the direct route for this job.',
  ),
  listen: documented(
    'listen',
    'LISTEN registers one backend for notifications.',
    'Listen on a connection of its own on the direct route, or use a queue; NOTIFY does not pin.',
  ),
  sequence: documented(
    'sequence',
    'nextval() and setval() leave the last value of a sequence in the session.',
    'Make the column GENERATED … AS IDENTITY (or give it a DEFAULT) and read the value with INSERT … RETURNING.',
  ),
  'advisory-lock': documented(
    'advisory-lock',
    'pg_advisory_lock() and its relatives hold a lock for the session.',
    'Take it for the transaction: pg_advisory_xact_lock() and pg_try_advisory_xact_lock() do not pin.',
  ),
  'long-statement': documented(
    'long-statement',
    'A statement whose text is longer than 16 KB pins, whatever it does.',
    'Keep the text short and send the data as parameters: arrays with unnest($1::…), or one JSON document.',
  ),
};

/** Every pin there is, for the page that lists them. */
export const everyPin: readonly Pin[] = Object.freeze(Object.values(pins));

/** "Any statement with a text size greater than 16 KB" (same page), in bytes. */
const longestStatement = 16 * 1024;
/** One UTF-16 unit takes at most three bytes in UTF-8, and a pair of them four. */
const mostBytesPerUnit = 3;

const lockFunctions: readonly string[] = [
  'pg_advisory_lock',
  'pg_advisory_lock_shared',
  'pg_try_advisory_lock',
  'pg_try_advisory_lock_shared',
  'pg_advisory_unlock',
  'pg_advisory_unlock_shared',
  'pg_advisory_unlock_all',
];
const sequenceFunctions: readonly string[] = ['nextval', 'setval'];
const pinningFunctions: ReadonlySet<string> = new Set(['set_config', ...sequenceFunctions, ...lockFunctions]);

/** First words of the statements that pin always; SET, PREPARE and EXPLAIN need a second look. */
const pinningStatements: ReadonlyMap<string, PinKind> = new Map([
  ['reset', 'setting'],
  ['execute', 'prepared-statement'],
  ['deallocate', 'prepared-statement'],
  ['discard', 'discard'],
  ['load', 'library'],
  ['declare', 'cursor'],
  ['listen', 'listen'],
]);

const suspicious = suspects({
  statements: ['set', 'prepare', 'explain', ...pinningStatements.keys()],
  anywhere: [
    'set_config',
    'nextval',
    'setval',
    'advisory_(?:un)?lock',
    '\\btemp(?:orary)?\\b',
    'pg_temp',
    '\\bexecute\\b',
  ],
});

const none: readonly Pin[] = Object.freeze([]);
const kindsOf = memoByText(readKinds);

/**
 * Tells what in this text would pin an RDS Proxy session, each kind once, in the order of the text. An array that is
 * shared and frozen; empty for most texts, which are not read at all.
 *
 * @param byteLength the text's length in UTF-8, for who has it already; counted otherwise, and only when it could matter.
 */
export function pinsOf(sql: string, byteLength?: number): readonly Pin[] {
  const found = suspicious(sql) ? kindsOf(sql) : none;
  return isLong(sql, byteLength) ? [...found, pins['long-statement']] : found;
}

function isLong(sql: string, byteLength: number | undefined): boolean {
  if (byteLength !== undefined) return byteLength > longestStatement;
  if (sql.length > longestStatement) return true;
  return sql.length * mostBytesPerUnit > longestStatement && Buffer.byteLength(sql) > longestStatement;
}

function readKinds(sql: string): readonly Pin[] {
  // Pinned by its length anyway.
  if (sql.length > longestRead) return none;
  const kinds = new Set<PinKind>();
  for (const statement of statementsOf(sql)) {
    for (const kind of kindsIn(executed(statement))) kinds.add(kind);
  }
  return Object.freeze([...kinds].map((kind) => pins[kind]));
}

function* kindsIn(statement: Statement): Generator<PinKind, void> {
  const [first] = statement;
  const always = first?.kind === 'word' ? pinningStatements.get(first.value) : undefined;
  if (always !== undefined) yield always;
  if (isWord(first, 'set')) yield settingKind(statement);
  if (isWord(first, 'prepare') && !preparesTransaction(statement)) yield 'prepared-statement';
  if (isWord(first, 'create') && createsByExecute(statement)) yield 'prepared-statement';
  if (temporaryObject(statement) !== undefined) yield 'temporary-object';
  if (isDefinition(statement)) return;
  for (const call of callsIn(statement, pinningFunctions)) {
    if (sequenceFunctions.includes(call.name)) yield 'sequence';
    else if (lockFunctions.includes(call.name)) yield 'advisory-lock';
    else yield isTransactionConfig(statement, call) ? 'transaction-setting' : 'setting';
  }
}

/** CREATE TABLE … AS EXECUTE name. A column may be called `execute`, behind a later AS. */
function createsByExecute(statement: Statement): boolean {
  const as = statement.findIndex((token) => isWord(token, 'as'));
  return as !== -1 && isWord(statement[as + 1], 'execute');
}

function settingKind(statement: Statement): PinKind {
  if (!isTransactionSet(statement)) return 'setting';
  return isWord(statement[1], 'local') ? 'transaction-setting' : 'transaction-mode';
}
