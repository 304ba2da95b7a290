// What the Lambda lifecycle does with a pool of Redis connections; kept off `RedisPool` so that nobody calls it by accident.

import { framesOf } from '../pool/acquire-errors.ts';
import type { Lease } from '../pool/index.ts';
import { hushRejections } from '../pool/running-work.ts';
import { core, type RedisOwner, RedisPool } from './redis-pool.ts';
import type { RedisSession } from './session.ts';

/** The lifecycle of a pool of Redis connections. */
export interface RedisControl {
  /** The pool as one owner has it: what is lent through it belongs to that owner. */
  viewFor(owner: RedisOwner): RedisPool;
  thaw(frozenMillis: number | undefined): Promise<void>;
  freeze(): Promise<void>;
  /** Takes back what the owner has not released. @returns what that was, one description for each */
  reclaim(owner: RedisOwner): string[];
  /** The owner's time is nearly up: connections on which it still waits for an answer are closed. */
  expire(owner: RedisOwner): Promise<void>;
  closeIdle(): Promise<void>;
}

/** Gives access to the lifecycle of a pool. */
export function controlOf({ [core]: pool }: RedisPool): RedisControl {
  return {
    viewFor: (owner) => new RedisPool(pool, owner),
    thaw: (frozenMillis) => pool.thaw(frozenMillis),
    freeze: () => pool.freeze(),
    reclaim(owner) {
      hushRejections(owner);
      const leaks = pool.leasesOf(owner).map(describe);
      const waits = pool.reclaim(owner, (session) => session.quiet) - leaks.length;
      return waits > 0 ? [...leaks, `${waits} ${waits === 1 ? 'acquire' : 'acquires'} still waiting`] : leaks;
    },
    async expire(owner) {
      for (const { resource } of pool.leasesOf(owner)) {
        // Redis cannot cancel a command.
        if (resource.quiet) continue;
        resource.expired = true;
        resource.close();
      }
    },
    async closeIdle() {
      pool.evict('closed');
      await pool.freeze();
    },
  };
}

function describe({ resource, origin }: Lease<RedisSession>): string {
  const busy = resource.quiet ? '' : ' still waiting for an answer';
  return `a Redis connection${busy}, acquired${framesOf(origin)}`;
}
