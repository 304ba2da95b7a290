// What a thaw finds: connections that were closed, reset, black-holed or slowed down while nobody looked.

import type { CreatePoolOptions, PgPool } from 'thawpool';
import { systemClock } from 'thawpool/core';
import { describe, expect, it } from 'vitest';
import type { ChaosProxy } from '../lab/chaos-proxy.ts';
import { slowClock } from '../support/slow-clock.ts';
import { failure, nextEvent, through, until, useDatabase, usePools, useProxy } from './support.ts';

const database = useDatabase();
const proxy = useProxy();
const makePool = usePools(() => ({ connectionString: through(proxy().port, database.connectionString) }));

/** A clock that is put forward and stands still otherwise; its timers run, in slow motion, because the sockets are real. */
function movableClock() {
  let ahead = 0;
  const { wall, monotonic } = systemClock.now();
  return {
    ...slowClock(),
    now: () => ({ wall: wall + ahead, monotonic }),
    forward: (millis: number): void => {
      ahead += millis;
    },
  };
}

/** A pool with `count` idle connections, and time put forward since. */
async function idlePool(
  count: number,
  options: CreatePoolOptions = {},
  forward = 2000,
): Promise<{ pool: PgPool; warnings: string[]; pass: (millis: number) => void }> {
  const clock = movableClock();
  const { pool, warnings } = makePool({ clock, maxIdle: count, ...options });
  await pool.warm(count);
  clock.forward(forward);
  return { pool, warnings, pass: clock.forward };
}

const one = async (pool: PgPool) => (await pool.query('select 1 as one')).rows;

describe('what proof of life costs', () => {
  it('is nothing on a connection that has just answered', async () => {
    const { pool } = await idlePool(1, {}, 0);
    const before = proxy().snapshot();
    for (let i = 0; i < 5; i += 1) await one(pool);
    expect(proxy().since(before)).toMatchObject({ opened: 0, frontend: { Query: 5 } });
    expect(Object.keys(proxy().since(before).frontend)).toEqual(['Query']);
  });

  it('is one Sync on a connection that has not answered for a while', async () => {
    const { pool } = await idlePool(1);
    const before = proxy().snapshot();
    await one(pool);
    await one(pool);
    const { opened, frontend, backend } = proxy().since(before);
    expect(opened).toBe(0);
    expect(frontend).toEqual({ Sync: 1, Query: 2 });
    expect(backend['ReadyForQuery']).toBe(3);
    expect(pool.stats()).toMatchObject({ created: 1, validated: 1, epoch: 0 });
  });

  it('is nothing for a failed statement, which is an answer too', async () => {
    const { pool, pass } = await idlePool(1, {}, 0);
    pass(900);
    await failure(pool.query('selct'));
    pass(900);
    const before = proxy().snapshot();
    await one(pool);
    expect(proxy().since(before).frontend).toEqual({ Query: 1 });
  });

  it('is one Sync for one connection, however many wait', async () => {
    const { pool } = await idlePool(1, { max: 1 });
    const before = proxy().snapshot();
    await Promise.all([one(pool), one(pool), one(pool)]);
    expect(proxy().since(before).frontend).toEqual({ Sync: 1, Query: 3 });
  });

  it('is a new connection where the old one is too old to be asked', async () => {
    const { pool } = await idlePool(1, { idleTimeoutMillis: 1500 });
    const before = proxy().snapshot();
    await one(pool);
    const { opened, frontend } = proxy().since(before);
    expect(opened).toBe(1);
    expect(frontend['Sync']).toBeUndefined();
    expect(pool.stats().destroyed.idle).toBe(1);
  });
});

describe('a connection that was lost while it was idle', () => {
  const losses: [name: string, lose: (proxy: ChaosProxy) => void][] = [
    ['closed', (chaos) => chaos.closeAll()],
    ['reset', (chaos) => chaos.resetAll()],
    ['black-holed', (chaos) => chaos.blackhole()],
    ['black-holed towards the server', (chaos) => chaos.blackhole({ direction: 'toServer' })],
    ['black-holed towards the client', (chaos) => chaos.blackhole({ direction: 'toClient' })],
  ];

  it.each(losses)('costs a new one when it was %s', async (_, lose) => {
    const { pool, warnings } = await idlePool(1);
    const before = proxy().snapshot();
    lose(proxy());
    expect(await one(pool)).toEqual([{ one: 1 }]);
    expect(proxy().since(before).opened).toBe(1);
    expect(pool.stats()).toMatchObject({ created: 2, total: 1, idle: 1 });
    expect(warnings).toEqual([]);
  });

  it.each(losses)('is found at the thaw when it was %s, before the first query', async (_, lose) => {
    const { pool } = await idlePool(1, { validateTimeoutMillis: 50 });
    const { controlOf } = await import('../../src/pg/control.ts');
    lose(proxy());
    const gone = until(pool, () => pool.stats().total === 0);
    await controlOf(pool).thaw(2000);
    await gone;
    const before = proxy().snapshot();
    expect(await one(pool)).toEqual([{ one: 1 }]);
    expect(proxy().since(before).frontend).toMatchObject({ Query: 1 });
    expect(pool.stats()).toMatchObject({ created: 2, idle: 1 });
  });

  it.each(losses.slice(0, 2))('is out of the pool as soon as its end is seen when it was %s', async (_, lose) => {
    const { pool } = await idlePool(1, {}, 0);
    const gone = nextEvent(pool, (event) => event.type === 'transition' && event.to === 'gone');
    lose(proxy());
    await gone;
    expect(pool.stats()).toMatchObject({ total: 0, destroyed: { broken: 1 } });
    expect(await one(pool)).toEqual([{ one: 1 }]);
  });

  it('is not given up for being slow', async () => {
    const { pool } = await idlePool(1);
    proxy().delay(15);
    const before = proxy().snapshot();
    expect(await one(pool)).toEqual([{ one: 1 }]);
    expect(proxy().since(before)).toMatchObject({ opened: 0, frontend: { Sync: 1, Query: 1 } });
  });

  it('makes its whole generation suspect, and is replaced within the same acquire', async () => {
    const { pool } = await idlePool(3, { validateTimeoutMillis: 50 });
    const before = proxy().snapshot();
    proxy().blackhole();
    expect(await one(pool)).toEqual([{ one: 1 }]);
    expect(proxy().since(before)).toMatchObject({ opened: 1 });
    expect(pool.stats().epoch).toBeGreaterThanOrEqual(1);
    // Nothing of the old generation is ever handed out again.
    const answers = await Promise.all(Array.from({ length: 4 }, () => one(pool)));
    expect(answers).toEqual(Array.from({ length: 4 }, () => [{ one: 1 }]));
    expect(pool.stats().destroyed.invalid + pool.stats().destroyed.broken).toBe(3);
  });

  it('has those asked again that have answered lately, when one of them fails', async () => {
    const { pool, pass } = await idlePool(2, { validateTimeoutMillis: 50 }, 900);
    await one(pool);
    pass(200);
    // The one that has just answered is fresh; the other one no longer is, and does not answer.
    let syncs = 0;
    proxy().onMessage(({ name }) => {
      if (name === 'Sync') syncs += 1;
      return name === 'Sync' && syncs === 1 ? 'blackhole' : undefined;
    });
    const fresh = await pool.connect();
    expect(syncs).toBe(0);
    expect(await one(pool)).toEqual([{ one: 1 }]);
    expect([syncs, pool.stats().epoch, pool.stats().created]).toEqual([1, 1, 3]);
    fresh.release();
    // It was proven in the old epoch, so it is proven again.
    expect(await one(pool)).toEqual([{ one: 1 }]);
    expect([syncs, pool.stats().created]).toEqual([2, 3]);
  });

  it('serves everybody who waits', async () => {
    const { pool } = await idlePool(4, { validateTimeoutMillis: 50 });
    proxy().blackhole();
    const answers = await Promise.all(Array.from({ length: 12 }, () => one(pool)));
    expect(answers).toHaveLength(12);
    expect(pool.stats()).toMatchObject({ waiting: 0, leased: 0, invalidated: 4 });
  });

  it('is rolled back by the server, not by us, when it was leased', async () => {
    const { pool } = await idlePool(1, {}, 0);
    const client = await pool.connect();
    await client.query('begin');
    proxy().resetAll();
    await until(pool, () => pool.stats().leased === 0);
    expect((await failure(client.query('commit'))).message).toMatch(/not queryable/);
    client.release();
    expect(await one(pool)).toEqual([{ one: 1 }]);
  });
});
