import type { CreatePoolOptions } from './create-pool-options.ts';
import { type Bound, bind, boundHandler } from './lambda/binding.ts';
import type { ContextLike } from './lambda/lifecycle.ts';
import type { PgPool } from './pg/pg-pool.ts';
import { getManaged, managedBy } from './registry.ts';

/** Which pool a handler gets, and under which name. */
export interface WithPoolOptions<Key extends string = 'db'> extends CreatePoolOptions {
  /** A pool made before. The other options, which would make one, are not looked at then. */
  readonly pool?: PgPool;
  /** The property of the context that holds the pool. @default 'db' */
  readonly contextKey?: Key;
}

/** A context that has the pool under this key, or nothing. */
type Holder<Key extends string> = object & { readonly [K in Key]?: PgPool };

/** What tells a response stream from a context. */
interface ResponseStream {
  end(): unknown;
}

/** Finds or makes the pool on first use, and begins an invocation of it. */
export async function beginInvocation<C extends ContextLike & object>(
  options: WithPoolOptions<string>,
  given: C,
): Promise<Bound<C>> {
  const { pool, contextKey = 'db', ...rest } = options;
  return bind(pool ? managedBy(pool) : getManaged(rest), given, contextKey);
}

/**
 * Wraps a Lambda handler: its context carries `db`, a pool that survives the freeze. What the handler acquires through
 * it and does not release is taken back at the end of the invocation.
 *
 * Works for streaming handlers too, with the context's type written out, because three parameters are not inferred:
 * `awslambda.streamifyResponse(withPool(async (event: Event, body: Writable, { db }: Context & { db: PgPool }) => …))`.
 *
 * @returns a handler with at most two declared parameters, as Node.js 24 on Lambda requires.
 */
export function withPool<Event, Result, Context extends Holder<Key> = object, Key extends string = 'db'>(
  handler: (event: Event, context: Context & Record<NoInfer<Key>, PgPool>) => Promise<Result> | Result,
  options?: WithPoolOptions<Key>,
): (event: Event, context: Omit<Context, Key>) => Promise<Result>;
export function withPool<
  Event,
  Stream extends ResponseStream,
  Result,
  Context extends Holder<Key> = object,
  Key extends string = 'db',
>(
  handler: (
    event: Event,
    responseStream: Stream,
    context: Context & Record<NoInfer<Key>, PgPool>,
  ) => Promise<Result> | Result,
  options?: WithPoolOptions<Key>,
): (event: Event, responseStream: Stream, context: Omit<Context, Key>) => Promise<Result>;
export function withPool(
  handler: (...args: never[]) => unknown,
  options: WithPoolOptions<string> = {},
): (...args: unknown[]) => Promise<unknown> {
  return boundHandler(handler, (context) => beginInvocation(options, context));
}
