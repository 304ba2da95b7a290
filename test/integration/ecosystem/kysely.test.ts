import { createRequire } from 'node:module';
import { type Generated, Kysely, type PostgresCursorConstructor, PostgresDialect, sql } from 'kysely';
import { withPool } from 'thawpool';
import { describe, expect, it, vi } from 'vitest';
import { failure, until } from '../support.ts';
import { describeLibrary, type Notes } from './contract.ts';

/** It has no types of its own. */
const Cursor = createRequire(import.meta.url)('pg-cursor') as PostgresCursorConstructor;

interface Schema {
  readonly notes: { id: Generated<number>; name: string };
}

const sqlState = (error: unknown): unknown => (error as { code?: unknown }).code;

function notesOf(db: Kysely<Schema>): Notes {
  return {
    add: (name) => db.insertInto('notes').values({ name }).execute(),
    names: async () => (await db.selectFrom('notes').select('name').orderBy('name').execute()).map(({ name }) => name),
  };
}

const { database, open } = describeLibrary('Kysely', { endsPool: true, sqlState }, (pool) => {
  const db = new Kysely<Schema>({ dialect: new PostgresDialect({ pool, cursor: Cursor }) });
  return {
    db,
    ...notesOf(db),
    transaction: (work) => db.transaction().execute((tx) => work(notesOf(tx))),
    close: () => db.destroy(),
  };
});

describe('what only Kysely does', () => {
  it('streams by a cursor, and gives the connection back when the loop is left', async () => {
    const { pool, library } = await open();
    await sql`insert into notes (name) select 'n' || n from generate_series(1, 50) n`.execute(library.db);
    const seen: string[] = [];
    for await (const { name } of library.db.selectFrom('notes').select('name').orderBy('id').stream(7)) {
      seen.push(name);
      if (seen.length === 20) break;
    }
    expect(seen.slice(-1)).toEqual(['n20']);
    expect(pool.stats()).toMatchObject({ created: 1, idle: 1, leased: 0 });
  });

  it('returns to a savepoint', async () => {
    const { pool, library } = await open();
    const tx = await library.db.startTransaction().execute();
    await tx.insertInto('notes').values({ name: 'kept' }).execute();
    const inner = await tx.savepoint('inner').execute();
    await inner.insertInto('notes').values({ name: 'undone' }).execute();
    await (await inner.rollbackToSavepoint('inner').execute()).commit().execute();
    expect(await library.names()).toEqual(['kept']);
    expect(pool.stats()).toMatchObject({ created: 1, leased: 0 });
  });

  it.each(['cancel query', 'kill session'] as const)(
    'has the server stop a query that is given up (%s), and goes on',
    async (inflightQueryAbortStrategy) => {
      const { pool, library } = await open();
      const told = vi.spyOn(console, 'error').mockImplementation(() => {});
      const abort = new AbortController();
      const { signal } = abort;
      const slow = sql`select pg_sleep(600)`.execute(library.db, { signal, inflightQueryAbortStrategy });
      const failed = failure(slow);
      await expect
        .poll(() =>
          database.query("select 1 from pg_stat_activity where datname = current_database() and query like '%(600)'"),
        )
        .toHaveLength(1);
      abort.abort();
      expect(await failed).toMatchObject({ name: 'AbortError' });
      await until(pool, () => pool.stats().leased === 0);
      expect(await library.names()).toEqual([]);
      expect(told).toHaveBeenCalledOnce();
      told.mockRestore();
    },
  );

  it('works on the pool of an invocation', async () => {
    const { pool } = await open();
    const handler = withPool(
      async (_event: object, { db }) => {
        const kysely = new Kysely<Schema>({ dialect: new PostgresDialect({ pool: db }) });
        await kysely.transaction().execute((tx) => notesOf(tx).add('here'));
        return notesOf(kysely).names();
      },
      { pool },
    );
    expect(await handler({}, {})).toEqual(['here']);
    expect(pool.stats()).toMatchObject({ created: 1, leased: 0 });
  });
});
