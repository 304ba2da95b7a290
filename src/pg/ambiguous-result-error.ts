import { PoolError } from '../pool/index.ts';

/**
 * The connection was lost after a statement had been sent and before its result came: it may or may not have run. The
 * driver's error is the `cause`.
 */
export class AmbiguousResultError extends PoolError {
  declare readonly code: 'ERR_POOL_AMBIGUOUS_RESULT';

  constructor(what: 'statement' | 'COMMIT', cause: unknown) {
    const why = cause instanceof Error ? cause.message : String(cause);
    const advice =
      what === 'COMMIT'
        ? 'Look whether its effects are there before doing it again, or make it idempotent and say so: transaction({ idempotent: true, retries }, fn).'
        : 'Look whether its effects are there before running it again, or, if running it twice does no harm, say so: query({ text, values, idempotent: true }).';
    super(
      'ERR_POOL_AMBIGUOUS_RESULT',
      `The connection was lost (${why}) after the ${what} had been sent: it may or may not have run, and was not sent again. ${advice} See ERR_POOL_AMBIGUOUS_RESULT.`,
      { cause },
    );
    this.name = 'AmbiguousResultError';
  }
}
