/** The pools of the core section: ours, three others, and the least that a pool could be. */
import { EventEmitter } from 'node:events';
import genericPool from 'generic-pool';
import pg from 'pg';
import { Pool as TarnPool } from 'tarn';
import { Pool } from 'thawpool/core';
import { type CorePool, hold, type OpenCorePool } from './core-pool.ts';
import { PromiseQueue } from './promise-queue.ts';

interface Thing {
  readonly n: number;
}

let made = 0;
const make = (): Thing => ({ n: (made += 1) });

/** What goes through the hands of the floor, so that it is not optimised away. */
export const seen = { sum: 0 };

async function thawpool(slots: number): Promise<CorePool> {
  const pool = new Pool<Thing>({ create: make, validate: () => true, destroy: () => {} }, { max: slots });
  for (const lease of await hold(slots, () => pool.acquire())) lease.release();
  return {
    async cycle(count) {
      for (let n = 0; n < count; n += 1) {
        const lease = await pool.acquire();
        lease.release();
      }
    },
    attempt(count) {
      for (let n = 0; n < count; n += 1) pool.tryAcquire()?.release();
    },
    async burst(callers) {
      const held = await hold(slots, () => pool.acquire());
      await new Promise<void>((resolve, reject) => {
        let left = callers;
        const served = (lease: Awaited<ReturnType<typeof pool.acquire>>) => {
          lease.release();
          left -= 1;
          if (left === 0) resolve();
        };
        for (let n = 0; n < callers; n += 1) pool.acquire().then(served, reject);
        for (const lease of held) lease.release();
      });
    },
    async wait(callers) {
      await hold(slots, () => pool.acquire());
      for (let n = 0; n < callers; n += 1) pool.acquire().catch(() => {});
    },
  };
}

/** The part of a pg.Client that pg-pool looks at, connected at once. */
class FakeClient extends EventEmitter {
  readonly _queryable = true;
  readonly _ending = false;
  connect(callback: () => void): void {
    process.nextTick(callback);
  }
  end(callback?: () => void): void {
    if (callback) process.nextTick(callback);
  }
  ref(): void {}
  unref(): void {}
}

async function pgPool(slots: number): Promise<CorePool> {
  const pool = new pg.Pool({ max: slots, Client: FakeClient as unknown as typeof pg.Client });
  for (const client of await hold(slots, () => pool.connect())) client.release();
  return {
    async cycle(count) {
      for (let n = 0; n < count; n += 1) {
        const client = await pool.connect();
        client.release();
      }
    },
    async burst(callers) {
      const held = await hold(slots, () => pool.connect());
      await new Promise<void>((resolve, reject) => {
        let left = callers;
        const served = (client: pg.PoolClient) => {
          client.release();
          left -= 1;
          if (left === 0) resolve();
        };
        for (let n = 0; n < callers; n += 1) pool.connect().then(served, reject);
        for (const client of held) client.release();
      });
    },
    async wait(callers) {
      await hold(slots, () => pool.connect());
      for (let n = 0; n < callers; n += 1) pool.connect().catch(() => {});
    },
  };
}

async function tarn(slots: number): Promise<CorePool> {
  const pool = new TarnPool<Thing>({ create: make, destroy: () => {}, min: 0, max: slots });
  for (const thing of await hold(slots, () => pool.acquire().promise)) pool.release(thing);
  return {
    async cycle(count) {
      for (let n = 0; n < count; n += 1) {
        const thing = await pool.acquire().promise;
        pool.release(thing);
      }
    },
    async burst(callers) {
      const held = await hold(slots, () => pool.acquire().promise);
      await new Promise<void>((resolve, reject) => {
        let left = callers;
        const served = (thing: Thing) => {
          pool.release(thing);
          left -= 1;
          if (left === 0) resolve();
        };
        for (let n = 0; n < callers; n += 1) pool.acquire().promise.then(served, reject);
        for (const thing of held) pool.release(thing);
      });
    },
    async wait(callers) {
      await hold(slots, () => pool.acquire().promise);
      for (let n = 0; n < callers; n += 1) pool.acquire().promise.catch(() => {});
    },
  };
}

async function generic(slots: number): Promise<CorePool> {
  const factory = { create: async () => make(), destroy: async () => {} };
  const pool = genericPool.createPool<Thing>(factory, { max: slots });
  for (const thing of await hold(slots, async () => pool.acquire())) await pool.release(thing);
  return {
    async cycle(count) {
      for (let n = 0; n < count; n += 1) {
        const thing = await pool.acquire();
        void pool.release(thing);
      }
    },
    async burst(callers) {
      const held = await hold(slots, async () => pool.acquire());
      await new Promise<void>((resolve, reject) => {
        let left = callers;
        const served = (thing: Thing) => {
          void pool.release(thing);
          left -= 1;
          if (left === 0) resolve();
        };
        for (let n = 0; n < callers; n += 1) pool.acquire().then(served, reject);
        for (const thing of held) void pool.release(thing);
      });
    },
    async wait(callers) {
      await hold(slots, async () => pool.acquire());
      for (let n = 0; n < callers; n += 1) pool.acquire().then(undefined, () => {});
    },
  };
}

/** An array, and one resolved promise where the caller awaits. Nobody can wait. */
function array(slots: number): CorePool {
  const idle = Array.from({ length: slots }, make);
  const unable = (): never => {
    throw new Error('Nobody can wait for an array.');
  };
  return {
    async cycle(count) {
      for (let n = 0; n < count; n += 1) {
        const thing = await Promise.resolve(idle.pop());
        if (thing) idle.push(thing);
      }
    },
    attempt(count) {
      for (let n = 0; n < count; n += 1) {
        const thing = idle.pop();
        if (thing === undefined) continue;
        seen.sum += thing.n;
        idle.push(thing);
      }
    },
    burst: unable,
    wait: unable,
  };
}

async function promiseQueue(slots: number): Promise<CorePool> {
  const pool = new PromiseQueue(Array.from({ length: slots }, make));
  return {
    async cycle(count) {
      for (let n = 0; n < count; n += 1) {
        const thing = await pool.acquire();
        pool.release(thing);
      }
    },
    async burst(callers) {
      const held = await hold(slots, () => pool.acquire());
      await new Promise<void>((resolve, reject) => {
        let left = callers;
        const served = (thing: Thing) => {
          pool.release(thing);
          left -= 1;
          if (left === 0) resolve();
        };
        for (let n = 0; n < callers; n += 1) pool.acquire().then(served, reject);
        for (const thing of held) pool.release(thing);
      });
    },
    async wait(callers) {
      await hold(slots, () => pool.acquire());
      for (let n = 0; n < callers; n += 1) pool.acquire().catch(() => {});
    },
  };
}

/** Every pool by its name. */
export const corePools: Readonly<Record<string, OpenCorePool>> = {
  thawpool,
  'pg-pool': pgPool,
  tarn,
  'generic-pool': generic,
  array,
  'promise queue': promiseQueue,
};
