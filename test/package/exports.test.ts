// What a release promises, written out: the names of every subpath and the shape of the tarball. A name that is added or
// taken away changes this file, and so is seen in review.
import { readdirSync, readFileSync } from 'node:fs';
import { stripTypeScriptTypes } from 'node:module';
import path from 'node:path';
import { pathToFileURL } from 'node:url';
import { beforeAll, describe, expect, test } from 'vitest';
import { type Packed, packed } from './global-packed.ts';

const EXPORTS: Readonly<Record<string, readonly string[]>> = {
  '.': [
    'AcquireError',
    'AmbiguousResultError',
    'PgPool',
    'PoolError',
    'QueryAbortedError',
    'createPool',
    'dropResource',
    'getPool',
    'getResource',
    'withPool',
  ],
  './auth': ['CredentialsError', 'dsqlCredentials', 'iamCredentials', 'secretCredentials'],
  './cache': ['cached', 'createCache', 'memoryStore', 'redisStore'],
  './cdk': ['ConnectionBudget', 'DatabaseUser', 'PoolDashboard', 'PooledDatabaseAccess', 'PooledDatabaseProxy'],
  './core': ['AcquireError', 'Pool', 'PoolError', 'elapsedMillis', 'systemClock'],
  './middy': ['default', 'pgPool'],
  './redis': ['AcquireError', 'PoolError', 'createRedisPool', 'getRedis', 'redisPool', 'withRedis'],
  './telemetry': ['datadogMetrics', 'emfMetrics', 'otelMetrics'],
  './testing': ['FakeClock', 'expectNoPinning', 'simulateFreeze'],
};

interface Manifest {
  readonly exports: Readonly<Record<string, string | Readonly<Record<string, string>>>>;
}

let at: Packed;
let folder: string;
let manifest: Manifest;
beforeAll(() => {
  at = packed();
  folder = path.join(at.project, 'node_modules/thawpool');
  manifest = JSON.parse(readFileSync(path.join(folder, 'package.json'), 'utf8')) as Manifest;
});

const entry = (subpath: string, condition: string): string => {
  const target = manifest.exports[subpath];
  const file = typeof target === 'object' ? target[condition] : target;
  return file ?? expect.fail(`${subpath} has no "${condition}"`);
};

/** The sources that a map names, as paths inside the package. */
function mappedBy(map: string): string[] {
  const { sources } = JSON.parse(readFileSync(path.join(folder, map), 'utf8')) as { sources: string[] };
  return sources.map((source) => path.posix.join(path.posix.dirname(map), source));
}

/** Whether anything of a source is left without its types, its comments, and what it only hands on. */
function holdsCode(source: string): boolean {
  const comments = /\/\*[^]*?\*\/|\/\/.*$/gm;
  const handedOn = /\b(?:im|ex)port\b(?:[\s\w*]*(?:\{[^}]*\})?\s*from)?\s*'[^']+';|\bexport\s*\{\s*\};?/g;
  return stripTypeScriptTypes(source).replaceAll(comments, '').replaceAll(handedOn, '').trim() !== '';
}

describe('the names', () => {
  test('belong to the subpaths of package.json', () => {
    expect(Object.keys(manifest.exports).toSorted()).toEqual([...Object.keys(EXPORTS), './package.json'].toSorted());
  });

  test.each(Object.keys(EXPORTS))('of %s are the promised ones', async (subpath) => {
    const module = (await import(pathToFileURL(path.join(folder, entry(subpath, 'default'))).href)) as object;
    expect(Object.keys(module).toSorted()).toEqual([...(EXPORTS[subpath] ?? [])].toSorted());
    // As inspect() and stack traces show them.
    const classes = Object.entries(module).filter(([, value]) => /^class\b/.test(String(value)));
    expect(classes.map(([, value]) => (value as { name: string }).name)).toEqual(classes.map(([name]) => name));
  });

  // esbuild renames a class whose body names itself, and stack traces and inspect() with it.
  test('of classes are those that the sources give them', () => {
    const renamed = readdirSync(path.join(folder, 'dist'), { recursive: true, encoding: 'utf8' })
      .filter((file) => file.endsWith('.js'))
      .flatMap((file) => readFileSync(path.join(folder, 'dist', file), 'utf8').match(/\bclass _\w+/g) ?? []);
    expect(renamed).toEqual([]);
  });
});

describe('the tarball', () => {
  const sources = String.raw`(src|infra/(constructs|database-user))/.+\.ts`;

  test('holds the sources, their declarations, the modules, the function of DatabaseUser, and four documents', () => {
    const source = new RegExp(`^${sources}$`);
    const declared = new RegExp(`^dist/${sources.replace(/ts$/, String.raw`d\.ts(\.map)?`)}$`);
    const entries = new Set(Object.keys(EXPORTS).map((subpath) => entry(subpath, 'default').replace(/^\.\//, '')));
    const isModule = (file: string) =>
      entries.has(file.replace(/\.map$/, '')) || /^dist\/src\/chunks\/[^/]+\.js(\.map)?$/.test(file);
    const kinds = at.files.filter((file) => !source.test(file) && !declared.test(file) && !isModule(file));
    expect(kinds).toEqual([
      'CHANGELOG.md',
      'LICENSE',
      'README.md',
      'dist/infra/database-user/index.mjs',
      'package.json',
    ]);
  });

  test('holds no tests, of the infrastructure the constructs only, and no build leftovers', () => {
    expect(
      at.files.filter((file) =>
        /(^|\/)(test|tests|infra(?!\/(constructs|database-user)\/)|bench|examples|docs|node_modules|cdk\.out)\/|\.(test|spec)\.|tsbuildinfo/.test(
          file,
        ),
      ),
    ).toEqual([]);
  });

  test('holds a map beside every module and every declaration', () => {
    const mapped = at.files.filter((file) => /^dist\/.*\.(js|d\.ts)$/.test(file));
    expect(mapped.length).toBeGreaterThan(0);
    const named = (file: string) => `//# sourceMappingURL=${path.basename(file)}.map`;
    const missing = mapped.filter(
      (file) =>
        !at.files.includes(`${file}.map`) ||
        !readFileSync(path.join(folder, file), 'utf8').trimEnd().endsWith(named(file)),
    );
    expect(missing).toEqual([]);
  });

  test('holds for every declaration its source, and for every source its declaration', () => {
    const stems = (start: RegExp, end: string) =>
      at.files.filter((file) => start.test(file) && file.endsWith(end)).map((file) => file.slice(0, -end.length));
    const declared = stems(/^dist\//, '.d.ts').map((file) => file.replace(/^dist\//, ''));
    expect(declared).toEqual(stems(/^(src|infra)\//, '.ts'));
  });

  test('holds source maps that lead to the sources', () => {
    const maps = at.files.filter((file) => file.endsWith('.map'));
    expect(maps.length).toBeGreaterThan(0);
    const lost = maps.flatMap((file) => mappedBy(file).filter((source) => !at.files.includes(source)));
    expect(lost).toEqual([]);
    const declarations = maps.filter((file) => file.endsWith('.d.ts.map'));
    expect(declarations.filter((file) => mappedBy(file).length !== 1)).toEqual([]);
  });

  // Twice would be two registries, and errors that are no instances of their own class.
  test('holds every source in one module', () => {
    const built = at.files.filter((file) => file.endsWith('.js.map')).flatMap(mappedBy);
    expect(built.length).toBeGreaterThan(0);
    expect(built.filter((source, n) => built.indexOf(source) !== n)).toEqual([]);
    const left = at.files
      .filter((file) => new RegExp(`^${sources}$`).test(file) && !built.includes(file))
      .filter((file) => holdsCode(readFileSync(path.join(folder, file), 'utf8')));
    expect(left.filter((file) => !file.startsWith('infra/database-user/'))).toEqual([
      'src/env-descriptions.ts',
      'src/pool/invariants.ts',
      'src/telemetry/metric-descriptions.ts',
    ]);
  });

  test('imports only what it contains, with endings that Node knows', () => {
    const imported = /(?:from|import)\s*\(?\s*['"](\.[^'"]+)['"]/g;
    const holds = (file: string, to: string) => at.files.includes(path.posix.join(path.posix.dirname(file), to));
    const broken = at.files
      .filter((file) => /^dist\/.*\.(js|d\.ts)$/.test(file))
      .flatMap((file) =>
        [...readFileSync(path.join(folder, file), 'utf8').matchAll(imported)].map((match) => ({
          file,
          to: match[1] ?? '',
        })),
      )
      // In declarations tsc leaves ./x.ts as it is and reads it as ./x.d.ts; in modules Node takes .js alone.
      .filter(
        ({ file, to }) =>
          !(file.endsWith('.js')
            ? to.endsWith('.js') && holds(file, to)
            : holds(file, to.replace(/\.[jt]s$/, '.d.ts'))),
      );
    expect(broken).toEqual([]);
  });

  // Each costs a cold start half a millisecond where nobody bundles (.ci/build.mjs).
  test.each(['.', './middy'])('has %s start with few files', (subpath) => {
    const imported = /^(?:import|export)\b[^;]*?"(\.[^"]+)";/gm;
    const read = new Set([path.posix.normalize(entry(subpath, 'default'))]);
    for (const file of read) {
      const code = readFileSync(path.join(folder, file), 'utf8');
      for (const [, to = ''] of code.matchAll(imported)) read.add(path.posix.join(path.posix.dirname(file), to));
    }
    expect(read.size).toBeGreaterThan(1);
    expect(read.size).toBeLessThanOrEqual(12);
  });

  test('holds what every entry of package.json points to, types included', () => {
    const targets = Object.values(manifest.exports).flatMap((target) =>
      typeof target === 'string' ? [target] : Object.values(target),
    );
    expect(targets.filter((target) => !at.files.includes(target.replace(/^\.\//, '')))).toEqual([]);
  });
});
