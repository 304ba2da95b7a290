// What a pool is to be, from everywhere it can be said: options, a connection string, the environment. It must not know how
// a connection is made.

import { TlsOptionError } from './auth/tls.ts';
import { fieldsOf } from './connection-string.ts';
import type { CreatePoolOptions } from './create-pool-options.ts';
import { checkOption, EnvError, type EnvValues, type OptionName, readEnv, variables } from './env.ts';
import { checkNames } from './option-names.ts';
import { PoolError } from './pool/index.ts';

/** Where to connect: what pg's `Client` is told under our names, which are its own. */
const places: ReadonlySet<string> = new Set(['host', 'port', 'database', 'user', 'password', 'application_name']);

/** Options that pg's `Client` has no use for, or is told in another way. */
export const ours: readonly string[] = [
  ...variables.flatMap(({ option }) => (places.has(option) ? [] : option)),
  ...['name', 'reset', 'env', 'clock', 'onWarning', 'Client', 'ssl', 'connectionTimeoutMillis', 'maxLifetimeSeconds'],
  ...['sslnegotiation', 'min', 'maxUses', 'allowExitOnIdle', 'log', 'onConnect', 'verify', 'Promise'],
];

/** The longest that Lambda lets an invocation run, and so the longest that a wait can make sense. */
const invocationMillis = 900_000;

/** Every setting by its option's name, from wherever it came. */
export type Settings = Omit<EnvValues, 'password'> & { readonly password?: CreatePoolOptions['password'] };

/**
 * Reads the environment and lets the options win over it, field by field: also over a field that `DATABASE_URL` names.
 * Both are checked by the same rules. Within the options a connection string wins over single fields, as in pg.
 */
export function settingsOf(
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
  problems.push(...(problems.length > 0 ? [] : faultsTogether(merged)));
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
    const brought = name === 'password' && bringsPassword(value);
    given[name] = brought ? value : collect(() => checkAs(calledHere, name, asWord));
  };
  const { connectionTimeoutMillis: connecting, maxLifetimeSeconds: seconds } = options;
  take('acquireTimeoutMillis', connecting === 0 ? invocationMillis : connecting, 'connectionTimeoutMillis');
  take('sslNegotiation', options.sslnegotiation, 'sslnegotiation');
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
    if (!ours.includes(name) || name.startsWith('ssl')) continue;
    delete fields[name];
    warnings.push(`The connection string has a parameter ${name}, which has no effect there: give it as an option.`);
  }
  return fields;
}

/** Settings may each be right and not fit together, wherever they come from. */
function faultsTogether(settings: Settings): string[] {
  return [...limitsFault(settings), ...placesFault(settings)];
}

function placesFault({ auth, secretArn, proxyHost, proxyFallback, host }: Settings): string[] {
  if (auth === 'secret' && secretArn === undefined) {
    return [
      'auth is "secret", but no secret is named (options auth and secretArn, environment THAWPOOL_AUTH and THAWPOOL_SECRET_ARN): set THAWPOOL_SECRET_ARN',
    ];
  }
  if (proxyHost !== undefined && proxyFallback === 'direct' && host === undefined && secretArn === undefined) {
    return [
      'proxyFallback is "direct", but there is no host to go to (options proxyFallback and host, environment THAWPOOL_PROXY_FALLBACK and PGHOST): set PGHOST, or leave THAWPOOL_PROXY_FALLBACK out',
    ];
  }
  return [];
}

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

/** The default of a number, as the table has it. */
export function defaultOf(option: OptionName): number {
  return Number(variables.find((variable) => variable.option === option)?.default);
}

/** Whether a password is not given but brought: by a function, or by a source of credentials. */
function bringsPassword(value: unknown): boolean {
  return typeof value === 'function' || typeof (value as { credentials?: unknown } | null)?.credentials === 'function';
}

const warned = new Set<string>();

/** The environment does not change: what is wrong with it is said once, however many pools are made. */
function warnOnce(message: string, onWarning: (message: string) => void): void {
  if (onWarning !== warn) return onWarning(message);
  if (warned.has(message)) return;
  warned.add(message);
  onWarning(message);
}

/** What is said of a pool where nobody else listens. */
export function warn(message: string): void {
  process.emitWarning(message, 'PoolWarning');
}
