import { asc, eq, sql, TransactionRollbackError } from 'drizzle-orm';
import { drizzle, type NodePgDatabase, type NodePgQueryResultHKT } from 'drizzle-orm/node-postgres';
import { integer, type PgDatabase, pgTable, text, timestamp } from 'drizzle-orm/pg-core';
import { withPool } from 'thawpool';
import { describe, expect, it } from 'vitest';
import { failure } from '../support.ts';
import { describeLibrary, type Notes } from './contract.ts';

const notes = pgTable('notes', {
  id: integer().primaryKey().generatedAlwaysAsIdentity(),
  name: text().notNull().unique(),
});

const sqlState = (error: unknown): unknown => (error as { cause?: { code?: unknown } }).cause?.code;

function notesOf(db: PgDatabase<NodePgQueryResultHKT>): Notes {
  return {
    add: (name) => db.insert(notes).values({ name }),
    names: async () =>
      (await db.select({ name: notes.name }).from(notes).orderBy(asc(notes.name))).map(({ name }) => name),
  };
}

const { open } = describeLibrary('Drizzle', { endsPool: false, sqlState }, (pool) => {
  const db: NodePgDatabase = drizzle({ client: pool });
  return {
    db,
    ...notesOf(db),
    transaction: (work) => db.transaction((tx) => work(notesOf(tx))),
    close: async () => {},
  };
});

describe('what only Drizzle does', () => {
  it('reads times by its own type parsers, and leaves them to everybody else', async () => {
    const { pool } = await open();
    const events = pgTable('events', { at: timestamp({ mode: 'string' }).notNull() });
    await pool.use(async (client) => {
      await client.query("create temporary table events as select timestamp '2026-01-02 03:04:05' as at");
      expect(await drizzle({ client }).select().from(events)).toEqual([{ at: '2026-01-02 03:04:05' }]);
      expect((await client.query('select at from events')).rows).toEqual([{ at: new Date(2026, 0, 2, 3, 4, 5) }]);
    });
  });

  it('runs a prepared statement again and again, on whatever connection there is', async () => {
    const { library } = await open();
    await library.add('a');
    const byName = library.db
      .select()
      .from(notes)
      .where(eq(notes.name, sql.placeholder('name')))
      .prepare('note_by_name');
    const found = await Promise.all(Array.from({ length: 12 }, () => byName.execute({ name: 'a' })));
    expect(found).toEqual(Array.from({ length: 12 }, () => [{ id: 1, name: 'a' }]));
  });

  it('undoes an inner transaction and keeps the outer one', async () => {
    const { pool, library } = await open();
    await library.db.transaction(async (tx) => {
      await tx.insert(notes).values({ name: 'kept' });
      const undone = tx.transaction(async (inner) => {
        await inner.insert(notes).values({ name: 'undone' });
        inner.rollback();
      });
      expect(await failure(undone)).toBeInstanceOf(TransactionRollbackError);
    });
    expect(await library.names()).toEqual(['kept']);
    expect(pool.stats()).toMatchObject({ created: 1, leased: 0 });
  });

  it('takes the pool of an invocation for a pool: a transaction has a connection to itself', async () => {
    const { pool } = await open();
    const handler = withPool(
      async (_event: object, { db }) => {
        const orm = drizzle({ client: db });
        await failure(
          orm.transaction(async (tx) => {
            await tx.insert(notes).values({ name: 'undone' });
            expect(await notesOf(orm).names()).toEqual([]);
            throw new Error('of the caller');
          }),
        );
        return notesOf(orm).names();
      },
      { pool },
    );
    expect(await handler({}, {})).toEqual([]);
    expect(pool.stats()).toMatchObject({ created: 2, leased: 0 });
  });
});
