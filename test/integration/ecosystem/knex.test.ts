import knex, { type Knex } from 'knex';
import { describeLibrary, type Notes } from './contract.ts';

const sqlState = (error: unknown): unknown => (error as { code?: unknown }).code;

function notesOf(db: Knex): Notes {
  return {
    add: (name) => db('notes').insert({ name }),
    names: () => db('notes').orderBy('name').pluck<string[]>('name'),
  };
}

const { database, open } = describeLibrary('Knex', { endsPool: false, sqlState }, (pool) => {
  const db = knex({ client: 'pg', connectionPool: pool });
  return { db, ...notesOf(db), transaction: (work) => db.transaction((tx) => work(notesOf(tx))), close: () => db.destroy() };
});
