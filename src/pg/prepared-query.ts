// Sends statements that are prepared once on their connection: afterwards three messages each (Bind, Execute, Sync) where
// pg sends five (PostgreSQL documentation, 54.2.3 Extended Query). What comes of it is the same, to the field.

import pg from 'pg';
import { mostValues, runMessages, type WireValue } from './bind-message.ts';
import type { ClientInternals } from './client-internals.ts';
import { isStale, makesTemporary, type Statement, StatementCache, type StatementWatch } from './statement-cache.ts';

/** pg's own, which its types name in part only (pg 8.23, lib/result.js, lib/utils.js). */
interface ResultInternals {
  _types: unknown;
  addFields(fields: readonly pg.FieldDef[]): void;
  addCommandComplete(message: unknown): void;
  parseRow(fields: readonly unknown[]): unknown;
  addRow(row: unknown): void;
}
interface ResultConstructor {
  new (rowMode: unknown, types: unknown): ResultInternals;
  readonly prototype: Partial<ResultInternals>;
}
const { Result, utils } = pg as unknown as {
  readonly Result: ResultConstructor;
  readonly utils: { prepareValue(value: unknown): WireValue };
};

/** What pg's query config may hold, and pg's `Query` reads (pg 8.23, lib/query.js). */
interface AnyConfig {
  readonly text?: unknown;
  readonly values?: unknown;
  readonly callback?: unknown;
  readonly rowMode?: unknown;
  readonly types?: unknown;
  readonly query_timeout?: unknown;
  readonly queryMode?: unknown;
  readonly name?: unknown;
  readonly rows?: unknown;
  readonly portal?: unknown;
  readonly binary?: unknown;
  readonly submit?: unknown;
}

const noConfig: AnyConfig = {};

type Callback = (error: unknown, result?: unknown) => void;

/** The prepared statements of one connection, and the queries that use them. */
export class Preparer {
  readonly cache: StatementCache;
  readonly watch: StatementWatch;
  readonly client: ClientInternals & pg.ClientBase;
  /** Whether the server has bound the statement that is running: before that it has not run. */
  bound = false;

  constructor(client: ClientInternals & pg.ClientBase, connection: pg.Connection, watch: StatementWatch) {
    this.client = client;
    this.watch = watch;
    // Not by Math.random, whose state is the same in every sandbox restored from one snapshot.
    const { randomBytes } = process.getBuiltinModule('node:crypto');
    this.cache = new StatementCache(watch.size, `thawpool_${randomBytes(6).toString('hex')}_`);
    connection.on('bindComplete', () => {
      this.bound = true;
    });
    connection.on('commandComplete', ({ text }: { readonly text: string }) => {
      if (text === 'DISCARD ALL' || text === 'DEALLOCATE ALL') this.cache.clear();
    });
    // By which the server reads literals. It tells of every change, also that of a transaction that ends, before it is
    // ready again (PostgreSQL documentation, 54.2.7 Asynchronous Operations).
    connection.on('parameterStatus', ({ parameterName }: { readonly parameterName: string }) => {
      if (/^(?:TimeZone|DateStyle|IntervalStyle)$/.test(parameterName)) this.cache.forgetDated();
    });
  }

  /** Takes note of a text that is sent without a name. */
  passes(text: string): void {
    if (makesTemporary(text)) this.cache.forgetAll();
  }

  /** The query to send instead of what pg's `query` was given, where its statement is prepared or is to be. */
  queryFor(first: unknown, second: unknown, third: unknown): PreparedQuery | undefined {
    if (!this.watch.on) return undefined;
    const config = typeof first === 'string' ? noConfig : ((first ?? noConfig) as AnyConfig);
    const text = typeof first === 'string' ? first : config.text;
    if (typeof text !== 'string') return undefined;
    const values = typeof second === 'function' || !second ? config.values : second;
    // Without values pg sends a simple query, which may be several statements.
    if (
      !Array.isArray(values) ||
      values.length === 0 ||
      values.length > mostValues ||
      (third && typeof third !== 'function')
    )
      return undefined;
    if (config !== noConfig && !isPlain(config)) return undefined;
    const statement = this.cache.use(text);
    return statement && new PreparedQuery(this, statement, values, config);
  }
}

/** Whether pg would send this without a name, all rows at once and as text. */
function isPlain({ name, rows, portal, binary, submit, types, callback }: AnyConfig): boolean {
  if (name || rows || portal || binary || submit !== undefined || Array.isArray(types)) return false;
  return !callback || typeof callback === 'function';
}

/** The prepared statements of a client, if there are to be any: pg-native and pipelining clients take queries of pg's only. */
export function preparerOf(client: pg.ClientBase, watch: StatementWatch | undefined): Preparer | undefined {
  const { connection, pipeline, binary, _queryQueue } = client as ClientInternals;
  if (!watch?.on || connection === undefined || pipeline || binary || _queryQueue === undefined) return undefined;
  // Not documented, and all that we need of pg beyond its messages: without it nothing is prepared, and all else works.
  if (typeof utils?.prepareValue !== 'function' || typeof Result?.prototype.addFields !== 'function') return undefined;
  return new Preparer(client, connection, watch);
}

/**
 * A query as pg's queue takes it. Its own properties are named as in pg's config: what patches pg's `query`, as tracing
 * does, may make a query of pg's out of them.
 */
export class PreparedQuery {
  readonly text: string;
  readonly values: readonly unknown[];
  /** pg's to set. */
  callback: Callback | undefined = undefined;
  readonly query_timeout: unknown;
  readonly rowMode: unknown;
  readonly types: unknown;
  /** pg's to give its types to, where it has none. */
  _result: ResultInternals;
  #statement: Statement;
  readonly #preparer: Preparer;
  /** Whether its answer is waited for. */
  #sent = false;
  /** Whether it was sent with a name that had been prepared before. */
  #reuses = false;
  /** Outside of a transaction what was refused before it ran can be sent again. */
  #repeatable = false;
  #described: readonly pg.FieldDef[] | null = null;
  /** What is sent, where it may have to be sent again: the user's values may be others by then. */
  #wire: WireValue[] | undefined;
  /** Set by whoever has it stopped: what was refused is not sent again then. */
  stopped = false;
  /** What a type parser has thrown. */
  #thrown: unknown;
  #failed = false;

  constructor(preparer: Preparer, statement: Statement, values: readonly unknown[], config: AnyConfig) {
    this.#preparer = preparer;
    this.#statement = statement;
    this.text = statement.text;
    this.values = values;
    this.query_timeout = config.query_timeout;
    this.rowMode = config.rowMode;
    this.types = config.types;
    this._result = new Result(this.rowMode, this.types);
  }

  /** What the statement leaves behind in the session. */
  get leaves(): Statement['leaves'] {
    return this.#statement.leaves;
  }

  /** @returns the error of a value that cannot be sent; nothing has been written then */
  submit(connection: pg.Connection): unknown {
    let values = this.#wire;
    if (values === undefined) {
      values = [];
      try {
        // A hole in the list is a value too.
        for (const value of this.values) values.push(utils.prepareValue(value));
      } catch (error) {
        return error;
      }
    }
    const { cache, client } = this.#preparer;
    const { stage, fields, name } = this.#statement;
    const closing = cache.takeClosing();
    this.#preparer.bound = false;
    this.#sent = true;
    this.#reuses = stage === 'ready';
    this.#repeatable = this.#reuses && client.getTransactionStatus?.() === 'I';
    if (this.#repeatable) this.#wire = ownBytes(values);
    if (this.#reuses && fields !== undefined && closing.length === 0) {
      if (fields !== null) this._result.addFields(fields.map(copyOf));
      if (connection.stream.writable) connection.stream.write(runMessages(name, values));
      return null;
    }
    this.#submitAll(connection, values, closing);
    return null;
  }

  #submitAll(connection: pg.Connection, values: readonly WireValue[], closing: readonly string[]): void {
    const { stage, name, text } = this.#statement;
    const { stream } = connection;
    // One segment: otherwise each message is a write of its own.
    stream.cork();
    try {
      // Their second parameter is one of pg 7's, which its types still ask for.
      for (const old of closing) connection.close({ type: 'S', name: old }, true);
      // What was driven out while it waited goes without a name.
      const statement = stage === 'gone' ? '' : name;
      if (!this.#reuses) connection.parse({ name: statement, text, types: [] }, true);
      connection.bind({ statement, values: [...values] as string[] }, true);
      connection.describe({ type: 'P', name: '' }, true);
      connection.execute({}, true);
      connection.sync();
    } finally {
      stream.uncork();
    }
  }

  handleRowDescription({ fields }: { readonly fields: readonly pg.FieldDef[] }): void {
    this.#described = fields.map(copyOf);
    this._result.addFields(fields);
  }

  handleDataRow({ fields }: { readonly fields: readonly unknown[] }): void {
    if (this.#failed) return;
    try {
      this._result.addRow(this._result.parseRow(fields));
    } catch (error) {
      this.#failed = true;
      this.#thrown = error;
    }
  }

  handleCommandComplete(message: unknown): void {
    this._result.addCommandComplete(message);
  }

  handleReadyForQuery(): void {
    const statement = this.#statement;
    if (statement.stage === 'new') statement.stage = 'ready';
    if (statement.fields === undefined) statement.fields = this.#described;
    if (this.#failed) return this.callback?.(this.#thrown);
    try {
      this.callback?.(null, this._result);
    } catch (error) {
      process.nextTick(() => {
        throw error;
      });
    }
  }

  handleError(error: unknown): void {
    const again = this.#sent && this.#isSentAgain(error);
    this.#sent = false;
    if (!again) this.callback?.(this.#failed ? this.#thrown : error);
  }

  /** Not for us, and never asked for: answered as pg does. */
  handleCopyInResponse(connection: { sendCopyFail(message: string): void }): void {
    connection.sendCopyFail('No source stream defined');
  }

  handlePortalSuspended(): void {}
  handleEmptyQuery(): void {}
  handleCopyData(): void {}

  /** Takes note of what an error says of the statement, and has it sent again where it provably has not run. */
  #isSentAgain(error: unknown): boolean {
    const { bound, cache, watch, client } = this.#preparer;
    const statement = this.#statement;
    if (bound) {
      // It was prepared, and failed as it ran.
      if (statement.stage === 'new') statement.stage = 'ready';
      return false;
    }
    // Whoever has it stopped tells another error of it, for which the server's is the reason.
    const said = this.stopped && error instanceof Error && !(error instanceof pg.DatabaseError) ? error.cause : error;
    const code = said instanceof pg.DatabaseError ? said.code : undefined;
    if (this.#reuses && !isStale(code)) return false;
    cache.forget(statement);
    if (!this.#reuses) return false;
    watch.refused(code);
    if (!this.#repeatable || this.stopped) return false;
    this.#statement = cache.renew(statement);
    const types = this._result._types;
    this._result = new Result(this.rowMode, types);
    // Before what waits behind it, when the server is ready again.
    client._queryQueue?.unshift(this);
    return true;
  }
}

/** Bytes are the user's, who may write over them. */
function ownBytes(values: WireValue[]): WireValue[] {
  for (let at = 0; at < values.length; at += 1) {
    const value = values[at];
    if (typeof value === 'object' && value !== null) values[at] = Buffer.from(value);
  }
  return values;
}

type FieldConstructor = new (...parts: readonly unknown[]) => pg.FieldDef;

/** A column's description is the user's to change: the next result has one of its own, of pg's class. */
function copyOf(field: pg.FieldDef): pg.FieldDef {
  const { name, tableID, columnID, dataTypeID, dataTypeSize, dataTypeModifier, format } = field;
  const Field = field.constructor as FieldConstructor;
  return new Field(name, tableID, columnID, dataTypeID, dataTypeSize, dataTypeModifier, format);
}
