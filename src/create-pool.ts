// Puts a pool together out of options, the environment and TLS. The only place where those three meet.

import { explainTlsError, TlsOptionError, type TlsOptions, tlsFor } from './auth/tls.ts';
import { fieldsOf } from './connection-string.ts';
import { checkOption, EnvError, type EnvValues, type OptionName, readEnv, variables } from './env.ts';
import type { EnvironmentLimit } from './lambda/environment-limit.ts';
import { checkNames } from './option-names.ts';
import type { Permits } from './pg/connector.ts';
import { type Shared, shared } from './pg/lending.ts';
import { PgPool } from './pg/pg-pool.ts';
import type { ClientConfig, ClientConstructor } from './pg/types.ts';
import { type Clock, PoolError, type PoolOptions, systemClock } from './pool/index.ts';

/**
 * Options of a pool: thawpool's own, and everything that pg's `Client` takes. An option wins over its environment
 * variable, which wins over the default; `docs/options.md` lists them.
 */
export interface CreatePoolOptions extends Omit<ClientConfig, 'connectionTimeoutMillis'> {
  /** Names the pool in the registry, in warnings and in metrics. @default 'default' */
  readonly name?: string;
  readonly max?: number;
  readonly maxIdle?: number;
  /**
   * Hard limit over the pools of this name in all threads of the process together, where `max` counts in each alone: for
   * Lambda Managed Instances, and for worker threads anywhere on Linux. 1 to 10000.
   *
   * @default none, because elsewhere there is one thread
   */
  readonly maxPerEnvironment?: number;
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
  readonly auth?: string;
  readonly route?: string;
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

/** Where to connect: what pg's `Client` is told under our names, which are its own. */
const places: ReadonlySet<string> = new Set(['host', 'port', 'database', 'user', 'password', 'application_name']);

/** What pg's `Client` has no use for, or is told in another way. */
const ours: readonly string[] = [
  ...variables.flatMap(({ option }) => (places.has(option) ? [] : option)),
  ...['name', 'reset', 'env', 'clock', 'onWarning', 'Client', 'ssl', 'connectionTimeoutMillis', 'maxLifetimeSeconds'],
];

/** The longest that Lambda lets an invocation run, and so the longest that a wait can make sense. */
const invocationMillis = 900_000;

/** First probe of TCP keepalive; without a delay it comes after 7200 s, when every NAT has forgotten the flow. */
const keepAliveDelayMillis = 30_000;

/** The longest delay that a timer of Node.js can take (2^31 - 1). */
const longestTimer = 2_147_483_647;

/** Default of `deadlineReserveMillis`; `env.ts` says why. */
const defaultReserveMillis = 250;
/** Default of the core's `idleTimeoutMillis`; `env.ts` says why. */
const defaultIdleTimeoutMillis = 300_000;

/** What a pool is made from, and what the lifecycle needs to know besides. */
export interface PoolParts {
  readonly pool: PgPool;
  readonly clock: Clock;
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly deadlineReserveMillis: number;
  readonly onWarning: (message: string) => void;
}

/**
 * Makes a pool. Nothing is opened: the first connection is made when somebody needs one.
 *
 * @throws PoolError `ERR_POOL_INVALID_OPTION` naming every bad option or variable, its value and what is allowed.
 */
export function createParts(options: CreatePoolOptions = {}): PoolParts {
  const { env = process.env, clock = systemClock } = options;
  const onWarning = options.onWarning === undefined ? warn : harmless(options.onWarning);
  const values = mergeEnvironment(options, env, onWarning);
  const { client, tls, host } = clientOptions(options, values);
  const { maxPerEnvironment: limit } = values;
  const core = defined<PoolOptions>({
    name: options.name,
    max: limit === undefined ? values.max : Math.min(limit, values.max ?? defaultOf('max')),
    maxIdle: values.maxIdle ?? (values.max === undefined ? undefined : Math.min(1, values.max)),
    acquireTimeoutMillis: values.acquireTimeoutMillis,
    // A creation that waits for leave serves one caller after another; the connector bounds what comes after that.
    createTimeoutMillis: limit === undefined ? undefined : longestTimer,
    validateAfterIdleMillis: values.validateAfterIdleMillis,
    validateTimeoutMillis: values.validateTimeoutMillis,
    idleTimeoutMillis: values.idleTimeoutMillis,
    maxLifetimeMillis: values.maxLifetimeMillis,
    clock,
  });
  const pool = new PgPool({
    core,
    onWarning,
    beforeSnapshot: env['AWS_LAMBDA_INITIALIZATION_TYPE'] === 'snap-start',
    connector: {
      clientConfig: (guarded) => ({ ...client, ...(guarded ? guards(client, core, env) : {}), ssl: tls() }),
      readOnly: values.readOnly === 'true',
      reset: checkReset(options.reset ?? 'auto'),
      Client: options.Client,
      explainTls: (error) => explainTlsError(error, { host, tls: tls() }),
      permits: limit === undefined ? undefined : permitsOf(limit, () => pool[shared].core, env),
    },
  });
  return { pool, clock, env, onWarning, deadlineReserveMillis: values.deadlineReserveMillis ?? defaultReserveMillis };
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

/** A server ends the sessions of sandboxes that never woke up this much later than we would have discarded them. */
const idleSessionMarginMillis = 30_000;
/** What a sandbox that was killed in a transaction has locked is free again after this; no handler idles for so long. */
const idleInTransactionMillis = 60_000;

/**
 * Our own rules, told to the server in the startup packet, where they cost no round trip (PostgreSQL documentation,
 * 19.11.1; `idle_session_timeout` since 14). What the user has set wins.
 */
function guards(client: ClientConfig, core: PoolOptions, env: PoolParts['env']): ClientConfig {
  const idleTimeoutMillis = core.idleTimeoutMillis ?? defaultIdleTimeoutMillis;
  const own = idleTimeoutMillis > 0 ? `-c idle_session_timeout=${idleTimeoutMillis + idleSessionMarginMillis}` : '';
  return {
    options: `${own} ${client.options ?? env['PGOPTIONS'] ?? ''}`.trim(),
    idle_in_transaction_session_timeout: client.idle_in_transaction_session_timeout ?? idleInTransactionMillis,
  };
}

function checkReset(reset: unknown): 'auto' | 'always' | 'never' {
  if (reset === 'auto' || reset === 'always' || reset === 'never') return reset;
  throw new PoolError(
    'ERR_POOL_INVALID_OPTION',
    `reset must be auto, always or never, got ${JSON.stringify(reset)}. See ERR_POOL_INVALID_OPTION.`,
  );
}

/** Every setting by its option's name, from wherever it came, and what only pg's `Client` knows. */
type Settings = EnvValues & { readonly sslnegotiation?: string };

/**
 * Reads the environment and lets the options win over it, field by field: also over a field that `DATABASE_URL` names.
 * Both are checked by the same rules. Within the options a connection string wins over single fields, as in pg.
 */
function mergeEnvironment(
  options: CreatePoolOptions,
  env: Readonly<Record<string, string | undefined>>,
  onWarning: (message: string) => void,
): Settings {
  const problems: string[] = [];
  const collect = <R>(read: () => R): R | undefined => {
    try {
      return read();
    } catch (error) {
      if (!(error instanceof EnvError || error instanceof TlsOptionError)) throw error;
      problems.push(...('problems' in error ? error.problems : [error.message]));
      return undefined;
    }
  };
  const names = checkNames(options, options.Client !== undefined);
  problems.push(...names.problems);
  const fromEnv = collect(() => readEnv(env));
  const { connectionString: url, ...fields } = givenOptions(options, collect);
  const { connectionString: envUrl, ...envFields } = fromEnv?.values ?? {};
  const warnings = [...names.warnings, ...(fromEnv?.warnings ?? [])];
  const urlFields = (from: unknown): Record<string, unknown> =>
    typeof from === 'string' ? withoutOurs(collect(() => fieldsOf(from)) ?? {}, warnings) : {};
  const merged = { ...envFields, ...urlFields(envUrl), ...fields, ...urlFields(url) } as Settings;
  problems.push(...(problems.length > 0 ? [] : limitsFault(merged)));
  if (problems.length > 0) {
    const error = new EnvError(problems);
    const end = problems.length === 1 ? '. ' : '\n';
    throw new PoolError('ERR_POOL_INVALID_OPTION', `${error.message}${end}See ERR_POOL_INVALID_OPTION.`, {
      cause: error,
    });
  }
  for (const warning of warnings) warnOnce(warning, onWarning);
  return merged;
}

/** The options that have a rule, each checked by it; pg's names for two of them under ours. */
function givenOptions(
  options: CreatePoolOptions,
  collect: <R>(read: () => R) => R | undefined,
): Partial<Record<OptionName, unknown>> {
  const given: Partial<Record<OptionName, unknown>> = {};
  const take = (name: OptionName, value: unknown, calledHere: string = name): void => {
    if (value === undefined) return;
    const asWord = typeof value === 'boolean' ? String(value) : value;
    const function_ = name === 'password' && typeof value === 'function';
    given[name] = function_ ? value : collect(() => checkAs(calledHere, name, asWord));
  };
  const { connectionTimeoutMillis: connecting, maxLifetimeSeconds: seconds } = options;
  take('acquireTimeoutMillis', connecting === 0 ? invocationMillis : connecting, 'connectionTimeoutMillis');
  take('maxLifetimeMillis', typeof seconds === 'number' ? seconds * 1000 : seconds, 'maxLifetimeSeconds');
  for (const { option } of variables) take(option, (options as Partial<Record<OptionName, unknown>>)[option]);
  return given;
}

function checkAs(calledHere: string, name: OptionName, value: unknown): unknown {
  try {
    return checkOption(name, value);
  } catch (error) {
    if (calledHere === name || !(error instanceof EnvError)) throw error;
    throw new EnvError(error.problems.map((problem) => `${calledHere}, which is ${problem}`));
  }
}

/** A connection string says where to connect; what the pool does is said elsewhere. */
function withoutOurs(fields: Record<string, unknown>, warnings: string[]): Record<string, unknown> {
  for (const name of Object.keys(fields)) {
    if (!ours.includes(name) || name === 'sslMode' || name === 'sslRootCert') continue;
    delete fields[name];
    warnings.push(`The connection string has a parameter ${name}, which has no effect there: give it as an option.`);
  }
  return fields;
}

/** Two limits may each be right and not fit together, wherever they come from. */
function limitsFault({ max = defaultOf('max'), maxIdle, maxPerEnvironment: limit }: Settings): string[] {
  if (maxIdle !== undefined && limit !== undefined && maxIdle > limit) {
    return [
      `maxIdle must be at most maxPerEnvironment (${limit}), got ${maxIdle} (options maxIdle and maxPerEnvironment, environment THAWPOOL_MAX_IDLE and THAWPOOL_MAX_PER_ENVIRONMENT): lower maxIdle or raise maxPerEnvironment`,
    ];
  }
  if (maxIdle === undefined || maxIdle <= max) return [];
  return [
    `maxIdle must be at most max (${max}), got ${maxIdle} (options maxIdle and max, environment THAWPOOL_MAX_IDLE and THAWPOOL_MAX): lower maxIdle or raise max`,
  ];
}

function defaultOf(option: OptionName): number {
  return Number(variables.find((variable) => variable.option === option)?.default);
}

/** What every client is made with; TLS is decided when the first one is, because it reads files. */
function clientOptions(
  options: CreatePoolOptions,
  settings: Settings,
): { client: ClientConfig; tls: () => boolean | TlsOptions; host: string } {
  const { host = 'localhost', sslMode, sslRootCert } = settings;
  let decided: boolean | TlsOptions | undefined;
  const tls = (): boolean | TlsOptions => {
    decided ??= tlsFor({ host, sslMode, sslRootCert, ssl: options.ssl });
    return decided;
  };
  const passedOn: Record<string, unknown> = { ...options, ...settings };
  for (const name of ours) delete passedOn[name];
  const client = defined<ClientConfig>({
    // Said, not left to pg: it would look into the environment of the process, and TLS was decided for this host.
    host,
    port: defaultOf('port'),
    keepAlive: true,
    keepAliveInitialDelayMillis: keepAliveDelayMillis,
    statement_timeout: settings.statementTimeoutMillis || undefined,
    ...passedOn,
  });
  return { client, tls, host };
}

function defined<T extends object>(values: { readonly [K in keyof T]?: T[K] | undefined }): T {
  return Object.fromEntries(Object.entries(values).filter(([, value]) => value !== undefined)) as T;
}

const warned = new Set<string>();

/** The environment does not change: what is wrong with it is said once, however many pools are made. */
function warnOnce(message: string, onWarning: (message: string) => void): void {
  if (onWarning !== warn) return onWarning(message);
  if (warned.has(message)) return;
  warned.add(message);
  onWarning(message);
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

function warn(message: string): void {
  process.emitWarning(message, 'PoolWarning');
}
