// The Middy middleware: `middy().use(pgPool())` puts a pool into the context. Middy itself is typed by structure, so that
// nothing of it is needed to use the rest of the package.

import type { PgPool } from '../pg/pg-pool.ts';
import { type Bound, beginInvocation, type WithPoolOptions } from '../with-pool.ts';
import { endWithBody } from './body-end.ts';

export type { PgPool } from '../pg/pg-pool.ts';

/** Options of the middleware: which pool, under which name. */
export type PgPoolMiddlewareOptions<Key extends string = 'db'> = WithPoolOptions<Key>;

/** The part of a Lambda context that Middy asks of every middleware, in the words of `@types/aws-lambda`. */
export interface LambdaContext {
  callbackWaitsForEmptyEventLoop: boolean;
  functionName: string;
  functionVersion: string;
  invokedFunctionArn: string;
  memoryLimitInMB: string;
  awsRequestId: string;
  logGroupName: string;
  logStreamName: string;
  getRemainingTimeInMillis(): number;
  done(error?: Error, result?: unknown): void;
  fail(error: Error | string): void;
  succeed(messageOrObject: unknown): void;
}

/** One run of a Middy handler, as far as this middleware looks at it. */
interface MiddyRequest<TContext> {
  context: TContext;
  // oxlint-disable-next-line typescript/no-explicit-any -- Middy has any here; unknown would not be assignable
  response: any;
  error: unknown;
  internal: Record<string, unknown>;
}

/** What `middy().use()` takes; its context is what the handler's context is widened by. */
export interface PgPoolMiddleware<TContext> {
  before(request: MiddyRequest<TContext>): Promise<void>;
  after(request: MiddyRequest<TContext>): Promise<void>;
  onError(request: MiddyRequest<TContext>): Promise<void>;
}

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
): PgPoolMiddleware<LambdaContext & Record<Key, PgPool>> {
  type Context = LambdaContext & Record<Key, PgPool>;
  type Request = MiddyRequest<Context>;
  // Not in `request.internal`, where a second use of the middleware would find it too and end it in our place.
  const begun = new WeakMap<Request, Bound<Context>>();

  const end = async (request: Request): Promise<void> => {
    const bound = begun.get(request);
    if (bound === undefined) return;
    begun.delete(request);
    await bound.managed.lifecycle.end(bound.invocation);
  };

  const pgPoolMiddlewareBefore = async (request: Request): Promise<void> => {
    const bound = await beginInvocation(options as WithPoolOptions<string>, request.context);
    begun.set(request, bound);
    request.context = bound.context;
  };

  // A streamed body is read only after this, and may be reading from a connection.
  const pgPoolMiddlewareAfter = async (request: Request): Promise<void> => {
    const streamed = endWithBody(request.response, () => end(request));
    if (streamed === undefined) return end(request);
    request.response = streamed;
  };

  // Runs also when our own `before` did not: then there is nothing to end.
  const pgPoolMiddlewareOnError = (request: Request): Promise<void> => end(request);

  return { before: pgPoolMiddlewareBefore, after: pgPoolMiddlewareAfter, onError: pgPoolMiddlewareOnError };
}

export default pgPool;
