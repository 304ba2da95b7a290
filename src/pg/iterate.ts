// `iterate()`: a statement's rows one by one, fetched a batch at a time as they are asked for.

import type pg from 'pg';
import { PoolError } from '../pool/errors.ts';
import type { Loan, PgAcquireOptions } from './lending.ts';
import { checkSignal, meaningOf, meaningOfWait, QueryAbortedError, signalOf, stopRunning } from './query-signal.ts';
import { refusalOf } from './refusal.ts';
import { RowReader } from './row-reader.ts';
import type { Session } from './session.ts';
import { isClientSideTimeout } from './sqlstate.ts';
import type { PgClientQueryConfig, Row } from './types.ts';

/** How rows are iterated over. */
export interface IterateOptions extends PgAcquireOptions {
  /**
   * Rows that are fetched at a time: so many are in memory, and the server is asked again when they are used up. 1 to
   * 2147483647.
   *
   * @default 100
   */
  readonly batchSize?: number | undefined;
  /** Ends the wait for a connection, and the statement. */
  readonly signal?: AbortSignal | undefined;
}

/** @throws PoolError `ERR_POOL_INVALID_OPTION` */
function batchSizeOf({ batchSize = 100 }: IterateOptions): number {
  // The protocol's Int32.
  if (Number.isInteger(batchSize) && batchSize > 0 && batchSize <= 2_147_483_647) return batchSize;
  throw new PoolError(
    'ERR_POOL_INVALID_OPTION',
    `batchSize must be a whole number from 1 to 2147483647, got ${String(batchSize)}. See ERR_POOL_INVALID_OPTION.`,
  );
}

type Config = PgClientQueryConfig & { readonly rowMode?: unknown };

/** A statement whose rows are wanted, and how. */
export interface Iteration {
  readonly config: Config;
  readonly batchSize: number;
  readonly signal: AbortSignal | undefined;
}

/** Reads what `iterate()` was given. @throws PoolError `ERR_POOL_INVALID_OPTION`; TypeError for a signal that is none */
export function iterationOf(
  statement: string | PgClientQueryConfig,
  values: readonly unknown[] | undefined,
  options: IterateOptions = {},
): Iteration {
  // Not by spreading it alone: these may come from getters of its class.
  const {
    text,
    values: own,
    name,
    types,
    rowMode,
  } = typeof statement === 'string' ? { text: statement } : (statement as Config);
  const { signal: _, ...config } = typeof statement === 'string' ? {} : statement;
  const given: unknown = options.signal ?? signalOf(statement);
  return {
    config: { ...config, text, values: values === undefined ? own : [...values], name, types, rowMode } as Config,
    batchSize: batchSizeOf(options),
    signal: given === undefined ? undefined : checkSignal(given),
  };
}

/** The rows of a statement, on a connection that it has for itself and gives back when it is over, however it ends. */
export async function* rowsOf(
  iteration: Iteration,
  lending: () => Promise<Loan>,
): AsyncGenerator<Row, void, undefined> {
  const { signal } = iteration;
  if (signal?.aborted) throw new QueryAbortedError('not-sent', signal.reason);
  const { lease, giveBack } = await lending().catch((error: unknown) => {
    throw signal ? meaningOfWait(error, signal) : error;
  });
  let lost: Error | undefined;
  try {
    yield* read(lease.resource, iteration);
  } catch (error) {
    // What the driver does not wait for any more may still come.
    if (isClientSideTimeout(error)) lost = error as Error;
    throw refusalOf(lease) ?? error;
  } finally {
    giveBack(lost);
  }
}

async function* read(session: Session, { config, batchSize, signal }: Iteration): AsyncGenerator<Row, void, undefined> {
  if (session.socket === undefined) {
    throw new TypeError("iterate() needs clients that speak the protocol themselves, as pg's Client does");
  }
  session.queried = true;
  const reader = new RowReader(session, config, { batchSize });
  // Between two batches there is nothing for the server to cancel.
  const abort = (): void => {
    if (reader.waiting) void reader.stop().catch(() => {});
    else if (!reader.over) void stopRunning(session);
  };
  let failed = false;
  signal?.addEventListener('abort', abort, { once: true });
  try {
    for (let rows = await reader.next(); rows.length > 0; rows = await reader.next()) {
      for (const row of rows) {
        if (signal?.aborted) await stopped(reader, signal);
        yield row;
      }
    }
    if (signal?.aborted && reader.stopped) await stopped(reader, signal);
  } catch (error) {
    failed = true;
    throw signal?.aborted ? meaningOf(error, signal.reason) : error;
  } finally {
    signal?.removeEventListener('abort', abort);
    // The loop may be left before what it has read is committed: only now it shows whether it can be.
    await (failed ? reader.stop().catch(() => {}) : reader.stop());
  }
}

/** @throws what the statement has failed with as it was stopped, else that it was */
async function stopped(reader: RowReader, { reason }: AbortSignal): Promise<never> {
  await reader.stop();
  throw new QueryAbortedError('stopped', reason);
}

let cursors = 0;

/** The rows of a query inside of a transaction, by a cursor: other statements may run in it between two batches. */
export async function* rowsByCursor(
  { config, batchSize, signal }: Iteration,
  query: (config: PgClientQueryConfig) => Promise<pg.QueryResult>,
): AsyncGenerator<Row, void, undefined> {
  cursors += 1;
  const cursor = `thawpool_c${cursors}`;
  // A name is that of one text.
  const { text, values, name: _, ...shape } = config;
  await query({ text: `DECLARE ${cursor} NO SCROLL CURSOR FOR ${text}`, values: values ?? [], signal });
  try {
    for (;;) {
      const { rows } = await query({ ...shape, text: `FETCH ${batchSize} FROM ${cursor}`, signal });
      for (const row of rows) {
        if (signal?.aborted) throw new QueryAbortedError('stopped', signal.reason);
        yield row;
      }
      if (rows.length < batchSize) return;
    }
  } finally {
    // In a transaction that has failed or ended it is closed already.
    await query({ text: `CLOSE ${cursor}` }).catch(() => {});
  }
}
