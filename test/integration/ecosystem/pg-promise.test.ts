import pgPromise, { type ITask } from 'pg-promise';
import { describeLibrary, type Notes } from './contract.ts';

const sqlState = (error: unknown): unknown => (error as { code?: unknown }).code;

function notesOf(db: ITask<unknown>): Notes {
  return {
    add: (name) => db.none('insert into notes (name) values ($1)', [name]),
    names: () => db.map('select name from notes order by name', [], ({ name }: { name: string }) => name),
  };
}

const { database, open } = describeLibrary('pg-promise', { endsPool: true, sqlState }, (pool) => {
  const pgp = pgPromise({ noWarnings: true });
  Object.assign(pgp, { pg: { ...pgp.pg, Pool: function lent() { return Object.create(pool); } } });
  const db = pgp({});
  return {
    db,
    ...notesOf(db as unknown as ITask<unknown>),
    transaction: (work) => db.tx((tx) => work(notesOf(tx))),
    close: async () => pgp.end(),
  };
});
