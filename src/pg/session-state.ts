// What a text leaves behind in the session once its transaction is over, and what cleans it. Pure: a text in, flags out.
// It must not know the pool or the client; pins.ts asks the same questions of a statement for another reason.
//
// What it cannot see: a function or procedure that does one of these things inside. SELECT f() and CALL p() leave nothing
// here, or every one of them would cost a round trip. Nor does a library (LOAD): nothing but a new connection is free of it.

import {
  isName,
  isOther,
  isWord,
  longestRead,
  memoByText,
  nameOf,
  type Statement,
  statementsOf,
  suspects,
  type Token,
} from './sql-lexer.ts';

/** A set of {@link sessionState} flags; join two with `|`. */
export type SessionState = number;

/** What can be left in a session. */
export const sessionState: {
  readonly clean: SessionState;
  /** SET and set_config() that outlive the transaction. */
  readonly settings: SessionState;
  /** SET ROLE and SET SESSION AUTHORIZATION: RESET ALL leaves these (PostgreSQL documentation, RESET). */
  readonly role: SessionState;
  /** Temporary tables, views, sequences and whatever else is in pg_temp. */
  readonly temp: SessionState;
  /** LISTEN. */
  readonly listen: SessionState;
  /** Advisory locks that belong to the session. */
  readonly locks: SessionState;
  /** PREPARE. Statements that were named in the protocol, as pg's are, are none of these. */
  readonly prepared: SessionState;
  /** DECLARE … WITH HOLD. */
  readonly cursors: SessionState;
  /** Anything: DO, whose body may put statements together as it runs, and texts too long to read. Cleaned of everything. */
  readonly unknown: SessionState;
} = { clean: 0, settings: 1, role: 2, temp: 4, listen: 8, locks: 16, prepared: 32, cursors: 64, unknown: 128 };

const everything: SessionState = 255;
/** What a failed transaction takes with it, so that a later statement of the same text can clean it for certain. */
const undoneTogether: SessionState =
  sessionState.settings | sessionState.role | sessionState.temp | sessionState.listen | sessionState.cursors;

interface Effect {
  readonly leaves: SessionState;
  /** What was there before and is gone, given that the text succeeded outside a transaction. */
  readonly clears: SessionState;
}

const suspicious = memoByText(
  suspects({
    statements: 'set reset listen unlisten prepare deallocate declare close do discard'.split(' '),
    anywhere: ['set_config', 'advisory_lock', '\\btemp(?:orary)?\\b', 'pg_temp', 'pg_settings'],
  }),
);

const effectOf = memoByText(readEffect);

/**
 * Tells what is left in the session after this text.
 *
 * Before it is sent, or when it failed or ran in a transaction, leave `before` out and add the result to what is known:
 * `state |= stateLeftBy(sql)` is never too little. With `before`, the answer is what is left once the text has succeeded
 * outside a transaction, less what it cleared itself (DISCARD ALL, RESET ALL, UNLISTEN *, CLOSE ALL, DEALLOCATE ALL,
 * DISCARD TEMP). RESET of one setting neither adds nor clears.
 */
export function stateLeftBy(sql: string, before: SessionState = sessionState.clean): SessionState {
  if (!suspicious(sql)) return before;
  const { leaves, clears } = effectOf(sql);
  return (before & ~clears) | leaves;
}

function readEffect(sql: string): Effect {
  if (sql.length > longestRead) return { leaves: sessionState.unknown, clears: sessionState.clean };
  const statements = [...statementsOf(sql)];
  // ROLLBACK brings back what was cleared, and COMMIT keeps what a later failure would have taken: then nothing counts as cleared.
  const controlled = statements.some(controlsTransaction);
  let leaves = sessionState.clean;
  let clears = sessionState.clean;
  for (const statement of statements) {
    const cleared = controlled ? sessionState.clean : clearedBy(statement, statements.length === 1);
    clears |= cleared;
    leaves = (leaves & ~(cleared & undoneTogether)) | leftBy(executed(statement));
  }
  return { leaves, clears };
}

/** Whether a PREPARE is PREPARE TRANSACTION. PREPARE transaction AS … prepares a statement of that name. */
export function preparesTransaction([, second, third]: Statement): boolean {
  return isWord(second, 'transaction') && !isWord(third, 'as') && !isOther(third, '(');
}

function controlsTransaction(statement: Statement): boolean {
  const [first] = statement;
  if (isWord(first, 'prepare')) return preparesTransaction(statement);
  return isWord(first, 'begin', 'start', 'commit', 'end', 'rollback', 'abort', 'savepoint', 'release');
}

/** DISCARD ALL fails beside another statement: together they are a transaction block (PostgreSQL 18: 25001). */
function clearedBy([first, second, third]: Statement, alone: boolean): SessionState {
  if (isWord(first, 'discard') && isWord(second, 'all')) return alone ? everything : sessionState.clean;
  if (isWord(first, 'discard') && isWord(second, 'temp', 'temporary')) return sessionState.temp;
  if (isWord(first, 'reset') && isWord(second, 'all')) return sessionState.settings;
  if (isWord(first, 'unlisten') && second?.kind === 'operator') return sessionState.listen;
  if (isWord(first, 'close') && isWord(second, 'all')) return sessionState.cursors;
  const deallocated = isWord(second, 'prepare') ? third : second;
  if (isWord(first, 'deallocate') && isWord(deallocated, 'all')) return sessionState.prepared;
  return sessionState.clean;
}

function leftBy(statement: Statement): SessionState {
  const [first] = statement;
  let left = isDefinition(statement) ? sessionState.clean : leftByCalls(statement);
  if (isWord(first, 'set')) left |= leftBySet(statement);
  else if (isWord(first, 'listen')) left |= sessionState.listen;
  else if (isWord(first, 'prepare') && !preparesTransaction(statement)) left |= sessionState.prepared;
  else if (isWord(first, 'declare') && outlivesTransaction(statement)) left |= sessionState.cursors;
  else if (isWord(first, 'do')) left |= sessionState.unknown;
  else if (temporaryObject(statement) === 'session') left |= sessionState.temp;
  if (updatesSettings(statement)) left |= sessionState.settings | sessionState.role;
  return left;
}

/** Whether a SET ends with the transaction, or is none (PostgreSQL documentation, SET, SET TRANSACTION, SET CONSTRAINTS). */
export function isTransactionSet([, second]: Statement): boolean {
  return isWord(second, 'local', 'transaction', 'constraints');
}

function leftBySet(statement: Statement): SessionState {
  // With pg_temp in the path, objects become temporary that do not say so.
  const temp = statement.some((token) => isName(token, 'pg_temp')) ? sessionState.temp : sessionState.clean;
  if (isTransactionSet(statement)) return temp;
  const [, second, third] = statement;
  const name = nameOf(isWord(second, 'session') ? third : second)?.toLowerCase() ?? '';
  return temp | (roleSettings.has(name) ? sessionState.role : sessionState.settings);
}

/** `authorization` is the second word of SET SESSION AUTHORIZATION. */
const roleSettings: ReadonlySet<string> = new Set(['role', 'session_authorization', 'authorization']);

/** DECLARE name … CURSOR WITH HOLD FOR …: the name may be `cursor`, and the query may begin with a CTE named `hold`. */
function outlivesTransaction(statement: Statement): boolean {
  const cursor = statement.findIndex((token, index) => index > 1 && isWord(token, 'cursor'));
  return isWord(statement[cursor + 1], 'with') && isWord(statement[cursor + 2], 'hold');
}

/** UPDATE pg_settings is set_config() by a rule (PostgreSQL documentation, 53.25 pg_settings). */
function updatesSettings(statement: Statement): boolean {
  return statement.some((token, index) => {
    if (!isWord(token, 'update')) return false;
    const only = isWord(statement[index + 1], 'only') ? 1 : 0;
    const schema = isName(statement[index + 1 + only], 'pg_catalog') ? 2 : 0;
    return isName(statement[index + 1 + only + schema], 'pg_settings');
  });
}

/** The functions that take an advisory lock for the session (PostgreSQL documentation, table 9.108). */
const sessionLocks: readonly string[] = [
  'pg_advisory_lock',
  'pg_advisory_lock_shared',
  'pg_try_advisory_lock',
  'pg_try_advisory_lock_shared',
];
const statefulFunctions: ReadonlySet<string> = new Set(['set_config', ...sessionLocks]);

function leftByCalls(statement: Statement): SessionState {
  let left = sessionState.clean;
  for (const call of callsIn(statement, statefulFunctions)) {
    if (call.name !== 'set_config') left |= sessionState.locks;
    else if (!isTransactionConfig(statement, call)) left |= leftBySetConfig(statement, call);
  }
  return left;
}

/** Only a name that stands there rules the role out. */
function leftBySetConfig(statement: Statement, call: Call): SessionState {
  const [name, more] = argumentOf(statement, call, 0);
  if (name?.kind !== 'string' || more !== undefined) return sessionState.settings | sessionState.role;
  return roleSettings.has(name.value.toLowerCase()) ? sessionState.role : sessionState.settings;
}

/** A call of one of the functions that were asked for, by where its parentheses and commas are in the statement. */
export interface Call {
  readonly name: string;
  readonly open: number;
  readonly commas: readonly number[];
  /** The length of the statement when the call is not closed. */
  readonly close: number;
}

type OpenCall = { -readonly [key in keyof Call]: Call[key] } & { readonly commas: number[] };

/** Finds calls of these functions, in one pass and at any depth: `set_config(`, `pg_catalog."set_config"(`. */
export function callsIn(statement: Statement, names: ReadonlySet<string>): readonly Call[] {
  const calls: OpenCall[] = [];
  const around: (OpenCall | undefined)[] = [];
  for (const [index, token] of statement.entries()) {
    if (isOther(token, '(') || isOther(token, '[')) {
      const name = isOther(token, '(') ? calledAt(statement, index, names) : undefined;
      const call = name === undefined ? undefined : { name, open: index, commas: [], close: statement.length };
      if (call !== undefined) calls.push(call);
      around.push(call);
    } else if (isOther(token, ',')) {
      around.at(-1)?.commas.push(index);
    } else if (isOther(token, ')') || isOther(token, ']')) {
      const call = around.pop();
      if (call !== undefined) call.close = index;
    }
  }
  return calls;
}

/** The function whose arguments open here. Of another schema than pg_catalog, it is another function. */
function calledAt(statement: Statement, open: number, names: ReadonlySet<string>): string | undefined {
  const name = nameOf(statement[open - 1]);
  if (name === undefined || !names.has(name)) return undefined;
  const qualified = isOther(statement[open - 2], '.');
  if (qualified && !isName(statement[open - 3], 'pg_catalog')) return undefined;
  // DROP FUNCTION set_config(…), a table of this name, and a column's default are not calls now.
  const before = statement[open - (qualified ? 4 : 2)];
  return isWord(before, 'function', 'procedure', 'routine', 'table', 'into', 'default') ? undefined : name;
}

/** The first few tokens of an argument: a slice of all of them would make nested calls quadratic. */
function argumentOf(statement: Statement, call: Call, index: number): readonly Token[] {
  const start = index === 0 ? call.open : call.commas[index - 1];
  if (start === undefined) return [];
  const end = call.commas[index] ?? call.close;
  return statement.slice(start + 1, Math.min(end, start + 6));
}

/** Whether a set_config() is for the transaction: its third argument says true there and then, not by a parameter. */
export function isTransactionConfig(statement: Statement, call: Call): boolean {
  const [value, cast, type, more] = argumentOf(statement, call, 2);
  if (cast !== undefined && !(cast.value === '::' && isWord(type, 'bool', 'boolean') && more === undefined))
    return false;
  return isWord(value, 'true') || (value?.kind === 'string' && truth.test(value.value));
}

/** Spellings of true (PostgreSQL documentation, 8.6 Boolean Type). */
const truth = /^\s*(?:t|tr|tru|true|y|ye|yes|on|1)\s*$/i;

/** What a statement runs: under EXPLAIN nothing, under EXPLAIN ANALYZE what is explained. */
export function executed(statement: Statement): Statement {
  if (!isWord(statement[0], 'explain')) return statement;
  let at = 1;
  let analyzes = false;
  const listed = isOther(statement[1], '(');
  for (; at < statement.length; at += 1) {
    const token = statement[at];
    if (!listed && !isWord(token, 'analyze', 'analyse', 'verbose')) break;
    analyzes ||= isWord(token, 'analyze', 'analyse');
    if (isOther(token, ')')) break;
  }
  return analyzes ? statement.slice(listed ? at + 1 : at) : [];
}

const createModifiers = 'or replace global local temp temporary recursive constraint event'.split(' ');

/** Whether what it contains runs later, on another's behalf: functions, views, rules, triggers, policies. */
export function isDefinition(statement: Statement): boolean {
  return isWord(created(statement), 'function', 'procedure', 'view', 'rule', 'trigger', 'policy');
}

/** The word that says what a CREATE creates. */
function created(statement: Statement): Token | undefined {
  if (!isWord(statement[0], 'create')) return undefined;
  return statement.find((token, index) => index > 0 && !isWord(token, ...createModifiers));
}

/** Whether a statement creates a temporary object, and how long that lives. */
export function temporaryObject(statement: Statement): 'session' | 'transaction' | undefined {
  const what = created(statement);
  if (what === undefined) return intoTemporary(statement) ? 'session' : undefined;
  for (const token of statement) {
    if (token === what) break;
    if (isWord(token, 'temp', 'temporary')) {
      return isWord(what, 'table') && dropsOnCommit(statement) ? 'transaction' : 'session';
    }
  }
  return statement.some((_, index) => inTemporarySchema(statement, index)) ? 'session' : undefined;
}

function dropsOnCommit(statement: Statement): boolean {
  return statement.some(
    (token, index) =>
      isWord(token, 'on') && isWord(statement[index + 1], 'commit') && isWord(statement[index + 2], 'drop'),
  );
}

/** SELECT … INTO TEMP name. INSERT INTO temp writes to a table of that name, and SELECT … INTO temp FROM makes one. */
function intoTemporary(statement: Statement): boolean {
  return statement.some((token, index) => {
    if (!isWord(token, 'into') || isWord(statement[index - 1], 'insert', 'merge')) return false;
    const at = isWord(statement[index + 1], 'global', 'local') ? index + 2 : index + 1;
    if (inTemporarySchema(statement, at)) return true;
    const next = statement[at + 1];
    return isWord(statement[at], 'temp', 'temporary') && nameOf(next) !== undefined && !isWord(next, 'from');
  });
}

/** `pg_temp.name`; the schema's real name is pg_temp_ and a number. */
function inTemporarySchema(statement: Statement, at: number): boolean {
  return isOther(statement[at + 1], '.') && /^pg_temp(?:_\d+)?$/.test(nameOf(statement[at]) ?? '');
}

/** One statement or block for each flag, in the order in which they are run. */
const cleaning: readonly (readonly [flag: SessionState, sql: string])[] = [
  // First, so that the rest runs as the user who connected, with that user's path and time limits.
  [sessionState.role, 'RESET SESSION AUTHORIZATION; RESET ROLE'],
  [sessionState.settings, 'RESET ALL'],
  [sessionState.cursors, 'CLOSE ALL'],
  [sessionState.listen, 'UNLISTEN *'],
  [sessionState.locks, 'SELECT pg_catalog.pg_advisory_unlock_all()'],
  // Not DEALLOCATE ALL: that takes the statements named in the protocol as well, which pg takes to be there.
  [
    sessionState.prepared,
    `DO $thawpool$ DECLARE prepared text; BEGIN FOR prepared IN SELECT p.name FROM pg_catalog.pg_prepared_statements p WHERE p.from_sql LOOP EXECUTE pg_catalog.format('DEALLOCATE PREPARE %I', prepared); END LOOP; END $thawpool$`,
  ],
  // Last: a cursor that is still open on a temporary table would hold it.
  [sessionState.temp, 'DISCARD TEMP'],
];

/**
 * Returns one text that cleans what is marked, for a single simple query (no parameters, no name) outside a transaction;
 * empty when nothing is marked. What the connection said at its start stays: that is the session's default.
 *
 * The statements are one implicit transaction. When one fails, nothing is cleaned but locks and prepared statements, and the
 * connection must be destroyed. A setting with a dot in its name that did not exist before is the empty string then, not
 * null: the server keeps the name.
 */
export function cleaningStatements(state: SessionState): string {
  const marked = (state & sessionState.unknown) === 0 ? state : everything;
  return cleaning
    .filter(([flag]) => (marked & flag) !== 0)
    .map(([, sql]) => sql)
    .join('; ');
}
