import { type Clock, systemClock } from './clock.ts';
import { PoolError } from './errors.ts';

/** Limits and budgets of a pool. All durations are milliseconds. */
export interface PoolOptions {
  /**
   * Names the pool in warnings and metrics.
   * @default 'default'
   */
  readonly name?: string;
  /**
   * What a resource is called in messages.
   * @default 'resource'
   */
  readonly noun?: string;
  /**
   * Hard limit: resources in any state, those being destroyed included. 1 to 10000.
   * @default 4, because a handler that queries inside a transaction needs two, and every sandbox takes this many from
   * the server's `max_connections`
   */
  readonly max?: number;
  /**
   * Soft limit: what stays open over a freeze; what is above it is destroyed at the end of the invocation. 0 to `max`.
   * @default 1 (or `max`, if that is less)
   */
  readonly maxIdle?: number;
  /**
   * One budget for everything between asking for a resource and having it. 1 to 2147483647.
   * @default 5000
   */
  readonly acquireTimeoutMillis?: number;
  /**
   * Budget of one creation, which may outlive the acquire that caused it.
   * @default `acquireTimeoutMillis`
   */
  readonly createTimeoutMillis?: number;
  /**
   * A resource that has not answered for this long is proven alive before it is handed out, and a gap between two
   * invocations of this length makes all of them suspect. 0 proves each time.
   * @default 1000
   */
  readonly validateAfterIdleMillis?: number;
  /**
   * The most that a proof of life may take; less once the round trip is known.
   * @default 250, because a dead socket must cost little
   */
  readonly validateTimeoutMillis?: number;
  /**
   * The most that `reset` may take before the resource is destroyed instead.
   * @default 1000
   */
  readonly resetTimeoutMillis?: number;
  /**
   * How long a resource that is being destroyed keeps its place when it does not come to an end.
   * @default 500
   */
  readonly destroyTimeoutMillis?: number;
  /**
   * Idle for this long, a resource is destroyed unasked. 0 is never.
   * @default 300000, under the 350 s after which NAT gateways and connection tracking forget a flow
   */
  readonly idleTimeoutMillis?: number;
  /**
   * The longest a resource is used, less up to `lifetimeJitter` of it. 0 is for ever.
   * @default 1800000
   */
  readonly maxLifetimeMillis?: number;
  /**
   * The part of `maxLifetimeMillis` that is taken off at random, so that reconnects spread. 0 to 1.
   * @default 0.1
   */
  readonly lifetimeJitter?: number;
  /** @default the process's own clocks */
  readonly clock?: Clock;
  /**
   * A number in [0, 1), for the jitter.
   * @default Math.random
   */
  readonly random?: () => number;
  /**
   * Hears what should be looked at but fails nothing.
   * @default process.emitWarning
   */
  readonly onWarning?: (message: string) => void;
}

/** Options with every default filled in. */
export type ResolvedPoolOptions = Required<PoolOptions>;

/** The longest delay that a timer of Node.js can take (2^31 - 1); a longer one fires at once. */
export const longestTimer = 2_147_483_647;
/** Far beyond what one process can use; catches a value given in the wrong unit. */
const mostResources = 10_000;

type Range = readonly [least: number, most: number];

const ranges: ReadonlyMap<string, Range> = /* @__PURE__ */ new Map(
  /* @__PURE__ */ Object.entries<Range>({
    max: [1, mostResources],
    maxIdle: [0, mostResources],
    acquireTimeoutMillis: [1, longestTimer],
    createTimeoutMillis: [1, longestTimer],
    validateAfterIdleMillis: [0, longestTimer],
    validateTimeoutMillis: [1, longestTimer],
    resetTimeoutMillis: [1, longestTimer],
    destroyTimeoutMillis: [1, longestTimer],
    idleTimeoutMillis: [0, longestTimer],
    maxLifetimeMillis: [0, longestTimer],
  }),
);

const kinds: ReadonlyMap<string, string> = /* @__PURE__ */ new Map(
  /* @__PURE__ */ Object.entries({
    name: 'string',
    noun: 'string',
    clock: 'object',
    random: 'function',
    onWarning: 'function',
  }),
);

/**
 * Checks options and fills in the defaults.
 *
 * @throws PoolError `ERR_POOL_INVALID_OPTION` that names every bad option, its value and what is allowed.
 */
export function resolveOptions(given: PoolOptions = {}): ResolvedPoolOptions {
  const options = Object.fromEntries(Object.entries(given).filter(([, value]) => value !== undefined)) as PoolOptions;
  refuse(Object.entries(options).flatMap(([name, value]) => problemWith(name, value) ?? []));
  const max = options.max ?? 4;
  const maxIdle = options.maxIdle ?? Math.min(1, max);
  if (maxIdle > max) refuse([`maxIdle must be at most max (${max}), got ${maxIdle}: lower maxIdle or raise max`]);
  const acquireTimeoutMillis = options.acquireTimeoutMillis ?? 5000;
  return {
    name: 'default',
    noun: 'resource',
    createTimeoutMillis: acquireTimeoutMillis,
    validateAfterIdleMillis: 1000,
    validateTimeoutMillis: 250,
    resetTimeoutMillis: 1000,
    destroyTimeoutMillis: 500,
    idleTimeoutMillis: 300_000,
    maxLifetimeMillis: 1_800_000,
    lifetimeJitter: 0.1,
    clock: systemClock,
    random: Math.random,
    onWarning: (message) => process.emitWarning(message, 'PoolWarning'),
    ...options,
    max,
    maxIdle,
    acquireTimeoutMillis,
  };
}

function refuse(problems: readonly string[]): void {
  if (problems.length === 0) return;
  throw new PoolError(
    'ERR_POOL_INVALID_OPTION',
    `Bad pool options: ${problems.join('; ')}. See ERR_POOL_INVALID_OPTION.`,
  );
}

function problemWith(name: string, value: unknown): string | undefined {
  const range = ranges.get(name);
  if (range) {
    const [least, most] = range;
    if (Number.isInteger(value) && (value as number) >= least && (value as number) <= most) return undefined;
    return `${name} must be a whole number from ${least} to ${most}, got ${show(value)}`;
  }
  if (name === 'lifetimeJitter') {
    if (typeof value === 'number' && value >= 0 && value <= 1) return undefined;
    return `lifetimeJitter must be a number from 0 to 1, got ${show(value)}`;
  }
  const kind = kinds.get(name);
  if (kind === undefined) return `${name} is no option of the pool`;
  return typeof value === kind && value !== null ? undefined : `${name} must be a ${kind}, got ${show(value)}`;
}

function show(value: unknown): string {
  return typeof value === 'string' ? JSON.stringify(value) : String(value);
}
