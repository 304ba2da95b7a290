/**
 * Every environment variable that thawpool reads, in one table: the reader, the checks, the documentation and the
 * infrastructure code all take it from here. This file imports nothing, so that anything may import it, and it must
 * not know what a connection is.
 */

/** Names the part of the documentation that a variable belongs to. */
export type Group = 'connect' | 'limits' | 'time' | 'proof' | 'routing' | 'telemetry';

/** Holds what the environment can set, keyed by option name; durations are whole milliseconds. See {@link variables}. */
export interface EnvValues {
  connectionString?: string;
  host?: string;
  port?: number;
  database?: string;
  user?: string;
  password?: string;
  application_name?: string;
  sslMode?: string;
  sslRootCert?: string;
  sslNegotiation?: string;
  max?: number;
  maxIdle?: number;
  maxPerEnvironment?: number;
  statementCache?: number;
  acquireTimeoutMillis?: number;
  validateAfterIdleMillis?: number;
  validateTimeoutMillis?: number;
  idleTimeoutMillis?: number;
  maxLifetimeMillis?: number;
  statementTimeoutMillis?: number;
  deadlineReserveMillis?: number;
  auth?: string;
  secretArn?: string;
  route?: string;
  proxyHost?: string;
  proxyFallback?: string;
  pinning?: string;
  readerHost?: string;
  readerMax?: number;
  readOnly?: string;
  metrics?: string;
  metricsNamespace?: string;
}

/** Names an option that has an environment variable. */
export type OptionName = keyof EnvValues;

/** States which values a variable takes. Limits are inclusive; `unit` is `ms` for a duration, else what is counted. */
export type Rule =
  | { readonly kind: 'integer'; readonly min: number; readonly max: number; readonly unit: string }
  | { readonly kind: 'word'; readonly words: readonly string[]; readonly advice?: string }
  | { readonly kind: 'text'; readonly expects: string; readonly pattern?: RegExp }
  | { readonly kind: 'url'; readonly expects: string };

/** States the facts of one environment variable; `env-descriptions.ts` explains it. `default` is the value itself for numbers and words, else words for a reader. */
export interface Variable {
  readonly name: string;
  readonly option: OptionName;
  readonly group: Group;
  readonly rule: Rule;
  readonly default: string | number;
  /** Its value never appears in an error; of a URL, everything but the password does. */
  readonly secret?: true;
}

/** A Lambda invocation lasts at most 15 minutes (AWS Lambda quotas): a longer wait could never end in time. */
const INVOCATION = 900_000;
/** RDS Proxy ends a client connection after 24 hours (RDS Proxy quotas); no sandbox is known to live longer. */
const DAY = 86_400_000;

const whole = (min: number, max: number, unit: string): Rule => ({ kind: 'integer', min, max, unit });
const text = (expects: string, pattern?: RegExp): Rule => ({ kind: 'text', expects, ...(pattern && { pattern }) });
const words = (list: readonly string[], advice?: string): Rule => ({
  kind: 'word',
  words: list,
  ...(advice !== undefined && { advice }),
});
const oneHost = text('one host name, IP address or socket directory', /^(?!.*:\/\/)[^,\s]+$/);

/** Lists every environment variable that thawpool reads, in the order of the documentation. */
// biome-ignore format: a table reads best with one variable to a paragraph
export const variables: readonly Variable[] = [
  { name: 'DATABASE_URL', option: 'connectionString', group: 'connect', default: 'none', secret: true,
    rule: { kind: 'url', expects: 'a postgres:// or postgresql:// URL' } },
  { name: 'PGHOST', option: 'host', group: 'connect', default: 'localhost', rule: oneHost },
  { name: 'PGPORT', option: 'port', group: 'connect', default: 5432, rule: whole(1, 65_535, 'port') },
  { name: 'PGDATABASE', option: 'database', group: 'connect', default: 'the user’s name', rule: text('a name') },
  { name: 'PGUSER', option: 'user', group: 'connect', default: 'the system user', rule: text('a name') },
  { name: 'PGPASSWORD', option: 'password', group: 'connect', default: 'none', secret: true, rule: text('a password') },
  { name: 'PGAPPNAME', option: 'application_name', group: 'connect', default: 'none', rule: text('a name') },
  { name: 'PGSSLMODE', option: 'sslMode', group: 'connect', default: '`verify-full`; none on loopback',
    rule: words(['disable', 'require', 'no-verify', 'verify-ca', 'verify-full'],
      'prefer and allow would go on without encryption when the server offers none; say require, verify-ca, verify-full or disable') },
  { name: 'PGSSLROOTCERT', option: 'sslRootCert', group: 'connect', default: 'Lambda’s CA bundle and Node’s roots',
    rule: text('the path of a PEM file, or the word system') },
  { name: 'PGSSLNEGOTIATION', option: 'sslNegotiation', group: 'connect', default: 'postgres',
    rule: words(['postgres', 'direct']) },
  { name: 'THAWPOOL_AUTH', option: 'auth', group: 'connect', default: 'password',
    rule: words(['password', 'iam', 'secret']) },
  { name: 'THAWPOOL_SECRET_ARN', option: 'secretArn', group: 'connect', default: 'none', rule: text('the ARN of a secret') },

  { name: 'THAWPOOL_MAX', option: 'max', group: 'limits', default: 4, rule: whole(1, 10_000, 'connections') },
  { name: 'THAWPOOL_MAX_IDLE', option: 'maxIdle', group: 'limits', default: 1, rule: whole(0, 10_000, 'connections') },
  { name: 'THAWPOOL_MAX_PER_ENVIRONMENT', option: 'maxPerEnvironment', group: 'limits', default: 'no limit',
    rule: whole(1, 10_000, 'connections') },
  { name: 'THAWPOOL_STATEMENT_CACHE', option: 'statementCache', group: 'limits', default: 100,
    rule: whole(0, 10_000, 'statements') },

  { name: 'THAWPOOL_ACQUIRE_TIMEOUT_MS', option: 'acquireTimeoutMillis', group: 'time', default: 5000,
    rule: whole(1, INVOCATION, 'ms') },
  { name: 'THAWPOOL_IDLE_TIMEOUT_MS', option: 'idleTimeoutMillis', group: 'time', default: 300_000,
    rule: whole(0, DAY, 'ms') },
  { name: 'THAWPOOL_MAX_LIFETIME_MS', option: 'maxLifetimeMillis', group: 'time', default: 1_800_000,
    rule: whole(0, DAY, 'ms') },
  { name: 'THAWPOOL_STATEMENT_TIMEOUT_MS', option: 'statementTimeoutMillis', group: 'time', default: 0,
    rule: whole(0, INVOCATION, 'ms') },
  { name: 'THAWPOOL_DEADLINE_RESERVE_MS', option: 'deadlineReserveMillis', group: 'time', default: 250,
    rule: whole(0, INVOCATION, 'ms') },

  { name: 'THAWPOOL_VALIDATE_AFTER_IDLE_MS', option: 'validateAfterIdleMillis', group: 'proof', default: 1000,
    rule: whole(0, DAY, 'ms') },
  { name: 'THAWPOOL_VALIDATE_TIMEOUT_MS', option: 'validateTimeoutMillis', group: 'proof', default: 250,
    rule: whole(1, INVOCATION, 'ms') },

  { name: 'THAWPOOL_ROUTE', option: 'route', group: 'routing', default: 'direct',
    rule: words(['direct', 'rds-proxy', 'pgbouncer']) },
  { name: 'THAWPOOL_PROXY_HOST', option: 'proxyHost', group: 'routing', default: 'none', rule: oneHost },
  { name: 'THAWPOOL_PROXY_FALLBACK', option: 'proxyFallback', group: 'routing', default: 'off',
    rule: words(['off', 'direct']) },
  { name: 'THAWPOOL_PINNING', option: 'pinning', group: 'routing', default: '`count` on Lambda, else `warn`; `off` on a direct route',
    rule: words(['off', 'count', 'warn', 'error']) },
  { name: 'THAWPOOL_READER_HOST', option: 'readerHost', group: 'routing', default: 'none', rule: oneHost },
  { name: 'THAWPOOL_READER_MAX', option: 'readerMax', group: 'routing', default: 'as many as `max`',
    rule: whole(1, 10_000, 'connections') },
  { name: 'THAWPOOL_READ_ONLY', option: 'readOnly', group: 'routing', default: 'false',
    rule: words(['true', 'false']) },

  { name: 'THAWPOOL_METRICS', option: 'metrics', group: 'telemetry', default: 'off',
    rule: words(['off', 'emf']) },
  { name: 'THAWPOOL_METRICS_NAMESPACE', option: 'metricsNamespace', group: 'telemetry', default: 'thawpool',
    rule: text('1 to 255 letters, digits, blanks or . - _ / # : that do not begin with AWS/', /^(?!AWS\/)[\w.\-/#: ]{1,255}$/) },
];

/** Reports bad options or variables, all of them at once. It never holds a secret. */
export class EnvError extends Error {
  /** Stable identifier, the same that the pool's own option errors carry. */
  readonly code = 'ERR_POOL_INVALID_OPTION';
  /** One sentence for each bad value. */
  readonly problems: readonly string[];

  constructor(problems: readonly string[]) {
    const many = `${problems.length} settings are not usable:\n${problems.map((problem) => `- ${problem}`).join('\n')}`;
    super(problems.length === 1 ? problems[0] : many);
    this.name = 'EnvError';
    this.problems = problems;
  }
}

/**
 * Returns a connection string with every password in it replaced by `***`.
 * It rather hides too much than too little: in a malformed URL everything up to the last `@` may be the password.
 */
export function maskConnectionString(connectionString: string): string {
  return connectionString
    .replace(/((?:password|sslkey|passfile)\s*=\s*)('[^']*'|[^&\s]*)/gi, '$1***')
    .replace(/^(.*?:\/\/[^:@]*):.*@/s, '$1:***@')
    .replace(/^(.*?:\/\/[^:@]*):(?!\d{1,5}(?:[/?#]|$))[^@]*$/s, '$1:***');
}

/** Tells why a connection string cannot be used, without repeating any of it; nothing when it can. */
function urlFault(connectionString: string): string | undefined {
  if (!/^postgres(?:ql)?:\/\//.test(connectionString)) return 'it does not begin so';
  try {
    // An empty host after credentials means "from PGHOST" to libpq and pg, yet is no URL to the parser.
    const url = new URL(connectionString.replace('@/', '@localhost/'));
    for (const part of [url.username, url.password, url.hostname, url.pathname]) decodeURIComponent(part);
    return undefined;
  } catch (error) {
    if (error instanceof URIError) return 'its percent-encoding is broken: a % itself is written %25';
    return 'it does not parse: percent-encode @ : / ? # % in the user name and password, and name one host only';
  }
}

function expected(rule: Rule): string {
  if (rule.kind === 'word') return `one of ${rule.words.join(', ')}`;
  if (rule.kind !== 'integer') return rule.expects;
  return `a whole number from ${rule.min} to ${rule.max}${rule.unit === 'ms' ? ' (milliseconds)' : ''}`;
}

function accepts(rule: Rule, value: unknown): boolean {
  if (rule.kind === 'integer') return Number.isInteger(value) && Number(value) >= rule.min && Number(value) <= rule.max;
  if (typeof value !== 'string' || value === '') return false;
  if (rule.kind === 'word') return rule.words.includes(value);
  return rule.kind === 'url' ? urlFault(value) === undefined : (rule.pattern?.test(value) ?? true);
}

/** Shows a refused value: never a secret, and never more than 80 characters, which is enough to recognise it. */
function shown(variable: Variable, raw: unknown): string {
  const visible = variable.rule.kind === 'url' && typeof raw === 'string' && raw.includes('://');
  if (variable.secret && !visible) return 'a value that is not shown because it may hold a password';
  if (typeof raw === 'string') {
    const masked = visible ? maskConnectionString(raw) : raw;
    return JSON.stringify(masked.length > 80 ? `${masked.slice(0, 80)}…` : masked);
  }
  return typeof raw === 'number' ? String(raw) : raw === null ? 'null' : `a value of type ${typeof raw}`;
}

/** Says in one sentence what is wrong with a value, where it can be set and what to do; nothing when it is fine. */
function fault(variable: Variable, subject: string, value: unknown, raw: unknown): string | undefined {
  const { rule, option, name } = variable;
  const where = `(option ${option}, environment ${name})`;
  if (accepts(rule, value)) return undefined;
  const because = rule.kind === 'url' && typeof value === 'string' ? urlFault(value) : undefined;
  const advice = because ?? (rule.kind === 'word' ? rule.advice : undefined) ?? `the default is ${variable.default}`;
  return `${subject} must be ${expected(rule)}, got ${shown(variable, raw)} ${where}: ${advice}`;
}

/**
 * Checks an option that was given in code by the rules of its environment variable, and returns it.
 * A number must be a number here, not its digits; a `password` that is a function is the caller's to let through.
 *
 * @throws {@link EnvError} (`ERR_POOL_INVALID_OPTION`) naming the option, its variable, the value and what is allowed.
 */
export function checkOption<Name extends OptionName>(name: Name, value: unknown): NonNullable<EnvValues[Name]> {
  const variable = variables.find((candidate) => candidate.option === name);
  const problem = variable ? fault(variable, name, value, value) : `${name} is not an option of thawpool`;
  if (problem !== undefined) throw new EnvError([problem]);
  return value as NonNullable<EnvValues[Name]>;
}

/**
 * Measures how much of two words is common to both in the same order (longest common subsequence), from 0 to 1. Unlike
 * the edit distance it leads from a part of a name to the whole of it: from HOST to PROXY_HOST rather than to ROUTE.
 */
function likeness(a: string, b: string): number {
  let above = Array.from({ length: b.length + 1 }, () => 0);
  for (const letter of a) {
    const row = [0];
    for (let j = 1; j <= b.length; j++) {
      const same = letter === b[j - 1] ? (above[j - 1] ?? 0) + 1 : 0;
      row.push(Math.max(same, above[j] ?? 0, row[j - 1] ?? 0));
    }
    above = row;
  }
  return (2 * (above[b.length] ?? 0)) / (a.length + b.length);
}

function warnUnknown(name: string): string {
  const word = name.toUpperCase().replace(/^THAWPOOL_?/, '');
  const nearest = variables
    .filter((known) => known.name.startsWith('THAWPOOL_'))
    .map((known) => ({ known: known.name, like: likeness(word, known.name.slice('THAWPOOL_'.length)) }))
    .reduce((best, next) => (next.like > best.like ? next : best));
  return `${name} is set, but thawpool has no such variable and ignores it; the nearest known name is ${nearest.known}`;
}

/**
 * Reads and checks the environment. An empty variable counts as not set; spaces around a value are dropped, except of
 * `PGPASSWORD`. Numbers are decimal digits only.
 *
 * @returns the options that are set, and one warning for each `THAWPOOL_…` name that does not exist. No warning holds a value.
 * @throws {@link EnvError} (`ERR_POOL_INVALID_OPTION`) naming every bad variable, not only the first.
 */
export function readEnv(env: Readonly<Record<string, string | undefined>>): {
  values: EnvValues;
  warnings: string[];
} {
  const values: Partial<Record<OptionName, string | number>> = {};
  const problems: string[] = [];
  for (const variable of variables) {
    const raw = env[variable.name] ?? '';
    const trimmed = variable.name === 'PGPASSWORD' ? raw : raw.trim();
    if (trimmed === '') continue;
    const value = variable.rule.kind === 'integer' && /^\d+$/.test(trimmed) ? Number(trimmed) : trimmed;
    const problem = fault(variable, variable.name, value, trimmed);
    if (problem === undefined) values[variable.option] = value;
    else problems.push(problem);
  }
  if (problems.length > 0) throw new EnvError(problems);
  const known = new Set(variables.map((variable) => variable.name));
  const unknown = Object.keys(env).filter((name) => /^THAWPOOL/i.test(name) && !known.has(name) && env[name]?.trim());
  return { values: values as EnvValues, warnings: unknown.map(warnUnknown) };
}
