// simulateFreeze() beside the real thing. Each story is told twice to the same kind of pool: once this thread is really
// stopped while a proxy in another thread breaks its sockets, once the freeze is simulated. What callers see and what
// the pool does about it must be the same.
import { readFileSync } from 'node:fs';
import type { ClientBase } from 'pg';
import { createPool, type PgPool, type PoolEvent, withPool } from 'thawpool';
import { type Clock, systemClock } from 'thawpool/core';
import { FakeClock, type SimulateFreezeOptions, type SocketFate, simulateFreeze } from 'thawpool/testing';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { slowClock } from '../support/slow-clock.ts';
import { type Elsewhere, proxyElsewhere } from './proxy-elsewhere.ts';
import { failure, through, thrown, useDatabase } from './support.ts';

const database = useDatabase();

let elsewhere: Elsewhere;
beforeAll(async () => {
  elsewhere = await proxyElsewhere();
});
afterAll(() => elsewhere.close());

const verbs = { alive: 'nothing', closed: 'closeAll', reset: 'resetAll', 'black-holed': 'blackhole' } as const;

/** A pool, and a way to freeze its process. */
interface Frozen {
  readonly pool: PgPool;
  /** Resolves in the turn in which the process runs on. */
  freeze(forMillis: number): Promise<void>;
  /** Lets the time pass that a proof of life may take, where nothing else ends it. */
  proofFails(): Promise<void>;
}

type Way = (sockets: SocketFate, options: { readonly max?: number; readonly maxIdle?: number }) => Frozen;

/** No pause of the machine makes a connection doubtful, and every freeze of half a minute and more does. */
const place = () => ({
  connectionString: through(elsewhere.port, database.connectionString),
  env: {},
  validateAfterIdleMillis: 30_000,
});
/** A proof of life that is answered has time for that; one that is not is given up soon. */
const timersFor = (sockets: SocketFate): Clock['setTimer'] =>
  sockets === 'black-holed' ? systemClock.setTimer : slowClock().setTimer;
/** The system's timers fire by themselves. */
const byItself = async () => {};
/** Lambda freezes a process that waits for I/O: before it does anything else it sees what has come. */
const untilItWaits = () => new Promise((resolve) => void setImmediate(resolve));
/** More than a proof of life may take. */
const proofMillis = 300;

const ways: Readonly<Record<'stopped' | 'simulated' | 'simulated by a fake clock', Way>> = {
  stopped(sockets, options) {
    let away = 0;
    const now = () => ({ wall: Date.now() + away, monotonic: performance.now() });
    const clock: Clock = { ...systemClock, now, setTimer: timersFor(sockets) };
    const pool = createPool({ ...place(), ...options, clock });
    const freeze = async (forMillis: number) => {
      await untilItWaits();
      elsewhere.during(verbs[sockets]);
      away += forMillis;
    };
    return { pool, freeze, proofFails: byItself };
  },
  simulated(sockets, options) {
    const clock: Clock = { ...systemClock, setTimer: timersFor(sockets) };
    const pool = createPool({ ...place(), ...options, clock });
    const freeze = async (forMillis: number) => simulateFreeze(pool, { forMillis, sockets });
    return { pool, freeze, proofFails: byItself };
  },
  'simulated by a fake clock'(sockets, options) {
    const clock = new FakeClock();
    const pool = createPool({ ...place(), ...options, clock });
    const freeze = async (forMillis: number) => simulateFreeze(pool, { forMillis, sockets });
    const proofFails = () => (sockets === 'black-holed' ? clock.advance(proofMillis) : byItself());
    return { pool, freeze, proofFails };
  },
};

/** What callers have seen, what the pool did, and what it came to. */
interface Account {
  readonly seen: unknown;
  readonly events: readonly string[];
  readonly stats: object;
}

interface Story {
  readonly title: string;
  readonly sockets: readonly SocketFate[];
  readonly max?: number;
  readonly maxIdle?: number;
  tell(frozen: Frozen): Promise<unknown>;
}

async function accountOf({ tell, max = 1, maxIdle = max }: Story, way: Way, sockets: SocketFate): Promise<Account> {
  const frozen = way(sockets, { max, maxIdle });
  const events: string[] = [];
  frozen.pool.observe((event) => events.push(...briefly(event)));
  try {
    const seen = await tell(frozen);
    // What several connections do at once has no order.
    return { seen, events: max === 1 ? events : events.toSorted(), stats: frozen.pool.stats() };
  } finally {
    await frozen.pool.end();
  }
}

/**
 * An event without what is different each time: numbers, and what a few microseconds decide, such as whether a proof of
 * life is answered before somebody waits for it. The counts of those are in the stats.
 */
function briefly(event: PoolEvent): string[] {
  if (event.type === 'transition') {
    const { from = 'nothing', to, reason, error } = event;
    if (to === 'idle' || to === 'leased' || to === 'gone') return [];
    return [`${from} → ${to}${reason ? `, ${reason}` : ''}${error instanceof Error ? `: ${error.message}` : ''}`];
  }
  if (event.type === 'epoch') return [`epoch ${event.epoch}, ${event.cause}`];
  if (event.type === 'validated') return [`validated, ${event.alive}`];
  // A clock that stands still says 0 where another says 0.2; what comes of it is told by the epoch.
  return event.type === 'thaw' || event.type === 'queued' ? [] : [event.type];
}

function shape(error: Error & { code?: string }): object {
  const { name, code, message, cause } = error;
  return { name, code, message, ...(cause instanceof Error && { cause: shape(cause) }) };
}

const all: readonly SocketFate[] = ['alive', 'closed', 'reset', 'black-holed'];
const lost: readonly SocketFate[] = ['closed', 'reset'];

const answer = { rows: [{ one: 1 }] };
const one = async (db: Pick<ClientBase, 'query'>) => ({ rows: (await db.query('select 1 as one')).rows });

/** Two invocations and a freeze between them. */
function invocations(forMillis: number, sockets: readonly SocketFate[]): Story {
  return {
    title: `a handler after ${forMillis} ms`,
    sockets,
    async tell({ pool, freeze, proofFails }) {
      const handler = withPool((_event: object, { db }) => one(db), { pool });
      const before = await handler({}, {});
      await freeze(forMillis);
      const after = handler({}, {});
      await proofFails();
      return [before, await after, await handler({}, {})];
    },
  };
}

const stories: readonly Story[] = [
  // Steady traffic, after which nothing is asked of the server: a silent loss cannot be told from a slow answer.
  invocations(100, ['alive', 'closed', 'reset']),
  invocations(60_000, all),
  // Longer than `idleTimeoutMillis`.
  invocations(600_000, all),
  {
    title: 'a handler that wants two connections after a freeze with two',
    sockets: all,
    max: 2,
    async tell({ pool, freeze, proofFails }) {
      const handler = withPool(
        async (_event: object, { db }) => {
          const clients = await Promise.all([db.connect(), db.connect()]);
          const answers = await Promise.all(clients.map(one));
          for (const client of clients) client.release();
          return answers;
        },
        { pool },
      );
      const before = await handler({}, {});
      await freeze(60_000);
      const after = handler({}, {});
      await proofFails();
      return [before, await after];
    },
  },
  {
    title: 'a statement on a pool without a handler',
    sockets: all,
    async tell({ pool, freeze, proofFails }) {
      await one(pool);
      await freeze(60_000);
      const after = one(pool);
      await proofFails();
      return await after;
    },
  },
  {
    title: 'a statement that is sent at once into a connection that is gone',
    sockets: lost,
    async tell({ pool, freeze }) {
      await one(pool);
      await freeze(100);
      return [shape(await failure(one(pool))), await one(pool)];
    },
  },
  {
    title: 'a statement that was on its way',
    sockets: lost,
    async tell({ pool, freeze }) {
      await one(pool);
      const sent = failure(pool.query('select pg_sleep(1)'));
      await freeze(1000);
      return [shape(await sent), await one(pool)];
    },
  },
  {
    title: 'a client that was kept',
    sockets: lost,
    async tell({ pool, freeze }) {
      const client = await pool.connect();
      await one(client);
      await freeze(60_000);
      const errors = [shape(await failure(client.query('select 2'))), shape(await failure(client.query('select 3')))];
      client.release();
      return [...errors, await one(pool)];
    },
  },
  {
    title: 'a transaction that was open',
    sockets: lost,
    async tell({ pool, freeze }) {
      const whole = pool.transaction(async (tx) => {
        await tx.query('select 1');
        await freeze(1000);
        await tx.query('select 2');
      });
      return [shape(await failure(whole)), await one(pool)];
    },
  },
];

describe('what is simulated is what happens', () => {
  const cases = stories.flatMap((story) => story.sockets.map((sockets) => ({ story, sockets, title: story.title })));
  describe.each(cases)('to $title, sockets $sockets', ({ story, sockets }) => {
    test.each(['simulated', 'simulated by a fake clock'] as const)('%s', async (way) => {
      const real = await accountOf(story, ways.stopped, sockets);
      const simulated = await accountOf(story, ways[way], sockets);
      expect(simulated).toEqual(real);
    });
  });
});

describe('a simulated freeze', () => {
  const harmless = { forMillis: 60_000, sockets: 'alive' } as const;

  test('works on the view that a handler gets', async () => {
    const pool = createPool(place());
    const handler = withPool(
      async (_event: object, { db }) => {
        await one(db);
        simulateFreeze(db, { forMillis: 60_000, sockets: 'closed' });
        return one(db);
      },
      { pool },
    );
    expect(await handler({}, {})).toEqual(answer);
    expect(pool.stats()).toMatchObject({ created: 2, destroyed: { broken: 1 } });
    await pool.end();
  });

  test('adds up with others before the next invocation', async () => {
    const pool = createPool(place());
    const handler = withPool((_event: object, { db }) => one(db), { pool });
    await handler({}, {});
    simulateFreeze(pool, { ...harmless, forMillis: 20_000 });
    simulateFreeze(pool, { ...harmless, forMillis: 20_000 });
    await handler({}, {});
    expect(pool.stats().epoch).toBe(1);
    await handler({}, {});
    expect(pool.stats().epoch).toBe(1);
    await pool.end();
  });

  test('leaves new connections alone', async () => {
    const pool = createPool({ ...place(), max: 2 });
    const kept = await pool.connect();
    simulateFreeze(pool, { forMillis: 1000, sockets: 'black-holed' });
    expect(await one(pool)).toEqual(answer);
    kept.release(true);
    await pool.end();
  });

  test('moves a fake clock, its monotonic hand only when told to', () => {
    const clock = new FakeClock({ wall: 0, monotonic: 0 });
    const pool = createPool({ ...place(), clock });
    simulateFreeze(pool, harmless);
    expect(clock.now()).toEqual({ wall: 60_000, monotonic: 0 });
    simulateFreeze(pool, { ...harmless, monotonicRuns: true });
    expect(clock.now()).toEqual({ wall: 120_000, monotonic: 60_000 });
  });

  test('refuses what it does not know, and says what it does', () => {
    const pool = createPool(place());
    const refusal = (given: PgPool, options: SimulateFreezeOptions) => thrown(() => simulateFreeze(given, options));
    expect(shape(refusal(pool, { ...harmless, sockets: 'dead' as SocketFate }))).toEqual({
      name: 'PoolError',
      code: 'ERR_POOL_INVALID_OPTION',
      message: 'sockets must be one of alive, closed, reset, black-holed, got "dead". See ERR_POOL_INVALID_OPTION.',
    });
    expect(refusal(pool, { ...harmless, forMillis: -1 })).toMatchObject({
      message: 'forMillis must be a number of milliseconds, 0 or more, got -1. See ERR_POOL_INVALID_OPTION.',
    });
    expect(refusal({} as PgPool, harmless)).toMatchObject({
      message:
        'simulateFreeze() takes a pool made by createPool() or getPool(), and this one was not. See ERR_POOL_INVALID_OPTION.',
    });
  });
});

test('a proof of life that was answered in the freeze does not hide the end that came behind it', async () => {
  const { pool } = ways.stopped('closed', { max: 1, maxIdle: 1 });
  const handler = withPool((event: { idle: boolean }, { db }) => (event.idle ? undefined : one(db)), { pool });
  await handler({ idle: false }, {});
  simulateFreeze(pool, { forMillis: 60_000, sockets: 'alive' });
  await handler({ idle: true }, {}); // Its thaw asks for the proof, and nobody waits for the answer.
  elsewhere.during('closeAll');
  expect(await handler({ idle: false }, {})).toEqual(answer);
  expect(pool.stats()).toMatchObject({ created: 2, destroyed: { broken: 1 } });
  await pool.end();
});

test('docs/testing.md shows the example as it stands', () => {
  const read = (path: string) => readFileSync(new URL(`../../${path}`, import.meta.url), 'utf8').trim();
  const page = read('docs/testing.md');
  for (const file of ['handler.ts', 'handler.test.ts']) expect(page).toContain(read(`examples/testing/${file}`));
});
