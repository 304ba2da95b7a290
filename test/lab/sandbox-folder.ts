/** A folder that a lab and its sandbox share: how a scenario reaches into an invocation that is under way. */
import { mkdtemp, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as wait } from 'node:timers/promises';
import { type Guard, whenGone } from '../support/guard.ts';
import type { ClockOffsets } from './sandbox-clock.ts';

/** A place in a handler's work at which it waits for the scenario. */
export interface Gate {
  /** Names it in an event: see the subjects' protocol. */
  readonly path: string;
  /** Resolves when the handler has come to it. @throws When it has not within a minute. */
  reached(): Promise<void>;
  /** Lets the handler go on. */
  open(): Promise<void>;
}

/** Far longer than any scenario takes to get anywhere. */
const GATE_LIMIT_MILLIS = 60_000;
const POLL_MILLIS = 2;

/** The folder; `close()` removes it. */
export class SandboxFolder {
  readonly path: string;
  readonly clockFile: string;
  readonly passwordFile: string;
  readonly #guard: Guard;
  #gates = 0;

  private constructor(path: string) {
    this.path = path;
    this.#guard = whenGone('rm -rf "$1"', path);
    this.clockFile = join(path, 'clock.json');
    this.passwordFile = join(path, 'password');
  }

  /** Makes an empty folder, which goes with this process at the latest. */
  static async make(): Promise<SandboxFolder> {
    return new SandboxFolder(await mkdtemp(join(tmpdir(), 'thawpool-sandbox-')));
  }

  /** Returns a new gate, closed. */
  gate(): Gate {
    this.#gates += 1;
    const path = join(this.path, `gate-${this.#gates}`);
    return {
      path,
      async reached() {
        for (const from = Date.now(); Date.now() - from < GATE_LIMIT_MILLIS; await wait(POLL_MILLIS)) {
          if (await exists(`${path}.reached`)) return;
        }
        throw new Error(`No handler came to the gate within ${GATE_LIMIT_MILLIS} ms.`);
      },
      open: () => writeFile(path, ''),
    };
  }

  /** Sets the sandbox's clocks. */
  async setClock(offsets: ClockOffsets): Promise<void> {
    await writeFile(this.clockFile, JSON.stringify(offsets));
  }

  /** Sets the password that a sandbox finds when it looks for one. */
  async setPassword(password: string): Promise<void> {
    await writeFile(this.passwordFile, password);
  }

  /** Removes the folder. */
  close(): Promise<void> {
    return this.#guard.run();
  }
}

async function exists(path: string): Promise<boolean> {
  return stat(path).then(
    () => true,
    () => false,
  );
}
