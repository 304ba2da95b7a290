import { Logger, makeWorkerUtils, run, runOnce, type TaskList } from 'graphile-worker';
import { withPool } from 'thawpool';
import { simulateFreeze } from 'thawpool/testing';
import { beforeAll, describe, expect, it, vi } from 'vitest';
import { type TestPool, until, useDatabase, usePools } from '../support.ts';

const database = useDatabase();
const max = 4;
const makePool = usePools(() => ({ connectionString: database.connectionString, max, maxIdle: max }));
/** Without a delay of batches `runOnce` resolves before what was done is taken off the table. */
const worker = { concurrentJobs: max, completeJobBatchDelay: 0, failJobBatchDelay: 0 };
const options = { logger: new Logger(() => () => {}), noHandleSignals: true, preset: { worker } };

/** Jobs that were done, in the order in which they were. */
const done: string[] = [];
const taskList: TaskList = {
  async note(payload, { withPgClient }) {
    const { name } = payload as { name: string };
    await withPgClient((client) => client.query('select 1'));
    done.push(name);
  },
  async fail() {
    throw new Error('of the task');
  },
};

/** A pool as graphile-worker likes it: it asks for listeners. */
function listenedPool(): TestPool {
  const made = makePool();
  made.pool.on('error', () => {});
  made.pool.on('connect', () => {});
  return made;
}

beforeAll(async () => {
  const { pool } = listenedPool();
  const utils = await makeWorkerUtils({ ...options, pgPool: pool });
  await utils.migrate();
  await utils.release();
  await pool.end();
});

describe('graphile-worker on a pool of ours', () => {
  it('does what was sent, and leaves the pool open and every connection given back', async () => {
    const { pool, warnings } = listenedPool();
    done.length = 0;
    const utils = await makeWorkerUtils({ ...options, pgPool: pool });
    for (const name of ['a', 'b']) await utils.addJob('note', { name });
    await utils.release();
    await runOnce({ ...options, pgPool: pool, taskList });
    expect(new Set(done)).toEqual(new Set(['a', 'b']));
    expect((await pool.query('select * from graphile_worker.jobs')).rows).toEqual([]);
    expect(pool.ended).toBe(false);
    expect(pool.stats()).toMatchObject({ leased: 0, waiting: 0 });
    expect(warnings).toEqual([]);
  });

  it('does a burst of jobs, several at a time', async () => {
    const { pool } = listenedPool();
    done.length = 0;
    const utils = await makeWorkerUtils({ ...options, pgPool: pool });
    const names = Array.from({ length: 3 * max }, (_, n) => `job ${n}`);
    await Promise.all(names.map((name) => utils.addJob('note', { name })));
    await utils.release();
    await runOnce({ ...options, pgPool: pool, taskList });
    expect(new Set(done)).toEqual(new Set(names));
    expect(pool.stats()).toMatchObject({ leased: 0, waiting: 0 });
    expect(pool.stats().created).toBeLessThanOrEqual(max);
  });

  it('sends a job in a transaction of ours, or does not', async () => {
    const { pool } = listenedPool();
    done.length = 0;
    const send = 'select graphile_worker.add_job($1, payload := $2)';
    await pool.transaction((tx) => tx.query(send, ['note', { name: 'kept' }]));
    await pool
      .transaction(async (tx) => {
        await tx.query(send, ['note', { name: 'undone' }]);
        throw new Error('of the caller');
      })
      .catch(() => {});
    await runOnce({ ...options, pgPool: pool, taskList });
    expect(done).toEqual(['kept']);
  });

  it('keeps a job that failed, with its error', async () => {
    const { pool } = listenedPool();
    await pool.query("select graphile_worker.add_job('fail', job_key := 'failing')");
    await runOnce({ ...options, pgPool: pool, taskList });
    const { rows } = await pool.query("select attempts, last_error from graphile_worker.jobs where key = 'failing'");
    expect(rows).toEqual([{ attempts: 1, last_error: expect.stringContaining('of the task') }]);
    expect(pool.stats()).toMatchObject({ leased: 0 });
  });

  it('works after a freeze in which its connections were killed', async () => {
    const { pool, warnings } = listenedPool();
    done.length = 0;
    const handler = withPool((work: () => Promise<unknown>) => work(), { pool });
    const send = (name: string) => async () => {
      const utils = await makeWorkerUtils({ ...options, pgPool: pool });
      await utils.addJob('note', { name });
      await utils.release();
    };
    await handler(send('before'), {});
    for (const work of [send('after'), () => runOnce({ ...options, pgPool: pool, taskList })]) {
      for (const pid of await database.sessions()) await database.terminate(pid);
      simulateFreeze(pool, { forMillis: 60_000, sockets: 'alive' });
      await handler(work, {});
    }
    expect(new Set(done)).toEqual(new Set(['before', 'after']));
    expect(pool.stats()).toMatchObject({ leased: 0 });
    expect(warnings).toEqual([]);
  });

  it('leaves no listeners behind, however often it runs', async () => {
    const { pool } = makePool();
    // It complains of having to listen itself.
    const told = vi.spyOn(console, 'warn').mockImplementation(() => {});
    const counts = (): unknown => pool.eventNames().map((name) => [name, pool.listenerCount(name)]);
    const before = counts();
    for (let n = 0; n < 3; n += 1) await runOnce({ ...options, pgPool: pool, taskList });
    expect(counts()).toEqual(before);
    told.mockRestore();
  });

  it('holds a connection for as long as it runs on, to listen, and gives it back clean', async () => {
    const { pool, warnings } = listenedPool();
    const runner = await run({ ...options, pgPool: pool, taskList });
    await until(pool, () => pool.stats().leased > 0);
    await runner.stop();
    await until(pool, () => pool.stats().leased === 0);
    const listening = await Promise.all(
      Array.from({ length: max }, () => pool.query('select pg_listening_channels() as channel')),
    );
    expect(listening.flatMap(({ rows }) => rows)).toEqual([]);
    expect(warnings).toEqual([]);
  });
});
