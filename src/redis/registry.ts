// Makes pools of Redis connections, and keeps those that have a name.

import { type Managed, manage, managedOf, refuseOthers, sharedMap } from '../managed.ts';
import { Pool, PoolError, type PoolOptions, systemClock } from '../pool/index.ts';
import { RedisConnector } from './connector.ts';
import { controlOf, type RedisControl } from './control.ts';
import { metricsOf, placeOf, type RedisPoolOptions } from './options.ts';
import { RedisPool } from './redis-pool.ts';

/** A pool, its controls and the lifecycle that drives them. */
export type ManagedRedis = Managed<RedisPool, RedisControl>;

interface Registered extends ManagedRedis {
  readonly options: RedisPoolOptions;
}

/** As for PostgreSQL: kept back at the end of an invocation to close what still runs. */
const deadlineReserveDefault = 250;

/**
 * Makes a pool of its own, not shared by name. Nothing is loaded or opened until somebody needs a connection.
 *
 * @throws PoolError `ERR_POOL_INVALID_OPTION`
 */
export function createRedisPool(options: RedisPoolOptions = {}): RedisPool {
  return make(options).pool;
}

/**
 * The pool of this name: made on the first call, the same one ever after, also for another copy of this package in the
 * process. Its names are its own: a PostgreSQL pool of the same name is another one.
 *
 * @throws PoolError `ERR_POOL_INVALID_OPTION`; `ERR_POOL_NAME_CONFLICT` when the pool of this name was made with other
 * options. Without any options but the name it returns whatever there is.
 */
export function getRedis(options: RedisPoolOptions = {}): RedisPool {
  return getManagedRedis(options).pool;
}

/** The pool of this name with its lifecycle. One that was ended is replaced. */
export function getManagedRedis(options: RedisPoolOptions = {}): ManagedRedis {
  const pools = sharedMap<Registered>('thawpool.redis');
  const name = options.name ?? 'redis';
  const known = pools.get(name);
  if (known && !known.pool.ended) {
    refuseOthers(`The Redis pool "${name}"`, known.options, options, plain);
    return known;
  }
  const made: Registered = { ...make(options), options };
  pools.set(name, made);
  return made;
}

/** The lifecycle of a pool that somebody else made by `createRedisPool()` or `getRedis()`. */
export function managedRedisBy(pool: RedisPool): ManagedRedis {
  const managed = managedOf(pool);
  if (managed !== undefined) return managed as ManagedRedis;
  throw new PoolError(
    'ERR_POOL_INVALID_OPTION',
    'The pool option takes a pool made by createRedisPool() or getRedis(); this one was not. See ERR_POOL_INVALID_OPTION.',
  );
}

function make(options: RedisPoolOptions): ManagedRedis {
  const { env = process.env, clock = systemClock, deadlineReserveMillis = deadlineReserveDefault } = options;
  if (!(Number.isInteger(deadlineReserveMillis) && deadlineReserveMillis >= 0)) {
    throw new PoolError(
      'ERR_POOL_INVALID_OPTION',
      `deadlineReserveMillis must be a whole number of milliseconds, 0 or more, got ${String(deadlineReserveMillis)}. See ERR_POOL_INVALID_OPTION.`,
    );
  }
  const metrics = metricsOf(options, env);
  const connector = new RedisConnector(placeOf(options, env), options);
  const core = new Pool(connector, { ...limitsOf(options), noun: 'Redis connection' });
  const { onWarning } = core.options;
  const pool = new RedisPool(core);
  return manage(pool, controlOf(pool), { clock, env, deadlineReserveMillis, onWarning, metrics });
}

function limitsOf(options: RedisPoolOptions): PoolOptions {
  const { name = 'redis', max, maxIdle, acquireTimeoutMillis, validateAfterIdleMillis, clock } = options;
  const { validateTimeoutMillis, idleTimeoutMillis, maxLifetimeMillis, onWarning } = options;
  const given = { max, maxIdle, acquireTimeoutMillis, validateAfterIdleMillis, validateTimeoutMillis, clock };
  const all = { name, ...given, idleTimeoutMillis, maxLifetimeMillis, onWarning: onWarning && harmless(onWarning) };
  return Object.fromEntries(Object.entries(all).filter(([, value]) => value !== undefined));
}

/** What a listener throws must not fail an invocation. */
function harmless(onWarning: (message: string) => void): (message: string) => void {
  return (message) => {
    try {
      onWarning(message);
    } catch {
      // Nobody is left to tell.
    }
  };
}

/** Options whose values say nothing secret, and are said in one word. */
const plain: ReadonlySet<string> = new Set([
  ...['username', 'database', 'max', 'maxIdle', 'acquireTimeoutMillis', 'validateAfterIdleMillis'],
  ...['validateTimeoutMillis', 'idleTimeoutMillis', 'maxLifetimeMillis', 'deadlineReserveMillis'],
  ...['metrics', 'metricsNamespace'],
]);
