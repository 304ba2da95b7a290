import { PgBoss } from 'pg-boss';
import { getPool, withPool } from 'thawpool';

const boss = new PgBoss({
  db: { executeSql: (text, values) => getPool().query(text, values) },
  // Work that belongs to a process that is never frozen: a small container, or a function on a schedule.
  supervise: false,
  schedule: false,
  migrate: false,
  queueCacheIntervalSeconds: 86_400,
});
boss.on('error', (error) => console.error(error));

let started: Promise<unknown> | undefined;

/** Starts with the first invocation; where that fails, with the next one. */
async function start(): Promise<void> {
  started ??= boss.start().catch((error: unknown) => {
    started = undefined;
    throw error;
  });
  await started;
}

/** Stores a note, and with it a job that tells of it: both or none. */
export const send = withPool(async ({ text }: { text: string }, { db }) => {
  await start();
  return db.transaction(async (tx) => {
    await tx.query('insert into notes (text) values ($1)', [text]);
    return boss.send('told', { text }, { db: { executeSql: (sql, values) => tx.query(sql, values) } });
  });
});

/** Does what is waiting, ten jobs at most, and answers with how many there were: a function on a schedule. */
export const work = withPool(async () => {
  await start();
  const jobs = await boss.fetch<{ text: string }>('told', { batchSize: 10 });
  for (const job of jobs) {
    await getPool().query('update notes set told = true where text = $1', [job.data.text]);
    await boss.complete('told', job.id);
  }
  return jobs.length;
});
