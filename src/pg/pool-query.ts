// `pool.query()`: acquire, run one statement, release. Kept apart because it is the hottest path there is.

import pg from 'pg';
import type { AcquireOptions, Lease, Pool } from '../pool/index.ts';
import { followed } from '../pool/running-work.ts';
import { AmbiguousResultError } from './ambiguous-result-error.ts';
import { noBackendError } from './no-backend.ts';
import type { PgNote } from './opener.ts';
import { checkSignal, meaningOfWait, sendWithSignal, signalOf } from './query-signal.ts';
import type { Session } from './session.ts';
import { codeOf, isClientSideTimeout } from './sqlstate.ts';
import { judgeStatementError } from './statement-error.ts';
import { whenOver } from './submittable.ts';

type QueryCallback = (error: Error | undefined, result?: unknown) => void;
type AnyQuery = (...args: readonly unknown[]) => unknown;

/** What a query needs of its pool. */
export interface QueryContext {
  readonly core: Pool<Session>;
  readonly acquire: AcquireOptions | undefined;
  /** The pool is for writing. */
  readonly writer: boolean;
  /** Ends the statement. */
  readonly signal?: AbortSignal;
  /** Tells the pool's listeners of what was done with a client. */
  tell(what: 'acquire' | 'release', session: Session, error?: Error): void;
}

/** A statement that keeps failing for want of a connection is a matter for the caller. */
const mostAttempts = 3;

/**
 * Runs one statement on a connection of the pool, in all forms that pg's `pool.query` takes. One that provably did not
 * run is run again on another connection.
 *
 * @returns a promise, or nothing where a callback was given
 */
export function poolQuery(
  context: QueryContext,
  [text, values, callback]: readonly unknown[],
): Promise<unknown> | undefined {
  if (typeof values === 'function') return poolQuery(context, [text, undefined, values]);
  if (typeof text === 'function') return refuseFunction(text as QueryCallback);
  const limited = typeof text === 'string' ? undefined : signalOf(text);
  const result = limited === undefined ? query(context, text, values) : abortable(context, text, values, limited);
  if (typeof callback !== 'function') return followed(context.acquire?.owner, result);
  const done = callback as QueryCallback;
  // Out of the promise, so that what the callback throws is the caller's uncaught exception and not a lost rejection.
  result.then(
    (rows) => process.nextTick(done, undefined, rows),
    (error: Error) => process.nextTick(done, error),
  );
  return undefined;
}

/** As pg does: the function is taken for a callback that has lost its statement, and is told so. */
function refuseFunction(callback: QueryCallback): undefined {
  const error = new TypeError('Passing a function as the first parameter to pool.query is not supported');
  setImmediate(callback, error);
  return undefined;
}

async function abortable(context: QueryContext, config: unknown, values: unknown, given: unknown): Promise<unknown> {
  const signal = checkSignal(given);
  try {
    return await query({ ...context, signal, acquire: { ...context.acquire, signal } }, config, values);
  } catch (error) {
    throw meaningOfWait(error, signal);
  }
}

async function query(context: QueryContext, text: unknown, values: unknown): Promise<unknown> {
  const { core, acquire, writer } = context;
  for (let attempt = 1; ; attempt += 1) {
    const lease = core.tryAcquire(acquire?.owner) ?? (await core.acquire(acquire));
    try {
      return await run(lease, context, text, values);
    } catch (error) {
      // The driver's own stack ends in the socket; this one leads to whoever asked.
      if (error instanceof Error) Error.captureStackTrace(error);
      const verdict = judgeStatementError(error, { idempotent: isIdempotent(text), first: true, writer });
      if (verdict === 'fail') throw noBackendError(error) ?? error;
      if (verdict === 'ambiguous') throw new AmbiguousResultError('statement', error);
      if (attempt === mostAttempts || isSubmittable(text)) throw error;
      if (verdict === 'demoted') core.evict('invalid');
      core.note('statement-retried' satisfies PgNote, codeOf(error));
    }
  }
}

function run(lease: Lease<Session>, { tell, signal }: QueryContext, text: unknown, values: unknown): Promise<unknown> {
  const session = lease.resource;
  session.lease = lease;
  tell('acquire', session);
  return new Promise((resolve, reject) => {
    let answered = false;
    const done = (error?: Error, result?: unknown, told?: Error): void => {
      // A value that cannot be bound is told twice: as an error, and when the server is ready again (pg 8.23, lib/query.js).
      if (answered) return;
      answered = true;
      if (error) {
        tell('release', session, error);
        giveBack(lease, error);
        reject(error);
      } else {
        tell('release', session, told);
        if (told) giveBack(lease, told);
        else lease.release();
        resolve(result);
      }
    };
    try {
      if (typeof text !== 'string' && isSubmittable(text)) {
        // What it failed with, it has told by itself.
        whenOver(text, (error) => {
          if (!answered) done(undefined, undefined, error);
        });
      }
      if (signal === undefined) session.ask(text, values, done);
      else sendWithSignal(session, [text, values, done], (args) => (session.query as AnyQuery)(...session.admit(args)));
    } catch (error) {
      done(error as Error);
    }
  });
}

/** A statement that failed leaves a sound connection behind, unless the driver gave up waiting for its answer. */
function giveBack(lease: Lease<Session>, error: Error): void {
  if (isClientSideTimeout(error)) lease.destroy(error);
  else lease.release({ proven: error instanceof pg.DatabaseError });
}

/** The caller's word that running it twice does no harm. */
function isIdempotent(config: unknown): boolean {
  return (config as { idempotent?: unknown } | null | undefined)?.idempotent === true;
}

function isSubmittable(config: unknown): boolean {
  return typeof (config as { submit?: unknown } | null | undefined)?.submit === 'function';
}
