// A `pg.Pool` whose pool is ours: the documented methods, events and counters of pg's own, kept by the generic core.
// It must not know of Lambda or Middy: an invocation is an owner with a deadline to it.

import pg from 'pg';
import { Pool, type PoolObserver, type PoolOptions, type PoolStats } from '../pool/index.ts';
import { followed } from '../pool/running-work.ts';
import { type ConnectorOptions, PgConnector } from './connector.ts';
import { endPool } from './end-pool.ts';
import { type IterateOptions, iterationOf, rowsOf } from './iterate.ts';
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
  viewClassOf,
  viewOf,
  withOwner,
} from './lending.ts';
import { PgLease } from './pg-lease.ts';
import { answerWith, logger, passOnHookErrors } from './pool-hooks.ts';
import { poolQuery } from './pool-query.ts';
import { checkSignal, LeaseStop, refuseOnceStopped } from './query-signal.ts';
import { retryTransaction } from './run-transaction.ts';
import type { Session } from './session.ts';
import type { Transaction, TransactionOptions } from './transaction.ts';
import type { PgClient, PgClientQueryConfig, PgQueryConfig, Row } from './types.ts';

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

/** pg's callback of `connect`. */
export type ConnectCallback = (
  error: Error | undefined,
  client: PgClient | undefined,
  done: (release?: Error | boolean) => void,
) => void;

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
      timers: options.clock,
      onWarning,
      onClient: (what, client, error) => tellClient(this, what, client, error),
      onNote: (what, detail) => core.note(what, detail),
      evict: (reason, which) => core.evict(reason, which),
    });
    const core: Pool<Session> = new Pool<Session>(factory, { ...options, noun: 'connection', onWarning });
    const { hooks } = connector;
    const { max, idleTimeoutMillis } = core.options;
    Object.assign(this.options, { max, idleTimeoutMillis }, hooks);
    const writer = !connector.readOnly;
    const own: Shared = { core, base: this, reader, writer, beforeSnapshot, ended: false, View: viewClassOf(this) };
    Object.defineProperties(this, {
      [shared]: { value: own },
      [owner]: { value: undefined, writable: true },
      // Of its own class and `options` pg's pool can make a client; ours connects by more than these. Kysely, which would
      // cancel a query so, takes a connection of the pool where there is no class.
      Client: { value: undefined },
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
   * Lends a client, exactly as pg's `pool.connect`: give it back by `client.release()`. A signal ends the wait for it.
   *
   * @throws AcquireError when no connection can be had.
   */
  override connect(options?: PgAcquireOptions): Promise<PgClient>;
  override connect(callback: ConnectCallback): void;
  override connect(given?: ConnectCallback | PgAcquireOptions): Promise<PgClient> | undefined {
    const [callback, options] = typeof given === 'function' ? [given] : [undefined, given];
    const lent = lend(this, options, this.connect).then(({ lease }) => lease.resource.client);
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

  /**
   * Lends a connection to `fn` for as long as it runs. A signal ends the wait for it, and then the statement that runs on
   * it; none is sent after that but ROLLBACK.
   *
   * @throws what `acquire()` and `fn` throw.
   */
  use<R>(fn: (client: PgClient) => Promise<R> | R, options?: PgAcquireOptions): Promise<R> {
    return followed(this[owner], use(lending(this, options, this.use), fn, options?.signal));
  }

  /**
   * Iterates over the rows of a statement, fetched a batch at a time as they are asked for, on a connection of its own:
   * `for await (const row of db.iterate('select …', values, { batchSize: 500 }))`. The connection is given back when the
   * loop ends, however it does.
   *
   * @throws what `acquire()` throws; what the statement fails with, in the middle too; QueryAbortedError; PoolError
   * `ERR_POOL_INVALID_OPTION`.
   */
  iterate<R extends pg.QueryResultRow = Row>(
    statement: string | PgClientQueryConfig,
    values?: readonly unknown[],
    options?: IterateOptions,
  ): AsyncGenerator<R, void, undefined> {
    const iteration = iterationOf(statement, values, options);
    return rowsOf(iteration, () => lend(this, { ...options, signal: iteration.signal }, this.iterate));
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
    const ended = endPool(this[shared]);
    if (callback === undefined) return ended;
    ended.then(
      () => process.nextTick(callback),
      (error: Error) => process.nextTick(callback, error),
    );
    return undefined;
  }

  /** Ends the pool, unless that was done: `await using pool = createPool()`. */
  async [Symbol.asyncDispose](): Promise<void> {
    if (!this.ending) await this.end();
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
  const original = pg.Pool.prototype[name] as (...args: unknown[]) => unknown;
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

/** Lends, unless the signal is none: refused later, it would be after something was lent. */
async function lending(
  pool: PgPool,
  options: PgAcquireOptions | undefined,
  from: (...args: never[]) => unknown,
): Promise<Loan> {
  if (options?.signal !== undefined) checkSignal(options.signal);
  return lend(pool, options, from);
}

async function use<R>(
  loan: Promise<Loan>,
  fn: (client: PgClient) => Promise<R> | R,
  signal: AbortSignal | undefined,
): Promise<R> {
  const { lease, giveBack } = await loan;
  const lent = new PgLease(lease, giveBack);
  const stop = signal && new LeaseStop(lease.resource, signal);
  const admitAgain = stop && refuseOnceStopped(lease.resource, stop);
  try {
    return await fn(lent.client);
  } finally {
    stop?.[Symbol.dispose]();
    admitAgain?.();
    lent[Symbol.dispose]();
  }
}
