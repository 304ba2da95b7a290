/**
 * A real PgBouncer for tests: the binary of the machine's package manager, in a folder of its own under the temporary
 * directory, on a free port of 127.0.0.1, in front of a {@link TestPostgres}. It is not among the npm packages, so tests
 * are skipped, with the reason, where it is not installed.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { EventEmitter, once } from 'node:events';
import { accessSync, constants } from 'node:fs';
import { chmod, chown, copyFile, mkdtemp, writeFile } from 'node:fs/promises';
import type { Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import pg from 'pg';
import { freePort, LOOPBACK as HOST } from './free-port.ts';
import { type Guard, whenGone } from './guard.ts';
import type { TestPostgres } from './postgres.ts';
import { type Account, serverAccount } from './postgres-cluster.ts';

/** Where Debian and Homebrew put it. */
const PLACES = ['/usr/sbin/pgbouncer', '/usr/bin/pgbouncer', '/opt/homebrew/bin/pgbouncer', '/usr/local/bin/pgbouncer'];
const ADMIN = 'keeper';
const ADMIN_PASSWORD = 'keeper of the pool';

/** How {@link startPgBouncer} sets it up. */
export interface TestPgBouncerOptions {
  /** The server behind it. */
  readonly target: Pick<TestPostgres, 'host' | 'port' | 'user' | 'password' | 'database'>;
  /** @default 'transaction' */
  readonly poolMode?: 'transaction' | 'session' | 'statement';
  /** Backends for each user and database. @default PgBouncer's 20 */
  readonly defaultPoolSize?: number;
  /** @default PgBouncer's 100 */
  readonly maxClientConn?: number;
  /** Any settings of `pgbouncer.ini`, for example `{ query_wait_timeout: '1' }`. */
  readonly settings?: Readonly<Record<string, string>>;
  /** Paths of a certificate and its key in PEM form; with them it takes TLS from clients. */
  readonly tls?: { readonly cert: string; readonly key: string };
}

/** A running PgBouncer, and what tests do to it. `await using` stops it. */
export interface TestPgBouncer extends AsyncDisposable {
  readonly host: string;
  readonly port: number;
  /** The target's user and database by way of PgBouncer. */
  readonly connectionString: string;
  /** Runs a command of the admin console, such as SHOW POOLS or PAUSE. */
  admin(command: string): Promise<Record<string, unknown>[]>;
  /** What it has written to its log so far, a line each. */
  readonly log: readonly string[];
  /** Resolves with the first line of its log, from now on, that matches. */
  logged(pattern: RegExp): Promise<string>;
  /** Ends it at once, as SIGTERM does, and waits until it is gone. Does nothing when it is stopped. */
  stop(): Promise<void>;
  /** Starts it again on the same port. */
  start(): Promise<void>;
}

/** Where the binary is; nothing where it is not installed. */
function binary(): string | undefined {
  return PLACES.find((path) => {
    try {
      accessSync(path, constants.X_OK);
      return true;
    } catch {
      return false;
    }
  });
}

/** Says why there can be no PgBouncer in front of a server of ours; nothing when there can. */
export function whyNoPgBouncer(): string | undefined {
  return binary() === undefined ? 'pgbouncer is not installed (Debian: apt-get install pgbouncer)' : undefined;
}

/** Ends PgBouncer by the pid that it has written down, and removes its folder. */
const GUARD = `
pid=$(cat "$1/pgbouncer.pid" 2>/dev/null)
[ -n "$pid" ] && kill -TERM "$pid" 2>/dev/null
rm -rf "$1"`;

class Bouncer implements TestPgBouncer {
  readonly host = HOST;
  readonly port: number;
  readonly connectionString: string;
  readonly log: string[] = [];
  readonly #dir: string;
  readonly #binary: string;
  readonly #account: Account;
  readonly #guard: Guard;
  readonly #lines = new EventEmitter();
  #child: ChildProcess | undefined;

  constructor(place: { dir: string; binary: string; account: Account; port: number }, target: TestPostgres['user'][]) {
    const [user = '', password = '', database = ''] = target.map(encodeURIComponent);
    this.port = place.port;
    this.connectionString = `postgresql://${user}:${password}@${HOST}:${place.port}/${database}`;
    this.#dir = place.dir;
    this.#binary = place.binary;
    this.#account = place.account;
    this.#guard = whenGone(GUARD, place.dir);
    this.#lines.setMaxListeners(0);
  }

  async start(): Promise<void> {
    if (this.#child !== undefined) return;
    const child = spawn(this.#binary, [join(this.#dir, 'pgbouncer.ini')], {
      ...this.#account,
      stdio: ['ignore', 'ignore', 'pipe'],
    });
    this.#child = child;
    const up = this.#first(/process up/);
    createInterface({ input: child.stderr }).on('line', (line) => {
      this.log.push(line);
      this.#lines.emit('line', line);
    });
    child.once('error', (error) => this.#lines.emit('gone', error));
    child.once('close', (code) => {
      this.#child = undefined;
      this.#lines.emit('gone', new Error(`PgBouncer ended with status ${code}. Its log says:\n${this.log.join('\n')}`));
    });
    await up;
    await this.admin('show version');
    // From here on it does not keep the process alive.
    child.unref();
    (child.stderr as unknown as Socket).unref();
  }

  async stop(): Promise<void> {
    const child = this.#child;
    if (child === undefined) return;
    const closed = once(child, 'close');
    child.ref();
    (child.stderr as unknown as Socket | null)?.ref();
    child.kill('SIGTERM');
    await closed;
  }

  logged(pattern: RegExp): Promise<string> {
    return this.#first(pattern);
  }

  #first(pattern: RegExp): Promise<string> {
    return new Promise((resolve, reject) => {
      const settle = (): void => {
        this.#lines.off('line', onLine);
        this.#lines.off('gone', onGone);
      };
      const onLine = (line: string): void => {
        if (!pattern.test(line)) return;
        settle();
        resolve(line);
      };
      const onGone = (error: Error): void => {
        settle();
        reject(error);
      };
      this.#lines.on('line', onLine);
      this.#lines.on('gone', onGone);
    });
  }

  async admin(command: string): Promise<Record<string, unknown>[]> {
    const { port } = this;
    const client = new pg.Client({ host: HOST, port, user: ADMIN, password: ADMIN_PASSWORD, database: 'pgbouncer' });
    client.on('error', () => {});
    await client.connect();
    try {
      return (await client.query<Record<string, unknown>>(command)).rows;
    } finally {
      await client.end();
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.stop();
    await this.#guard.run();
  }
}

/**
 * Starts a PgBouncer of its own and waits until its admin console answers. Several at once do not disturb each other. It
 * does not keep the process alive, and is stopped and removed when the process ends in whatever way.
 *
 * @throws When it is not installed, or does not start (the message holds its log).
 */
export async function startPgBouncer(options: TestPgBouncerOptions): Promise<TestPgBouncer> {
  const path = binary();
  if (path === undefined) throw new Error(`No PgBouncer: ${whyNoPgBouncer()}.`);
  const account = serverAccount();
  const dir = await mkdtemp(join(tmpdir(), 'thawpool-pgbouncer-'));
  const port = await freePort();
  const { user, password, database } = options.target;
  const bouncer = new Bouncer({ dir, binary: path, account, port }, [user, password, database]);
  try {
    await install(dir, account, port, options);
    await bouncer.start();
    return bouncer;
  } catch (error) {
    await bouncer[Symbol.asyncDispose]();
    throw error;
  }
}

async function install(dir: string, account: Account, port: number, options: TestPgBouncerOptions): Promise<void> {
  const { target, tls, poolMode = 'transaction', defaultPoolSize, maxClientConn } = options;
  const settings: Record<string, string> = {
    listen_addr: HOST,
    listen_port: String(port),
    unix_socket_dir: '',
    pidfile: join(dir, 'pgbouncer.pid'),
    auth_type: 'scram-sha-256',
    auth_file: join(dir, 'userlist.txt'),
    admin_users: ADMIN,
    pool_mode: poolMode,
    ...(defaultPoolSize === undefined ? {} : { default_pool_size: String(defaultPoolSize) }),
    ...(maxClientConn === undefined ? {} : { max_client_conn: String(maxClientConn) }),
    ...(tls && {
      client_tls_sslmode: 'allow',
      client_tls_cert_file: `${dir}/tls.crt`,
      client_tls_key_file: `${dir}/tls.key`,
    }),
    ...options.settings,
  };
  const ini = [
    '[databases]',
    `* = host=${target.host} port=${target.port}`,
    '[pgbouncer]',
    ...Object.entries(settings).map(([name, value]) => `${name} = ${value}`),
  ];
  // PgBouncer needs the password itself to log in to the server by SCRAM.
  const users = [
    [target.user, target.password],
    [ADMIN, ADMIN_PASSWORD],
  ].map((pair) => pair.map((text) => `"${text.replaceAll('"', '""')}"`).join(' '));
  const files = [join(dir, 'pgbouncer.ini'), join(dir, 'userlist.txt')];
  await writeFile(join(dir, 'pgbouncer.ini'), `${ini.join('\n')}\n`, { mode: 0o600 });
  await writeFile(join(dir, 'userlist.txt'), `${users.join('\n')}\n`, { mode: 0o600 });
  for (const [from, name] of tls
    ? ([
        [tls.cert, 'tls.crt'],
        [tls.key, 'tls.key'],
      ] as const)
    : []) {
    await copyFile(from, join(dir, name));
    await chmod(join(dir, name), 0o600);
    files.push(join(dir, name));
  }
  if (account.uid === undefined || account.gid === undefined) return;
  for (const path of [dir, ...files]) await chown(path, account.uid, account.gid);
}
