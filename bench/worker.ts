/** The other end of `child.ts`: loads a module and calls its functions as it is told, one at a time. */
import { basename } from 'node:path';
import { pathToFileURL } from 'node:url';
import { PROFILE_FOLDER, startProfile } from './profile.ts';

/** What the parent sends. */
export interface Call {
  readonly name: string;
  readonly args: readonly unknown[];
}

/** What it gets back. */
export interface Answer {
  readonly value?: unknown;
  readonly error?: string;
}

type Functions = Readonly<Record<string, ((...args: unknown[]) => unknown) | undefined>>;

function answer(message: Answer): void {
  process.send?.(message);
}

const folder = process.env[PROFILE_FOLDER];
let endProfile: (() => void) | undefined;

process.on('disconnect', () => {
  endProfile?.();
  process.exit();
});

const loaded = import(pathToFileURL(process.argv[2] ?? '').href) as Promise<Functions>;

process.on('message', ({ name, args }: Call) => {
  const run = async (): Promise<void> => {
    try {
      const functions = await loaded;
      const value = await functions[name]?.(...args);
      // Ready: from here on it does what it was opened for.
      if (folder !== undefined && (name === 'open' || functions['open'] === undefined)) {
        const module = basename(process.argv[2] ?? '', '.ts');
        const what = name === 'open' ? args.join(' ') : name;
        endProfile ??= startProfile(folder, `${module} ${what} ${process.pid}`);
      }
      answer({ value });
    } catch (error) {
      answer({ error: error instanceof Error ? (error.stack ?? error.message) : String(error) });
    }
  };
  void run();
});

await loaded;
answer({});
