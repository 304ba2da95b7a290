// `npm run build`: declarations by tsc, modules by esbuild, the function of DatabaseUser. Into dist, or the folder named.
//
// A module for each source would do, but each file that is read costs a cold start half a millisecond: what is always
// loaded together becomes one. What two subpaths use is in a file that both import, so that nothing exists twice.
import { spawnSync } from 'node:child_process';
import { readFileSync, rmSync } from 'node:fs';
import path from 'node:path';
import { build } from 'esbuild';
import { bundleDatabaseUser } from '../infra/database-user/bundle.ts';

const root = path.resolve(import.meta.dirname, '..');
const outdir = path.resolve(root, process.argv[2] ?? 'dist');

rmSync(outdir, { recursive: true, force: true });
const tsc = path.join(root, 'node_modules/typescript/bin/tsc');
const args = [tsc, '-p', path.join(root, 'tsconfig.build.json'), '--emitDeclarationOnly', '--outDir', outdir];
const { status } = spawnSync(process.execPath, args, { cwd: root, stdio: 'inherit' });
if (status !== 0) process.exit(1);

const { exports } = JSON.parse(readFileSync(path.join(root, 'package.json'), 'utf8'));
const entryPoints = Object.values(exports)
  .flatMap((target) => target['@thawpool/source'] ?? [])
  .map((source) => path.posix.normalize(source));
/** Of both builds: the first tells which source imports which. */
const options = {
  absWorkingDir: root,
  entryPoints,
  outdir,
  // dist/src and dist/infra mirror the tree (decision 0011): code finds its files relative to itself.
  outbase: root,
  chunkNames: 'src/chunks/[name]-[hash]',
  bundle: true,
  splitting: true,
  format: 'esm',
  platform: 'node',
  target: 'es2023',
  packages: 'external',
  sourcemap: true,
  // The package holds them.
  sourcesContent: false,
  metafile: true,
  logLevel: 'warning',
  // An import that is added for the sake of fewer files need not be in the output.
  logOverride: { 'ignored-bare-import': 'silent' },
};

/** What is loaded with these sources, and what is loaded later as well if so wanted. */
function reached(inputs, from, later = false) {
  const all = new Set(from);
  for (const file of all) {
    for (const { path: to, kind, external } of inputs[file]?.imports ?? []) {
      if (!external && (later || kind !== 'dynamic-import')) all.add(to);
    }
  }
  return all;
}

/**
 * Says what some sources are to import besides, for the sake of fewer files: esbuild makes one for every set of entries that
 * use the same, and an `import()` is an entry to it.
 */
function together(inputs) {
  const found = Object.values(inputs).flatMap(({ imports }) => imports.filter(({ kind }) => kind === 'dynamic-import'));
  const main = 'src/index.ts';
  const doors = ['src/middy/index.ts', 'src/testing/index.ts'];
  const others = entryPoints.filter((entry) => entry !== main && !doors.includes(entry));
  const theirs = reached(inputs, others, true);
  // What the pool for PostgreSQL alone loads on demand gets what any of it needs of what is there by then. Not all that is
  // there: in a bundle of one file V8 reads twice what an import() leads to.
  const onDemand = found.map(({ path: to }) => to).filter((to) => inputs[to] && !theirs.has(to));
  const atStart = reached(inputs, [main]);
  const common = [...reached(inputs, onDemand)].filter((file) => atStart.has(file) && !theirs.has(file));
  return new Map([...onDemand.map((file) => [file, common]), ...doors.map((door) => [door, ['src/with-pool.ts']])]);
}

/** Adds imports to sources as they are read. */
const adding = (imports) => ({
  name: 'adding',
  setup({ onLoad }) {
    onLoad({ filter: /\.ts$/ }, ({ path: file }) => {
      const added = imports.get(path.relative(root, file).replaceAll('\\', '/'));
      if (added === undefined) return undefined;
      const lines = added.map((each) => `import ${JSON.stringify(path.join(root, each))};`);
      return { loader: 'ts', contents: [readFileSync(file, 'utf8'), ...lines].join('\n') };
    });
  },
});

const { metafile } = await build({ ...options, write: false });
await build({ ...options, plugins: [adding(together(metafile.inputs))] });

bundleDatabaseUser(path.join(outdir, 'infra/database-user/index.mjs'));
