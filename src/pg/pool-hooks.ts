// What pg's `Pool` takes besides numbers: functions that are called on a connection's way, what ends it after so many uses,
// and the kind of promise to answer with. A pool that is given none of it pays for none.

import type pg from 'pg';
import type { Lease, Pool, PoolObserver } from '../pool/index.ts';
import type { Session } from './session.ts';

/** Options of pg's `Pool` that are carried out under pg's own names. */
export interface PoolHooks {
  /** Prepares each new connection before anybody has it; when it throws, there is no connection. */
  readonly onConnect?: ((client: pg.PoolClient) => unknown) | undefined;
  /** Judges each new connection; the error it is told of is the error of whoever waits for the connection. */
  readonly verify?: ((client: pg.PoolClient, done: (error?: Error) => void) => void) | undefined;
  /** A connection that was given back so often is closed. 0 is never. @default never */
  readonly maxUses?: number | undefined;
  /** Lets the process end while connections are idle. @default false */
  readonly allowExitOnIdle?: boolean | undefined;
  /** Hears the name of each event of the pool, and the event. */
  readonly log?: ((...messages: unknown[]) => void) | undefined;
  /** What `connect`, `query` and `end` return. @default the platform's */
  readonly Promise?: PromiseConstructorLike | undefined;
}

/** Carries what a hook has failed with through all that is said of connections that cannot be made. */
class HookError extends Error {
  readonly original: unknown;

  constructor(hook: string, original: unknown) {
    super(`${hook} failed: ${original instanceof Error ? original.message : String(original)}`, { cause: original });
    this.original = original;
  }
}

/** Calls `onConnect` for a connection that nobody has yet. @throws HookError */
export async function prepare({ client }: Session, { onConnect }: PoolHooks): Promise<void> {
  if (onConnect === undefined) return;
  try {
    await onConnect(client);
  } catch (error) {
    throw new HookError('onConnect', error);
  }
}

/** Calls `verify` for a connection that nobody has yet. @throws HookError */
export async function verify({ client }: Session, { verify: judge }: PoolHooks): Promise<void> {
  if (judge === undefined) return;
  await new Promise<void>((resolve, reject) => {
    const done = (error?: unknown): void => (error ? reject(new HookError('verify', error)) : resolve());
    try {
      // An async function tells nothing by what it returns, but how it fails.
      Promise.resolve(judge(client, done) as unknown).catch((error: unknown) =>
        done(error ?? new Error(String(error))),
      );
    } catch (error) {
      done(error ?? new Error(String(error)));
    }
  });
}

/** Has whoever waits hear of a hook's own error: it is theirs, and says more than ours would. */
export function passOnHookErrors(core: Pool<Session>, { onConnect, verify: judge }: PoolHooks): void {
  if (onConnect === undefined && judge === undefined) return;
  const acquire = core.acquire.bind(core);
  core.acquire = async (options): Promise<Lease<Session>> => {
    try {
      return await acquire(options);
    } catch (error) {
      const failed = hookErrorIn(error);
      throw failed === undefined ? error : failed.original;
    }
  };
}

/** An AcquireError, what says why there is no connection, and room. */
const deepest = 8;

function hookErrorIn(error: unknown): HookError | undefined {
  let at = error;
  // Causes of errors that are not ours may go round in a circle; ours are not so far down.
  for (let depth = 0; depth < deepest && at instanceof Error && !(at instanceof HookError); depth += 1) at = at.cause;
  return at instanceof HookError ? at : undefined;
}

/** Counts what is given back. */
export class Uses {
  readonly #most: number;
  readonly #counts = new WeakMap<Session, number>();

  constructor(most: number) {
    this.#most = most;
  }

  /** Notes one more use. @returns whether that was the last one */
  note(session: Session): boolean {
    const count = (this.#counts.get(session) ?? 0) + 1;
    this.#counts.set(session, count);
    return count >= this.#most;
  }
}

/** Keeps the process alive from now on only while somebody has this connection. */
export function letExitOnIdle(session: Session): void {
  let { lease } = session;
  Object.defineProperty(session, 'lease', {
    configurable: true,
    enumerable: true,
    get: () => lease,
    set(next: Lease<Session> | undefined) {
      lease = next;
      if (next !== undefined) keepAlive(session, true);
    },
  });
  keepAlive(session, false);
}

/** Whether what is under way on this connection is a reason for the process to go on. */
export function keepAlive({ client }: Session, needed: boolean): void {
  // A client of another make may have neither.
  const { ref, unref } = client as { ref?: () => void; unref?: () => void };
  (needed ? ref : unref)?.call(client);
}

/** Tells a `log` of the pool's events. */
export function logger(log: (...messages: unknown[]) => void): PoolObserver {
  return (event) => log(event.type, event);
}

/** Has methods of an object answer with promises of another kind. */
export function answerWith(host: object, names: readonly string[], kind: PromiseConstructorLike): void {
  if (kind === Promise) return;
  for (const name of names) {
    const method = Reflect.get(host, name) as (...args: unknown[]) => unknown;
    Object.defineProperty(host, name, {
      configurable: true,
      writable: true,
      value: function answer(this: unknown, ...args: unknown[]): unknown {
        const result = method.apply(this, args);
        if (!(result instanceof Promise)) return result;
        return new kind((resolve, reject) => void result.then(resolve, reject));
      },
    });
  }
}

/** Runs a function in the async context in which this was called, whoever calls it then. */
export function contextOfHere(): <R>(fn: () => R) => R {
  return process.getBuiltinModule('node:async_hooks').AsyncLocalStorage.snapshot();
}
