/** Decides which runtime client a sandbox runs: AWS's own where it is built, else the small one. */
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';

/**
 * The folder that AWS's client is installed in, apart from the project's own dependencies. It is a package of its own,
 * and so not the lab's folder: inside another package the handlers could not import `thawpool` by its name.
 */
export const CLIENT_FOLDER = join(import.meta.dirname, 'aws');

/** A runtime client, and the module that Node is started with. */
export interface RuntimeClient {
  readonly name: 'aws-lambda-ric' | 'small';
  /** The version of aws-lambda-ric: the one that runs, or the one whose behaviour the small client has. */
  readonly version: string;
  readonly entry: string;
  /** Why AWS's client does not run; absent when it does, or when the small one was asked for. */
  readonly why?: string;
}

/** `aws` insists on AWS's client, `small` on the other; `auto` takes AWS's where it is installed. */
export type ClientChoice = 'auto' | 'aws' | 'small';

/** The release that the folder's `package.json` names. */
export function wantedVersion(): string {
  const manifest = JSON.parse(readFileSync(join(CLIENT_FOLDER, 'package.json'), 'utf8')) as {
    dependencies: { 'aws-lambda-ric': string };
  };
  return manifest.dependencies['aws-lambda-ric'];
}

/**
 * Returns the client that will run.
 *
 * @throws When AWS's client is asked for and not installed.
 */
export function findRuntimeClient(choice: ClientChoice = 'auto'): RuntimeClient {
  const version = wantedVersion();
  const small = { name: 'small', version, entry: join(import.meta.dirname, 'runtime-client.ts') } as const;
  if (choice === 'small') return small;
  const folder = join(CLIENT_FOLDER, 'node_modules', 'aws-lambda-ric');
  const why = existsSync(join(folder, 'rapid-client.node')) // The last thing that its installation makes.
    ? undefined
    : 'aws-lambda-ric is not installed: node test/lab/install-runtime-client.ts installs it';
  if (why === undefined) return { name: 'aws-lambda-ric', version, entry: join(folder, 'index.mjs') };
  if (choice === 'aws') throw new Error(`AWS's runtime client cannot run: ${why}.`);
  return { ...small, why };
}
