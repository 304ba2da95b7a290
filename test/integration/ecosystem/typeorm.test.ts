import pg from 'pg';
import { DataSource, EntitySchema, type EntityManager } from 'typeorm';
import { describeLibrary, type Notes } from './contract.ts';

interface Note {
  id: number;
  name: string;
}

const NoteEntity = new EntitySchema<Note>({
  name: 'Note',
  tableName: 'notes',
  columns: {
    id: { type: 'int', primary: true, generated: 'identity', generatedIdentity: 'ALWAYS' },
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

const { database, open } = describeLibrary('TypeORM', { endsPool: true, sqlState }, async (pool) => {
  const source = new DataSource({
    type: 'postgres',
    driver: { ...pg, Pool: function lent() { return pool; } },
    entities: [NoteEntity],
  });
  await source.initialize();
  return {
    source,
    ...notesOf(source.manager),
    transaction: (work) => source.transaction((tx) => work(notesOf(tx))),
    close: () => source.destroy(),
  };
});
