import { runOnce, type TaskList } from 'graphile-worker';
import { getPool, withPool } from 'thawpool';

const pgPool = getPool();
// graphile-worker asks for both with a warning; the pool needs neither.
pgPool.on('error', () => {});
pgPool.on('connect', () => {});

/** Stores a note, and with it a job that tells of it: both or none. */
export const send = withPool(async ({ text }: { text: string }, { db }) =>
  db.transaction(async (tx) => {
    await tx.query('insert into notes (text) values ($1)', [text]);
    await tx.query('select graphile_worker.add_job($1, payload := $2)', ['tell', { text }]);
  }),
);

const taskList: TaskList = {
  async tell(payload, { withPgClient }) {
    const { text } = payload as { text: string };
    await withPgClient((client) => client.query('update notes set told = true where text = $1', [text]));
  },
};

/** Does what is waiting, then ends: a function on a schedule. A job left over by a timeout is taken up again. */
export const work = withPool(async () => {
  await runOnce({
    pgPool,
    taskList,
    // Lambda's own signals are the runtime's business.
    noHandleSignals: true,
    // In batches, even without a delay: else it resolves before what was done is off the table, and the freeze comes.
    preset: { worker: { concurrentJobs: 2, completeJobBatchDelay: 0, failJobBatchDelay: 0 } },
  });
});
