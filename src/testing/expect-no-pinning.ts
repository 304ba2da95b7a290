import { AsyncLocalStorage } from 'node:async_hooks';
import { fileURLToPath } from 'node:url';
import type { PoolControl } from '../pg/control.ts';
import type { PgPool } from '../pg/pg-pool.ts';
import { describePins, documentedPins } from '../pg/pin-linter.ts';
import { pinsOf } from '../pg/pins.ts';
import { sketchOf } from '../pg/sketch.ts';
import { PoolError } from '../pool/index.ts';
import { type Managed, managedBy } from '../registry.ts';

/** One call of expectNoPinning(), and the one it was made in. */
interface Watch {
  readonly control: PoolControl;
  readonly outer: Watch | undefined;
  over: boolean;
}

const watches = new AsyncLocalStorage<Watch>();

/**
 * Runs `fn` and fails when a statement that the pool was given meanwhile would pin its session behind RDS Proxy, on
 * whatever route the pool goes and whatever its `pinning` says. The error names every such statement, with the reason, the
 * way around and the place it was sent from. What AWS does not say to pin (SET LOCAL, SET TRANSACTION and the `settings`
 * of a transaction) is let through.
 *
 * Calls may overlap: each hears what its own `fn` sends, and what cannot be told to belong to any, such as the work of
 * a server that `fn` calls over the network, counts for all of them.
 *
 * @param db - made by `createPool()` or `getPool()`; the `db` of a handler's context will do. It is handed on to `fn`.
 * @returns what `fn` returns
 * @throws PoolError `ERR_POOL_PINNED`; `ERR_POOL_INVALID_OPTION` for another pool; what `fn` throws, unless that is
 * `ERR_POOL_PINNED` itself.
 */
export async function expectNoPinning<R>(db: PgPool, fn: (db: PgPool) => Promise<R> | R): Promise<R> {
  const { control } = managed(db);
  const watch: Watch = { control, outer: watches.getStore(), over: false };
  const found = new Set<string>();
  const stop = control.hear((sql) => {
    const pins = documentedPins(pinsOf(sql));
    if (pins.length > 0 && concerns(watch)) found.add(`\n  ${describePins(sketchOf(sql), pins)}${place()}`);
  });
  try {
    const result = await watches.run(watch, () => fn(db));
    if (found.size > 0) throw pinnedError(found);
    return result;
  } catch (error) {
    const refused = error instanceof Error && (error as { code?: unknown }).code === 'ERR_POOL_PINNED';
    throw refused && found.size > 0 ? pinnedError(found, error) : error;
  } finally {
    stop();
    watch.over = true;
  }
}

/** Whether a statement that is being sent now counts for this call: it is its own, or nobody's that is still there. */
function concerns(watch: Watch): boolean {
  let owned = false;
  for (let current = watches.getStore(); current; current = current.outer) {
    if (current === watch) return true;
    owned ||= !current.over && current.control === watch.control;
  }
  return !owned;
}

/** This package, built or not. */
const ownFolder = fileURLToPath(new URL('..', import.meta.url));
/** Through our own frames and an ORM's; V8 keeps 10 unless told. */
const frames = 50;

/** Where the statement came from: the nearest frame that is neither ours nor Node's, nor a package's if there is another. */
function place(): string {
  const { stackTraceLimit } = Error;
  Error.stackTraceLimit = frames;
  const { stack = '' } = new Error('sent here');
  Error.stackTraceLimit = stackTraceLimit;
  const callers = stack.split('\n').filter((line) => /^\s+at /.test(line) && !/\bnode:|<anonymous>/.test(line));
  const foreign = callers.filter((line) => !line.includes(ownFolder));
  const frame = foreign.find((line) => !line.includes('node_modules')) ?? foreign[0];
  return frame === undefined ? '' : `\n    ${frame.trim()}`;
}

function pinnedError(found: ReadonlySet<string>, cause?: unknown): PoolError {
  const what = found.size === 1 ? 'A statement' : `${found.size} statements`;
  return new PoolError(
    'ERR_POOL_PINNED',
    `${what} would pin the session behind RDS Proxy. See ERR_POOL_PINNED.${[...found].join('')}`,
    cause === undefined ? undefined : { cause },
  );
}

function managed(db: PgPool): Managed {
  try {
    return managedBy(db);
  } catch {
    throw new PoolError(
      'ERR_POOL_INVALID_OPTION',
      'expectNoPinning() takes a pool made by createPool() or getPool(), and this one was not. See ERR_POOL_INVALID_OPTION.',
    );
  }
}
