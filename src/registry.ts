// Pools that live as long as the process. Kept on `globalThis`, so that two copies of this package in one bundle share.

import { isDeepStrictEqual } from 'node:util';
import { type CreatePoolOptions, createParts, type PoolParts } from './create-pool.ts';
import { Lifecycle } from './lambda/lifecycle.ts';
import { closeOnSigterm } from './lambda/shutdown.ts';
import { controlOf, type PoolControl } from './pg/control.ts';
import type { PgPool } from './pg/pg-pool.ts';
import { PoolError } from './pool/index.ts';
import { startMeter } from './telemetry/recorder.ts';

/** A pool, its controls and the lifecycle that drives them. */
export interface Managed {
  readonly pool: PgPool;
  readonly control: PoolControl;
  readonly lifecycle: Lifecycle;
}

interface Registered extends Managed {
  readonly options: CreatePoolOptions;
}

const key = Symbol.for('thawpool.registry');

function registry(): Map<string, Registered> {
  const holder = globalThis as { [key]?: Map<string, Registered> };
  holder[key] ??= new Map();
  return holder[key];
}

/** Where a pool keeps its lifecycle: on itself, so that its views and another copy of this package find it too. */
const managedKey = Symbol.for('thawpool.managed');

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
  const pools = registry();
  const name = options.name ?? 'default';
  const known = pools.get(name);
  if (known && !known.pool.ending) {
    refuseOthers(name, known.options, options);
    return known;
  }
  const made: Registered = { ...manage(createParts(options)), options };
  pools.set(name, made);
  return made;
}

/** The lifecycle of a pool that somebody else made by `createPool()` or `getPool()`. */
export function managedBy(pool: PgPool): Managed {
  const managed = (pool as { readonly [managedKey]?: Managed } | null)?.[managedKey];
  if (managed) return managed;
  throw new PoolError(
    'ERR_POOL_INVALID_OPTION',
    'The pool option takes a pool made by createPool() or getPool(); this one was not. See ERR_POOL_INVALID_OPTION.',
  );
}

function manage({ pool, metrics, ...rest }: PoolParts): Managed {
  const control = controlOf(pool);
  const { clock, onWarning } = rest;
  const meter = metrics && startMeter(pool, { ...metrics, onWarning }, () => clock.now().wall);
  const managed: Managed = { pool, control, lifecycle: new Lifecycle(control, { ...rest, meter }) };
  Object.defineProperty(pool, managedKey, { value: managed });
  // Elsewhere the process is not ours to end.
  if (rest.env['AWS_LAMBDA_RUNTIME_API']) closeOnSigterm(() => control.closeIdle());
  return managed;
}

/** Shows which options differ, never their values: a password may be among them. */
function refuseOthers(name: string, made: CreatePoolOptions, asked: CreatePoolOptions): void {
  const given = Object.entries(asked).filter(([option, value]) => option !== 'name' && value !== undefined);
  if (given.length === 0) return;
  const names = new Set([...Object.keys(made), ...Object.keys(asked)]) as Set<keyof CreatePoolOptions>;
  const different = [...names].filter((option) => option !== 'name' && !isDeepStrictEqual(made[option], asked[option]));
  if (different.length === 0) return;
  const differences = different.map(
    (option) => `${option} (${show(option, made[option])} then, ${show(option, asked[option])} now)`,
  );
  throw new PoolError(
    'ERR_POOL_NAME_CONFLICT',
    `The pool "${name}" was made with other options: ${differences.join(', ')}. Give the same options, none at all, or another name. See ERR_POOL_NAME_CONFLICT.`,
  );
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

function show(option: string, value: unknown): string {
  if (value === undefined) return 'not given';
  if (!plain.has(option)) return 'given';
  return typeof value === 'string' || typeof value === 'number' || typeof value === 'boolean' ? String(value) : 'given';
}
