// A lockfile that lacks the binaries of another platform installs where it was made and nowhere else: `npm ci` then stops
// with "Missing: … from lock file". One that names a registry ties every clone to it.
import { readFileSync } from 'node:fs';
import path from 'node:path';
import { expect, test } from 'vitest';

interface Entry {
  readonly integrity?: string;
  readonly resolved?: string;
  readonly link?: boolean;
  /** It comes inside another package's tarball. */
  readonly inBundle?: boolean;
  readonly optionalDependencies?: Readonly<Record<string, string>>;
}
interface Manifest {
  readonly devDependencies: Readonly<Record<string, string>>;
  readonly packages: Readonly<Record<string, Entry>>;
}

const read = (file: string): Manifest =>
  JSON.parse(readFileSync(path.resolve(import.meta.dirname, '../..', file), 'utf8')) as Manifest;
const { packages } = read('package-lock.json');

test('the lockfile holds the binaries of every platform', () => {
  const missing = Object.entries(packages).flatMap(([at, { optionalDependencies = {}, inBundle }]) =>
    Object.keys(inBundle ? {} : optionalDependencies).filter(
      (name) => !(`${at}/node_modules/${name}` in packages) && !(`node_modules/${name}` in packages),
    ),
  );
  expect(missing).toEqual([]);
});

test('the lockfile holds a checksum for every package, and no address', () => {
  const entries = Object.entries(packages).filter(([at, { link, inBundle }]) => at !== '' && !link && !inBundle);
  expect(entries.filter(([, { integrity }]) => !integrity?.startsWith('sha512-')).map(([at]) => at)).toEqual([]);
  expect(entries.filter(([, { resolved }]) => resolved !== undefined).map(([at]) => at)).toEqual([]);
});

test('every development dependency has an exact version', () => {
  const ranges = Object.entries(read('package.json').devDependencies).filter(
    ([, version]) => !/^\d+\.\d+\.\d+(-[\w.]+)?$/.test(version),
  );
  expect(ranges).toEqual([]);
});
