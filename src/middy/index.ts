// The Middy middleware: `middy().use(pgPool())` puts a pool into the context. Middy itself is typed by structure, so that
// nothing of it is needed to use the rest of the package.

import type { PgPool } from '../pg/pg-pool.ts';
import { beginInvocation, type WithPoolOptions } from '../with-pool.ts';
import { type LambdaContext, type MiddyRequest, type PoolMiddleware, poolHooks } from './hooks.ts';

export type { PgPool } from '../pg/pg-pool.ts';
export type { LambdaContext, PoolMiddleware as PgPoolMiddleware } from './hooks.ts';

/** Options of the middleware: which pool, under which name. */
export type PgPoolMiddlewareOptions<Key extends string = 'db'> = WithPoolOptions<Key>;

/**
 * Puts a connection pool that survives the freeze into the handler's context, as `db`.
 *
 * The pool is made in the first invocation; nothing is opened before somebody needs a connection. `before` takes note of
 * the thaw and starts proving the idle connection; `after` and `onError` take back what was not released and close what
 * is above `maxIdle`. Neither is needed for the next invocation to be right.
 *
 * @throws PoolError `ERR_POOL_INVALID_OPTION` or `ERR_POOL_NAME_CONFLICT` from `before`.
 */
export function pgPool<Key extends string = 'db'>(
  options: PgPoolMiddlewareOptions<Key> = {},
): PoolMiddleware<LambdaContext & Record<Key, PgPool>> {
  type Context = LambdaContext & Record<Key, PgPool>;
  type Request = MiddyRequest<Context>;
  const hooks = poolHooks<Context>((context) => beginInvocation(options as WithPoolOptions<string>, context));
  // Profilers print these names.
  const pgPoolMiddlewareBefore = (request: Request): Promise<void> => hooks.before(request);
  const pgPoolMiddlewareAfter = (request: Request): Promise<void> => hooks.after(request);
  const pgPoolMiddlewareOnError = (request: Request): Promise<void> => hooks.onError(request);
  return { before: pgPoolMiddlewareBefore, after: pgPoolMiddlewareAfter, onError: pgPoolMiddlewareOnError };
}

export default pgPool;
