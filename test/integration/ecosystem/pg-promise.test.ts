import pgPromise, { type ITask } from 'pg-promise';
import { describe, expect, it } from 'vitest';
import { failure } from '../support.ts';
import { describeLibrary, type Notes } from './contract.ts';

const sqlState = (error: unknown): unknown => (error as { code?: unknown }).code;

function notesOf(db: Pick<ITask<unknown>, 'none' | 'map'>): Notes {
  return {
    add: (name) => db.none('insert into notes (name) values ($1)', [name]),
    names: () => db.map('select name from notes order by name', [], ({ name }: { name: string }) => name),
  };
}

const { open } = describeLibrary('pg-promise', { endsPool: true, sqlState }, (pool) => {
  const pgp = pgPromise({ noWarnings: true });
  const lent = function lent(): object {
    return Object.create(pool) as object;
  };
  Object.assign(pgp, { pg: { ...pgp.pg, Pool: lent } });
  const db = pgp({});
  return {
    pgp,
    db,
    ...notesOf(db),
    transaction: (work) => db.tx((tx) => work(notesOf(tx))),
    close: async () => db.$pool.end(),
  };
});

describe('what only pg-promise does', () => {
  it('undoes an inner transaction and keeps the outer one', async () => {
    const { pool, library } = await open();
    await library.db.tx(async (tx) => {
      await notesOf(tx).add('kept');
      const undone = tx.tx(async (inner) => {
        await notesOf(inner).add('undone');
        throw new Error('of the caller');
      });
      expect((await failure(undone)).message).toBe('of the caller');
    });
    expect(await library.names()).toEqual(['kept']);
    expect(pool.stats()).toMatchObject({ created: 1, leased: 0 });
  });

  it('runs a prepared statement again and again, on whatever connection there is', async () => {
    const { library } = await open();
    await library.add('a');
    const statement = new library.pgp.PreparedStatement({
      name: 'note-by-name',
      text: 'select name from notes where name = $1',
      values: ['a'],
    });
    const found = await Promise.all(Array.from({ length: 12 }, () => library.db.one(statement)));
    expect(found).toEqual(Array.from({ length: 12 }, () => ({ name: 'a' })));
  });

  it('keeps one connection for a task', async () => {
    const { pool, library } = await open();
    const pids = await library.db.task(async (task) =>
      task.batch([task.one('select pg_backend_pid() as pid'), task.one('select pg_backend_pid() as pid')]),
    );
    expect(pids[0]).toEqual(pids[1]);
    expect(pool.stats()).toMatchObject({ created: 1, leased: 0 });
  });

  it('leaves the pool itself as it was', async () => {
    const { pool } = await open();
    expect(Object.hasOwn(pool, 'end')).toBe(false);
  });
});
