import { type Generated, Kysely, PostgresDialect } from 'kysely';
import type { PgPool } from 'thawpool';
import { describeLibrary, type Notes } from './contract.ts';

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

const { database, open } = describeLibrary('Kysely', { endsPool: true, sqlState }, (pool: PgPool) => {
  const db = new Kysely<Schema>({ dialect: new PostgresDialect({ pool }) });
  return {
    db,
    ...notesOf(db),
    transaction: (work) => db.transaction().execute((tx) => work(notesOf(tx))),
    close: () => db.destroy(),
  };
});
