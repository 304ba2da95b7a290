/** Subjects run in processes of their own, so that one's garbage and optimised code are not the other's. */
import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import { pinSubject } from './cores.ts';
import { PROFILE_FOLDER } from './profile.ts';
import type { Answer, Call } from './worker.ts';

const WORKER = fileURLToPath(new URL('worker.ts', import.meta.url));

/** Ended with this process, however it ends: one that is stopped would not notice by itself. */
const running = new Set<ChildProcess>();
process.on('exit', () => {
  for (const child of running) child.kill('SIGKILL');
});

/** How a subject's process is started. */
export interface ChildOptions {
  /** Environment beside `PATH` and `HOME`; nothing else of this process's own is passed on. */
  readonly env?: Readonly<Record<string, string>>;
  /** More flags for Node.js. */
  readonly flags?: readonly string[];
}

/** A subject's process, whose functions are called from here. */
export interface Child {
  readonly pid: number;
  /** @throws what the function throws, with the message only */
  call<R = number>(name: string, ...args: readonly unknown[]): Promise<R>;
  close(): Promise<void>;
}

/** Starts a process and loads `module`, a file of `bench/subjects`, in it. */
export async function startChild(module: string, { env = {}, flags = [] }: ChildOptions = {}): Promise<Child> {
  const { PATH = '', HOME = '', [PROFILE_FOLDER]: folder } = process.env;
  const child = fork(WORKER, [fileURLToPath(new URL(`subjects/${module}.ts`, import.meta.url))], {
    execArgv: ['--expose-gc', '--conditions=@thawpool/source', ...flags],
    env: { PATH, HOME, ...env, ...(folder !== undefined && { [PROFILE_FOLDER]: folder }) },
    stdio: ['ignore', 'ignore', 'inherit', 'ipc'],
  });
  running.add(child);
  pinSubject(child.pid as number);
  const exited = once(child, 'exit').finally(() => running.delete(child));
  const ended = exited.then(([code, signal]) => {
    throw new Error(`The process of ${module} ended (${signal ?? `exit code ${code}`}).`);
  });
  ended.catch(() => {}); // Heard of by whoever waits for an answer.
  const answer = async <R>(): Promise<R> => {
    const [{ value, error }] = (await Promise.race([once(child, 'message'), ended])) as [Answer];
    if (error !== undefined) throw new Error(`${module}: ${error}`);
    return value as R;
  };
  await answer(); // It has loaded its module.
  return {
    pid: child.pid as number,
    call<R>(name: string, ...args: readonly unknown[]) {
      child.send({ name, args } satisfies Call);
      return answer<R>();
    },
    async close() {
      if (child.connected) child.disconnect();
      // A profile is written when it hears of that.
      if (folder === undefined) child.kill('SIGKILL');
      await exited;
    },
  };
}
