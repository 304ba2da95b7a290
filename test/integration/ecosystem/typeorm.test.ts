import pg from 'pg';
import type { PgPool } from 'thawpool';
import { DataSource, type EntityManager, EntitySchema, type MigrationInterface, type QueryRunner } from 'typeorm';
import { describe, expect, it } from 'vitest';
import { failure } from '../support.ts';
import { describeLibrary, type Notes } from './contract.ts';

interface Note {
  id: number;
  name: string;
}

const NoteEntity = new EntitySchema<Note>({
  name: 'Note',
  tableName: 'notes',
  columns: {
    id: { type: 'int', primary: true, generated: true },
    name: { type: 'text', unique: true },
  },
});

const sqlState = (error: unknown): unknown => (error as { code?: unknown }).code;

function notesOf(manager: EntityManager): Notes {
  const repository = manager.getRepository(NoteEntity);
  return {
    add: (name) => repository.insert({ name }),
    names: async () => (await repository.find({ order: { name: 'ASC' } })).map(({ name }) => name),
  };
}

/** pg as TypeORM sees it: whatever pool it makes is this one. */
function driverOf(pool: PgPool): object {
  return {
    ...pg,
    Pool: function lent(): PgPool {
      return pool;
    },
  };
}

const { open } = describeLibrary('TypeORM', { endsPool: true, sqlState }, async (pool) => {
  const source = new DataSource({ type: 'postgres', driver: driverOf(pool), entities: [NoteEntity] });
  await source.initialize();
  return {
    source,
    ...notesOf(source.manager),
    transaction: (work) => source.transaction((tx) => work(notesOf(tx))),
    close: () => source.destroy(),
  };
});

class AddTags implements MigrationInterface {
  readonly name = 'AddTags1700000000000';
  async up(runner: QueryRunner): Promise<void> {
    await runner.query('create table tags (id int primary key)');
  }
  async down(runner: QueryRunner): Promise<void> {
    await runner.query('drop table tags');
  }
}

describe('what only TypeORM does', () => {
  it('undoes an inner transaction and keeps the outer one', async () => {
    const { pool, library } = await open();
    await library.source.transaction(async (tx) => {
      await notesOf(tx).add('kept');
      const undone = tx.transaction(async (inner) => {
        await notesOf(inner).add('undone');
        throw new Error('of the caller');
      });
      expect((await failure(undone)).message).toBe('of the caller');
    });
    expect(await library.names()).toEqual(['kept']);
    expect(pool.stats()).toMatchObject({ created: 1, leased: 0 });
  });

  it('streams rows on a query runner that is released', async () => {
    const { pool, library } = await open();
    await library.source.query("insert into notes (name) select 'n' || n from generate_series(1, 50) n");
    const stream = await library.source.createQueryBuilder(NoteEntity, 'note').orderBy('note.id').stream();
    const rows: unknown[] = [];
    for await (const row of stream) rows.push(row);
    expect(rows).toHaveLength(50);
    await expect.poll(() => pool.stats().leased).toBe(0);
  });

  it('runs migrations and takes them back', async () => {
    const { pool } = await open();
    const source = new DataSource({ type: 'postgres', driver: driverOf(pool), migrations: [AddTags] });
    await source.initialize();
    await source.runMigrations();
    expect((await pool.query('select * from tags')).rows).toEqual([]);
    await source.undoLastMigration();
    expect(await failure(pool.query('select * from tags'))).toMatchObject({ code: '42P01' });
    expect(pool.stats()).toMatchObject({ leased: 0 });
  });

  it('reads from one pool and writes to another, where it is told which is which', async () => {
    const { pool: reader } = await open();
    const { pool: writer } = await open();
    const Pool = function lent({ application_name: name }: pg.PoolConfig): PgPool {
      return name === 'reader' ? reader : writer;
    };
    const source = new DataSource({
      type: 'postgres',
      driver: { ...pg, Pool },
      entities: [NoteEntity],
      replication: { master: { applicationName: 'writer' }, slaves: [{ applicationName: 'reader' }] },
    });
    await source.initialize();
    const lent = (pool: PgPool): Promise<unknown> => new Promise((resolve) => void pool.once('acquire', resolve));
    const used = [lent(writer), lent(reader)];
    const { add, names } = notesOf(source.manager);
    await add('a');
    await used[0];
    expect(await names()).toEqual(['a']);
    await used[1];
    await source.destroy();
  });
});
