// Names of options that are not ours: what is meant by them, and what to say when they mean nothing here.

import { variables } from './env.ts';

/** What is wrong with the names of some options, and what pg's names for ours stand for. */
export interface NameFindings {
  /** One sentence for each name that is a misspelt one. */
  readonly problems: readonly string[];
  /** One sentence for each name that means nothing here. */
  readonly warnings: readonly string[];
}

/** What options may be called that are neither in the environment's table nor pg's. */
const own = ['name', 'reset', 'Client', 'env', 'clock', 'onWarning'];

/** What pg's `Client` reads (pg 8.23, lib/client.js, lib/connection-parameters.js). */
const ofClient = [
  'application_name',
  'binary',
  'client_encoding',
  'connection',
  'connectionString',
  'database',
  'enableChannelBinding',
  'fallback_application_name',
  'host',
  'idle_in_transaction_session_timeout',
  'keepAlive',
  'keepAliveInitialDelayMillis',
  'lock_timeout',
  'options',
  'password',
  'pipeline',
  'port',
  'query_timeout',
  'replication',
  'scramMaxIterations',
  'ssl',
  'sslnegotiation',
  'statement_timeout',
  'stream',
  'types',
  'user',
];

/** pg's names of options of ours, in other units perhaps. */
const translated = ['connectionTimeoutMillis', 'maxLifetimeSeconds'];

type Check = readonly [fits: (value: unknown) => boolean, wanted: string];

const aFunction: Check = [(value) => typeof value === 'function', 'a function'];

/** Options of pg's `Pool` that are carried out as they are, and what each must be. 0 and `null` ask for nothing there. */
const ofPool: Readonly<Record<string, Check>> = {
  min: [(value) => Number.isInteger(value) && (value as number) >= 0, 'a whole number from 0'],
  maxUses: [
    (value) => value === Number.POSITIVE_INFINITY || (Number.isInteger(value) && (value as number) >= 0),
    'a whole number from 1, or Infinity',
  ],
  allowExitOnIdle: [(value) => typeof value === 'boolean', 'true or false'],
  log: aFunction,
  onConnect: aFunction,
  verify: aFunction,
  Promise: aFunction,
};

/** What people call some options elsewhere. */
const elsewhere: Readonly<Record<string, string>> = {
  db: 'database',
  dbname: 'database',
  hostname: 'host',
  poolsize: 'max',
  uri: 'connectionString',
  url: 'connectionString',
  databaseurl: 'connectionString',
  username: 'user',
};

/** Options whose names are right. */
const known: ReadonlySet<string> = new Set([
  ...Object.keys(ofPool),
  ...translated,
  ...ofClient,
  // Ours last: where two names are alike, what is meant is ours.
  ...variables.map(({ option }) => option),
  ...own,
]);

/**
 * Looks at the names of options. One that is nearly ours is a problem, because leaving it out silently would leave a
 * default in force that somebody meant to change; one that means nothing here is worth a warning.
 *
 * @param customClient - whether the clients are made by something that may have options of its own
 */
export function checkNames(options: object, customClient: boolean): NameFindings {
  const problems: string[] = [];
  const warnings: string[] = [];
  for (const [name, value] of Object.entries(options)) {
    if (value === undefined) continue;
    const check = ofPool[name];
    if (check && value !== null && !check[0](value)) problems.push(`${name} must be ${check[1]}, got ${shown(value)}`);
    if (known.has(name)) continue;
    const meant = nearest(name);
    if (meant !== undefined) problems.push(`${name} is not an option of thawpool: it is called ${meant}`);
    else if (!customClient) warnings.push(`${name} is no option of thawpool or of pg's Client, and has no effect.`);
  }
  return { problems, warnings };
}

function shown(value: unknown): string {
  return typeof value === 'string' ? JSON.stringify(value) : String(value);
}

function nearest(name: string): string | undefined {
  const plain = plainName(name);
  // Made here: each cold start would make it, and a name that is wrong is rare.
  const byPlainName = new Map([...known].map((each) => [plainName(each), each]));
  const same = byPlainName.get(plain) ?? elsewhere[plain];
  if (same !== undefined) return same;
  // A slip in a short word makes another word of it: port is no misspelt sort.
  if (plain.length < 5) return undefined;
  return [...byPlainName].find(([other]) => isOneSlipAway(plain, other))?.[1];
}

/** A name without what people write differently: capitals, underscores, and the unit at the end. */
function plainName(name: string): string {
  return name
    .toLowerCase()
    .replaceAll(/[^a-z]/g, '')
    .replace(/(?:ms|millis|milliseconds|secs|seconds)$/, '');
}

/** Whether one letter was added, left out or mistaken, or two neighbours changed places. */
function isOneSlipAway(a: string, b: string): boolean {
  if (Math.abs(a.length - b.length) > 1) return false;
  let start = 0;
  while (start < a.length && a[start] === b[start]) start += 1;
  let end = 0;
  while (end < Math.min(a.length, b.length) - start && a.at(-1 - end) === b.at(-1 - end)) end += 1;
  const restOfA = a.slice(start, a.length - end);
  const restOfB = b.slice(start, b.length - end);
  if (restOfA.length <= 1 && restOfB.length <= 1) return true;
  return restOfA.length === 2 && restOfB === `${restOfA[1]}${restOfA[0]}`;
}
