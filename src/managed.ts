// What every kind of pool of ours has around it: a lifecycle that drives it, metrics, and a name. It knows no kind.

import { Lifecycle, type LifecyclePool } from './lambda/lifecycle.ts';
import { closeOnSigterm } from './lambda/shutdown.ts';
import { type Clock, PoolError } from './pool/index.ts';
import { announce } from './telemetry/channel.ts';
import type { MeteredPool } from './telemetry/metered-pool.ts';
import { startMeter } from './telemetry/recorder.ts';

/** What drives a pool. */
export interface ManagedControl extends LifecyclePool {
  /** Closes what is idle, and says so to the server. */
  closeIdle(): Promise<void>;
}

/** A pool, its controls and the lifecycle that drives them. */
export interface Managed<Pool, Control extends ManagedControl> {
  readonly pool: Pool;
  readonly control: Control;
  readonly lifecycle: Lifecycle;
}

/** What the lifecycle needs to know besides. */
export interface ManagedFacts {
  readonly clock: Clock;
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly deadlineReserveMillis: number;
  readonly onWarning: (message: string) => void;
  /** The metrics that are asked for. */
  readonly metrics: { readonly namespace: string | undefined; readonly functionName: string | undefined } | undefined;
}

/** Where a pool keeps its lifecycle: on itself, so that its views and another copy of this package find it too. */
const managedKey = Symbol.for('thawpool.managed');

/** Gives a pool its lifecycle. */
export function manage<Pool extends MeteredPool & object, Control extends ManagedControl>(
  pool: Pool,
  control: Control,
  { metrics, ...facts }: ManagedFacts,
): Managed<Pool, Control> {
  const { clock, onWarning } = facts;
  const meter = metrics && startMeter(pool, { ...metrics, onWarning }, () => clock.now().wall);
  const managed = { pool, control, lifecycle: new Lifecycle(control, { ...facts, meter }) };
  announce(pool);
  Object.defineProperty(pool, managedKey, { value: managed });
  // Elsewhere the process is not ours to end.
  if (facts.env['AWS_LAMBDA_RUNTIME_API']) closeOnSigterm(() => control.closeIdle());
  return managed;
}

/** The lifecycle of a pool, or of what it is a view of; nothing where it has none. */
export function managedOf(pool: unknown): unknown {
  return (pool as { readonly [managedKey]?: unknown } | null | undefined)?.[managedKey];
}

/** Things by name, one map for all copies of this package in the process. */
export function sharedMap<T>(symbolName: string): Map<string, T> {
  const holder = globalThis as { [key: symbol]: unknown };
  const key = Symbol.for(symbolName);
  holder[key] ??= new Map<string, T>();
  return holder[key] as Map<string, T>;
}

/**
 * Refuses other options than those that something was made with. None but the name are fine.
 *
 * @param what - the kind and the name, for the message
 * @param plain - options whose values say nothing secret; of others, a password among them, only that they differ is said
 * @throws PoolError `ERR_POOL_NAME_CONFLICT`
 */
export function refuseOthers<Options extends object>(
  what: string,
  made: Options,
  asked: Options,
  plain: ReadonlySet<string>,
): void {
  const given = Object.entries(asked).filter(([option, value]) => option !== 'name' && value !== undefined);
  if (given.length === 0) return;
  // Not imported: listing its exports costs a cold start 1 ms (seen, Node 24), and most ask once or without options.
  const { isDeepStrictEqual } = process.getBuiltinModule('node:util');
  const names = new Set([...Object.keys(made), ...Object.keys(asked)]) as Set<keyof Options & string>;
  const different = [...names].filter((option) => option !== 'name' && !isDeepStrictEqual(made[option], asked[option]));
  if (different.length === 0) return;
  const show = (option: string, value: unknown): string => {
    if (value === undefined) return 'not given';
    if (!plain.has(option)) return 'given';
    return typeof value === 'string' || typeof value === 'number' || typeof value === 'boolean'
      ? String(value)
      : 'given';
  };
  const differences = different.map(
    (option) => `${option} (${show(option, made[option])} then, ${show(option, asked[option])} now)`,
  );
  throw new PoolError(
    'ERR_POOL_NAME_CONFLICT',
    `${what} was made with other options: ${differences.join(', ')}. Give the same options, none at all, or another name. See ERR_POOL_NAME_CONFLICT.`,
  );
}
