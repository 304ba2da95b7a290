/** Cleans up behind this process however it ends: by itself, by an exception, by SIGKILL. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';

/** A shell script that waits for this process to be gone. */
export interface Guard {
  /** Runs the script now and waits until it is done. */
  run(): Promise<void>;
  /** Gives up: the script will not run. */
  cancel(): void;
}

/**
 * Has `script` run by `sh` with `args` as soon as this process is gone. The sign is that the pipe on the shell's
 * standard input closes, which also happens after SIGKILL. It does not keep the process alive.
 */
export function whenGone(script: string, ...args: string[]): Guard {
  const shell = spawn('sh', ['-c', `cat >/dev/null\n${script}`, 'sh', ...args], {
    detached: true, // Ctrl+C in a terminal goes to the whole process group: the guard must outlive that.
    stdio: ['pipe', 'ignore', 'ignore'],
  });
  shell.unref();
  shell.stdin.on('error', () => {});
  (shell.stdin as unknown as { unref(): void }).unref();
  const over = () => shell.exitCode !== null || shell.signalCode !== null;
  return {
    async run() {
      if (over()) return;
      const gone = once(shell, 'exit');
      shell.ref();
      shell.stdin.end();
      await gone;
    },
    cancel() {
      if (!over()) shell.kill('SIGKILL');
    },
  };
}
