import { type CommonQueryMethods, createPool, sql } from 'slonik';
import { slonikOn } from '../../../examples/slonik/pool-driver.ts';
import { describeLibrary, type Notes } from './contract.ts';

const sqlState = (error: unknown): unknown => (error as { cause?: { code?: unknown } }).cause?.code;

function notesOf(db: CommonQueryMethods): Notes {
  return {
    add: (name) => db.query(sql.unsafe`insert into notes (name) values (${name})`),
    names: async () => [...(await db.anyFirst(sql.unsafe`select name from notes order by name`))] as string[],
  };
}

const { open } = describeLibrary(
  'Slonik',
  { endsPool: false, sqlState },
  async (pool) => {
    const db = await createPool('postgres://', { ...slonikOn(pool), dangerouslyAllowForeignConnections: true });
    return { db, ...notesOf(db), transaction: (work) => db.transaction((tx) => work(notesOf(tx))), close: () => db.end() };
  },
);
