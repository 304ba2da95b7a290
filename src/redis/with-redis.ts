import { type Bound, bind, boundHandler } from '../lambda/binding.ts';
import type { ContextLike } from '../lambda/lifecycle.ts';
import { type LambdaContext, type MiddyRequest, type PoolMiddleware, poolHooks } from '../middy/hooks.ts';
import type { RedisPoolOptions } from './options.ts';
import type { RedisPool } from './redis-pool.ts';
import { getManagedRedis, managedRedisBy } from './registry.ts';

/** Which pool a handler gets, and under which name. */
export interface WithRedisOptions<Key extends string = 'redis'> extends RedisPoolOptions {
  /** A pool made before. The other options, which would make one, are not looked at then. */
  readonly pool?: RedisPool;
  /** The property of the context that holds the pool. @default 'redis' */
  readonly contextKey?: Key;
}

/** A context that has the pool under this key, or nothing. */
type Holder<Key extends string> = object & { readonly [K in Key]?: RedisPool };

async function begin<C extends ContextLike & object>(options: WithRedisOptions<string>, given: C): Promise<Bound<C>> {
  const { pool, contextKey = 'redis', ...rest } = options;
  return bind(pool ? managedRedisBy(pool) : getManagedRedis(rest), given, contextKey);
}

/**
 * Wraps a Lambda handler: its context carries `redis`, a pool that survives the freeze. What the handler acquires through
 * it and does not release is taken back at the end of the invocation.
 */
export function withRedis<Event, Result, Context extends Holder<Key> = object, Key extends string = 'redis'>(
  handler: (event: Event, context: Context & Record<NoInfer<Key>, RedisPool>) => Promise<Result> | Result,
  options: WithRedisOptions<Key> = {},
): (event: Event, context: Omit<Context, Key>) => Promise<Result> {
  return boundHandler(handler, (context) => begin(options as WithRedisOptions<string>, context)) as (
    event: Event,
    context: Omit<Context, Key>,
  ) => Promise<Result>;
}

/**
 * The Middy middleware: `middy().use(redisPool())` puts a pool into the handler's context, as `redis`. It does for Redis
 * what `pgPool()` does for PostgreSQL, and both can be used around one handler.
 *
 * @throws PoolError `ERR_POOL_INVALID_OPTION` or `ERR_POOL_NAME_CONFLICT` from `before`.
 */
export function redisPool<Key extends string = 'redis'>(
  options: WithRedisOptions<Key> = {},
): PoolMiddleware<LambdaContext & Record<Key, RedisPool>> {
  type Context = LambdaContext & Record<Key, RedisPool>;
  type Request = MiddyRequest<Context>;
  const hooks = poolHooks<Context>((context) => begin(options as WithRedisOptions<string>, context));
  // Profilers print these names.
  const redisPoolMiddlewareBefore = (request: Request): Promise<void> => hooks.before(request);
  const redisPoolMiddlewareAfter = (request: Request): Promise<void> => hooks.after(request);
  const redisPoolMiddlewareOnError = (request: Request): Promise<void> => hooks.onError(request);
  return { before: redisPoolMiddlewareBefore, after: redisPoolMiddlewareAfter, onError: redisPoolMiddlewareOnError };
}
