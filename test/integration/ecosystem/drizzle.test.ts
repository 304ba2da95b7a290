import { asc } from 'drizzle-orm';
import { drizzle, type NodePgDatabase } from 'drizzle-orm/node-postgres';
import { integer, pgTable, text, type PgDatabase } from 'drizzle-orm/pg-core';
import type { NodePgQueryResultHKT } from 'drizzle-orm/node-postgres';
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

const { database, open } = describeLibrary('Drizzle', { endsPool: false, sqlState }, (pool) => {
  const db: NodePgDatabase = drizzle({ client: pool });
  return {
    db,
    ...notesOf(db),
    transaction: (work) => db.transaction((tx) => work(notesOf(tx))),
    close: async () => {},
  };
});
