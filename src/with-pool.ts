import type { CreatePoolOptions } from './create-pool.ts';
import type { ContextLike, Invocation } from './lambda/lifecycle.ts';
import type { PgPool } from './pg/pg-pool.ts';
import { getManaged, type Managed, managedBy } from './registry.ts';

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

/** A pool's share in one invocation. */
export interface Bound<C> {
  readonly managed: Managed;
  readonly invocation: Invocation;
  /** The context with the pool in it, whose work is owned by this invocation. */
  readonly context: C;
}

/** Finds or makes the pool on first use, and begins an invocation of it. */
export async function beginInvocation<C extends ContextLike & object>(
  options: WithPoolOptions<string>,
  given: C,
): Promise<Bound<C>> {
  const { pool, contextKey: key = 'db', ...rest } = options;
  const managed = pool ? managedBy(pool) : getManaged(rest);
  const context = open(given, key);
  const invocation = await managed.lifecycle.begin(context);
  (context as Record<string, unknown>)[key] = managed.control.viewFor(invocation);
  return { managed, invocation, context };
}

/** The context itself where it takes the property; otherwise, frozen or sealed, a copy that does. */
function open<C extends object>(context: C, key: string): C {
  const there = Object.getOwnPropertyDescriptor(context, key);
  if (there === undefined ? Object.isExtensible(context) : there.writable || there.set) return context;
  const { [key]: _, ...others } = Object.getOwnPropertyDescriptors(context) as PropertyDescriptorMap;
  return Object.create(Object.getPrototypeOf(context) as object | null, others) as C;
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
  return async (...args) => {
    // The context comes last; Lambda's old callback, where there is one, comes after it.
    const at = args.findLastIndex((arg, index) => index > 0 && typeof arg === 'object' && arg !== null);
    const last = at < 0 ? 1 : at;
    const { managed, invocation, context } = await beginInvocation(options, (args[last] ?? {}) as ContextLike);
    args[last] = context;
    try {
      return await (handler as (...all: unknown[]) => unknown)(...args);
    } finally {
      await managed.lifecycle.end(invocation);
    }
  };
}
