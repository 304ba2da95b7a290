/**
 * Packs the package once for all tests of this folder, from a copy that holds no `dist`, and installs the tarball in an
 * empty project beside pg and Middy, as a user does. A failure is handed on as text, so that the other projects of the
 * same run go on; `packed()` throws it in the tests that need the package.
 */
import { execFile } from 'node:child_process';
import { cp, mkdir, mkdtemp, readFile, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { promisify } from 'node:util';
import { inject } from 'vitest';
import type { TestProject } from 'vitest/node';

const run = promisify(execFile);
const root = path.resolve(import.meta.dirname, '../..');

/** The Node versions of Lambda's runtimes that the package is started under. The second is the lockfile's. */
const NODE_VERSIONS = ['22.23.3', '24.21.0'] as const;

/** What the tests of the packed package work with. */
export interface Packed {
  /** The project in which the tarball is installed. */
  readonly project: string;
  /** The files of the tarball, as paths inside the package. */
  readonly files: readonly string[];
  readonly nodes: readonly { readonly version: string; readonly path: string }[];
}

declare module 'vitest' {
  interface ProvidedContext {
    packed: Packed | { readonly error: string };
  }
}

/** The installed package, or the reason why there is none. */
export function packed(): Packed {
  const result = inject('packed');
  if ('error' in result) throw new Error(`The package was not packed and installed: ${result.error}`);
  return result;
}

const npm = (cwd: string, ...args: string[]): Promise<{ stdout: string; stderr: string }> =>
  // What npm tells the scripts of this run must not reach the inner one, such as which package.json it is about.
  run('npm', args, {
    cwd,
    maxBuffer: 64 * 2 ** 20,
    env: Object.fromEntries(
      Object.entries(process.env).filter(([name]) => !/^npm_(package|lifecycle|command)/.test(name)),
    ),
  });

async function pack(folder: string): Promise<{ tarball: string; files: string[] }> {
  const copy = path.join(folder, 'source');
  const left = new Set(['node_modules', '.git', 'dist', 'reports', 'coverage', 'cdk.out']);
  await cp(root, copy, { recursive: true, filter: (from) => !left.has(path.basename(from)) });
  await symlink(path.join(root, 'node_modules'), path.join(copy, 'node_modules'), 'dir');
  await npm(copy, 'pack', '--pack-destination', folder);
  const { name, version } = JSON.parse(await readFile(path.join(root, 'package.json'), 'utf8')) as Record<
    string,
    string
  >;
  const tarball = path.join(folder, `${name}-${version}.tgz`);
  const { stdout } = await run('tar', ['-tzf', tarball]);
  const files = stdout
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => line.replace(/^package\//, ''));
  return { tarball, files: files.toSorted() };
}

async function installed(name: string): Promise<string> {
  const manifest = await readFile(path.join(root, 'node_modules', name, 'package.json'), 'utf8');
  return `${name}@${(JSON.parse(manifest) as { version: string }).version}`;
}

async function install(folder: string, tarball: string): Promise<string> {
  const project = path.join(folder, 'project');
  await mkdir(project);
  await writeFile(path.join(project, 'package.json'), JSON.stringify({ name: 'user', private: true, type: 'module' }));
  const others = ['pg', '@middy/core', '@types/pg', '@types/node', '@types/aws-lambda'];
  await npm(
    project,
    'install',
    '--no-audit',
    '--no-fund',
    '--prefer-offline',
    tarball,
    ...(await Promise.all(others.map(installed))),
  );
  // Half a second instead of a download of 60 MB. That they can be found makes it worth a test that only ./cdk looks.
  for (const name of ['aws-cdk-lib', 'constructs']) {
    await symlink(path.join(root, 'node_modules', name), path.join(project, 'node_modules', name), 'dir');
  }
  return project;
}

/**
 * The package that holds Node for this machine. `node` itself fetches it in an install script, by an npm inside npm, which
 * refuses the outer one's `--allow-scripts` (npm 11.19, EALLOWSCRIPTS).
 */
const platform = process.platform === 'win32' ? 'win' : process.platform;
const nodePackage = `${platform === 'darwin' && process.arch === 'arm64' ? 'node-bin' : 'node'}-${platform}-${process.arch}`;

async function node(version: string): Promise<{ version: string; path: string }> {
  if (process.version === `v${version}`) return { version, path: process.execPath };
  const { stdout } = await npm(
    tmpdir(),
    'exec',
    '--yes',
    `--package=${nodePackage}@${version}`,
    '--',
    'node',
    '-p',
    'process.execPath + " " + process.version',
  );
  const [execPath = '', found] = stdout.trim().split(' ');
  if (found !== `v${version}`) throw new Error(`Asked for Node ${version} and got ${found}.`);
  return { version, path: execPath };
}

/** Packs and installs, provides the result and returns what removes it. */
export async function setup(project: TestProject): Promise<() => Promise<void>> {
  const folder = await mkdtemp(path.join(tmpdir(), 'thawpool-packed-'));
  try {
    const nodes = Promise.all(NODE_VERSIONS.map(node));
    const [{ tarball, files }] = await Promise.all([pack(folder), nodes]);
    project.provide('packed', { project: await install(folder, tarball), files, nodes: await nodes });
  } catch (error) {
    const { message, stdout, stderr } = error as Error & { stdout?: string; stderr?: string };
    project.provide('packed', { error: [message, stdout, stderr].filter(Boolean).join('\n') });
  }
  return () => rm(folder, { recursive: true, force: true });
}
