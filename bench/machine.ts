/** What the benchmark ran on, and with which versions. */
import { readFile } from 'node:fs/promises';
import { arch, availableParallelism, cpus, platform, release, totalmem } from 'node:os';
import { join } from 'node:path';
import type { Machine } from './model.ts';

/** Returns the machine; nothing in it tells whose it is. */
export function machine(): Machine {
  return {
    cpu: cpus()[0]?.model.trim() ?? 'unknown',
    cores: availableParallelism(),
    memoryGiB: Math.round(totalmem() / 2 ** 30),
    system: `${platform()} ${release()} ${arch()}`,
  };
}

const PACKAGES = ['pg', 'pg-pool', 'postgres', 'tarn', 'generic-pool', '@middy/core', 'esbuild'];

/** Returns the versions of Node.js and of all that is measured. @param postgres - the server's, where one was asked */
export async function versions(postgres: string | undefined): Promise<Record<string, string>> {
  const root = join(import.meta.dirname, '..');
  const versionOf = async (folder: string): Promise<string> =>
    (JSON.parse(await readFile(join(folder, 'package.json'), 'utf8')) as { version: string }).version;
  const found: Record<string, string> = { node: process.versions.node, thawpool: await versionOf(root) };
  for (const name of PACKAGES) found[name] = await versionOf(join(root, 'node_modules', name));
  return postgres === undefined ? found : { ...found, postgresql: postgres };
}
