/** What every library that is given a pool of ours is held to, whatever it makes of it: one suite, every library. */

import { type PgPool, withPool } from 'thawpool';
import { simulateFreeze } from 'thawpool/testing';
import { afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { failure, type TestDatabase, type TestPool, useDatabase, usePools } from '../support.ts';

/** Statements on the table `notes`, outside or inside of a transaction. */
export interface Notes {
  add(name: string): Promise<unknown>;
  /** The names, in alphabetical order. */
  names(): Promise<string[]>;
}

/** A library at work, on a pool that it was given. */
export interface Library extends Notes {
  /** Runs `work` in a transaction: COMMIT when it returns, ROLLBACK when it throws. */
  transaction<R>(work: (tx: Notes) => Promise<R>): Promise<R>;
  /** Ends what belongs to the library. */
  close(): Promise<unknown>;
}

/** What is known of a library beforehand. */
export interface LibraryFacts {
  /** Whether closing it ends the pool. */
  readonly endsPool: boolean;
  /** Where its errors keep the SQLSTATE. */
  readonly sqlState: (error: unknown) => unknown;
}

/** What a test of one library works with, besides the contract. */
export interface Setting<L extends Library> {
  readonly database: TestDatabase;
  /** Makes a pool of at most four connections, and the library on top of it. */
  open(): Promise<TestPool & { library: L }>;
}

const max = 4;

/** Runs the contract, in a database of the file's own that has the table `notes`. */
export function describeLibrary<L extends Library>(
  name: string,
  facts: LibraryFacts,
  make: (pool: PgPool, database: TestDatabase) => Promise<L> | L,
): Setting<L> {
  const database = useDatabase();
  const makePool = usePools(() => ({ connectionString: database.connectionString, max, maxIdle: max }));
  const closes: (() => Promise<unknown>)[] = [];
  const processWarnings: string[] = [];
  const onProcessWarning = (warning: Error): void => void processWarnings.push(`${warning.name}: ${warning.message}`);

  beforeAll(() =>
    database.query('create table notes (id int generated always as identity primary key, name text not null unique)'),
  );
  beforeEach(async () => {
    await database.query('truncate notes restart identity');
    processWarnings.length = 0;
    process.on('warning', onProcessWarning);
  });
  afterEach(async () => {
    process.off('warning', onProcessWarning);
    for (const close of closes.splice(0)) await close().catch(() => {});
  });

  const open: Setting<L>['open'] = async () => {
    const made = makePool();
    const library = await make(made.pool, database);
    closes.push(() => library.close());
    return { ...made, library };
  };

  describe(`${name} on a pool of ours`, () => {
    it('writes and reads, and gives every connection back', async () => {
      const { pool, library, warnings } = await open();
      await library.add('b');
      await library.add('a');
      expect(await library.names()).toEqual(['a', 'b']);
      expect(pool.stats()).toMatchObject({ created: 1, idle: 1, leased: 0 });
      expect(warnings).toEqual([]);
    });

    it('commits a transaction that returns', async () => {
      const { pool, library, warnings } = await open();
      const seen = await library.transaction(async (tx) => {
        await tx.add('kept');
        expect(await names(database)).toEqual([]);
        return tx.names();
      });
      expect(seen).toEqual(['kept']);
      expect(await names(database)).toEqual(['kept']);
      expect(pool.stats()).toMatchObject({ created: 1, idle: 1, leased: 0 });
      expect(warnings).toEqual([]);
    });

    it('rolls back a transaction that throws, and keeps its connection', async () => {
      const { pool, library, warnings } = await open();
      const why = new Error('of the caller');
      const thrown = await failure(
        library.transaction(async (tx) => {
          await tx.add('undone');
          throw why;
        }),
      );
      expect(thrown).toBe(why);
      expect(await library.names()).toEqual([]);
      expect(pool.stats()).toMatchObject({ created: 1, idle: 1, leased: 0 });
      expect(warnings).toEqual([]);
    });

    it('serves a burst of three times as many statements as there may be connections', async () => {
      const { pool, library } = await open();
      await Promise.all(Array.from({ length: 3 * max }, (_, n) => library.add(`note ${String(n).padStart(2, '0')}`)));
      expect(await library.names()).toHaveLength(3 * max);
      expect(pool.stats()).toMatchObject({ leased: 0, waiting: 0 });
      expect(pool.stats().created).toBeLessThanOrEqual(max);
    });

    it('runs statements of others beside its transactions', async () => {
      const { pool, library } = await open();
      const works = ['x', 'y', 'z'].map((name) =>
        library.transaction(async (tx) => {
          await tx.add(name);
          // On another connection, which does not see what this one has not committed.
          expect(await library.names()).not.toContain(name);
          await tx.add(`${name}!`);
        }),
      );
      await Promise.all(works);
      expect(await names(database)).toEqual(['x', 'x!', 'y', 'y!', 'z', 'z!']);
      expect(pool.stats()).toMatchObject({ leased: 0, waiting: 0 });
    });

    it('tells of a unique violation by its code, and goes on with the same connection', async () => {
      const { pool, library, warnings } = await open();
      await library.add('once');
      const { created } = pool.stats();
      const outside = await failure(library.add('once'));
      const inside = await failure(library.transaction((tx) => tx.add('once')));
      expect([facts.sqlState(outside), facts.sqlState(inside)]).toEqual(['23505', '23505']);
      expect(await library.names()).toEqual(['once']);
      expect(pool.stats()).toMatchObject({ created, idle: created, leased: 0 });
      expect(warnings).toEqual([]);
    });

    it('answers the invocations after freezes in which its connections were killed', async () => {
      const { pool, library, warnings } = await open();
      const handler = withPool((work: () => Promise<unknown>) => work(), { pool });
      const killAndFreeze = async (): Promise<void> => {
        for (const pid of await database.sessions()) await database.terminate(pid);
        simulateFreeze(pool, { forMillis: 60_000, sockets: 'alive' });
      };
      await handler(() => library.add('before'), {});
      await killAndFreeze();
      expect(await handler(() => library.names(), {})).toEqual(['before']);
      await killAndFreeze();
      await handler(() => library.transaction((tx) => tx.add('after')), {});
      expect(await names(database)).toEqual(['after', 'before']);
      expect(pool.stats()).toMatchObject({ leased: 0, waiting: 0 });
      expect(warnings).toEqual([]);
    });

    it('reports a connection that is lost in a transaction, and works on', async () => {
      const { pool, library } = await open();
      const broken = library.transaction(async (tx) => {
        await tx.add('lost');
        const busy = await database.query<{ pid: number }>(
          "select pid from pg_stat_activity where datname = current_database() and state = 'idle in transaction'",
        );
        for (const { pid } of busy) await database.terminate(pid);
        await tx.add('never');
      });
      await failure(broken);
      expect(await library.names()).toEqual([]);
      expect(pool.stats()).toMatchObject({ leased: 0, waiting: 0 });
    });

    it('leaves no listeners behind on a connection that it uses again and again', async () => {
      const { pool, library } = await open();
      await library.transaction((tx) => tx.names());
      const before = await listeners(pool);
      for (let n = 0; n < 15; n += 1) await library.transaction((tx) => tx.names());
      expect(await listeners(pool)).toEqual(before);
      expect(processWarnings).toEqual([]);
    });

    it(facts.endsPool ? 'ends the pool when it is closed' : 'leaves the pool open when it is closed', async () => {
      const { pool, library } = await open();
      await library.add('last');
      await library.close();
      closes.pop();
      if (facts.endsPool) await expect.poll(() => pool.ended).toBe(true);
      else expect((await pool.query('select name from notes')).rows).toEqual([{ name: 'last' }]);
    });
  });

  return { database, open };
}

async function names(database: TestDatabase): Promise<string[]> {
  const rows = await database.query<{ name: string }>('select name from notes order by name');
  return rows.map((row) => row.name);
}

/** How many listeners there are on the pool and on its connection, event by event. */
async function listeners(pool: PgPool): Promise<unknown> {
  const client = await pool.connect();
  const counts = (emitter: NodeJS.EventEmitter): unknown =>
    emitter.eventNames().map((name) => [String(name), emitter.listenerCount(name)]);
  try {
    return [counts(pool), counts(client)];
  } finally {
    client.release();
  }
}
