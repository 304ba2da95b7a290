// A pooler has nobody to hand a statement to: what it says then, and what that means. Pure: an error in, an error out.

import { PoolError } from '../pool/errors.ts';
import { pgbouncerMeaning } from './pgbouncer.ts';
import { codeOf } from './sqlstate.ts';

/** RDS Proxy's words (Amazon RDS User Guide, "Troubleshooting for RDS Proxy"); 08000 is what it gives PostgreSQL's clients. */
const borrowTimeout = /timed[- ]out waiting to acquire (a )?database connection/i;

/** Tells whether a statement has waited at a pooler for a backend for as long as it may: it was never sent on. */
export function hadNoBackend(error: unknown): boolean {
  return pgbouncerMeaning(error) === 'no-backend' || isBorrowTimeout(error);
}

function isBorrowTimeout(error: unknown): boolean {
  return error instanceof Error && codeOf(error) === '08000' && borrowTimeout.test(error.message);
}

/**
 * Makes an error of a statement for which a pooler had no backend in time: it says that the statement did not run, which
 * the pooler's own does not.
 *
 * @returns nothing for any other error
 */
export function noBackendError(error: unknown): PoolError | undefined {
  if (!hadNoBackend(error)) return undefined;
  const { message } = error as Error;
  const text = isBorrowTimeout(error)
    ? `RDS Proxy had no database connection for the statement within its borrow timeout (${message}): the statement did not run. Look for pinned sessions and long transactions, raise MaxConnectionsPercent, or lower the function's concurrency.`
    : `PgBouncer had no server connection for the statement in time (${message}) and closed the connection: the statement did not run. Raise PgBouncer's default_pool_size or query_wait_timeout, or shorten transactions.`;
  return new PoolError('ERR_POOL_NO_BACKEND', `${text} See ERR_POOL_NO_BACKEND.`, { cause: error });
}
