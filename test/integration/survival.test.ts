// No error of a connection ends the process: seen from outside, in a process of its own.

import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';
import { through, useDatabase, useProxy } from './support.ts';

const database = useDatabase();
const proxy = useProxy();
const program = fileURLToPath(new URL('children/survivor.ts', import.meta.url));

/** Starts it; `tell` sends a line and resolves with the answer. */
function start(connectionString: string) {
  const child = spawn(process.execPath, ['--conditions=@thawpool/source', program, connectionString], {
    stdio: ['pipe', 'pipe', 'inherit'],
    env: { PATH: process.env['PATH'] },
  });
  const exited = once(child, 'exit').then(([code, signal]) => ({
    code: code as number | null,
    signal: signal as string | null,
  }));
  const answers = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
  return {
    exited,
    async tell(command: string): Promise<string> {
      child.stdin.write(`${command}\n`);
      const { value, done } = await answers.next();
      if (done) throw new Error(`The process ended at "${command}": ${JSON.stringify(await exited)}`);
      return value;
    },
    close: () => child.stdin.end(),
  };
}

describe('a process without an error listener', () => {
  it('outlives the end of its connections, idle and leased, and goes on', async () => {
    const child = start(database.connectionString);
    const idle = Number(await child.tell('query'));
    expect(await child.tell('listeners')).toBe('0');
    await database.terminate(idle);
    expect(await child.tell('lost')).toBe('lost');
    const leased = Number(await child.tell('connect'));
    expect(leased).not.toBe(idle);
    await database.terminate(leased);
    expect(await child.tell('lost')).toBe('lost');
    expect(await child.tell('use')).toBe('Client has encountered a connection error and is not queryable');
    expect(await child.tell('release')).toBe('released');
    expect(Number(await child.tell('query'))).toBeGreaterThan(0);
    expect(await child.tell('end')).toBe('ended');
    child.close();
    expect(await child.exited).toEqual({ code: 0, signal: null });
  });

  it.each(['closeAll', 'resetAll'] as const)('outlives %s', async (loss) => {
    const child = start(through(proxy().port, database.connectionString));
    await child.tell('query');
    proxy()[loss]();
    expect(await child.tell('lost')).toBe('lost');
    await child.tell('connect');
    proxy()[loss]();
    expect(await child.tell('lost')).toBe('lost');
    expect(await child.tell('release')).toBe('released');
    expect(Number(await child.tell('query'))).toBeGreaterThan(0);
    expect(await child.tell('end')).toBe('ended');
    child.close();
    expect(await child.exited).toEqual({ code: 0, signal: null });
  });

  it('ends by itself once the pool is ended, and nothing is left that keeps it', async () => {
    const child = start(database.connectionString);
    await child.tell('query');
    await child.tell('end');
    child.close();
    expect(await child.exited).toEqual({ code: 0, signal: null });
  });
});
