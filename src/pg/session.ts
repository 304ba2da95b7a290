// One connection as the pool sees it. The only file that looks into a pg client beyond its documented surface.

import type { Duplex } from 'node:stream';
import type pg from 'pg';
import type { Lease } from '../pool/index.ts';
import { sendCancel } from './cancel.ts';
import { followed } from './running-work.ts';
import { type SessionState, sessionState, stateLeftBy } from './session-state.ts';
import { isClientSideTimeout } from './sqlstate.ts';

/** What pg keeps on a client and its types do not name (pg 8.23, lib/client.js). All of it may be missing in pg-native. */
interface ClientInternals {
  readonly readyForQuery?: boolean;
  readonly _queryable?: boolean;
  readonly _ending?: boolean;
  readonly _activeQuery?: PendingQuery | null;
  readonly _queryQueue?: readonly PendingQuery[];
  readonly pipeline?: boolean;
  readonly connection?: pg.Connection;
  readonly connectionParameters?: { readonly query_timeout?: unknown };
  readonly processID?: number | null;
  readonly secretKey?: number | null;
}

/** A query that has not been answered. */
interface PendingQuery {
  text?: string;
  handleError(error: unknown, connection: unknown): void;
}

/** A query as pg's queue takes it: it writes what it likes and hears how that was answered. */
interface SyncPing {
  callback: (error?: Error | null) => void;
  submit(connection: pg.Connection): void;
  handleReadyForQuery(): void;
  handleError(error: Error): void;
}

/** A connection and who has it. */
export class Session {
  readonly client: pg.PoolClient;
  /** pg's own `query`, without the guard that stands in front of it on the client. */
  readonly query: pg.PoolClient['query'];
  /** What statements since the last cleaning leave behind in the session. */
  state: SessionState = sessionState.clean;
  /** Whether listeners of `connect` have left something in the session, which belongs to it for good. */
  customised = false;
  /** The lease it is out on, or was out on last. */
  lease: Lease<Session> | undefined;
  /** Whether it is being put out. */
  closing = false;
  /** Whether a query was sent through the guarded client in this lease. */
  queried = false;
  /** Whether the driver has given up waiting for an answer that may still come. */
  #poisoned = false;

  constructor(client: pg.Client) {
    this.client = client as pg.PoolClient;
    const query = client.query.bind(client) as (...args: unknown[]) => unknown;
    this.query = ((...args: unknown[]) => {
      const text = textOf(args[0]);
      const left = text === undefined ? sessionState.clean : stateLeftBy(text);
      if (left !== sessionState.clean) this.#note(left);
      return query(...args);
    }) as pg.PoolClient['query'];
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
    return this.#internals.readyForQuery !== false;
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
      const ping: SyncPing = {
        callback: (error) => (error ? reject(error) : resolve()),
        submit: (connection) => connection.sync(),
        // By way of the callback: pg has its `query_timeout` ended by that.
        handleReadyForQuery: () => ping.callback(),
        handleError: (error) => ping.callback(error),
      };
      this.query(ping as unknown as pg.Submittable);
    });
  }

  /** Resolves when everything that was sent is answered and the server is ready again. Sends nothing. */
  async ready(): Promise<void> {
    // What the driver refuses without asking the server, it is over with one tick after it has said so.
    await new Promise((resolve) => process.nextTick(resolve));
    // Several statements may have been sent: after the answer to one the next is on its way.
    while (!this.quiet && this.usable) await this.#nextReady();
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
      query.handleError = (error, connection) => handleError(wrap(error), connection);
    }
  }

  /** Asks the server to stop what is running. Resolves when it has taken note, or cannot be reached. */
  cancel(budgetMillis: number): Promise<void> {
    const { processID, secretKey } = this.#internals;
    // Behind some proxies there is no key, and so no cancel.
    if (processID == null || secretKey == null) return Promise.resolve();
    const { host, port, ssl } = this.client;
    return sendCancel({ host, port, processId: processID, secretKey, ssl }, budgetMillis);
  }

  /**
   * Puts the connection out. A graceful end says Terminate and does not wait for an answer; the other kind, for a peer
   * that may be dead, says nothing.
   */
  async close(graceful: boolean): Promise<void> {
    this.closing = true;
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

  #note(left: SessionState): void {
    if (this.lease === undefined) this.customised = true;
    else this.state |= left;
  }

  #pendingQueries(): PendingQuery[] {
    const { _activeQuery, _queryQueue = [] } = this.#internals;
    return _activeQuery ? [_activeQuery, ..._queryQueue] : [..._queryQueue];
  }

  /**
   * Runs a statement of the user's, as pg's `query` does. A connection whose answer was not waited for (`query_timeout`)
   * is not usable any more.
   */
  send(args: readonly unknown[]): unknown {
    const result = this.#sendWatched(args);
    return result instanceof Promise ? followed(this.lease?.owner, result) : result;
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
      if (refusal) return refuse(args, refusal);
      session.queried = true;
      return session.send(args);
    } as pg.PoolClient['query'];
  }
}

/** The text of what `query` was given; submittables such as cursors keep theirs under the same name. */
function textOf(config: unknown): string | undefined {
  if (typeof config === 'string') return config;
  const text = (config as { text?: unknown } | null | undefined)?.text;
  return typeof text === 'string' ? text : undefined;
}

/** Half of what the pool itself waits for a resource that is being destroyed. */
const goodbyeMillis = 250;

/**
 * Why the holder of this lease must not use the connection any more: given back, or reclaimed. One that was lost under
 * its holder is nobody else's, and the driver itself says what happened to it.
 */
export function refusalOf(lease: Lease<Session>): Error | undefined {
  if (lease.held) return undefined;
  try {
    void lease.resource;
    return undefined;
  } catch (error) {
    return error as Error;
  }
}

/** Tells an error in the way the caller expects to hear it: callback, submittable or promise. */
export function refuse(args: readonly unknown[], error: unknown): unknown {
  const [first] = args;
  const callback = args.findLast((arg) => typeof arg === 'function') as ((error: unknown) => void) | undefined;
  const submittable = first as { handleError?: (error: unknown) => void } | null | undefined;
  if (typeof submittable?.handleError === 'function') {
    process.nextTick(() => submittable.handleError?.(error));
    return first;
  }
  if (callback !== undefined) {
    process.nextTick(() => callback(error));
    return undefined;
  }
  return Promise.reject(error);
}
