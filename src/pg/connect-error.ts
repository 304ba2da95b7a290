// What a connection that cannot be made has failed for, and what to do. Loaded when the first one has failed: a cold start
// that connects does without. Pure: an error and what was tried in, an error out.

import { PoolError } from '../pool/errors.ts';
import { explainPgBouncer } from './pgbouncer-errors.ts';
import { codeOf, isLostConnection, isSqlState } from './sqlstate.ts';

/** Stable codes of the ways in which a connection cannot be made. */
export type ConnectErrorCode =
  | 'ERR_POOL_CONNECT_DNS'
  | 'ERR_POOL_CONNECT_REFUSED'
  | 'ERR_POOL_CONNECT_TLS'
  | 'ERR_POOL_CONNECT_AUTH'
  | 'ERR_POOL_CONNECT_CREDENTIALS'
  | 'ERR_POOL_CONNECT_DATABASE'
  | 'ERR_POOL_CONNECT_UNAVAILABLE'
  | 'ERR_POOL_CONNECT_READ_ONLY'
  | 'ERR_POOL_CONNECT_FAILED';

/** What was tried. No secret is among it. */
export interface ConnectTarget {
  readonly host: string;
  readonly port: number;
  readonly user: string | undefined;
  readonly database: string | undefined;
  /** Where the credentials came from, where they were not simply given. */
  readonly credentials?: string | undefined;
  /** It is not the server itself. */
  readonly proxied?: boolean;
}

/** What it took. */
export interface ConnectAttempts {
  readonly count: number;
  readonly millis: number;
  /** What other places said that were tried first. */
  readonly before: readonly string[];
}

/**
 * Turns the error of the last attempt into one that says what it means and what to do. The original is its `cause`.
 *
 * @param tls - what the error says of TLS, by who knows who trusts whom; nothing for one that has nothing to do with it
 */
export function connectError(
  error: unknown,
  target: ConnectTarget,
  attempts: ConnectAttempts,
  tls: string | undefined,
): PoolError {
  const [code, text] = explain(error, target, tls);
  const { count, millis, before } = attempts;
  const tried = count > 1 ? ` Tried ${count} times in ${(millis / 1000).toFixed(1)} s.` : '';
  const others = before.length > 0 ? ` Nor did these answer: ${[...new Set(before)].join('; ')}.` : '';
  return new PoolError(code, `${text}${others}${tried} See ${code}.`, { cause: error });
}

type Explanation = readonly [code: ConnectErrorCode, text: string];

interface Facts {
  /** Where, in words. */
  readonly at: string;
  readonly target: ConnectTarget;
  readonly code: string | undefined;
  readonly message: string;
}

const noName = ({ target, code }: Facts): Explanation => [
  'ERR_POOL_CONNECT_DNS',
  `The host name "${target.host}" was not found (${code}). Check PGHOST or DATABASE_URL, and that the function's network can resolve it.`,
];
const noAnswer = ({ at, code, target: { proxied } }: Facts): Explanation => [
  'ERR_POOL_CONNECT_REFUSED',
  proxied
    ? `Nothing answers at ${at} (${code}), which is taken for a proxy. Check THAWPOOL_PROXY_HOST or PGHOST, that the proxy is available, and the security groups; THAWPOOL_PROXY_FALLBACK=direct would go to the server meanwhile.`
    : `Nothing answers at ${at} (${code}). Check the host and PGPORT, that the server runs, and the security groups.`,
];
const noEntry = ({ at, target: { user, credentials }, message }: Facts): Explanation => [
  'ERR_POOL_CONNECT_AUTH',
  credentials === undefined
    ? `The server at ${at} refused user "${user ?? ''}" (${message}). Check the user, its password, and pg_hba.conf or rds_iam.`
    : `The server at ${at} refused user "${user ?? ''}" with what ${credentials} gave, fresh ones included (${message}). Check that this is the user they are for, and pg_hba.conf or rds_iam.`,
];

/** What the codes of Node.js and PostgreSQL mean to whoever reads the log. */
const explanations: Readonly<Record<string, (facts: Facts) => Explanation>> = {
  ENOTFOUND: noName,
  EAI_AGAIN: noName,
  ECONNREFUSED: noAnswer,
  EHOSTUNREACH: noAnswer,
  ENETUNREACH: noAnswer,
  ETIMEDOUT: noAnswer,
  ENOENT: noAnswer,
  '28P01': noEntry,
  '28000': noEntry,
  '3D000': ({ at, target, message }) => [
    'ERR_POOL_CONNECT_DATABASE',
    `There is no database "${target.database ?? target.user ?? ''}" at ${at} (${message}). Check PGDATABASE or the path of DATABASE_URL.`,
  ],
  '53300': ({ at, message }) => [
    'ERR_POOL_CONNECT_UNAVAILABLE',
    `The server at ${at} has no connection slots left (${message}). Lower THAWPOOL_MAX or the function's concurrency, raise max_connections, or go through a proxy.`,
  ],
  // Said once, and last.
  ERR_POOL_CONNECT_CREDENTIALS: ({ message }) => [
    'ERR_POOL_CONNECT_CREDENTIALS',
    message.replace(/ See ERR_POOL_CONNECT_CREDENTIALS\.$/, ''),
  ],
  ERR_POOL_INVALID_OPTION: ({ message }) => ['ERR_POOL_CONNECT_FAILED', message],
  ERR_POOL_CONNECT_READ_ONLY: ({ at, message }) => ['ERR_POOL_CONNECT_READ_ONLY', `${message} (${at})`],
};

function explain(error: unknown, target: ConnectTarget, tls: string | undefined): Explanation {
  const at = target.host.startsWith('/') ? target.host : `${target.host}:${target.port}`;
  const message = error instanceof Error ? error.message : String(error);
  const code = codeOf(error);
  if (tls !== undefined) return ['ERR_POOL_CONNECT_TLS', `TLS to ${at} failed (${message}). ${tls}`];
  const pooler = explainPgBouncer(error, { at, user: target.user, database: target.database });
  if (pooler !== undefined) return pooler;
  const known = code === undefined ? undefined : explanations[code];
  if (known) return known({ at, target, code, message });
  if (isSqlState(code)) {
    const kind = isLostConnection(error) ? 'ERR_POOL_CONNECT_UNAVAILABLE' : 'ERR_POOL_CONNECT_FAILED';
    return [kind, `The server at ${at} did not let us in (${code}: ${message}).`];
  }
  if (isLostConnection(error)) {
    return [
      'ERR_POOL_CONNECT_UNAVAILABLE',
      `The connection to ${at} was closed before it was ready (${message}). The server may be restarting, or something on the way ends connections.`,
    ];
  }
  if (message.startsWith('SASL: SCRAM-SERVER-FIRST-MESSAGE: client password')) {
    return [
      'ERR_POOL_CONNECT_AUTH',
      `The server at ${at} asks for a password and none is set (${message}). Set PGPASSWORD, or the password in DATABASE_URL.`,
    ];
  }
  return ['ERR_POOL_CONNECT_FAILED', `Connecting to ${at} failed (${message}).`];
}
