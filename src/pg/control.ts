// What the Lambda lifecycle does with a pool; kept off `PgPool` so that nobody calls it by accident.

import type { Duplex } from 'node:stream';
import { framesOf } from '../pool/acquire-errors.ts';
import { ageSlots } from '../pool/freeze.ts';
import { type Clock, type Lease, PoolError } from '../pool/index.ts';
import { hushRejections } from '../pool/running-work.ts';
import { type PoolOwner, type Shared, shared, viewOf } from './lending.ts';
import type { PgPool } from './pg-pool.ts';
import { stopRunning } from './query-signal.ts';
import { type Session, statementListeners } from './session.ts';
import { sketchOf } from './sketch.ts';
import { isLostConnection } from './sqlstate.ts';

/** The lifecycle of a pool. */
export interface PoolControl {
  /** A view of the pool whose work belongs to `owner`; it is a `PgPool` like any other. */
  viewFor(owner: PoolOwner): PgPool;
  thaw(frozenMillis: number | undefined): Promise<void>;
  freeze(): Promise<void>;
  /**
   * Takes back what the owner has not released. A connection that is still busy is closed.
   *
   * @returns what that was, one description for each
   */
  reclaim(owner: PoolOwner): string[];
  /**
   * The owner's time is nearly up: what it runs is cancelled, and what is not over after `graceMillis` is closed, so
   * that no session stays in a transaction. Each statement fails with `ERR_POOL_DEADLINE`.
   */
  expire(owner: PoolOwner, graceMillis: number): Promise<void>;
  /** Closes what is idle, and says so to the server. */
  closeIdle(): Promise<void>;
  readonly clock: Clock;
  /** For tests: has everything that is open be older by so much, and the next thaw hear of a gap longer by so much. */
  age(millis: number): void;
  /** For tests: the socket of each connection that is open, in use or not. */
  sockets(): Duplex[];
  /** For tests: tells of each statement of users' before it is sent, refused or not. @returns stops telling */
  hear(listener: (sql: string) => void): () => void;
}

/** Gives access to the lifecycle of a pool, and of its reader with it. */
export function controlOf(pool: PgPool): PoolControl {
  const own = pool[shared];
  const all = [own, ...(own.reader ? [own.reader[shared]] : [])];
  let agedMillis = 0;
  /** Most pools have no reader, and each invocation begins and ends. */
  const onEach = async (step: (each: Shared) => Promise<void>): Promise<void> => {
    if (all.length === 1) await step(own);
    else await Promise.all(all.map(step));
  };
  return {
    viewFor: (whose) => viewOf(own.base, whose),
    thaw: async (frozenMillis) => {
      const gap = frozenMillis === undefined ? undefined : frozenMillis + agedMillis;
      agedMillis = 0;
      await onEach((each) => {
        // Invocations come only after the restore.
        each.beforeSnapshot = false;
        return each.core.thaw(gap);
      });
    },
    freeze: () => onEach(({ core }) => core.freeze()),
    reclaim: (whose) => {
      hushRejections(whose);
      return all.flatMap(({ core }) => reclaim(core, whose));
    },
    expire: (whose, graceMillis) => expire(() => all.flatMap(({ core }) => core.leasesOf(whose)), graceMillis),
    closeIdle: async () => {
      for (const { core } of all) core.evict('closed');
      await onEach(({ core }) => core.freeze());
    },
    clock: own.core.options.clock,
    age(millis) {
      for (const { core } of all) ageSlots(core.slotsForInspection(), millis);
      agedMillis += millis;
    },
    sockets: () =>
      all.flatMap(({ core }) =>
        [...core.slotsForInspection()].flatMap(({ resource, leaving }) => (!leaving && resource?.socket) || []),
      ),
    hear(listener) {
      // What listeners of `connect` send is on a connection that the pool does not have yet.
      const fresh = new WeakSet<object>();
      const noteFresh = (client: object): void => void fresh.add(client);
      const heard = (session: Session, sql: string): void => {
        if (fresh.has(session.client) || all.some(({ core }) => isOf(core, session))) listener(sql);
      };
      for (const { base } of all) base.prependListener('connect', noteFresh);
      statementListeners.add(heard);
      return () => {
        for (const { base } of all) base.off('connect', noteFresh);
        statementListeners.delete(heard);
      };
    },
  };
}

function isOf(core: Shared['core'], session: Session): boolean {
  return [...core.slotsForInspection()].some(({ resource }) => resource === session);
}

/** Takes back what an owner has of one pool. @returns what that was, one description for each */
function reclaim(core: Shared['core'], whose: PoolOwner): string[] {
  const leaks = core.leasesOf(whose).map(describe);
  const count = core.reclaim(whose, (session) => session.quiet);
  const waits = count - leaks.length;
  return waits > 0 ? [...leaks, `${waits} ${waits === 1 ? 'acquire' : 'acquires'} still waiting`] : leaks;
}

/** What an invocation has left behind: the statement that is still running, or where the connection was acquired. */
function describe({ resource, origin }: Lease<Session>): string {
  const [running] = resource.pending;
  const busy = running === undefined ? '' : ` still running ${JSON.stringify(sketchOf(running))}`;
  if (origin === undefined) return `a query${busy} that was not awaited`;
  return `a connection${busy}, acquired${framesOf(origin)}`;
}

async function expire(leases: () => Lease<Session>[], graceMillis: number): Promise<void> {
  const busy = leases().filter(({ resource }) => !resource.quiet);
  for (const { resource } of busy) resource.interrupt(deadlineError);
  // What cannot be cancelled is closed at once and gains nothing by waiting: without its client a proxy rolls back.
  await Promise.all(busy.map(({ resource }) => stopRunning(resource, graceMillis)));
  await new Promise((resolve) => setTimeout(resolve, graceMillis).unref());
  for (const { resource } of leases()) {
    if (resource.quiet && resource.transactionStatus === 'I') continue;
    resource.interrupt(deadlineError);
    void resource.close(false);
  }
}

function deadlineError(cause: unknown): PoolError {
  // Interrupted a second time, when it was closed: the first word stands.
  if (cause instanceof PoolError && cause.code === 'ERR_POOL_DEADLINE') return cause;
  // Without the server's word it may have run all the same; without COMMIT nothing of a transaction has.
  const end = isLostConnection(cause)
    ? 'the server did not confirm in the time that deadlineReserveMillis keeps back that the statement was cancelled, and its connection was closed. It may or may not have run, unless it was part of a transaction, which is rolled back'
    : 'the statement was cancelled and its transaction rolled back in the time that deadlineReserveMillis keeps back, so that nothing is left behind at the server';
  return new PoolError(
    'ERR_POOL_DEADLINE',
    `Stopped because the invocation is nearly over: ${end}. Give the function more time, or the statement less to do. See ERR_POOL_DEADLINE.`,
    { cause },
  );
}
