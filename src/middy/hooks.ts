// What a middleware of Middy's is to us, by structure: nothing of Middy itself is needed. Any pool's middleware is made here.

import type { Bound } from '../lambda/binding.ts';
import { endWithBody } from './body-end.ts';

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
export interface MiddyRequest<TContext> {
  context: TContext;
  // oxlint-disable-next-line typescript/no-explicit-any -- Middy has any here; unknown would not be assignable
  response: any;
  error: unknown;
  internal: Record<string, unknown>;
}

/** What `middy().use()` takes; its context is what the handler's context is widened by. */
export interface PoolMiddleware<TContext> {
  before(request: MiddyRequest<TContext>): Promise<void>;
  after(request: MiddyRequest<TContext>): Promise<void>;
  onError(request: MiddyRequest<TContext>): Promise<void>;
}

/**
 * The three hooks around an invocation of a pool.
 *
 * @param begin - begins it with the handler's context
 */
export function poolHooks<Context>(begin: (context: Context) => Promise<Bound<Context>>): PoolMiddleware<Context> {
  type Request = MiddyRequest<Context>;
  // Not in `request.internal`, where a second use of the middleware would find it too and end it in our place.
  const begun = new WeakMap<Request, Bound<Context>>();

  const end = async (request: Request): Promise<void> => {
    const bound = begun.get(request);
    if (bound === undefined) return;
    begun.delete(request);
    await bound.end();
  };

  return {
    async before(request) {
      const bound = await begin(request.context);
      begun.set(request, bound);
      request.context = bound.context;
    },
    // A streamed body is read only after this, and may be reading from a connection.
    async after(request) {
      const streamed = endWithBody(request.response, () => end(request));
      if (streamed === undefined) return end(request);
      request.response = streamed;
    },
    // Runs also when our own `before` did not: then there is nothing to end.
    onError: end,
  };
}
