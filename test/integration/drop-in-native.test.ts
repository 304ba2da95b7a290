// pg's native client, by libpq, where it is installed: its queries, its events, and what it cannot do.

import pg from 'pg';
import type { CreatePoolOptions } from 'thawpool';
import { describe, expect, it } from 'vitest';
import { failure, useDatabase, usePools } from './support.ts';

/** Loads it; where it is not installed pg has nothing, and where it was built for another Node it cannot be loaded. */
function load(): [typeof pg | undefined, reason?: string] {
  try {
    return pg.native ? [pg.native] : [undefined, 'pg-native is not installed'];
  } catch (error) {
    return [undefined, `pg-native cannot be loaded (${String(error)})`];
  }
}

const [native, reason] = load();
if (reason !== undefined) console.warn(`The tests of pg-native are skipped: ${reason}.`);

const database = useDatabase();
const makePool = usePools(
  () =>
    ({ connectionString: database.connectionString, Client: native?.Client as unknown, max: 1 }) as CreatePoolOptions,
);

describe.skipIf(reason)(`pg.native.Client${reason ? ` (${reason})` : ''}`, () => {
  it('answers in every form, lends and takes back', async () => {
    const { pool, warnings } = makePool();
    expect((await pool.query('select 1 as a')).rows).toEqual([{ a: 1 }]);
    expect((await pool.query('select $1::int as a', [2])).rows).toEqual([{ a: 2 }]);
    const called = new Promise((resolve) => {
      pool.query('select 3 as a', (error, result) => resolve([error, result.rows]));
    });
    expect(await called).toEqual([undefined, [{ a: 3 }]]);
    const client = await pool.connect();
    expect((await client.query({ text: 'select 4 as a', name: 'four' })).rows).toEqual([{ a: 4 }]);
    client.release();
    expect((await failure(pool.query('selct'))).code).toBe('42601');
    expect(pool.stats()).toMatchObject({ total: 1, idle: 1, created: 1 });
    expect(warnings).toEqual([]);
  });

  it('commits and rolls back, with settings', async () => {
    const { pool } = makePool();
    await pool.query('create table if not exists native (a int)');
    await pool.transaction({ settings: { 'app.tenant': 'x' } }, async (tx) => {
      const { rows } = await tx.query("select current_setting('app.tenant') as tenant");
      expect(rows).toEqual([{ tenant: 'x' }]);
      await tx.query('insert into native values (1)');
    });
    await failure(
      pool.transaction(async (tx) => {
        await tx.query('insert into native values (2)');
        throw new Error('no');
      }),
    );
    expect((await pool.query('select a from native')).rows).toEqual([{ a: 1 }]);
    const rows: unknown[] = [];
    await pool.transaction(async (tx) => {
      for await (const row of tx.iterate('select generate_series(1, 3) as n', [], { batchSize: 2 })) rows.push(row);
    });
    expect(rows).toEqual([{ n: 1 }, { n: 2 }, { n: 3 }]);
  });

  it('cannot be iterated over without a transaction, and says so', async () => {
    const { pool } = makePool();
    const error = await failure(pool.iterate('select 1').next());
    expect(error.message).toBe("iterate() needs clients that speak the protocol themselves, as pg's Client does");
    expect((await pool.query('select 1 as a')).rows).toEqual([{ a: 1 }]);
  });

  it('ends', async () => {
    const { pool } = makePool();
    await pool.query('select 1');
    await pool.end();
    expect(await database.sessions()).toEqual([]);
  });
});
