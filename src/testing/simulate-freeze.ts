import type { PgPool } from '../pg/pg-pool.ts';
import { type Clock, PoolError } from '../pool/index.ts';
import { managedBy } from '../registry.ts';
import type { FakeClock } from './fake-clock.ts';
import { inflict, type SocketFate } from './sockets.ts';

/** What kind of freeze. */
export interface SimulateFreezeOptions {
  /** How long the process was frozen, in milliseconds. */
  readonly forMillis: number;
  /** What has become meanwhile of the sockets that are open now. */
  readonly sockets: SocketFate;
  /**
   * Whether the monotonic clock of a `FakeClock` runs on in the freeze; platforms differ. Without a `FakeClock` it makes
   * no difference.
   *
   * @default false
   */
  readonly monotonicRuns?: boolean;
}

/**
 * Makes a pool behave as after a freeze, without one: call it between two calls of your handler.
 *
 * The connections that are open now meet the fate you name, leased ones included; new ones work. The clocks jump: a
 * `FakeClock` that the pool was made with is moved, otherwise what is open becomes older by as much, and the next
 * invocation is told that it comes after such a gap. A connect that is under way is left alone, and so is time outside
 * the pool: `Date.now()`, tokens, your own caches.
 *
 * Ends of sockets are seen in the next turn of the event loop, when the handler that you call next has begun: as after
 * a real thaw, which finds them waiting in the kernel.
 *
 * @param pool - made by `createPool()` or `getPool()`; the `db` of a handler's context will do
 * @throws PoolError `ERR_POOL_INVALID_OPTION`
 */
export function simulateFreeze(
  pool: PgPool,
  { forMillis, sockets, monotonicRuns = false }: SimulateFreezeOptions,
): void {
  if (!(Number.isFinite(forMillis) && forMillis >= 0)) {
    throw refusal(`forMillis must be a number of milliseconds, 0 or more, got ${String(forMillis)}`);
  }
  if (!Object.hasOwn(inflict, sockets)) {
    throw refusal(`sockets must be one of ${Object.keys(inflict).join(', ')}, got ${JSON.stringify(sockets)}`);
  }
  const { control } = managed(pool);
  const { clock } = control;
  if (canFreeze(clock)) clock.freeze(forMillis, { monotonicRuns });
  else control.age(forMillis);
  for (const socket of control.sockets()) inflict[sockets](socket);
}

function managed(pool: PgPool): ReturnType<typeof managedBy> {
  try {
    return managedBy(pool);
  } catch {
    throw refusal('simulateFreeze() takes a pool made by createPool() or getPool(), and this one was not');
  }
}

/** By what it can do, not by its class: another copy of this package may have made it. */
function canFreeze(clock: Clock): clock is FakeClock {
  return typeof (clock as Partial<FakeClock>).freeze === 'function';
}

function refusal(problem: string): PoolError {
  return new PoolError('ERR_POOL_INVALID_OPTION', `${problem}. See ERR_POOL_INVALID_OPTION.`);
}
