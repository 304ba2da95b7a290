// What a release promises, written out: the names of every subpath and the shape of the tarball. A name that is added or
// taken away changes this file, and so is seen in review.
import { readFileSync } from 'node:fs';
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

describe('the names', () => {
  test('belong to the subpaths of package.json', () => {
    expect(Object.keys(manifest.exports).toSorted()).toEqual([...Object.keys(EXPORTS), './package.json'].toSorted());
  });

  test.each(Object.keys(EXPORTS))('of %s are the promised ones', async (subpath) => {
    const module = (await import(pathToFileURL(path.join(folder, entry(subpath, 'default'))).href)) as object;
    expect(Object.keys(module).toSorted()).toEqual([...(EXPORTS[subpath] ?? [])].toSorted());
  });
});

describe('the tarball', () => {
  const sources = String.raw`(src|infra/(constructs|database-user))/.+\.ts`;

  test('holds the sources, what is built from them, the function of DatabaseUser, and four documents', () => {
    const source = new RegExp(`^${sources}$`);
    const built = new RegExp(`^dist/${sources.replace(/ts$/, String.raw`(js|d\.ts)(\.map)?`)}$`);
    const kinds = at.files.filter((file) => !source.test(file) && !built.test(file));
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

  test('holds declarations and maps beside every module', () => {
    const modules = at.files.filter((file) => file.startsWith('dist/') && file.endsWith('.js'));
    expect(modules.length).toBeGreaterThan(0);
    const missing = modules
      .flatMap((file) => [`${file}.map`, file.replace(/\.js$/, '.d.ts'), file.replace(/\.js$/, '.d.ts.map')])
      .filter((file) => !at.files.includes(file));
    expect(missing).toEqual([]);
  });

  test('holds for every module its source, and for every source its module', () => {
    const stems = (start: RegExp, end: string) =>
      at.files.filter((file) => start.test(file) && file.endsWith(end)).map((file) => file.slice(0, -end.length));
    const built = stems(/^dist\//, '.d.ts').map((file) => file.replace(/^dist\//, ''));
    expect(built).toEqual(stems(/^(src|infra)\//, '.ts'));
  });

  test('holds source maps that lead to the sources', () => {
    const maps = at.files.filter((file) => file.endsWith('.map'));
    expect(maps.length).toBeGreaterThan(0);
    const lost = maps.flatMap((file) => {
      const { sources } = JSON.parse(readFileSync(path.join(folder, file), 'utf8')) as { sources: string[] };
      expect(sources, file).toHaveLength(1);
      return sources
        .map((source) => path.posix.join(path.posix.dirname(file), source))
        .filter((source) => !at.files.includes(source));
    });
    expect(lost).toEqual([]);
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

  test('holds what every entry of package.json points to, types included', () => {
    const targets = Object.values(manifest.exports).flatMap((target) =>
      typeof target === 'string' ? [target] : Object.values(target),
    );
    expect(targets.filter((target) => !at.files.includes(target.replace(/^\.\//, '')))).toEqual([]);
  });
});
