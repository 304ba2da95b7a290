// Pools that live as long as the process. Kept on `globalThis`, so that two copies of this package in one bundle share.

import { createParts, type PoolParts } from './create-pool.ts';
import type { CreatePoolOptions } from './create-pool-options.ts';
import { type Managed as ManagedPool, manage as manageAny, managedOf, refuseOthers, sharedMap } from './managed.ts';
import { controlOf, type PoolControl } from './pg/control.ts';
import type { PgPool } from './pg/pg-pool.ts';
import { PoolError } from './pool/index.ts';

/** A pool, its controls and the lifecycle that drives them. */
export type Managed = ManagedPool<PgPool, PoolControl>;

interface Registered extends Managed {
  readonly options: CreatePoolOptions;
}

/**
 * Makes a pool of its own, not shared by name. Nothing is opened until somebody needs a connection.
 *
 * @throws PoolError `ERR_POOL_INVALID_OPTION`
 */
export function createPool(options: CreatePoolOptions = {}): PgPool {
  return manage(createParts(options)).pool;
}

/**
 * The pool of this name: made on the first call, the same one ever after, also for another copy of this package in the
 * process. Nothing is opened until somebody needs a connection.
 *
 * @throws PoolError `ERR_POOL_INVALID_OPTION`; `ERR_POOL_NAME_CONFLICT` when the pool of this name was made with other
 * options. Without any options but the name it returns whatever there is.
 */
export function getPool(options: CreatePoolOptions = {}): PgPool {
  return getManaged(options).pool;
}

/** The pool of this name with its lifecycle. One that was ended is replaced. */
export function getManaged(options: CreatePoolOptions = {}): Managed {
  const pools = sharedMap<Registered>('thawpool.registry');
  const name = options.name ?? 'default';
  const known = pools.get(name);
  if (known && !known.pool.ending) {
    refuseOthers(`The pool "${name}"`, known.options, options, plain);
    return known;
  }
  const made: Registered = { ...manage(createParts(options)), options };
  pools.set(name, made);
  return made;
}

/** The lifecycle of a pool that somebody else made by `createPool()` or `getPool()`. */
export function managedBy(pool: PgPool): Managed {
  const managed = managedOf(pool);
  if (managed !== undefined) return managed as Managed;
  throw new PoolError(
    'ERR_POOL_INVALID_OPTION',
    'The pool option takes a pool made by createPool() or getPool(); this one was not. See ERR_POOL_INVALID_OPTION.',
  );
}

function manage({ pool, ...facts }: PoolParts): Managed {
  return manageAny(pool, controlOf(pool), facts);
}

/** Options whose values say nothing secret, and are said in one word. */
const plain: ReadonlySet<string> = new Set([
  ...['max', 'maxIdle', 'acquireTimeoutMillis', 'connectionTimeoutMillis', 'validateAfterIdleMillis'],
  ...['validateTimeoutMillis', 'idleTimeoutMillis', 'maxLifetimeMillis', 'maxLifetimeSeconds'],
  ...['statementTimeoutMillis', 'deadlineReserveMillis', 'readOnly', 'reset', 'auth', 'route', 'sslMode'],
  ...['sslNegotiation', 'proxyHost', 'proxyFallback', 'pinning', 'readerHost', 'readerMax', 'secretArn'],
  ...['metrics', 'metricsNamespace'],
  ...['host', 'port', 'database', 'user', 'application_name'],
]);
