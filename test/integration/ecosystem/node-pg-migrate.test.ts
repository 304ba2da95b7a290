import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type RunnerOption, runner } from 'node-pg-migrate';
import { withPool } from 'thawpool';
import { simulateFreeze } from 'thawpool/testing';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { failure, until, useDatabase, usePools } from '../support.ts';

const database = useDatabase();
const makePool = usePools(() => ({ connectionString: database.connectionString, max: 4 }));

let folder = '';
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'thawpool-migrations-'));
  const first = '-- Up Migration\ncreate table notes (name text unique);\n-- Down Migration\ndrop table notes;\n';
  await writeFile(join(folder, '001_notes.sql'), first);
  await writeFile(join(folder, '002_first.sql'), "-- Up Migration\ninsert into notes values ('a');\n");
});
afterAll(() => rm(folder, { recursive: true }));
beforeEach(() => database.query('drop schema if exists elsewhere cascade; drop table if exists notes, migrations'));

const quiet = (): void => {};
const logger = { debug: quiet, info: quiet, warn: quiet, error: quiet };

type Client = Extract<RunnerOption, { dbClient: unknown }>['dbClient'];

function up(dbClient: Client, more: Partial<RunnerOption> = {}): ReturnType<typeof runner> {
  return runner({
    dir: folder,
    migrationsTable: 'migrations',
    direction: 'up',
    logger,
    ...more,
    dbClient,
  });
}

/** Those of this database: others are at work on the same server. */
const advisoryLocks = `select 1 from pg_locks l join pg_database d on d.oid = l.database
  where l.locktype = 'advisory' and d.datname = current_database()`;

describe('node-pg-migrate on a client of ours', () => {
  it('runs migrations, once, and takes them back', async () => {
    const { pool, warnings } = makePool();
    const run = await pool.use((client) => up(client, { count: 1 }));
    expect(run.map(({ name }) => name)).toEqual(['001_notes']);
    expect(await pool.use((client) => up(client, { count: 1, file: '001_notes' }))).toEqual([]);
    expect(await database.query('select * from notes')).toEqual([]);
    await pool.use((client) => up(client, { direction: 'down', count: 1 }));
    expect(await failure(database.query('select * from notes'))).toMatchObject({ code: '42P01' });
    await until(pool, () => pool.stats().idle === 1);
    expect(pool.stats()).toMatchObject({ created: 1, leased: 0 });
    expect(warnings).toEqual([]);
  });

  it.each([
    { singleTransaction: true, warned: 0 },
    // It leaves its transaction open then, and cannot give up its lock.
    { singleTransaction: false, warned: 1 },
  ])('tells the code of what fails, and leaves no lock behind: %o', async ({ singleTransaction, warned }) => {
    const { pool, warnings } = makePool();
    await database.query('create table other (name text); create view notes as select name from other');
    const failed = await failure(pool.use((client) => up(client, { singleTransaction })));
    expect(failed).toMatchObject({ code: '42P07' });
    expect(await pool.query('select * from migrations')).toMatchObject({ rows: [] });
    expect((await pool.query(advisoryLocks)).rows).toEqual([]);
    await database.query('drop view notes; drop table other');
    expect(await pool.use((client) => up(client))).toHaveLength(2);
    expect(pool.stats()).toMatchObject({ leased: 0 });
    expect(warnings).toHaveLength(warned);
  });

  it('lets one of two at a time through', async () => {
    const { pool } = makePool();
    const runs = ['wait', 'wait'].map(() => pool.use((client) => up(client, { advisoryLockMode: 'wait' })));
    expect((await Promise.all(runs)).flat()).toHaveLength(2);
    expect(pool.stats()).toMatchObject({ leased: 0, waiting: 0 });
  });

  it('changes the search path for itself only', async () => {
    const { pool } = makePool();
    await pool.use((client) => up(client, { schema: 'elsewhere', createSchema: true }));
    expect((await pool.query('show search_path')).rows).toEqual([{ search_path: '"$user", public' }]);
    expect(await database.query('select * from elsewhere.notes')).toEqual([{ name: 'a' }]);
    expect(pool.stats()).toMatchObject({ created: 1, leased: 0 });
  });

  it('runs after a freeze in which its connection was killed', async () => {
    const { pool, warnings } = makePool();
    const handler = withPool((_event: object, { db }) => db.use((client) => up(client, { count: 1 })), { pool });
    expect(await handler({}, {})).toHaveLength(1);
    for (const pid of await database.sessions()) await database.terminate(pid);
    simulateFreeze(pool, { forMillis: 60_000, sockets: 'alive' });
    expect(await handler({}, {})).toHaveLength(1);
    expect(pool.stats()).toMatchObject({ created: 2, leased: 0 });
    expect(warnings).toEqual([]);
  });

  it('leaves the connection open, whose lease it was lent', async () => {
    const { pool } = makePool();
    await using lease = await pool.acquire();
    await up(lease.client);
    expect((await lease.client.query('select name from notes')).rows).toEqual([{ name: 'a' }]);
  });
});
