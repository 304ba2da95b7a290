// How a `PgPool` lends its sessions, and to whom. A view of a pool is the pool with an owner: what is lent through it
// belongs to that owner.

import type pg from 'pg';
import { type AcquireOptions, type Lease, type Pool, PoolError } from '../pool/index.ts';
import type { PgNote } from './opener.ts';
import type { PgPool } from './pg-pool.ts';
import type { QueryContext } from './pool-query.ts';
import type { TransactionContext } from './run-transaction.ts';
import type { Session } from './session.ts';
import { codeOf } from './sqlstate.ts';

/** Whose work this is: what is acquired for an owner is reclaimed from it, and not waited for beyond its deadline. */
export interface PoolOwner {
  /** Wall clock, milliseconds since 1970, beyond which nothing is waited for. */
  readonly deadline: number | undefined;
}

/** How an acquire through a `PgPool` may be limited. */
export type PgAcquireOptions = Pick<AcquireOptions, 'signal' | 'timeoutMillis' | 'deadline'>;

/** What a pool and all its views have in common. */
export interface Shared {
  readonly core: Pool<Session>;
  readonly base: PgPool;
  /** The pool for what only reads, where there is one. */
  readonly reader: PgPool | undefined;
  /** It is for writing. */
  readonly writer: boolean;
  /** A snapshot of the process is still to be taken. */
  beforeSnapshot: boolean;
  ended: boolean;
  /** Makes views. */
  readonly View: ViewClass;
}

export const shared: unique symbol = Symbol('thawpool.shared');
/** Set on a view. */
export const owner: unique symbol = Symbol('thawpool.owner');

/** A session on loan, and the way back. */
export interface Loan {
  readonly lease: Lease<Session>;
  /** Releases; an error, or `true`, has the connection closed instead. */
  giveBack(error?: Error | boolean): void;
}

/**
 * Lends a session.
 *
 * @param from - the function whose caller is told when the session is not given back
 */
export async function lend(
  pool: PgPool,
  options: PgAcquireOptions | undefined,
  from: (...args: never[]) => unknown,
): Promise<Loan> {
  const acquire = withOwner(pool, options);
  const lease = await pool[shared].core.acquire(
    acquire?.owner === undefined ? acquire : { ...acquire, origin: originOf(from) },
  );
  const session = lease.resource;
  let returned = false;
  const giveBack = (error?: Error | boolean): void => {
    if (returned) throw releasedTwiceError();
    returned = true;
    giveBackTo(pool, lease, session, error);
  };
  session.lease = lease;
  session.queried = false;
  // Here and not in connect(): whoever gets the client in another way would release the lease before his.
  session.client.release = giveBack;
  tellLease(pool, 'acquire', session);
  return { lease, giveBack };
}

/** The pool as one owner has it: what is lent through it belongs to that owner. */
export function viewOf(pool: PgPool, whose: PoolOwner | undefined): PgPool {
  return new pool[shared].View(whose);
}

type ViewClass = new (whose: PoolOwner | undefined) => PgPool;

/** The class of a pool's views: each invocation makes one, and those of a class cost no more than an object. */
export function viewClassOf(base: PgPool): ViewClass {
  function View(this: { [owner]: PoolOwner | undefined }, whose: PoolOwner | undefined): void {
    this[owner] = whose;
  }
  View.prototype = base;
  return View as unknown as ViewClass;
}

/** The limits that come with whoever owns this view. */
export function limitsOf(pool: PgPool): AcquireOptions | undefined {
  const whose = pool[owner];
  return whose === undefined ? undefined : { owner: whose, deadline: whose.deadline };
}

export function queryContextOf(pool: PgPool): QueryContext {
  const { core, writer } = pool[shared];
  return {
    core,
    writer,
    acquire: limitsOf(pool),
    tell: (what, session, error) => tellLease(pool, what, session, error),
  };
}

export function transactionContextOf(pool: PgPool, options: PgAcquireOptions): TransactionContext {
  return {
    async use(work) {
      const { lease, giveBack } = await lend(pool, options, pool.transaction);
      const session = lease.resource;
      session.queried = true;
      try {
        return await work(session);
      } finally {
        giveBack();
      }
    },
    demoted: () => {
      if (pool[shared].writer) pool[shared].core.evict('invalid');
    },
    retried: (error) => pool[shared].core.note('transaction-retried' satisfies PgNote, codeOf(error)),
  };
}

/** pg's events of a client's life. An `error` that nobody listens for is no reason to end the process. */
export function tellClient(
  pool: PgPool,
  what: 'connect' | 'error' | 'remove',
  client: pg.PoolClient,
  error?: Error,
): void {
  if (what !== 'error') return tell(pool, what, client);
  if (pool.listenerCount('error') === 0) return;
  // pg's pool names the client on the error as well, and pg-promise looks for it there; inspect() has no use for it.
  if (error) Object.defineProperty(error, 'client', { value: client, configurable: true, writable: true });
  tell(pool, 'error', error, client);
}

/** Where somebody acquires: a stack without the frames of ours. */
function originOf(from: (...args: never[]) => unknown): Error {
  const origin = Object.create(Error.prototype) as Error;
  Error.captureStackTrace(origin, from);
  return origin;
}

export function withOwner(pool: PgPool, options: PgAcquireOptions | undefined): AcquireOptions | undefined {
  const limits = limitsOf(pool);
  if (limits === undefined || options === undefined) return limits ?? options;
  const { signal, timeoutMillis, deadline } = options;
  return { ...limits, signal, timeoutMillis, deadline: earlier(deadline, limits.deadline) };
}

function earlier(a: number | undefined, b: number | undefined): number | undefined {
  return a === undefined || b === undefined ? (a ?? b) : Math.min(a, b);
}

function giveBackTo(pool: PgPool, lease: Lease<Session>, session: Session, error?: Error | boolean): void {
  const proven = session.queried && session.quiet;
  if (error) lease.destroy(error);
  else lease.release({ proven });
  tellLease(pool, 'release', session, error);
}

/** In the words of pg's pool, for which people search. */
function releasedTwiceError(): PoolError {
  return new PoolError(
    'ERR_POOL_DOUBLE_RELEASE',
    'Release called on client which has already been released to the pool. Release it exactly once, in a finally block, or use `await using` or use(fn), which do it for you. See ERR_POOL_DOUBLE_RELEASE.',
  );
}

/** pg's events around a lease, with pg's arguments. */
function tellLease(pool: PgPool, what: 'acquire' | 'release', { client }: Session, error?: Error | boolean): void {
  // With every statement: nobody hears most of them.
  if (pool.listenerCount(what) === 0) return;
  if (what === 'acquire') tell(pool, 'acquire', client);
  else tell(pool, 'release', error, client);
}

/** What a listener throws must not cost a connection its place, nor a request its answer. */
function tell(pool: PgPool, event: string, ...args: unknown[]): void {
  try {
    pool.emit(event, ...args);
  } catch (error) {
    pool[shared].core.options.onWarning(
      `A listener of the pool's "${event}" event threw, and was passed over: ${String(error)}`,
    );
  }
}
