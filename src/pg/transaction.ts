import type pg from 'pg';
import { PoolError } from '../pool/errors.ts';
import type { Lease } from '../pool/index.ts';
import { type IterateOptions, iterationOf, rowsByCursor } from './iterate.ts';
import { hadNoBackend } from './no-backend.ts';
import { refuse } from './query-args.ts';
import { checkSignal, LeaseStop, QueryAbortedError } from './query-signal.ts';
import { refusalOf } from './refusal.ts';
import type { Session } from './session.ts';
import { codeOf, isLostConnection } from './sqlstate.ts';
import { isNeverSent, isSerializationFailure } from './statement-error.ts';
import { settingsStatement, settingsTexts, type TransactionSettings } from './transaction-settings.ts';
import type { PgClientQuery, PgClientQueryConfig, Row } from './types.ts';

/** How a transaction begins. PostgreSQL documentation, SET TRANSACTION. */
export interface TransactionOptions {
  /** @default the server's, which is read committed unless configured otherwise */
  readonly isolationLevel?: 'read committed' | 'repeatable read' | 'serializable';
  /** @default the server's, which is read-write unless configured otherwise */
  readonly readOnly?: boolean;
  /** Waits until a serializable read-only transaction can run without risk of failing; has no effect on others. */
  readonly deferrable?: boolean;
  /**
   * Settings for this transaction alone, made together with BEGIN, and again with each of its retries: the tenant that
   * policies of row-level security go by, a time limit, a role. They hold in nested transactions as well, and are gone
   * after COMMIT and ROLLBACK, so that the connection's next user finds nothing of them. Values travel apart from the
   * statement.
   */
  readonly settings?: TransactionSettings | undefined;
  /**
   * How often the whole transaction, `fn` included, may be run again after a serialization failure (40001), a deadlock
   * (40P01) or a connection that was lost before COMMIT was sent. 0 to 100.
   *
   * @default 0, because what `fn` does outside of the database is done again too
   */
  readonly retries?: number;
  /**
   * Committing it twice does no harm: `retries` then also hold when the connection was lost after COMMIT was sent.
   *
   * @default false
   */
  readonly idempotent?: boolean;
  /**
   * Ends the wait for a connection, and then the transaction: the statement that runs is cancelled, no other is sent,
   * and all is rolled back when `fn` has ended. A COMMIT that was sent is not touched.
   */
  readonly signal?: AbortSignal | undefined;
}

/** How far a transaction has come. */
export interface TransactionProgress {
  phase: 'begin' | 'body' | 'commit';
  /** Its connection could be rolled back: whatever was lost, such as somebody else's socket, it was not this one. */
  rolledBack?: boolean;
}

const levels: Readonly<Record<string, string>> = {
  'read committed': 'READ COMMITTED',
  'repeatable read': 'REPEATABLE READ',
  serializable: 'SERIALIZABLE',
};

/**
 * A transaction that is open. It ends with the function it was handed to: commits when that returns, rolls back when it
 * throws.
 */
export class Transaction {
  readonly #session: Session;
  /** The lease that it runs in: once that is over, the connection is somebody else's. */
  readonly #lease: Lease<Session> | undefined;
  readonly #outer: Transaction | undefined;
  readonly #depth: number;
  readonly #stop: LeaseStop | undefined;
  #open = true;
  /** Savepoints of one connection cannot overlap: the next begins when the one before has ended. */
  #lastNested: Promise<unknown> = Promise.resolve();

  /** @internal */
  constructor(session: Session, outer?: Transaction, stop?: LeaseStop) {
    this.#session = session;
    this.#stop = outer ? outer.#stop : stop;
    this.#lease = outer ? outer.#lease : session.lease;
    this.#outer = outer;
    this.#depth = outer ? outer.#depth + 1 : 0;
  }

  /**
   * Runs a statement in this transaction; the same forms as a pg client's `query`, and `signal` in its config.
   *
   * @throws PoolError `ERR_POOL_TRANSACTION_ENDED` once the transaction has ended, `ERR_POOL_RECLAIMED` once its
   * invocation has.
   */
  readonly query: PgClientQuery = ((...args: unknown[]): unknown => {
    const refusal = this.#open ? (this.#lost() ?? this.#stop?.error) : endedError();
    return refusal === undefined ? this.#session.send(args) : refuse(args, refusal);
  }) as PgClientQuery;

  /**
   * Iterates over the rows of a query, fetched a batch at a time by a cursor, which is closed when the loop ends, however
   * it does. Other statements may run in this transaction meanwhile. For SELECT, VALUES and TABLE, with WITH before them.
   *
   * @throws what `query` throws; PoolError `ERR_POOL_INVALID_OPTION`
   */
  iterate<R extends pg.QueryResultRow = Row>(
    statement: string | PgClientQueryConfig,
    values?: readonly unknown[],
    options?: Pick<IterateOptions, 'batchSize' | 'signal'>,
  ): AsyncGenerator<R, void, undefined> {
    return rowsByCursor(iterationOf(statement, values, options), (config) => this.query(config));
  }

  /**
   * Runs a part of the transaction in a savepoint: what `fn` did is undone when it throws, and the error goes on to the
   * caller, who may catch it and continue. Nested calls made at once run one after the other.
   *
   * It takes no options: modes belong to the whole transaction, and a setting made in a savepoint would outlive it, up
   * to the end of the whole transaction.
   *
   * @throws TypeError for anything but a function.
   * @throws PoolError `ERR_POOL_TRANSACTION_ENDED` once the transaction has ended.
   */
  transaction<R>(fn: (tx: Transaction) => Promise<R> | R): Promise<R> {
    if (typeof fn !== 'function') {
      return Promise.reject(
        new TypeError(
          'tx.transaction() takes a function and no options: give modes and settings to the outermost transaction',
        ),
      );
    }
    const inner = this.#innermost();
    if (inner !== this) return inner.transaction(fn);
    const nested = this.#lastNested.then(() => this.#savepoint(fn));
    this.#lastNested = nested.catch(() => {});
    return nested;
  }

  async #savepoint<R>(fn: (tx: Transaction) => Promise<R> | R): Promise<R> {
    if (!this.#open) throw endedError();
    if (this.#stop?.error) throw this.#stop.error;
    const name = `thawpool_${this.#depth + 1}`;
    await this.run(`SAVEPOINT ${name}`);
    const inner = inside(this.#session, this);
    try {
      const result = await running.run(inner, () => fn(inner));
      await inner.end();
      await this.run(`RELEASE SAVEPOINT ${name}`);
      return result;
    } catch (error) {
      await inner.end();
      await this.undo(`ROLLBACK TO SAVEPOINT ${name}; RELEASE SAVEPOINT ${name}`);
      // in_failed_sql_transaction, out of RELEASE: the statement that failed is not the one that says so.
      throw codeOf(error) === '25P02' ? abortedError('nested', error) : error;
    }
  }

  /** @internal @throws PoolError `ERR_POOL_INVALID_OPTION`, and nothing is sent; `ERR_POOL_RECLAIMED` */
  async begin(options: TransactionOptions): Promise<void> {
    const begin = beginStatement(options);
    const settings = this.#session.binds ? settingsStatement(options.settings) : settingsTexts(options.settings);
    const refusal = this.#lost();
    if (refusal !== undefined) throw refusal;
    try {
      await this.#session.begin(begin, settings);
    } catch (error) {
      // Of the two, BEGIN may have succeeded. Where it has not, a pooler with no backend to spare would have ROLLBACK wait for one.
      if (settings !== undefined) await this.#session.ready().catch(() => {});
      if (settings !== undefined && this.#session.transactionStatus !== 'I') await this.undo('ROLLBACK');
      throw error;
    }
  }

  /** @internal Runs a statement of the transaction's own. @throws PoolError `ERR_POOL_RECLAIMED` */
  async run(text: string): Promise<pg.QueryResult> {
    const refusal = this.#lost();
    if (refusal !== undefined) throw refusal;
    return (await this.#session.sendOwn([text])) as pg.QueryResult;
  }

  /**
   * @internal Rolls back. What cannot be rolled back is no second error: without its connection the server does it by
   * itself, and a session that is still in a transaction is not used again.
   */
  async undo(text: string): Promise<void> {
    if (this.#session.usable) await this.run(text).catch(() => {});
  }

  #lost(): Error | undefined {
    return this.#lease && refusalOf(this.#lease);
  }

  /**
   * The nested transaction in which the caller already is, if it is one of this one: it would wait for itself here.
   */
  #innermost(): Transaction {
    for (let inner = running.getStore(); inner; inner = inner.#outer) {
      if (inner === this) break;
      if (inner.#open && inner.#isInside(this)) return inner;
    }
    return this;
  }

  #isInside(outer: Transaction): boolean {
    return this.#outer !== undefined && (this.#outer === outer || this.#outer.#isInside(outer));
  }

  /** @internal No statement goes through it any more; nested transactions still under way are waited for. */
  async end(): Promise<void> {
    this.#open = false;
    await this.#lastNested;
  }
}

/** Not in the class itself: bundlers give one that speaks of itself another name, and people see it. */
function inside(session: Session, outer: Transaction): Transaction {
  return new Transaction(session, outer);
}

/**
 * Runs `fn` between BEGIN and COMMIT on one connection; ROLLBACK when it throws. Notes in `progress` how far it comes.
 *
 * @throws whatever `fn` throws; PoolError `ERR_POOL_TRANSACTION_ABORTED` when `fn` returned although a statement of it
 * had failed, so that the server rolled back instead of committing.
 */
export async function runTransaction<R>(
  session: Session,
  options: TransactionOptions,
  fn: (tx: Transaction) => Promise<R> | R,
  progress: TransactionProgress,
): Promise<R> {
  const stop = options.signal && new LeaseStop(session, checkSignal(options.signal));
  const tx = new Transaction(session, undefined, stop);
  let result: R;
  try {
    if (stop?.error) throw stop.error;
    await tx.begin(options);
    progress.phase = 'body';
    if (stop?.error) throw stop.error;
    result = await fn(tx);
    await tx.end();
    if (stop?.error) throw new QueryAbortedError('cancelled', stop.error.cause);
  } catch (error) {
    await tx.end();
    if (progress.phase !== 'begin') {
      await tx.undo('ROLLBACK');
      progress.rolledBack = session.usable;
    }
    throw error;
  } finally {
    // COMMIT is not stopped any more: whether it happened would not be known.
    stop?.[Symbol.dispose]();
  }
  progress.phase = 'commit';
  const { command } = await tx.run('COMMIT');
  // PostgreSQL answers COMMIT in a failed transaction with ROLLBACK, and no error.
  if (command === 'ROLLBACK') throw abortedError('outer');
  return result;
}

/** The nested transaction that the code which is running belongs to. */
const { AsyncLocalStorage } = process.getBuiltinModule('node:async_hooks');
const running = new AsyncLocalStorage<Transaction>();

/** What a transaction that failed may still come to. */
export type TransactionVerdict =
  /** Nothing of it has happened, not even `fn`. */
  | 'begin-again'
  /** Nothing was committed; `fn` has run. */
  | 'run-again'
  /** COMMIT was sent, and its answer lost. */
  | 'ambiguous'
  | 'fail';

/** Decides what the failure of a transaction means. Pure. */
export function judgeTransactionError(error: unknown, { phase, rolledBack }: TransactionProgress): TransactionVerdict {
  const lost = isLostConnection(error);
  // Where PgBouncer's queue is too long, another BEGIN would only queue again.
  if (phase === 'begin') return lost && !hadNoBackend(error) ? 'begin-again' : 'fail';
  if (isSerializationFailure(error)) return 'run-again';
  if (!lost || rolledBack) return 'fail';
  return phase === 'commit' && !isNeverSent(error) ? 'ambiguous' : 'run-again';
}

/** @throws PoolError `ERR_POOL_INVALID_OPTION` */
export function beginStatement({ isolationLevel, readOnly, deferrable, retries = 0 }: TransactionOptions): string {
  if (!Number.isInteger(retries) || retries < 0 || retries > 100) {
    throw new PoolError(
      'ERR_POOL_INVALID_OPTION',
      `retries must be a whole number from 0 to 100, got ${String(retries)}. See ERR_POOL_INVALID_OPTION.`,
    );
  }
  const modes: string[] = [];
  if (isolationLevel !== undefined) {
    const level = Object.hasOwn(levels, isolationLevel) ? levels[isolationLevel] : undefined;
    if (level === undefined) {
      const allowed = Object.keys(levels).join(', ');
      throw new PoolError(
        'ERR_POOL_INVALID_OPTION',
        `isolationLevel must be one of ${allowed}, got ${JSON.stringify(isolationLevel)}. See ERR_POOL_INVALID_OPTION.`,
      );
    }
    modes.push(`ISOLATION LEVEL ${level}`);
  }
  if (readOnly !== undefined) modes.push(readOnly ? 'READ ONLY' : 'READ WRITE');
  if (deferrable !== undefined) modes.push(deferrable ? 'DEFERRABLE' : 'NOT DEFERRABLE');
  return ['BEGIN', ...modes].join(' ');
}

function endedError(): PoolError {
  return new PoolError(
    'ERR_POOL_TRANSACTION_ENDED',
    'This transaction has ended: nothing more can run in it. Await every statement before the function given to transaction() returns. See ERR_POOL_TRANSACTION_ENDED.',
  );
}

function abortedError(which: 'outer' | 'nested', cause?: unknown): PoolError {
  return new PoolError(
    'ERR_POOL_TRANSACTION_ABORTED',
    which === 'outer'
      ? 'Nothing was committed: a statement of the transaction had failed and its error was caught, so PostgreSQL rolled everything back at COMMIT. Let the error out, or run that part in a nested tx.transaction(). See ERR_POOL_TRANSACTION_ABORTED.'
      : 'The nested transaction was rolled back: a statement of it had failed and its error was caught, after which PostgreSQL runs nothing more in it. Let the error out of the nested transaction and catch it there. See ERR_POOL_TRANSACTION_ABORTED.',
    cause === undefined ? undefined : { cause },
  );
}
