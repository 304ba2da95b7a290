import knex, { type Knex } from 'knex';
import { describe, expect, it } from 'vitest';
import { failure } from '../support.ts';
import { describeLibrary, type Notes } from './contract.ts';

const sqlState = (error: unknown): unknown => (error as { code?: unknown }).code;

function notesOf(db: Knex): Notes {
  return {
    add: (name) => db('notes').insert({ name }),
    names: () => db('notes').orderBy('name').pluck<string[]>('name'),
  };
}

const { open } = describeLibrary('Knex', { endsPool: false, sqlState }, (pool) => {
  const db = knex({ client: 'pg', connectionPool: pool });
  return {
    db,
    ...notesOf(db),
    transaction: (work) => db.transaction((tx) => work(notesOf(tx))),
    close: () => db.destroy(),
  };
});

describe('what only Knex does', () => {
  it('undoes an inner transaction and keeps the outer one', async () => {
    const { pool, library } = await open();
    await library.db.transaction(async (tx) => {
      await tx('notes').insert({ name: 'kept' });
      const undone = tx.transaction(async (inner) => {
        await inner('notes').insert({ name: 'undone' });
        throw new Error('of the caller');
      });
      expect((await failure(undone)).message).toBe('of the caller');
    });
    expect(await library.names()).toEqual(['kept']);
    expect(pool.stats()).toMatchObject({ created: 1, leased: 0 });
  });

  it('streams rows, and gives the connection back when the loop is left', async () => {
    const { pool, library } = await open();
    await library.db.raw("insert into notes (name) select 'n' || n from generate_series(1, 500) n");
    const seen: unknown[] = [];
    for await (const row of library.db('notes').orderBy('id').pluck('name').stream({ highWaterMark: 10 })) {
      seen.push(row);
      if (seen.length === 20) break;
    }
    expect(seen).toHaveLength(20);
    await expect.poll(() => pool.stats().leased).toBe(0);
  });

  it('has a connection closed whose answer it has given up waiting for', async () => {
    const { pool, library } = await open();
    const slow = library.db.raw('select pg_sleep(600)').timeout(1);
    expect(await failure(slow)).toMatchObject({ name: 'KnexTimeoutError' });
    expect(await library.names()).toEqual([]);
    expect(pool.stats()).toMatchObject({ created: 2, leased: 0 });
  });

  it('makes and drops tables by its schema builder', async () => {
    const { pool, library } = await open();
    await library.db.schema.createTable('made', (table) => void table.increments('id'));
    expect(await library.db.schema.hasTable('made')).toBe(true);
    await library.db.schema.dropTable('made');
    expect(pool.stats()).toMatchObject({ created: 1, leased: 0 });
  });
});
