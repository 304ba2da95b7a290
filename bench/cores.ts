/**
 * Gives subjects and server cores of their own, as a function and its database have machines of their own: else it is the
 * system's scheduler that decides which of two libraries is the faster one. By `taskset`, so on Linux only.
 */
import { execFileSync } from 'node:child_process';
import { readFile } from 'node:fs/promises';
import { availableParallelism, platform } from 'node:os';
import { join } from 'node:path';
import type { TestPostgres } from '../test/support/postgres.ts';

const cores = availableParallelism();

function taskset(args: readonly string[]): boolean {
  try {
    execFileSync('taskset', args, { stdio: 'ignore' });
    return true;
  } catch {
    return false;
  }
}

/** Whether processes are given cores here. */
export const pinning: boolean = platform() === 'linux' && cores > 1 && taskset(['--version']);

/** Gives a subject's process the first core, to itself. */
export function pinSubject(pid: number): void {
  if (pinning) taskset(['-a', '-p', '-c', '0', String(pid)]);
}

/** Gives the server, and all that it starts from now on, the other cores. One that is not ours stays as it is. */
export async function pinServer(postgres: TestPostgres): Promise<void> {
  if (!pinning || !postgres.managed) return;
  const { rows } = await postgres.admin('show data_directory');
  const [pid = ''] = (await readFile(join(rows[0].data_directory, 'postmaster.pid'), 'utf8')).split('\n');
  taskset(['-a', '-p', '-c', `1-${cores - 1}`, pid]);
}
