import { AmbiguousResultError, createPool, getPool, withPool } from 'thawpool';
import { FakeClock, simulateFreeze } from 'thawpool/testing';
import { afterAll, expect, test } from 'vitest';
import { handler } from './handler.ts';

/** The pool that the handler uses: the one without a name. */
const pool = getPool();
afterAll(() => pool.end());

test.each(['alive', 'closed', 'reset', 'black-holed'] as const)(
  'answers after a freeze that left its sockets %s',
  async (sockets) => {
    expect(await handler({ side: 6 }, {})).toBe(36);
    simulateFreeze(pool, { forMillis: 60_000, sockets });
    expect(await handler({ side: 7 }, {})).toBe(49);
  },
);

test('keeps its connection over a freeze that has not harmed it', async () => {
  const ownPool = createPool({ clock: new FakeClock() }); // No machine is too slow for a clock that stands still.
  const report = withPool((_event: object, { db }) => db.query('select 1'), { pool: ownPool });
  await report({}, {});
  simulateFreeze(ownPool, { forMillis: 60_000, sockets: 'alive' });
  await report({}, {});
  expect(ownPool.stats()).toMatchObject({ created: 1, idle: 1 });
  await ownPool.end();
});

test('says so when a statement may have run although its answer is lost', async () => {
  const answer = withPool(async (_event: object, { db }) => {
    await db.query('select 1');
    const sent = db.query('select 2'); // On the connection that is open now.
    simulateFreeze(db, { forMillis: 1000, sockets: 'reset' });
    await sent;
  })({}, {});
  await expect(answer).rejects.toThrow(AmbiguousResultError);
});

test('takes a new connection in the morning', async () => {
  const clock = new FakeClock();
  const ownPool = createPool({ clock });
  const report = withPool((_event: object, { db }) => db.query('select 1'), { pool: ownPool });
  await report({}, {});
  clock.freeze(8 * 3_600_000, { monotonicRuns: false }); // Nothing but time passes: the socket is alive.
  await report({}, {});
  expect(ownPool.stats()).toMatchObject({ created: 2, destroyed: { expired: 1 } });
  await ownPool.end();
});

test('gives up in time when the database does not let anybody in', async () => {
  const clock = new FakeClock();
  const ownPool = createPool({ clock, max: 1, acquireTimeoutMillis: 5000 });
  const client = await ownPool.connect(); // The only connection there may be.
  const refused = expect(ownPool.query('select 1')).rejects.toThrow('Timed out after 5000 ms');
  await clock.advance(5000); // No waiting for five seconds.
  await refused;
  client.release();
  await ownPool.end();
});
