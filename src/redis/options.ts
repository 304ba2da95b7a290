// What a Redis pool is to be, from options and the environment. It must not know how a connection is made.

import type { RedisClientOptions } from 'redis';
import { checkOption, EnvError, maskConnectionString } from '../env.ts';
import type { Clock } from '../pool/index.ts';
import { PoolError } from '../pool/index.ts';

/** What of node-redis's options is the pool's own business: where to connect, and what becomes of a dead connection. */
type Ours = 'url' | 'socket' | 'username' | 'password' | 'credentialsProvider' | 'database' | 'disableOfflineQueue';

/** Options of node-redis's client that a pool leaves as they are: `name`, `keyPrefix`, `commandOptions` and so on. */
export type RedisClientSettings = Omit<
  RedisClientOptions,
  Ours | 'pingInterval' | 'modules' | 'functions' | 'scripts' | 'clientSideCache' | 'emitInvalidate'
>;

/**
 * Options of a Redis pool. All durations are milliseconds. The limits are those of `thawpool/core`, with its defaults;
 * `THAWPOOL_MAX` and its like are for PostgreSQL and are not looked at.
 */
export interface RedisPoolOptions {
  /** Names the pool in the registry, in warnings and in metrics. @default 'redis' */
  readonly name?: string;
  /**
   * Where to connect: `redis://user:password@host:port/database`, `rediss://` with TLS, or `unix:///path`.
   *
   * @default REDIS_URL, else redis://localhost:6379
   */
  readonly url?: string;
  /** Wins over the user of `url`. */
  readonly username?: string;
  /** Wins over the password of `url`; a function is asked for each connection, for what changes or expires. */
  readonly password?: string | (() => string | Promise<string>);
  /** The number of the database. Wins over that of `url`. @default 0 */
  readonly database?: number;
  /**
   * Options of TLS, as `tls.connect` takes them, `ca` for example. Only `rediss://` uses TLS, and there the certificate
   * is always verified unless `rejectUnauthorized: false` is given here.
   */
  readonly tls?: {
    readonly ca?: string | Uint8Array | (string | Uint8Array)[];
    readonly cert?: string | Uint8Array;
    readonly key?: string | Uint8Array;
    readonly servername?: string;
    readonly rejectUnauthorized?: boolean;
  };
  /** Further options of node-redis's client. */
  readonly client?: RedisClientSettings;
  /** Hard limit of connections. @default 4 */
  readonly max?: number;
  /** What stays open over a freeze. @default 1 */
  readonly maxIdle?: number;
  /** One budget for queue, connecting and proof of life. @default 5000 */
  readonly acquireTimeoutMillis?: number;
  /** @default 1000 */
  readonly validateAfterIdleMillis?: number;
  /** @default 250 */
  readonly validateTimeoutMillis?: number;
  /** @default 300000; stay under the server's `timeout`, where one is set */
  readonly idleTimeoutMillis?: number;
  /** @default 1800000 */
  readonly maxLifetimeMillis?: number;
  /**
   * How long before the invocation's deadline commands that still run are given up.
   *
   * @default 250
   */
  readonly deadlineReserveMillis?: number;
  /** Writes a line of metrics at the end of each invocation. @default THAWPOOL_METRICS, else 'off' */
  readonly metrics?: 'off' | 'emf';
  /** @default THAWPOOL_METRICS_NAMESPACE, else 'thawpool' */
  readonly metricsNamespace?: string;
  /** The environment to read. @default process.env */
  readonly env?: Readonly<Record<string, string | undefined>>;
  /** @default the process's own clocks */
  readonly clock?: Clock;
  /** Hears what should be looked at but fails nothing. @default process.emitWarning */
  readonly onWarning?: (message: string) => void;
}

/** Every option, for telling one that is misspelt. */
const names: ReadonlySet<string> = new Set([
  ...['name', 'url', 'username', 'password', 'database', 'tls', 'client', 'max', 'maxIdle', 'acquireTimeoutMillis'],
  ...['validateAfterIdleMillis', 'validateTimeoutMillis', 'idleTimeoutMillis', 'maxLifetimeMillis'],
  ...['deadlineReserveMillis', 'metrics', 'metricsNamespace', 'env', 'clock', 'onWarning'],
]);

/** Options of node-redis that a pool cannot leave to the caller, and what is to be done instead. */
const refusedOfClient: Readonly<Record<string, string>> = {
  url: 'give it as the option url',
  socket: 'give url and tls',
  username: 'give it as an option of the pool',
  password: 'give it as an option of the pool',
  credentialsProvider: 'give password as a function',
  database: 'give it as an option of the pool',
  disableOfflineQueue: 'a pooled client never queues for a connection that is gone',
  pingInterval: 'its timer stands still in a freeze; the pool pings what is doubtful',
  clientSideCache: 'invalidations are missed in a freeze; see thawpool/cache',
  emitInvalidate: 'invalidations are missed in a freeze',
};

/** Where to connect, in parts. */
export interface RedisPlace {
  readonly tls: boolean;
  readonly host: string;
  readonly port: number;
  /** A Unix socket, instead of host and port. */
  readonly path: string | undefined;
  /** As a message names it: no secret is in it. */
  readonly peer: string;
  readonly username: string | undefined;
  readonly password: RedisPoolOptions['password'];
  readonly database: number;
}

/**
 * Checks the options and says where they lead.
 *
 * @throws PoolError `ERR_POOL_INVALID_OPTION`
 */
export function placeOf(options: RedisPoolOptions, env: Readonly<Record<string, string | undefined>>): RedisPlace {
  for (const name of Object.keys(options)) {
    if (!names.has(name)) throw refusal(`${name} is no option of a Redis pool; options of node-redis go into client`);
  }
  for (const name of Object.keys(options.client ?? {})) {
    const why = refusedOfClient[name];
    if (why !== undefined) throw refusal(`client.${name} is not the caller's to set: ${why}`);
  }
  const fromEnv = env['REDIS_URL']?.trim();
  const [said, url] = options.url === undefined ? ['REDIS_URL', fromEnv || undefined] : ['url', options.url];
  const place = placeOfUrl(said, url ?? 'redis://localhost:6379');
  const { username = place.username, password = place.password, database = place.database } = options;
  if (!Number.isInteger(database) || database < 0) {
    throw refusal(`database must be a whole number, 0 or more, got ${shown(database)}`);
  }
  if (options.tls !== undefined && !place.tls) {
    throw refusal(`tls is given, but ${said} does not ask for TLS: begin it with rediss://`);
  }
  return { ...place, username, password, database };
}

/** The metrics that are asked for. @throws PoolError `ERR_POOL_INVALID_OPTION` */
export function metricsOf(
  options: RedisPoolOptions,
  env: Readonly<Record<string, string | undefined>>,
): { readonly namespace: string | undefined; readonly functionName: string | undefined } | undefined {
  try {
    const metrics = options.metrics ?? (env['THAWPOOL_METRICS']?.trim() || 'off');
    const namespace = options.metricsNamespace ?? (env['THAWPOOL_METRICS_NAMESPACE']?.trim() || undefined);
    if (checkOption('metrics', metrics) === 'off') return undefined;
    if (namespace !== undefined) checkOption('metricsNamespace', namespace);
    return { namespace, functionName: env['AWS_LAMBDA_FUNCTION_NAME'] };
  } catch (error) {
    if (error instanceof EnvError) throw refusal(error.message, error);
    throw error;
  }
}

function placeOfUrl(said: string, text: string): RedisPlace {
  const fault = (why: string): PoolError =>
    refusal(
      `${said} must be a redis://, rediss:// or unix:// URL, got ${JSON.stringify(maskConnectionString(text))}: ${why}`,
    );
  // `unix:` URLs have no host, which the parser wants before it takes a user.
  const unix = /^unix:\/\/(?:([^@/]*)@)?(\/.*)$/s.exec(text);
  const parsed = URL.parse(unix ? `redis://${unix[1] === undefined ? '' : `${unix[1]}@`}unix${unix[2]}` : text);
  if (parsed === null) throw fault('it does not parse: percent-encode @ : / ? # % in the user name and password');
  if (parsed.protocol !== 'redis:' && parsed.protocol !== 'rediss:') throw fault('it does not begin so');
  try {
    const tls = parsed.protocol === 'rediss:';
    const host = parsed.hostname.replace(/^\[(.*)\]$/, '$1') || 'localhost';
    const port = parsed.port === '' ? 6379 : Number(parsed.port);
    const path = unix ? decodeURIComponent(parsed.pathname) : undefined;
    const number = unix ? (parsed.searchParams.get('db') ?? '') : decodeURIComponent(parsed.pathname.slice(1));
    if (!/^\d*$/.test(number)) throw fault('what follows the host is the number of a database');
    return {
      tls,
      host,
      port,
      path,
      peer: path ?? `${host}:${port}`,
      username: decodeURIComponent(parsed.username) || undefined,
      password: decodeURIComponent(parsed.password) || undefined,
      database: Number(number),
    };
  } catch (error) {
    if (error instanceof URIError) throw fault('its percent-encoding is broken: a % itself is written %25');
    throw error;
  }
}

function shown(value: unknown): string {
  return typeof value === 'number' || typeof value === 'string'
    ? JSON.stringify(value)
    : `a value of type ${typeof value}`;
}

function refusal(problem: string, cause?: unknown): PoolError {
  return new PoolError(
    'ERR_POOL_INVALID_OPTION',
    `${problem}. See ERR_POOL_INVALID_OPTION.`,
    cause === undefined ? undefined : { cause },
  );
}
