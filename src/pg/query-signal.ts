// AbortSignal for statements that run. The rule: a connection whose statement was cancelled is nobody else's, and sends
// nothing else, until it is known that the cancel cannot strike any more; if that cannot be known, it is closed.

import { PoolError } from '../pool/errors.ts';
import type { Lease } from '../pool/index.ts';
import type { ClientInternals, PendingQuery } from './client-internals.ts';
import { refuse } from './query-args.ts';
import type { Session } from './session.ts';
import { codeOf, isLostConnection } from './sqlstate.ts';

/** What became of a statement that was aborted. */
export type AbortedStatement =
  /** Nothing of it was sent. */
  | 'not-sent'
  /** The server has stopped it, and nothing that it did remains. */
  | 'cancelled'
  /** Its rows were being read, and it was stopped between two batches: what it did up to there remains. */
  | 'stopped'
  /** Its connection was closed without the server's word: it may have run, or still be running. */
  | 'unknown';

/** An AbortSignal has ended a statement; its reason is the `cause`. The code is `ERR_POOL_QUERY_ABORTED`. */
export class QueryAbortedError extends PoolError {
  /** What became of it. */
  readonly statement: AbortedStatement;

  constructor(statement: AbortedStatement, reason: unknown) {
    super(
      'ERR_POOL_QUERY_ABORTED',
      `The statement was aborted by its AbortSignal: ${meanings[statement]} See ERR_POOL_QUERY_ABORTED.`,
      { cause: reason },
    );
    this.name = 'QueryAbortedError';
    this.statement = statement;
  }
}

const meanings: Readonly<Record<AbortedStatement, string>> = {
  'not-sent': 'it was not sent.',
  cancelled: 'the server has cancelled it, and nothing of it remains.',
  stopped: 'it was stopped between two batches of rows, and what it did up to there remains.',
  unknown:
    'the server did not confirm in time that it was cancelled, or cannot be asked to, so its connection was closed. It may or may not have run, unless it was part of a transaction, which is rolled back.',
};

/** How long the server may take to stop a statement, and to say so, before its connection is closed: as long as a reset. */
const patienceMillis = 1000;

type Callback = (error: unknown, result?: unknown) => void;

/** The signal in a query's config, if there is one. What submits itself has ways of its own to be ended. */
export function signalOf(config: unknown): unknown {
  if (typeof config !== 'object' || config === null) return undefined;
  const { signal, submit } = config as { readonly signal?: unknown; readonly submit?: unknown };
  return typeof submit === 'function' ? undefined : (signal ?? undefined);
}

/** @throws TypeError for anything that is no AbortSignal */
export function checkSignal(signal: unknown): AbortSignal {
  // Those of other realms and of polyfills do as well.
  if (typeof (signal as Partial<AbortSignal> | null)?.addEventListener === 'function') return signal as AbortSignal;
  throw new TypeError(`signal must be an AbortSignal, got ${signal === null ? 'null' : typeof signal}`);
}

/**
 * Runs a statement that a signal may end; the same forms as pg's `query`, with the error told in the same way.
 *
 * @param send - sends it, with a callback as the third argument
 */
export function sendWithSignal(
  session: Session,
  args: readonly unknown[],
  send: (args: readonly unknown[]) => unknown,
): unknown {
  const signal = checkSignal(signalOf(args[0]));
  if (signal.aborted) return refuse(args, new QueryAbortedError('not-sent', signal.reason));
  const at = args.findLastIndex((arg) => typeof arg === 'function');
  const config = args[0] as { readonly callback?: unknown; readonly text?: unknown; readonly values?: unknown };
  const own = at > 0 ? args[at] : config.callback;
  // Read here: they may come from getters of its class, which need their own object.
  const { text, values: ownValues } = config;
  const values = (at === 1 ? undefined : args[1]) || ownValues;
  // pg writes into a config that it is given with a callback.
  const bare = { writable: true, enumerable: true, configurable: true };
  const copy: unknown = Object.create(config, {
    signal: { value: undefined, ...bare },
    callback: { value: undefined, ...bare },
    text: { value: text, ...bare },
    values: { value: values, ...bare },
  });
  const start = (done: Callback): void => watch(session, signal, done, (settle) => send([copy, undefined, settle]));
  if (typeof own === 'function') return start(own as Callback);
  return new Promise((resolve, reject) => {
    start((error, result) => {
      // oxlint-disable-next-line typescript/prefer-promise-reject-errors -- parsers may throw what is no Error
      if (error) reject(error);
      else resolve(result);
    });
  }).catch((error: unknown) => {
    // The driver's own stack ends in the socket; this one leads to whoever asked.
    if (error instanceof Error) Error.captureStackTrace(error);
    throw error;
  });
}

/** Runs one statement by callback, and stops it when the signal fires. */
function watch(session: Session, signal: AbortSignal, done: Callback, run: (settle: Callback) => void): void {
  let stopped: Promise<void> | undefined;
  const settle: Callback = (error, result) => {
    signal.removeEventListener('abort', stop);
    if (stopped === undefined) done(error, result);
    // What is done may be heard of once nothing is on its way any more.
    else void stopped.then(() => process.nextTick(done, error && meaningOf(error, signal.reason), result));
  };
  const before = latestOf(session);
  run(settle);
  const sent = latestOf(session);
  const query = sent === before ? undefined : sent;
  const stop = (): void => {
    if (!query || unqueue(session, query, signal.reason)) return;
    const { _activeQuery, pipeline } = internalsOf(session);
    if (_activeQuery === query || pipeline) stopped = stopRunning(session);
  };
  // Refused before it was queued: the callback is on its way.
  if (query) signal.addEventListener('abort', stop, { once: true });
}

/** Ends what a session runs, now and later, when a signal fires. For a whole lease: its statements are of one piece. */
export class LeaseStop {
  /** The error of every statement from now on, once the signal has fired. */
  error: QueryAbortedError | undefined;
  readonly #session: Session;
  /** Once it is over, the session is somebody else's. */
  readonly #lease: Lease<Session> | undefined;
  readonly #signal: AbortSignal;
  readonly #stop = (): void => this.#fire();

  constructor(session: Session, signal: AbortSignal) {
    this.#session = session;
    this.#lease = session.lease;
    this.#signal = signal;
    if (signal.aborted) this.error = new QueryAbortedError('not-sent', signal.reason);
    else signal.addEventListener('abort', this.#stop, { once: true });
  }

  /** Listens no more: what is sent from now on ends by itself. */
  [Symbol.dispose](): void {
    this.#signal.removeEventListener('abort', this.#stop);
  }

  /** Whether this text may be sent on the lease nevertheless. */
  admits(text: unknown): boolean {
    return this.error === undefined || this.#lease?.held === false || endsTransaction(text);
  }

  #fire(): void {
    if (this.#lease?.held === false) return;
    const { reason } = this.#signal;
    this.error = new QueryAbortedError('not-sent', reason);
    const { _activeQuery, _queryQueue = [], _sentQueryQueue = [] } = internalsOf(this.#session);
    for (const query of [..._queryQueue]) {
      if (!(query instanceof Barrier) && !endsTransaction(query.text)) unqueue(this.#session, query, reason);
    }
    if (!_activeQuery || endsTransaction(_activeQuery.text)) return;
    for (const query of [_activeQuery, ..._sentQueryQueue]) renameErrors(query, reason);
    void stopRunning(this.#session);
  }
}

/** Refuses every statement of a lent client once its lease was stopped, but those that end a transaction. @returns undoes that */
export function refuseOnceStopped({ client }: Session, stop: LeaseStop): () => void {
  const query = client.query as (...args: readonly unknown[]) => unknown;
  const refusing = function refusingQuery(this: unknown, ...args: unknown[]): unknown {
    const { text = args[0] } = (args[0] ?? {}) as { readonly text?: unknown };
    return stop.admits(text) ? query.apply(this, args) : refuse(args, stop.error);
  };
  Object.assign(client, { query: refusing });
  return () => {
    if (client.query === (refusing as unknown)) Object.assign(client, { query });
  };
}

/** Whether all that a statement does is to end a transaction, which a stop is to come to anyway. */
function endsTransaction(text: unknown): boolean {
  return typeof text === 'string' && /^\s*(?:rollback|abort)\b/i.test(text);
}

function internalsOf({ client }: Session): ClientInternals {
  return client;
}

/** What was queued last and is not answered yet. */
function latestOf(session: Session): PendingQuery | null | undefined {
  const { _activeQuery, _queryQueue, _sentQueryQueue } = internalsOf(session);
  return _queryQueue?.at(-1) ?? _sentQueryQueue?.at(-1) ?? _activeQuery;
}

/** Takes a statement that was not sent out of the driver's queue. `false` when it was sent. */
function unqueue(session: Session, query: PendingQuery, reason: unknown): boolean {
  const { _queryQueue = [], connection } = internalsOf(session);
  const at = _queryQueue.indexOf(query);
  if (at < 0) return false;
  _queryQueue.splice(at, 1);
  process.nextTick(() => query.handleError(new QueryAbortedError('not-sent', reason), connection));
  return true;
}

/** Has the statement that runs tell an error that comes of stopping it as what it is. */
function renameErrors(query: PendingQuery & { callback?: unknown }, reason: unknown): void {
  const { callback } = query;
  if (typeof callback === 'function') {
    query.callback = (error: unknown, ...rest: unknown[]): unknown =>
      (callback as (...answer: unknown[]) => unknown)(error && meaningOf(error, reason), ...rest);
    return;
  }
  const handleError = query.handleError.bind(query);
  query.handleError = (error, connection) => handleError(meaningOf(error, reason), connection);
}

/** What the error of a wait for a connection means to the statement that it was for. */
export function meaningOfWait(error: unknown, { reason }: AbortSignal): unknown {
  return codeOf(error) === 'ERR_POOL_ACQUIRE_ABORTED' ? new QueryAbortedError('not-sent', reason) : error;
}

/** Which of a statement's errors is the abort, and what became of the statement then. */
export function meaningOf(error: unknown, reason: unknown): unknown {
  if (error instanceof PoolError) return error;
  // query_canceled; also of a time limit that ran out at that very moment, which comes to the same.
  if (codeOf(error) === '57014') return new QueryAbortedError('cancelled', reason);
  return isLostConnection(error) ? new QueryAbortedError('unknown', reason) : error;
}

/**
 * Has the server stop what a session runs. A barrier at the head of the driver's queue holds back whatever is sent
 * next, the pool's next user's statement too, until the server has taken note of the cancel and then answered a Sync: a
 * cancel that comes late strikes that Sync. Where any of this takes too long, or cannot be asked for, the
 * connection is closed.
 *
 * @param budgetMillis - how long that may take, by the pool's clock
 * @returns when the connection is usable again, or closed
 */
export function stopRunning(session: Session, budgetMillis: number = patienceMillis): Promise<void> {
  // Of two cancels one would be under way when the other has been taken note of.
  const before = barriers.get(session);
  if (before) return before.passed;
  const { _activeQuery, _queryQueue, pipeline } = internalsOf(session);
  // Pipelined, the cancel would strike whatever statement the server has come to.
  if (!session.cancellable || !session.usable || pipeline || _queryQueue === undefined) return session.close(false);
  if (_activeQuery) _activeQuery.stopped = true;
  const barrier = new Barrier(() => {
    barriers.delete(session);
    session.timers.clearTimer(timer);
  });
  barriers.set(session, barrier);
  _queryQueue.unshift(barrier);
  const close = (): void => void session.close(false);
  const timer = session.timers.setTimer(close, budgetMillis);
  void session.cancel(budgetMillis).then((noted) => (noted ? barrier.open() : close()));
  return barrier.passed;
}

/** What holds a session back. */
const barriers = new WeakMap<Session, Barrier>();

/** A query as pg's queue takes it: holds the connection until it is opened, then asks for one sign of life. */
class Barrier implements PendingQuery {
  /** Resolves when the server is ready behind it, or the connection is lost. */
  readonly passed: Promise<void>;
  readonly #pass: () => void;
  #opened = false;
  #connection: { sync(): void } | undefined;

  /** @param onPassed - called before anything that waits behind it is sent */
  constructor(onPassed: () => void) {
    let pass = (): void => {};
    this.passed = new Promise((resolve) => {
      pass = resolve;
    });
    this.#pass = () => {
      onPassed();
      pass();
    };
  }

  open(): void {
    this.#opened = true;
    this.#connection?.sync();
  }

  submit(connection: { sync(): void }): void {
    if (this.#opened) connection.sync();
    else this.#connection = connection;
  }

  handleReadyForQuery(): void {
    this.#pass();
  }

  /** The cancel has struck here, or the connection is lost. */
  handleError(): void {
    this.#pass();
  }
}
