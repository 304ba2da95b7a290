// A `pg.Pool` whose pool is ours: the documented methods, events and counters of pg's own, kept by the generic core.
// It must not know of Lambda or Middy: an invocation is an owner with a deadline to it.

import { EventEmitter } from 'node:events';
import pg from 'pg';
import { Pool, PoolError, type PoolObserver, type PoolOptions, type PoolStats } from '../pool/index.ts';
import { type ConnectorOptions, PgConnector } from './connector.ts';
import {
  type Loan,
  lend,
  owner,
  type PgAcquireOptions,
  type PoolOwner,
  queryContextOf,
  type Shared,
  shared,
  tellClient,
  transactionContextOf,
  viewOf,
  withOwner,
} from './lending.ts';
import { PgLease } from './pg-lease.ts';
import { answerWith, logger, passOnHookErrors } from './pool-hooks.ts';
import { poolQuery } from './pool-query.ts';
import { retryTransaction } from './run-transaction.ts';
import { followed } from '../pool/running-work.ts';
import type { Session } from './session.ts';
import type { Transaction, TransactionOptions } from './transaction.ts';

/** Everything a `PgPool` is made from. `createPool()` makes one of these out of options and the environment. */
export interface PgPoolSetup {
  readonly core: PoolOptions;
  readonly connector: Omit<ConnectorOptions, 'onClient' | 'onWarning' | 'onNote' | 'evict'>;
  readonly onWarning: (message: string) => void;
  /** A snapshot of the process will be taken: nothing is opened ahead of need until it is restored. @default false */
  readonly beforeSnapshot?: boolean;
  /** The pool for what only reads. @default this pool itself */
  readonly reader?: PgPool | undefined;
}

/** pg's query config, and one word of the caller's. */
export interface PgQueryConfig<I = unknown[]> extends pg.QueryConfig<I> {
  /**
   * Running it twice does no harm: it is sent again when the connection was lost before its result came, instead of
   * failing with `AmbiguousResultError`.
   *
   * @default false
   */
  readonly idempotent?: boolean;
}

/** pg's callback of `connect`. */
export type ConnectCallback = (
  error: Error | undefined,
  client: pg.PoolClient | undefined,
  done: (release?: Error | boolean) => void,
) => void;

/** pg's own default for a row whose shape was not given. */
// oxlint-disable-next-line typescript/no-explicit-any -- as pg's types have it
type Row = any;

/**
 * A pool of PostgreSQL connections that knows that its process is frozen between invocations.
 *
 * It is a `pg.Pool`: whatever takes one takes this. Beyond pg's methods it has `acquire`, `use`, `transaction`, `warm`
 * and `stats`. Make one with `getPool()` or `createPool()`.
 */
export class PgPool extends pg.Pool {
  /** @internal */
  declare readonly [shared]: Shared;
  /** @internal Set on a view that belongs to one invocation. */
  declare readonly [owner]: PoolOwner | undefined;

  /** @throws PoolError `ERR_POOL_INVALID_OPTION` */
  constructor({ core: options, connector, onWarning, beforeSnapshot = false, reader }: PgPoolSetup) {
    super({});
    const factory = new PgConnector({
      ...connector,
      onWarning,
      onClient: (what, client, error) => tellClient(this, what, client, error),
      onNote: (what, detail) => core.note(what, detail),
      evict: (reason, which) => core.evict(reason, which),
    });
    const core: Pool<Session> = new Pool<Session>(factory, { ...options, noun: 'connection', onWarning });
    const { hooks } = connector;
    const { max, idleTimeoutMillis } = core.options;
    Object.assign(this.options, { max, idleTimeoutMillis }, hooks);
    const own: Shared = { core, base: this, reader, writer: !connector.readOnly, beforeSnapshot, ended: false };
    Object.defineProperties(this, {
      [shared]: { value: own },
      [owner]: { value: undefined },
      ending: { get: () => core.closed },
      ended: { get: () => own.ended },
    });
    if (hooks === undefined) return;
    passOnHookErrors(core, hooks);
    if (hooks.log) core.observe(logger(hooks.log));
    if (hooks.Promise) answerWith(this, ['connect', 'query', 'end'], hooks.Promise);
  }

  /**
   * The pool for what only reads: one of its own, with limits of its own, that connects to `readerHost` and, while no
   * reader answers, to the writer. Without `readerHost` it is this pool itself.
   */
  get reader(): PgPool {
    const { reader } = this[shared];
    if (reader === undefined) return this;
    return this[owner] === undefined ? reader : viewOf(reader, this[owner]);
  }

  /** The name it has in warnings and in metrics; a reader's is that of its pool with `:reader` after it. */
  get name(): string {
    return this[shared].core.options.name;
  }

  /** The pool's numbers at this moment. */
  stats(): PoolStats {
    return this[shared].core.stats();
  }

  /**
   * Runs one statement on any connection; the same forms as pg's `pool.query`.
   *
   * @throws AcquireError when no connection can be had; pg's own `DatabaseError` when the statement fails;
   * AmbiguousResultError when the connection was lost after it had been sent.
   */
  override query<T extends pg.Submittable>(queryStream: T): T;
  // biome-ignore format: the overloads of pg's types, which this must match
  override query<R extends unknown[] = unknown[], I = unknown[]>(config: pg.QueryArrayConfig<I>, values?: pg.QueryConfigValues<I>): Promise<pg.QueryArrayResult<R>>;
  override query<R extends pg.QueryResultRow = Row, I = unknown[]>(
    config: PgQueryConfig<I>,
  ): Promise<pg.QueryResult<R>>;
  // biome-ignore format: as above
  override query<R extends pg.QueryResultRow = Row, I = unknown[]>(text: string | pg.QueryConfig<I>, values?: pg.QueryConfigValues<I>): Promise<pg.QueryResult<R>>;
  // biome-ignore format: as above
  override query<R extends unknown[] = unknown[], I = unknown[]>(config: pg.QueryArrayConfig<I>, callback: (error: Error, result: pg.QueryArrayResult<R>) => void): void;
  // biome-ignore format: as above
  override query<R extends pg.QueryResultRow = Row, I = unknown[]>(text: string | pg.QueryConfig<I>, callback: (error: Error, result: pg.QueryResult<R>) => void): void;
  // biome-ignore format: as above
  override query<R extends pg.QueryResultRow = Row, I = unknown[]>(text: string, values: pg.QueryConfigValues<I>, callback: (error: Error, result: pg.QueryResult<R>) => void): void;
  override query(...args: unknown[]): unknown {
    return poolQuery(queryContextOf(this), args);
  }

  /**
   * Lends a client, exactly as pg's `pool.connect`: give it back by `client.release()`.
   *
   * @throws AcquireError when no connection can be had.
   */
  override connect(): Promise<pg.PoolClient>;
  override connect(callback: ConnectCallback): void;
  override connect(callback?: ConnectCallback): Promise<pg.PoolClient> | undefined {
    const lent = lend(this, undefined, this.connect).then(({ lease }) => lease.resource.client);
    if (callback === undefined) return followed(this[owner], lent);
    lent.then(
      (client) => process.nextTick(callback, undefined, client, client.release),
      (error: Error) => process.nextTick(callback, error, undefined, () => {}),
    );
    return undefined;
  }

  /**
   * Lends a connection: `await using lease = await db.acquire()`, then `lease.client`.
   *
   * @throws AcquireError when no connection can be had.
   */
  acquire(options?: PgAcquireOptions): Promise<PgLease> {
    const lent = lend(this, options, this.acquire).then(({ lease, giveBack }) => new PgLease(lease, giveBack));
    return followed(this[owner], lent);
  }

  /** Lends a connection to `fn` for as long as it runs. @throws what `acquire()` and `fn` throw. */
  use<R>(fn: (client: pg.PoolClient) => Promise<R> | R, options?: PgAcquireOptions): Promise<R> {
    return followed(this[owner], use(lend(this, options, this.use), fn));
  }

  /**
   * Runs `fn` in a transaction on one connection: COMMIT when it returns, ROLLBACK when it throws. `tx.transaction()`
   * inside is a savepoint.
   *
   * @throws what `fn` throws; AcquireError when no connection can be had; PoolError `ERR_POOL_TRANSACTION_ABORTED` when
   * `fn` returned after one of its statements had failed.
   */
  transaction<R>(fn: (tx: Transaction) => Promise<R> | R): Promise<R>;
  transaction<R>(options: TransactionOptions & PgAcquireOptions, fn: (tx: Transaction) => Promise<R> | R): Promise<R>;
  transaction<R>(...args: readonly unknown[]): Promise<R> {
    const [options, fn] = (args.length > 1 ? args : [{}, args[0]]) as [
      TransactionOptions & PgAcquireOptions,
      (tx: Transaction) => Promise<R> | R,
    ];
    if (typeof fn !== 'function') {
      return Promise.reject(new TypeError('transaction() takes a function, after its options if there are any'));
    }
    return followed(this[owner], retryTransaction(transactionContextOf(this, options), options, fn));
  }

  /**
   * Makes sure that `count` connections are open and alive; `maxIdle` of them, at least one, unless told. Does nothing
   * before a snapshot is taken (Lambda SnapStart), which no connection outlives.
   */
  async warm(count?: number, options?: PgAcquireOptions): Promise<void> {
    const { core, beforeSnapshot } = this[shared];
    if (!beforeSnapshot) await core.warm(count, withOwner(this, options));
  }

  /**
   * Closes every connection, for a snapshot of the process that is about to be taken: call it in the hook that the
   * runtime offers for that. Resolves when all are closed; those in use are closed as they come back.
   */
  async beforeCheckpoint(): Promise<void> {
    const { core, reader } = this[shared];
    this[shared].beforeSnapshot = true;
    core.evict('closed');
    await Promise.all([core.freeze(), reader?.beforeCheckpoint()]);
  }

  /** The process has been restored from a snapshot: whatever was open is suspect. The first invocation says so as well. */
  async afterRestore(): Promise<void> {
    const { core, reader } = this[shared];
    this[shared].beforeSnapshot = false;
    await Promise.all([core.thaw(), reader?.afterRestore()]);
  }

  /** Refuses new work, waits for what is under way, closes every connection. A second call is an error, as in pg. */
  override end(): Promise<void>;
  override end(callback: () => void): void;
  override end(callback?: (error?: Error) => void): Promise<void> | undefined {
    const ended = end(this[shared]);
    if (callback === undefined) return ended;
    ended.then(
      () => process.nextTick(callback),
      (error: Error) => process.nextTick(callback, error),
    );
    return undefined;
  }

  /** Hears every event of the pool from now on. @returns stops hearing */
  observe(observer: PoolObserver): () => void {
    return this[shared].core.observe(observer);
  }
}

// pg's types call these properties; they are computed here.
for (const [name, read] of Object.entries({
  totalCount: (stats: PoolStats) => stats.total,
  idleCount: (stats: PoolStats) => stats.idle,
  waitingCount: (stats: PoolStats) => stats.waiting,
  // Clients past their lifetime that wait for a timer to end them: there is no such timer.
  expiredCount: () => 0,
})) {
  Object.defineProperty(PgPool.prototype, name, {
    configurable: true,
    get(this: PgPool): number {
      return read(this.stats());
    },
  });
}

// Listeners registered on a view belong to the pool, which outlives it.
for (const name of [
  'on',
  'addListener',
  'once',
  'off',
  'removeListener',
  'removeAllListeners',
  'prependListener',
  'prependOnceListener',
  'emit',
  'setMaxListeners',
  'eventNames',
] as const) {
  const original = EventEmitter.prototype[name] as (...args: unknown[]) => unknown;
  Object.defineProperty(PgPool.prototype, name, {
    configurable: true,
    writable: true,
    value: function onBase(this: PgPool, ...args: unknown[]): unknown {
      const base = this[shared]?.base ?? this;
      const result = original.apply(base, args);
      return result === base ? this : result;
    },
  });
}

async function use<R>(loan: Promise<Loan>, fn: (client: pg.PoolClient) => Promise<R> | R): Promise<R> {
  const { lease, giveBack } = await loan;
  const lent = new PgLease(lease, giveBack);
  try {
    return await fn(lent.client);
  } finally {
    lent[Symbol.dispose]();
  }
}

async function end(own: Shared): Promise<void> {
  if (own.core.closed) {
    throw new PoolError(
      'ERR_POOL_CLOSED',
      'Called end on pool more than once: the pool is closed or closing. See ERR_POOL_CLOSED.',
    );
  }
  const closed = own.core.close();
  refuseAll(own.core);
  await Promise.all([closed, own.reader?.end()]);
  own.ended = true;
}

/** Who comes after the end is told so in the words of pg's pool, for which people search. */
function refuseAll(core: Pool<Session>): void {
  const refusal = (): PoolError =>
    new PoolError(
      'ERR_POOL_CLOSED',
      `Cannot use a pool after calling end on the pool: the pool "${core.options.name}" is closed. End it later, or make a new one. See ERR_POOL_CLOSED.`,
    );
  core.acquire = () => Promise.reject(refusal());
  core.tryAcquire = () => {
    throw refusal();
  };
}
