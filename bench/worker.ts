/** The other end of `child.ts`: loads a module and calls its functions as it is told, one at a time. */
import { pathToFileURL } from 'node:url';

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

process.on('disconnect', () => process.exit());

const loaded = import(pathToFileURL(process.argv[2] ?? '').href) as Promise<Functions>;

process.on('message', ({ name, args }: Call) => {
  const run = async (): Promise<void> => {
    try {
      answer({ value: await (await loaded)[name]?.(...args) });
    } catch (error) {
      answer({ error: error instanceof Error ? (error.stack ?? error.message) : String(error) });
    }
  };
  void run();
});

await loaded;
answer({});
