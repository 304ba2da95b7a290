// Puts a pool together out of options, the environment and TLS. The only place where those three meet.

import type { CredentialSource } from './auth/credentials.ts';
import { defined, endpointsOf, type Facts, readerPlaces, writerPlaces } from './connecting.ts';
import { credentialsOf } from './credentials-of.ts';
import type { EnvironmentLimit } from './lambda/environment-limit.ts';
import { type Shared, shared } from './pg/lending.ts';
import type { Permits } from './pg/permits.ts';
import { PgPool } from './pg/pg-pool.ts';
import type { PinLinter, PinMode } from './pg/pin-linter.ts';
import type { PoolHooks } from './pg/pool-hooks.ts';
import { type Route, type RouteName, routes } from './pg/route.ts';
import type { ClientConfig, ClientConstructor } from './pg/types.ts';
import { type Clock, PoolError, type PoolOptions, systemClock } from './pool/index.ts';
import { defaultOf, type Settings, settingsOf, warn } from './settings.ts';

/**
 * Options of a pool: thawpool's own, and everything that pg's `Client` takes. An option wins over its environment
 * variable, which wins over the default; `docs/options.md` lists them.
 */
export interface CreatePoolOptions extends Omit<ClientConfig, 'connectionTimeoutMillis' | 'password'>, PoolHooks {
  /** Names the pool in the registry, in warnings and in metrics. @default 'default' */
  readonly name?: string;
  readonly max?: number;
  readonly maxIdle?: number;
  /** pg's name for what stays open; the larger of it and `maxIdle` counts. @default 0 */
  readonly min?: number;
  /**
   * Hard limit over the pools of this name in all threads of the process together, where `max` counts in each alone: for
   * Lambda Managed Instances, and for worker threads anywhere on Linux. 1 to 10000.
   *
   * @default none, because elsewhere there is one thread
   */
  readonly maxPerEnvironment?: number;
  /**
   * How many statements with values each connection keeps prepared at the server, from their second use on. 0 to 10000;
   * 0 prepares none. Has no effect behind a pooler.
   *
   * @default 100, because most functions have fewer, and each costs the server memory on each connection
   */
  readonly statementCache?: number;
  readonly acquireTimeoutMillis?: number;
  /** pg's name for `acquireTimeoutMillis`, which wins. 0 is as long as an invocation can last. */
  readonly connectionTimeoutMillis?: number;
  readonly validateAfterIdleMillis?: number;
  readonly validateTimeoutMillis?: number;
  readonly idleTimeoutMillis?: number;
  readonly maxLifetimeMillis?: number;
  /** pg's name for `maxLifetimeMillis`, in seconds; ours wins. 0 is for ever. */
  readonly maxLifetimeSeconds?: number;
  readonly statementTimeoutMillis?: number;
  readonly deadlineReserveMillis?: number;
  /** `PGSSLMODE`'s words. `ssl`, where given, wins. */
  readonly sslMode?: string;
  /** The path of a PEM file, or `system`. */
  readonly sslRootCert?: string;
  /** How TLS begins: `postgres` asks the server first, `direct` starts at once (PostgreSQL 17). @default 'postgres' */
  readonly sslNegotiation?: 'postgres' | 'direct';
  /** pg's name for `sslNegotiation`, which wins. */
  readonly sslnegotiation?: 'postgres' | 'direct';
  /** The password itself; a function that brings it, asked for each connection; or a source of credentials. */
  readonly password?: string | ((target?: unknown) => string | Promise<string>) | CredentialSource;
  /** Where the password comes from. @default 'password', or 'secret' where `secretArn` is given */
  readonly auth?: 'password' | 'iam' | 'secret';
  /** The secret in Secrets Manager that `auth: 'secret'` reads: its ARN or name. */
  readonly secretArn?: string;
  /** What stands between. @default 'direct', or 'rds-proxy' for the endpoint of one, which its name shows */
  readonly route?: RouteName;
  /** The endpoint of an RDS Proxy to go through instead of connecting to `host`; with `:port` where that is not 5432. */
  readonly proxyHost?: string;
  /**
   * `direct` goes to `host` itself while the proxy of `proxyHost` does not answer.
   *
   * @default 'off', because the server must then have room for as many connections as there are sandboxes × `max`
   */
  readonly proxyFallback?: 'off' | 'direct';
  /**
   * What becomes of a statement that would keep a pooler from sharing the connection.
   *
   * @default 'off' on a direct route; elsewhere 'count' on Lambda and 'warn' in development
   */
  readonly pinning?: PinMode;
  /** The endpoint for reads, which makes `reader` a pool of its own; with `:port` where that is not the writer's. */
  readonly readerHost?: string;
  /** Hard limit of connections for reads, beside `max`. @default `max` */
  readonly readerMax?: number;
  /** Writes a line of metrics at the end of each invocation, in CloudWatch's embedded metric format. @default 'off' */
  readonly metrics?: 'off' | 'emf';
  /** The CloudWatch namespace of those metrics. @default 'thawpool' */
  readonly metricsNamespace?: string;
  /**
   * Accepts a server that cannot be written to, such as a standby. A pool without it refuses one and looks for the
   * writer again, because after a failover the name may still lead to the old one.
   *
   * @default false
   */
  readonly readOnly?: boolean;
  /**
   * When a session is cleaned before somebody else gets it: when a statement has left something behind (settings,
   * temporary tables, listeners, advisory locks, prepared statements), each time, or never.
   *
   * @default 'auto'
   */
  readonly reset?: 'auto' | 'always' | 'never';
  /** Makes the clients. @default pg's `Client` */
  readonly Client?: ClientConstructor;
  /** The environment to read. @default process.env */
  readonly env?: Readonly<Record<string, string | undefined>>;
  /** @default the process's own clocks */
  readonly clock?: Clock;
  /** Hears what should be looked at but fails nothing. @default process.emitWarning */
  readonly onWarning?: (message: string) => void;
}

/** Behind a pooler only what has slept long is asked: AWS advises against health checks there, and PgBouncer borrows a backend for one. */
const validateAfterIdleBehindPooler = 30_000;
/** And the answer may take longer: at PgBouncer it waits until a backend is free. */
const validateTimeoutBehindPooler = 1000;

/** The longest delay that a timer of Node.js can take (2^31 - 1). */
const longestTimer = 2_147_483_647;

/** What a pool is made from, and what the lifecycle needs to know besides. */
export interface PoolParts {
  readonly pool: PgPool;
  readonly clock: Clock;
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly deadlineReserveMillis: number;
  readonly onWarning: (message: string) => void;
  /** The metrics that are asked for. */
  readonly metrics: { readonly namespace: string | undefined; readonly functionName: string | undefined } | undefined;
}

/** All that the writer's pool and the reader's have in common. */
interface Plan extends Facts {
  readonly clock: Clock;
}

/**
 * Makes a pool. Nothing is opened: the first connection is made when somebody needs one.
 *
 * @throws PoolError `ERR_POOL_INVALID_OPTION` naming every bad option or variable, its value and what is allowed.
 */
export function createParts(options: CreatePoolOptions = {}): PoolParts {
  const { env = process.env, clock = systemClock } = options;
  const onWarning = options.onWarning === undefined ? warn : harmless(options.onWarning);
  const settings = settingsOf(options, env, onWarning);
  const { idleTimeoutMillis = defaultOf('idleTimeoutMillis') } = settings;
  const credentials = credentialsOf(settings, { env, onWarning });
  const plan: Plan = { options, settings, env, credentials, idleTimeoutMillis, onWarning, clock };
  tellOfStatementCache(settings, onWarning);
  const reader = settings.readerHost === undefined ? undefined : makePool(plan, true);
  const pool = makePool(plan, false, reader);
  const { deadlineReserveMillis = defaultOf('deadlineReserveMillis') } = settings;
  const functionName = env['AWS_LAMBDA_FUNCTION_NAME'];
  const metrics = settings.metrics === 'emf' ? { namespace: settings.metricsNamespace, functionName } : undefined;
  return { pool, clock, env, onWarning, deadlineReserveMillis, metrics };
}

function makePool(plan: Plan, forReader: boolean, reader?: PgPool): PgPool {
  const { options, settings, env, credentials, clock, onWarning } = plan;
  const { maxPerEnvironment: limit } = settings;
  const places = forReader ? readerPlaces : writerPlaces;
  const pool: PgPool = new PgPool({
    core: coreOptions(plan, forReader, places(settings)[0].route),
    onWarning,
    reader,
    beforeSnapshot: env['AWS_LAMBDA_INITIALIZATION_TYPE'] === 'snap-start',
    connector: {
      endpoints: endpointsOf(plan, (located) => places(settings, located), forReader),
      credentials,
      now: () => clock.now().wall,
      linterFor: linters(plan, (kind) => pool[shared].core.note('pin', kind)),
      readOnly: forReader || settings.readOnly === 'true',
      reset: checkReset(options.reset ?? 'auto'),
      statementCache: settings.statementCache ?? defaultOf('statementCache'),
      Client: options.Client,
      hooks: hooksOf(options),
      permits: limit === undefined ? undefined : permitsOf(limit, () => pool[shared].core, env),
    },
  });
  return pool;
}

function coreOptions({ options, settings, clock }: Plan, forReader: boolean, route: RouteName): PoolOptions {
  const { maxPerEnvironment: limit, readerMax } = settings;
  const { name = 'default' } = options;
  const max = forReader ? (readerMax ?? settings.max) : settings.max;
  const owned = routes[route].ownsSession;
  const least = options.min ? Math.max(options.min, settings.maxIdle ?? 1) : undefined;
  const idle = least ?? settings.maxIdle ?? (max === undefined ? undefined : 1);
  return defined<PoolOptions>({
    name: forReader ? `${name}:reader` : options.name,
    max: limit === undefined ? max : Math.min(limit, max ?? defaultOf('max')),
    maxIdle: idle === undefined ? undefined : Math.min(idle, max ?? defaultOf('max')),
    acquireTimeoutMillis: settings.acquireTimeoutMillis,
    // A creation that waits for leave serves one caller after another; the connector bounds what comes after that.
    createTimeoutMillis: limit === undefined ? undefined : longestTimer,
    validateAfterIdleMillis: settings.validateAfterIdleMillis ?? (owned ? undefined : validateAfterIdleBehindPooler),
    validateTimeoutMillis: settings.validateTimeoutMillis ?? (owned ? undefined : validateTimeoutBehindPooler),
    idleTimeoutMillis: settings.idleTimeoutMillis,
    maxLifetimeMillis: settings.maxLifetimeMillis,
    clock,
  });
}

/** What pg's `Pool` would be told besides; nothing, where nothing is asked for. */
function hooksOf({
  onConnect,
  verify,
  maxUses,
  allowExitOnIdle,
  log,
  Promise: kind,
}: PoolHooks): PoolHooks | undefined {
  const hooks = { onConnect, verify, maxUses, allowExitOnIdle, log, Promise: kind };
  return Object.values(hooks).some(Boolean) ? hooks : undefined;
}

/** Looks at statements as it was asked for; unasked only where a pooler stands between, and on Lambda without a word. */
function linters({ settings, env, onWarning }: Plan, count: (kind: string) => void) {
  const made = new Map<PinMode, Promise<PinLinter>>();
  const make = async (mode: PinMode): Promise<PinLinter> => {
    const { PinLinter } = await import('./pg/pin-linter.ts');
    return new PinLinter({ mode, onWarning, onPin: ({ kind }) => count(kind) });
  };
  const unasked: PinMode = env['AWS_LAMBDA_FUNCTION_NAME'] && !env['AWS_SAM_LOCAL'] ? 'count' : 'warn';
  return (route: Route): Promise<PinLinter> | undefined => {
    const mode = (settings.pinning as PinMode | undefined) ?? (route.ownsSession ? 'off' : unasked);
    if (mode === 'off') return undefined;
    const linter = made.get(mode) ?? make(mode);
    made.set(mode, linter);
    return linter;
  };
}

/** Asked for where nothing can be prepared: the pool works without it, and says so. */
function tellOfStatementCache(settings: Settings, onWarning: (message: string) => void): void {
  const { statementCache = 0 } = settings;
  const ways = readerPlaces(settings).map(({ route }) => routes[route]);
  if (statementCache === 0 || ways.some(({ ownsSession }) => ownsSession)) return;
  onWarning(
    `statementCache is ${statementCache} (option statementCache, environment THAWPOOL_STATEMENT_CACHE), but has no effect by way of ${ways[0]?.name}: a statement that is prepared there is not found by the next transaction, or pins the connection. Leave it out.`,
  );
}

/** Leave to open connections beside those of other threads; what sees to that is loaded when the first is asked for. */
function permitsOf(limit: number, core: () => Shared['core'], env: PoolParts['env']): Permits {
  let loaded: EnvironmentLimit | undefined;
  const load = async (): Promise<EnvironmentLimit> => {
    const { EnvironmentLimit } = await import('./lambda/environment-limit.ts');
    loaded ??= new EnvironmentLimit({ limit, pool: core(), env });
    return loaded;
  };
  return {
    take: async (context) => (loaded ?? (await load())).take(context),
    wanted: () => loaded?.wanted() ?? false,
    get connectTimeoutMillis() {
      return core().options.acquireTimeoutMillis;
    },
  };
}

function checkReset(reset: unknown): 'auto' | 'always' | 'never' {
  if (reset === 'auto' || reset === 'always' || reset === 'never') return reset;
  throw new PoolError(
    'ERR_POOL_INVALID_OPTION',
    `reset must be auto, always or never, got ${JSON.stringify(reset)}. See ERR_POOL_INVALID_OPTION.`,
  );
}

/** What the user's own listener throws fails nothing either. */
function harmless(onWarning: (message: string) => void): (message: string) => void {
  return (message) => {
    try {
      onWarning(message);
    } catch {
      warn(message);
    }
  };
}
