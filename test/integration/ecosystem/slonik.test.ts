import {
  type CommonQueryMethods,
  createPool,
  type DatabasePool,
  sql,
  UniqueIntegrityConstraintViolationError,
} from 'slonik';
import type { PgPool } from 'thawpool';
import { describe, expect, it } from 'vitest';
import { slonikOn } from '../../../examples/slonik/pool-driver.ts';
import { failure } from '../support.ts';
import { describeLibrary, type Notes } from './contract.ts';

const sqlState = (error: unknown): unknown => (error as { cause?: { code?: unknown } }).cause?.code;

function notesOf(db: CommonQueryMethods): Notes {
  return {
    add: (name) => db.query(sql.unsafe`insert into notes (name) values (${name})`),
    names: async () => [...(await db.anyFirst(sql.unsafe`select name from notes order by name`))] as string[],
  };
}

/** Slonik refuses statements beside a transaction, unless told to do as everybody else does. */
function slonikBeside(pool: PgPool): Promise<DatabasePool> {
  return createPool('postgres://', { ...slonikOn(pool), dangerouslyAllowForeignConnections: true });
}

const { open } = describeLibrary('Slonik', { endsPool: false, sqlState }, async (pool) => {
  const db = await slonikBeside(pool);
  return {
    db,
    ...notesOf(db),
    transaction: (work) => db.transaction((tx) => work(notesOf(tx))),
    close: () => db.end(),
  };
});

describe('what only Slonik does', () => {
  it('opens nothing before its first statement, and keeps nothing after it', async () => {
    const { pool, library } = await open();
    expect(pool.stats()).toMatchObject({ created: 0 });
    await library.names();
    expect(pool.stats()).toMatchObject({ created: 1, idle: 1, leased: 0 });
  });

  it('tells of errors in its own words', async () => {
    const { library } = await open();
    await library.add('once');
    expect(await failure(library.add('once'))).toBeInstanceOf(UniqueIntegrityConstraintViolationError);
  });

  it('reads values by its own type parsers', async () => {
    const { library } = await open();
    const row: unknown = await library.db.one(
      sql.unsafe`select 9007199254740991::int8 as large, timestamptz '2026-01-02 03:04:05Z' as at`,
    );
    expect(row).toEqual({ large: 9_007_199_254_740_991n, at: Date.UTC(2026, 0, 2, 3, 4, 5) });
  });

  it('undoes an inner transaction and keeps the outer one', async () => {
    const { pool, library } = await open();
    await library.db.transaction(async (tx) => {
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
});
