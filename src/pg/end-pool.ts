// How a `PgPool` ends. Its words are those of pg's pool, for which people search.

import { type Pool, PoolError } from '../pool/index.ts';
import type { Shared } from './lending.ts';
import type { Session } from './session.ts';

/** Ends a pool and its reader. @throws PoolError `ERR_POOL_CLOSED` the second time */
export async function endPool(own: Shared): Promise<void> {
  if (own.core.closed) {
    throw new PoolError(
      'ERR_POOL_CLOSED',
      'Called end on pool more than once: the pool is closed or closing. See ERR_POOL_CLOSED.',
    );
  }
  const closed = own.core.close();
  refuseAll(own.core);
  // It may have been ended by itself.
  const ending = own.reader?.ending === false ? own.reader.end() : undefined;
  await Promise.all([closed, ending]);
  own.ended = true;
}

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
