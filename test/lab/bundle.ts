/** Bundles a handler as Lambda users do, so that every runtime client runs the same artefact. */
import { mkdir, mkdtemp } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { basename, dirname, extname, join } from 'node:path';
import { build } from 'esbuild';
import { whenGone } from '../support/guard.ts';

/** A bundled handler: a task root and the handler string in it. */
export interface Bundle {
  readonly taskRoot: string;
  readonly handler: string;
}

/** pg is CommonJS: inside an ES module its `require` of Node's own modules needs one made for it. */
const BANNER = `import { createRequire as thawpoolCreateRequire } from 'node:module';
const require = thawpoolCreateRequire(import.meta.url);`;

const made = new Map<string, Promise<Bundle>>();
let root: Promise<string> | undefined;

async function makeRoot(): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'thawpool-lab-'));
  whenGone('rm -rf "$1"', folder);
  return folder;
}

async function bundle(file: string, exportName: string): Promise<Bundle> {
  root ??= makeRoot();
  const name = basename(file, extname(file));
  const taskRoot = join(await root, `${made.size}-${name}`);
  await mkdir(taskRoot, { recursive: true });
  await build({
    entryPoints: [file],
    outfile: join(taskRoot, 'index.mjs'),
    bundle: true,
    platform: 'node',
    format: 'esm',
    target: 'node22',
    conditions: ['@thawpool/source'],
    external: ['pg-native'], // An optional dependency of pg that is not installed.
    banner: { js: BANNER },
    sourcemap: 'inline',
    logLevel: 'silent',
  });
  return { taskRoot, handler: `index.${exportName}` };
}

/** Bundles `file`, once per process, into a folder that goes when the process does. An `.mjs` is a bundle and runs as it is. */
export function bundleHandler(file: string, exportName = 'handler'): Promise<Bundle> {
  if (extname(file) === '.mjs') {
    return Promise.resolve({ taskRoot: dirname(file), handler: `${basename(file, '.mjs')}.${exportName}` });
  }
  const key = `${file}#${exportName}`;
  const known = made.get(key);
  if (known) return known;
  const fresh = bundle(file, exportName);
  made.set(key, fresh);
  return fresh;
}
