/** The package as users have it: built into a project of its own, so that a stale or half-written `dist` is not measured. */
import { execFile } from 'node:child_process';
import { cp, mkdir, mkdtemp, readFile, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { gzipSync } from 'node:zlib';
import { build, type Metafile } from 'esbuild';
import { whenGone } from '../test/support/guard.ts';

const ROOT = join(import.meta.dirname, '..');

/** A project in which the package is installed, beside what it needs. */
export interface Installed extends AsyncDisposable {
  readonly folder: string;
  /** Every subpath for functions as it is imported: `thawpool`, `thawpool/middy`, … */
  readonly subpaths: readonly string[];
}

/** Those that no function imports. */
const NOT_FOR_FUNCTIONS = new Set(['./package.json', './cdk']);

/** Builds the sources as they are now. It leaves the repository's own `dist` alone. */
export async function install(): Promise<Installed> {
  const folder = await mkdtemp(join(tmpdir(), 'thawpool-bench-'));
  const guard = whenGone('rm -rf "$1"', folder);
  const modules = join(folder, 'node_modules');
  const own = join(modules, 'thawpool');
  await mkdir(own, { recursive: true });
  // Without one of its own, a package.json further up would be the project's.
  await writeFile(join(folder, 'package.json'), JSON.stringify({ name: 'bench', private: true, type: 'module' }));
  await cp(join(ROOT, 'package.json'), join(own, 'package.json'));
  const args = [join(ROOT, '.ci', 'build.mjs'), join(own, 'dist')];
  type Failed = { stdout: string; stderr: string };
  await promisify(execFile)(process.execPath, args, { cwd: ROOT }).catch(({ stdout, stderr }: Failed) => {
    throw new Error(`The sources do not compile:\n${stdout}${stderr}`);
  });
  for (const name of ['pg', 'redis', '@middy']) await symlink(join(ROOT, 'node_modules', name), join(modules, name));
  const { exports } = JSON.parse(await readFile(join(own, 'package.json'), 'utf8')) as { exports: object };
  const subpaths = Object.keys(exports)
    .filter((path) => !NOT_FOR_FUNCTIONS.has(path))
    .map((path) => path.replace(/^\./, 'thawpool'));
  return {
    folder,
    subpaths,
    async [Symbol.asyncDispose]() {
      guard.cancel();
      await rm(folder, { recursive: true, force: true });
    },
  };
}

/** A bundle: its entry file, and what it weighs. */
export interface Bundle {
  readonly file: string;
  /** Bytes, minified and compressed, of what is loaded at once. */
  readonly eager: number;
  /** The same of all of it, what is loaded on first use included. */
  readonly all: number;
}

/** pg is CommonJS; inside an ES module it needs a `require` for Node's own modules. */
const BANNER = "import { createRequire } from 'node:module'; const require = createRequire(import.meta.url);";

/** What an entry loads at once: itself, and what it imports other than by `import()`. */
function eagerFiles({ outputs }: Metafile, entry: string): string[] {
  const found = new Set<string>();
  const visit = (file: string): void => {
    const output = outputs[file];
    if (output === undefined || found.has(file)) return;
    found.add(file);
    for (const { path, kind } of output.imports) if (kind === 'import-statement') visit(path);
  };
  visit(entry);
  return [...found];
}

/** Bundles the entry `code` as for Lambda: an ES module, minified; what is loaded on first use goes into files of its own. */
export async function bundle({ folder }: Installed, name: string, code: string, splitting: boolean): Promise<Bundle> {
  const entry = join(folder, `${name}.mjs`);
  await writeFile(entry, code);
  const { metafile } = await build({
    absWorkingDir: folder,
    entryPoints: [`${name}.mjs`],
    outdir: `out/${name}-${splitting ? 'split' : 'one'}`,
    bundle: true,
    splitting,
    platform: 'node',
    target: 'node22',
    format: 'esm',
    minify: true,
    metafile: true,
    logLevel: 'silent',
    outExtension: { '.js': '.mjs' },
    banner: { js: BANNER },
    external: ['@aws-sdk/*', 'pg-native'],
  });
  const files = Object.keys(metafile.outputs);
  const main = files.find((file) => metafile.outputs[file]?.entryPoint === `${name}.mjs`) ?? '';
  const weigh = async (each: readonly string[]): Promise<number> => {
    const sizes = each.map(async (file) => gzipSync(await readFile(join(folder, file))).length);
    return (await Promise.all(sizes)).reduce((sum, size) => sum + size, 0);
  };
  return { file: join(folder, main), eager: await weigh(eagerFiles(metafile, main)), all: await weigh(files) };
}
