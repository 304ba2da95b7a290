import { type ConstructorOptions, type Db, PgBoss } from 'pg-boss';
import { type Transaction, withPool } from 'thawpool';
import { simulateFreeze } from 'thawpool/testing';
import { afterEach, beforeAll, describe, expect, it } from 'vitest';
import { failure, type TestPool, useDatabase, usePools } from '../support.ts';

const database = useDatabase();
const max = 4;
const makePool = usePools(() => ({ connectionString: database.connectionString, max, maxIdle: max }));
const started: PgBoss[] = [];
afterEach(async () => {
  for (const boss of started.splice(0)) await boss.stop({ graceful: false });
});

/** pg-boss as it may run in a function: without what belongs to a process that is never frozen. */
const quiet = { supervise: false, schedule: false, migrate: false, queueCacheIntervalSeconds: 86_400 } as const;

function databaseOf(pool: Pick<Transaction, 'query'>): Db {
  return { executeSql: (text, values) => pool.query(text, values) };
}

async function open(
  options: Partial<ConstructorOptions> = {},
): Promise<TestPool & { boss: PgBoss; errors: unknown[] }> {
  const made = makePool();
  const boss = new PgBoss({ db: databaseOf(made.pool), ...quiet, ...options });
  const errors: unknown[] = [];
  boss.on('error', (error) => errors.push(error));
  await boss.start();
  started.push(boss);
  return { ...made, boss, errors };
}

beforeAll(async () => {
  const { pool, boss } = await open({ migrate: true });
  await boss.createQueue('notes');
  await boss.stop({ graceful: false });
  started.length = 0;
  await pool.end();
});

async function fetched(boss: PgBoss): Promise<string[]> {
  const jobs = await boss.fetch<{ name: string }>('notes', { batchSize: 100 });
  await boss.complete(
    'notes',
    jobs.map(({ id }) => id),
  );
  return jobs.map(({ data }) => data.name).toSorted();
}

describe('pg-boss on a pool of ours', () => {
  it('fetches and completes what was sent, and gives every connection back', async () => {
    const { pool, boss, warnings, errors } = await open();
    const id = await boss.send('notes', { name: 'a' });
    expect(await fetched(boss)).toEqual(['a']);
    expect(await boss.findJobs('notes', { id: String(id) })).toMatchObject([{ state: 'completed' }]);
    expect(pool.stats()).toMatchObject({ leased: 0, waiting: 0 });
    expect([warnings, errors]).toEqual([[], []]);
  });

  it('sends a burst of three times as many jobs as there may be connections', async () => {
    const { pool, boss } = await open();
    const names = Array.from({ length: 3 * max }, (_, n) => `job ${n}`);
    await Promise.all(names.map((name) => boss.send('notes', { name })));
    expect(new Set(await fetched(boss))).toEqual(new Set(names));
    expect(pool.stats()).toMatchObject({ leased: 0, waiting: 0 });
    expect(pool.stats().created).toBeLessThanOrEqual(max);
  });

  it('sends a job in a transaction of ours, or does not', async () => {
    const { pool, boss } = await open();
    await pool.transaction((tx) => boss.send('notes', { name: 'kept' }, { db: databaseOf(tx) }));
    const undone = pool.transaction(async (tx) => {
      await boss.send('notes', { name: 'undone' }, { db: databaseOf(tx) });
      throw new Error('of the caller');
    });
    expect((await failure(undone)).message).toBe('of the caller');
    expect(await fetched(boss)).toEqual(['kept']);
  });

  it('tells of an error of the server by its code', async () => {
    const { pool, boss } = await open();
    await database.query('alter table pgboss.queue rename to elsewhere');
    const error = await failure(boss.getQueues());
    await database.query('alter table pgboss.elsewhere rename to queue');
    expect(error.code).toBe('42P01');
    expect(pool.stats()).toMatchObject({ leased: 0 });
  });

  it('works after a freeze in which its connections were killed', async () => {
    const { pool, boss, warnings, errors } = await open();
    const handler = withPool((work: () => Promise<unknown>) => work(), { pool });
    await handler(() => boss.send('notes', { name: 'before' }), {});
    const killAndFreeze = async (): Promise<void> => {
      for (const pid of await database.sessions()) await database.terminate(pid);
      simulateFreeze(pool, { forMillis: 60_000, sockets: 'alive' });
    };
    await killAndFreeze();
    await handler(() => boss.send('notes', { name: 'after' }), {});
    await killAndFreeze();
    expect(await handler(() => fetched(boss), {})).toEqual(['after', 'before']);
    expect([warnings, errors]).toEqual([[], []]);
  });

  it('leaves the pool open when it is stopped', async () => {
    const { pool, boss } = await open();
    await boss.stop({ graceful: false });
    started.length = 0;
    expect((await pool.query('select 1 as one')).rows).toEqual([{ one: 1 }]);
  });
});
