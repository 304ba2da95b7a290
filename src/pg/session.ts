// One connection as the pool sees it. Only this file and prepared-query.ts look into a pg client beyond its documented surface.

import type { Duplex } from 'node:stream';
import type pg from 'pg';
import { type Lease, systemClock } from '../pool/index.ts';
import { followed, hushRejections } from '../pool/running-work.ts';
import { type BatchedStatement, batchOf } from './batch.ts';
import { sendCancel, type Timers } from './cancel.ts';
import type { ClientInternals, PendingQuery } from './client-internals.ts';
import type { Made } from './opener.ts';
import type { PinLinter } from './pin-linter.ts';
import { type Preparer, preparerOf } from './prepared-query.ts';
import { callbackOf, inContext, promised, refuse, textOf, withoutName } from './query-args.ts';
import { sendWithSignal, signalOf } from './query-signal.ts';
import { refusalOf } from './refusal.ts';
import { type SessionState, sessionState, stateLeftBy } from './session-state.ts';
import { isClientSideTimeout } from './sqlstate.ts';
import type { StatementWatch } from './statement-cache.ts';
import { syncPing } from './sync-ping.ts';

/** What the user's statements must keep to, on the way that this connection goes. */
export interface StatementRules {
  /** Sends named statements without their name: the backend behind a pooler changes. */
  readonly dropNames: boolean;
  /** Makes settings by SET LOCAL instead of binding them to a function, which would pin. @default false */
  readonly setLocal?: boolean;
  readonly linter?: PinLinter | undefined;
  /** Prepares statements that are used again. @default none are */
  readonly statements?: StatementWatch | undefined;
}

const noRules: StatementRules = { dropNames: false };

type AnyQuery = (...args: readonly unknown[]) => unknown;

/** For tests: hear every statement of users before it is sent, refused ones included, on whatever connection. */
export const statementListeners: Set<(session: Session, sql: string) => void> = new Set();

/** A connection and who has it. */
export class Session {
  readonly client: pg.PoolClient;
  /**
   * pg's own `query`, without the guard that stands in front of it on the client: for what the pool itself sends. What
   * a user wants sent goes through `admit()` first.
   */
  readonly query: pg.PoolClient['query'];
  /** What statements since the last cleaning leave behind in the session. */
  state: SessionState = sessionState.clean;
  /** Whether listeners of `connect` have left something in the session, which belongs to it for good. */
  customised = false;
  /** The lease it is out on, or was out on last. */
  lease: Lease<Session> | undefined;
  /** How it was made, where an opener has. */
  made: Made | undefined;
  /** Bounds the wait for what is cancelled. */
  timers: Timers = systemClock;
  /** Whether it is being put out. */
  closing = false;
  /** Whether a statement was sent in this lease, other than by `pool.query()`. */
  queried = false;
  readonly #rules: StatementRules;
  /** pg's own `query` of the client. */
  readonly #pgQuery: AnyQuery;
  readonly #preparer: Preparer | undefined;
  /** Whether the driver has given up waiting for an answer that may still come. */
  #poisoned = false;

  constructor(client: pg.Client, rules: StatementRules = noRules) {
    this.client = client as pg.PoolClient;
    this.#rules = rules;
    this.#pgQuery = client.query.bind(client);
    this.#preparer = preparerOf(client, rules.statements);
    this.query = ((...args: unknown[]) => this.#run(args)) as pg.PoolClient['query'];
    this.#guard();
  }

  get #internals(): ClientInternals {
    return this.client;
  }

  /** What it goes over; nothing in pg-native. */
  get socket(): Duplex | undefined {
    return this.#internals.connection?.stream;
  }

  /** Whether nothing is on its way: the last thing the server said is that it is ready. */
  get quiet(): boolean {
    const { readyForQuery, _queryQueue, _sentQueryQueue } = this.#internals;
    // As it tells of an answer the driver has not sent yet what waits behind that.
    return readyForQuery !== false && !_queryQueue?.length && !_sentQueryQueue?.length;
  }

  /** Whether another statement can be sent at all. */
  get usable(): boolean {
    const { _queryable, _ending, connection } = this.#internals;
    return !this.#poisoned && _queryable !== false && _ending !== true && connection?.stream.destroyed !== true;
  }

  /** `I` idle, `T` in a transaction, `E` in a failed one; nothing where the driver does not tell. */
  get transactionStatus(): 'I' | 'T' | 'E' | null {
    return this.client.getTransactionStatus?.() ?? null;
  }

  /**
   * One round trip that runs no SQL: a bare Sync, answered by ReadyForQuery (PostgreSQL documentation, 54.2.4). It goes
   * through the client's queue, so it is also the way to wait for everything that was sent before.
   */
  ping(signal: AbortSignal): Promise<void> {
    return new Promise((resolve, reject) => {
      signal.addEventListener('abort', () => reject(signal.reason), { once: true });
      // A pipelining client takes no queries but its own; an empty one runs no SQL either.
      if (this.#internals.pipeline) return void this.query('').then(() => resolve(), reject);
      this.query(syncPing((error) => (error ? reject(error) : resolve())));
    });
  }

  /** Resolves when everything that was sent is answered and the server is ready again. Sends nothing. */
  async ready(): Promise<void> {
    // What the driver refuses without asking the server, it is over with one tick after it has said so.
    await new Promise((resolve) => process.nextTick(resolve));
    // Several statements may have been sent: after the answer to one the next is on its way.
    while (!this.quiet && this.usable) await this.#nextReady();
  }

  /** Whether the settings of a transaction are bound, or written into the text of a statement. */
  get binds(): boolean {
    return this.#rules.setLocal !== true;
  }

  /** Begins a transaction, in one round trip: `settings` are made in it before anything else is. */
  async begin(begin: string, settings: BatchedStatement | readonly string[] | undefined): Promise<void> {
    if (settings === undefined) return void (await this.sendOwn([begin]));
    if (!('text' in settings)) return this.#beginInText([begin, ...settings]);
    // Asked for by the user, so that they count; they are no reason to refuse.
    this.#rules.linter?.check(settings.text);
    const { connection, pipeline } = this.#internals;
    if (connection === undefined || pipeline) {
      // pg-native takes no queries but its own, nor does a pipelining client.
      await this.sendOwn([begin]);
      return void (await this.sendOwn([settings.text, settings.values]));
    }
    const batch = batchOf([{ text: begin, values: [] }, settings]);
    try {
      await new Promise<void>((resolve, reject) => {
        this.sendOwn([batch, (error?: Error | null) => (error ? reject(error) : resolve())]);
      });
    } catch (error) {
      // The driver's own stack ends in the socket; this one leads to whoever asked.
      if (error instanceof Error) Error.captureStackTrace(error);
      throw error;
    }
  }

  async #beginInText(texts: readonly string[]): Promise<void> {
    // A pipelining client takes one statement at a time.
    const queries = this.#internals.pipeline ? texts : [texts.join('; ')];
    for (const query of queries) await this.sendOwn([query]);
  }

  #nextReady(): Promise<void> {
    const { connection } = this.#internals;
    if (connection === undefined) return Promise.resolve();
    return new Promise((resolve, reject) => {
      const settle = (error?: Error): void => {
        connection.off('readyForQuery', onReady);
        connection.off('end', onEnd);
        if (error === undefined) resolve();
        else reject(error);
      };
      const onReady = (): void => settle();
      const onEnd = (): void => settle(new Error('Connection terminated'));
      connection.on('readyForQuery', onReady);
      connection.on('end', onEnd);
    });
  }

  /** The texts of the statements that are running or wait for their turn, the running one first. */
  get pending(): string[] {
    return this.#pendingQueries().flatMap(({ text }) => text ?? []);
  }

  /** Has every statement that is not answered yet fail with another error than the one it will get. */
  interrupt(wrap: (error: unknown) => Error): void {
    for (const query of this.#pendingQueries()) {
      const handleError = query.handleError.bind(query);
      query.stopped = true;
      query.handleError = (error, connection) => handleError(wrap(error), connection);
    }
  }

  /** Whether the server can be asked to stop what is running: behind some proxies there is no key for it. */
  get cancellable(): boolean {
    const { processID, secretKey } = this.#internals;
    return processID != null && secretKey != null;
  }

  /** Asks the server to stop what is running. @returns whether it has taken note, once it has or cannot be reached */
  cancel(budgetMillis: number): Promise<boolean> {
    const { processID, secretKey } = this.#internals;
    if (processID == null || secretKey == null) return Promise.resolve(false);
    const { host, port, ssl } = this.client;
    return sendCancel({ host, port, processId: processID, secretKey, ssl }, budgetMillis, this.timers);
  }

  /**
   * Puts the connection out. A graceful end says Terminate and does not wait for an answer; the other kind, for a peer
   * that may be dead, says nothing.
   */
  async close(graceful: boolean): Promise<void> {
    this.closing = true;
    // Nobody may have needed it: what a listener of `connect` has just sent, and does not wait for, must end no process.
    hushRejections(this);
    const stream = this.#internals.connection?.stream;
    if (stream === undefined) return this.client.end();
    if (stream.destroyed) return;
    const closed = new Promise<void>((resolve) => stream.once('close', () => resolve()));
    if (graceful && stream.writable) {
      stream.once('finish', () => stream.destroy());
      void this.client.end().catch(() => {});
      // A peer that takes no bytes never lets the goodbye out: then it goes without one.
      setTimeout(() => stream.destroy(), goodbyeMillis).unref();
    } else {
      stream.destroy();
    }
    await closed;
  }

  #run(args: readonly unknown[]): unknown {
    const prepared = this.#preparer?.queryFor(args[0], args[1], args[2]);
    if (prepared === undefined) {
      this.#pass(args[0]);
      return this.#pgQuery(...args);
    }
    this.#note(prepared.leaves);
    const callback = callbackOf(args);
    if (callback !== undefined) return void this.#pgQuery(prepared, callback);
    return promised((answer) => this.#pgQuery(prepared, answer));
  }

  /**
   * Admits and runs a statement for `pool.query()`, without lists of arguments: there is no hotter path.
   * @throws PoolError `ERR_POOL_PINNED`; nothing has been sent then.
   */
  ask(text: unknown, values: unknown, callback: (error?: Error, result?: unknown) => void): void {
    const { linter, dropNames } = this.#rules;
    if (linter !== undefined || dropNames || statementListeners.size > 0) {
      return void this.#run(this.admit([text, values, callback]));
    }
    const prepared = this.#preparer?.queryFor(text, values, callback);
    if (prepared === undefined) this.#pass(text);
    else this.#note(prepared.leaves);
    this.#pgQuery(prepared ?? text, values, callback);
  }

  /** Takes note of what is sent as pg does. */
  #pass(config: unknown): void {
    const text = textOf(config);
    if (text === undefined) return;
    this.#note(stateLeftBy(text));
    this.#preparer?.passes(text);
  }

  #note(left: SessionState): void {
    if (left === sessionState.clean) return;
    if (this.lease === undefined) this.customised = true;
    else this.state |= left;
  }

  #pendingQueries(): PendingQuery[] {
    const { _activeQuery, _queryQueue = [] } = this.#internals;
    return _activeQuery ? [_activeQuery, ..._queryQueue] : [..._queryQueue];
  }

  /**
   * Takes the arguments of a `query` of the user's and returns those to call pg with.
   *
   * @throws PoolError `ERR_POOL_PINNED`; nothing has been sent then.
   */
  admit(args: readonly unknown[]): readonly unknown[] {
    const { linter, dropNames } = this.#rules;
    if (linter !== undefined || statementListeners.size > 0) this.#lint(textOf(args[0]));
    return dropNames ? withoutName(args) : args;
  }

  #lint(text: string | undefined): void {
    if (text === undefined) return;
    for (const listener of statementListeners) listener(this, text);
    const refusal = this.#rules.linter?.check(text);
    if (refusal) throw refusal;
  }

  /**
   * Runs a statement of the user's, as pg's `query` does; one that is not admitted is refused in the same way. A
   * connection whose answer was not waited for (`query_timeout`) is not usable any more.
   */
  send(args: readonly unknown[]): unknown {
    let admitted: readonly unknown[];
    try {
      if (signalOf(args[0]) !== undefined) return sendWithSignal(this, args, (all) => this.send(all));
      admitted = inContext(this.admit(args));
    } catch (error) {
      return refuse(args, error);
    }
    this.queried = true;
    return this.sendOwn(admitted);
  }

  /** The same for a statement of the pool's own, on behalf of whoever holds the lease. */
  sendOwn(args: readonly unknown[]): unknown {
    const result = this.#sendWatched(args);
    // What a listener of `connect` sends belongs to the session itself.
    return result instanceof Promise ? followed(this.lease ? this.lease.owner : this, result) : result;
  }

  #sendWatched(args: readonly unknown[]): unknown {
    const query = this.query as (...all: unknown[]) => unknown;
    const timeout = (args[0] as { query_timeout?: unknown } | null | undefined)?.query_timeout;
    if (!(timeout ?? this.#internals.connectionParameters?.query_timeout)) return query(...args);
    const watched = <E>(error: E): E => {
      if (isClientSideTimeout(error)) this.#poisoned = true;
      return error;
    };
    const at = args.findLastIndex((arg) => typeof arg === 'function');
    if (at > 0) {
      const callback = args[at] as (...answer: unknown[]) => void;
      return query(...args.with(at, (error: unknown, ...rest: unknown[]) => callback(watched(error), ...rest)));
    }
    const result = query(...args);
    if (!(result instanceof Promise)) return result;
    return result.catch((error: unknown) => {
      throw watched(error);
    });
  }

  /**
   * A client that was given back must not be used: it may be somebody else's. One that nobody has had yet may, by
   * listeners of the pool's `connect` event.
   */
  #guard(): void {
    const session = this;
    this.client.query = function guardedQuery(this: unknown, ...args: unknown[]): unknown {
      const { lease } = session;
      const refusal = lease && refusalOf(lease);
      return refusal ? refuse(args, refusal) : session.send(args);
    } as pg.PoolClient['query'];
  }
}

/** Half of what the pool itself waits for a resource that is being destroyed. */
const goodbyeMillis = 250;
