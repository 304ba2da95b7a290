// One shared client of any kind by name, made on first use: what people keep a dictionary at module scope for.

import { closeOnSigterm } from './lambda/shutdown.ts';
import { sharedMap } from './managed.ts';
import { type Clock, elapsedMillis, type Instant, PoolError, systemClock } from './pool/index.ts';

/** What becomes of a resource besides being kept. */
export interface ResourceOptions<T> {
  /** Gives it up: when it is replaced or dropped, and when Lambda says that the sandbox is shut down. */
  readonly destroy?: (resource: Awaited<T>) => unknown;
  /**
   * Asked for after such a pause, it is made anew and the old one destroyed: for a client that keeps a connection and
   * does not notice that it died in a freeze. Each of both clocks counts. A resource that is asked for all the time is
   * kept.
   *
   * @default Infinity
   */
  readonly staleAfterMillis?: number;
  /** @default the process's own clocks */
  readonly clock?: Clock;
}

interface Entry {
  /** Nothing while it is being made, in this very turn. */
  readonly resource: { readonly value: unknown } | undefined;
  readonly destroy: ((resource: unknown) => unknown) | undefined;
  askedAt: Instant;
}

const resources = (): Map<string, Entry> => sharedMap<Entry>('thawpool.resources');

/**
 * The resource of this name: made by `make` on the first call, and the same one ever after, also for another copy of this
 * package in the process. Whoever asks first makes it; `make` and the options of later calls are not looked at while it
 * lasts, so a name must stand for one kind of thing. It cannot collide with the name of a pool.
 *
 * An asynchronous `make` is called once for all who ask while it runs. When it fails all of them fail, and the next call
 * tries again.
 *
 * @returns what `make` returns: the resource, or a promise of it
 * @throws what `make` throws; PoolError `ERR_POOL_NAME_CONFLICT` when `make` asks for its own name;
 * PoolError `ERR_POOL_INVALID_OPTION`
 */
export function getResource<T>(name: string, make: () => T, options: ResourceOptions<T> = {}): T {
  const { clock = systemClock, staleAfterMillis = Number.POSITIVE_INFINITY } = options;
  check(name, make, staleAfterMillis);
  const all = resources();
  const known = all.get(name);
  const now = clock.now();
  if (known) {
    if (known.resource === undefined) throw madeWithinItself(name);
    if (elapsedMillis(known.askedAt, now) < staleAfterMillis) {
      known.askedAt = now;
      return known.resource.value as T;
    }
    void dropResource(name);
  }
  const destroy = options.destroy as Entry['destroy'];
  all.set(name, { resource: undefined, destroy, askedAt: now });
  let value: T;
  try {
    value = make();
  } catch (error) {
    all.delete(name);
    throw error;
  }
  const entry: Entry = { resource: { value }, destroy, askedAt: now };
  all.set(name, entry);
  // A failed flight is forgotten, unless another is under way by now.
  const forget = (): void => void (all.get(name) === entry && all.delete(name));
  if (isThenable(value)) value.then(undefined, forget);
  destroyAllOnSigterm();
  return value;
}

/**
 * Forgets a resource and has it destroyed, so that the next call makes it anew. Does nothing where there is none.
 *
 * @returns when its `destroy` is done; what that throws is a warning
 */
export async function dropResource(name: string): Promise<void> {
  const entry = resources().get(name);
  if (entry?.resource === undefined) return;
  resources().delete(name);
  if (entry.destroy === undefined) return;
  let resource: unknown;
  try {
    resource = await entry.resource.value;
  } catch {
    // Whoever asked for it has heard. There is nothing to destroy.
    return;
  }
  try {
    await entry.destroy(resource);
  } catch (error) {
    process.emitWarning(`The resource "${name}" could not be destroyed: ${String(error)}`, 'PoolWarning');
  }
}

let listening = false;

/** Lambda says so only where an extension is registered; elsewhere the process is not ours to end. */
function destroyAllOnSigterm(): void {
  if (listening || !process.env['AWS_LAMBDA_RUNTIME_API']) return;
  listening = true;
  closeOnSigterm(async () => {
    await Promise.all([...resources().keys()].map(dropResource));
  });
}

function check(name: unknown, make: unknown, staleAfterMillis: unknown): void {
  const problem =
    typeof name !== 'string' || name === ''
      ? `The name of a resource must be a string that is not empty, got ${JSON.stringify(name) ?? String(name)}`
      : typeof make !== 'function'
        ? `What makes the resource "${name}" must be a function: give () => the resource, not the resource itself`
        : typeof staleAfterMillis !== 'number' || !(staleAfterMillis >= 0)
          ? `staleAfterMillis must be a number of milliseconds, 0 or more, got ${String(staleAfterMillis)}`
          : undefined;
  if (problem !== undefined) {
    throw new PoolError('ERR_POOL_INVALID_OPTION', `${problem}. See ERR_POOL_INVALID_OPTION.`);
  }
}

function madeWithinItself(name: string): PoolError {
  return new PoolError(
    'ERR_POOL_NAME_CONFLICT',
    `The resource "${name}" was asked for while it is being made: what makes it asks for its own name. Give what it needs another name. See ERR_POOL_NAME_CONFLICT.`,
  );
}

function isThenable(value: unknown): value is PromiseLike<unknown> {
  return typeof (value as { then?: unknown } | null | undefined)?.then === 'function';
}
