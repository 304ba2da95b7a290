// `pool.transaction()`: which failures of a transaction are tried again, and which are not.

import { AmbiguousResultError } from './ambiguous-result-error.ts';
import { noBackendError } from './no-backend.ts';
import type { Session } from './session.ts';
import { codeOf } from './sqlstate.ts';
import type { Transaction, TransactionOptions, TransactionProgress } from './transaction.ts';

/** What a transaction needs of its pool. */
export interface TransactionContext {
  /** Lends a connection to `work`. */
  use<R>(work: (session: Session) => Promise<R>): Promise<R>;
  /** A server that must not be written to was found behind a connection: none of its age may be used again. */
  demoted(): void;
  /** It is begun again, after this. */
  retried(error: unknown): void;
}

/** How often BEGIN alone is tried on another connection. */
const mostBegins = 3;
/** Two transactions that were in each other's way wait for up to this, doubled each time, so as not to meet again. */
const firstPauseMillis = 10;
const longestPauseMillis = 1000;

/**
 * Runs `fn` in a transaction, again where that is safe: when nothing has run at all, or when nothing was committed and
 * the caller has asked for `retries`.
 *
 * @throws AmbiguousResultError when the connection was lost after COMMIT was sent.
 */
export async function retryTransaction<R>(
  context: TransactionContext,
  options: TransactionOptions,
  fn: (tx: Transaction) => Promise<R> | R,
): Promise<R> {
  let retries = options.retries ?? 0;
  let pauseMillis = firstPauseMillis;
  // Loaded with the first transaction, while a connection is acquired: many a handler has none. Not awaited before that, or
  // the pool could not tell where it was acquired.
  const machinery = import('./transaction.ts');
  for (let begins = 1; ; ) {
    const progress: TransactionProgress = { phase: 'begin' };
    try {
      return await context.use(async (session) => (await machinery).runTransaction(session, options, fn, progress));
    } catch (error) {
      const { judgeTransactionError } = await machinery;
      if (codeOf(error) === '25006' && options.readOnly !== true) context.demoted();
      const verdict = judgeTransactionError(error, progress);
      if (verdict === 'begin-again' && begins < mostBegins) {
        begins += 1;
        context.retried(error);
        continue;
      }
      const again = verdict === 'run-again' || (verdict === 'ambiguous' && options.idempotent === true);
      if (!again || retries === 0)
        throw verdict === 'ambiguous' ? new AmbiguousResultError('COMMIT', error) : (noBackendError(error) ?? error);
      retries -= 1;
      context.retried(error);
      await new Promise((resolve) => setTimeout(resolve, Math.random() * pauseMillis));
      pauseMillis = Math.min(longestPauseMillis, pauseMillis * 2);
    }
  }
}
