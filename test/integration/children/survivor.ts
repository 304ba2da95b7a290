/**
 * A process with a pool and no error listener anywhere. It is told on its standard input what to do, line by line, and
 * answers each with one line. Without the pool's own listeners the end of a connection would end it.
 */
import { createInterface } from 'node:readline';
import type { PoolClient } from 'pg';
import { createPool } from 'thawpool';

const pool = createPool({ env: {}, connectionString: process.argv[2] as string, onWarning: () => {} });
const pidOf = 'select pg_backend_pid() as pid';
let client: PoolClient | undefined;

const commands: Record<string, () => Promise<unknown>> = {
  query: async () => (await pool.query<{ pid: number }>(pidOf)).rows[0]?.pid,
  connect: async () => {
    const lent = await pool.connect();
    client = lent;
    return (await lent.query<{ pid: number }>(pidOf)).rows[0]?.pid;
  },
  /** Resolves when the pool has seen that it has lost everything. */
  lost: async () => {
    while (pool.stats().total > 0) await new Promise((resolve) => void setImmediate(resolve));
    return 'lost';
  },
  use: async () => (await client?.query(pidOf).catch((error: Error) => error.message)) as unknown,
  release: async () => {
    client?.release();
    return 'released';
  },
  listeners: async () => pool.listenerCount('error'),
  end: async () => {
    await pool.end();
    return 'ended';
  },
};

for await (const line of createInterface({ input: process.stdin })) {
  const answer = await commands[line]?.();
  process.stdout.write(`${String(answer)}\n`);
}
