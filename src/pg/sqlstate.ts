// What an error says about what has happened. Pure: an error in, a word out.

import { isSettledByPgBouncer, pgbouncerMeaning } from './pgbouncer.ts';

/** Whether making a connection may be tried again: no statement has been sent yet, so nothing can run twice. */
export type ConnectVerdict =
  /** The server or the network is not ready; it may be in a moment. */
  | 'retry'
  /** Probably wrong for good, but a failover's DNS change looks like this too: tried for a moment. */
  | 'retry-briefly'
  /** Wrong until somebody changes something. */
  | 'fail';

/** Node.js and libuv codes of a peer or network that is not there (yet). Source: Node.js documentation, common system errors. */
const networkCodes: ReadonlySet<string> = new Set([
  'ECONNREFUSED',
  'ECONNRESET',
  'ECONNABORTED',
  'EPIPE',
  'ETIMEDOUT',
  'EHOSTUNREACH',
  'ENETUNREACH',
  'EHOSTDOWN',
  'EAI_AGAIN',
]);

/** pg's own words for a connection that went away (pg 8.23, lib/client.js); they carry no code. */
const lostConnection = /^(Connection terminated|Client has encountered a connection error|Client was closed)/;

/** SQLSTATE classes and codes; PostgreSQL documentation, appendix A. */
const sqlStateVerdicts: readonly (readonly [prefix: string, verdict: ConnectVerdict])[] = [
  ['57P01', 'retry'], // admin_shutdown
  ['57P02', 'retry'], // crash_shutdown
  ['57P03', 'retry'], // cannot_connect_now: starting up, shutting down, in recovery
  ['53300', 'retry'], // too_many_connections
  ['08', 'retry'], // connection exceptions
];

/** Reads the code of an error, whoever made it. */
export function codeOf(error: unknown): string | undefined {
  const code = (error as { code?: unknown } | null | undefined)?.code;
  return typeof code === 'string' ? code : undefined;
}

/** Whether an error's code is a SQLSTATE: five characters, digits and capitals, and not one of Node's E-codes. */
export function isSqlState(code: string | undefined): code is string {
  // Stryker disable next-line ConditionalExpression: for the compiler only; the word "undefined" is no SQLSTATE either
  return code !== undefined && /^(?!E[A-Z]{4})[0-9A-Z]{5}$/.test(code);
}

/** Decides what a failed attempt to connect means. */
export function judgeConnectError(error: unknown): ConnectVerdict {
  const code = codeOf(error);
  if (isSettledByPgBouncer(error)) return 'fail';
  if (isSqlState(code)) {
    return sqlStateVerdicts.find(([prefix]) => code.startsWith(prefix))?.[1] ?? 'fail';
  }
  if (code === 'ENOTFOUND') return 'retry-briefly';
  // A failover may be under way: the name will soon point to the new writer.
  if (code === 'ERR_POOL_CONNECT_READ_ONLY') return 'retry';
  if (code === 'ERR_POOL_CONNECT_CREDENTIALS') return (error as { transient?: boolean }).transient ? 'retry' : 'fail';
  return isLostConnection(error) ? 'retry' : 'fail';
}

/**
 * Whether a server or pooler has refused a parameter of the startup packet: one that it does not know
 * (undefined_object before PostgreSQL 14), does not take (protocol_violation, from PgBouncer; feature_not_supported, from
 * RDS Proxy) or whose value it does not take (invalid_parameter_value).
 */
export function refusesParameters(error: unknown): boolean {
  const code = codeOf(error);
  // PgBouncer says nearly everything by this code: what is known to be something else is no refusal.
  if (code === '08P01') return (pgbouncerMeaning(error) ?? 'parameter') === 'parameter';
  return code === '42704' || code === '0A000' || code === '22023';
}

/** Whether the connection itself is gone, as opposed to a statement that failed on a sound one. */
export function isLostConnection(error: unknown): boolean {
  const code = codeOf(error);
  // After an ERROR, unlike after a FATAL, the session goes on: RDS Proxy had no backend for a statement in time (08000), or
  // the server lost another server that it had asked (postgres_fdw, 08006).
  if (isSqlState(code)) return !isPlainError(error) && (code.startsWith('57P') || code.startsWith('08'));
  if (code !== undefined) return networkCodes.has(code);
  return error instanceof Error && lostConnection.test(error.message);
}

/** Whether the server said no more than ERROR. It may say so in another language: then this is not known. */
function isPlainError(error: unknown): boolean {
  return (error as { severity?: unknown }).severity === 'ERROR';
}

/** Whether pg gave up waiting for an answer on its own (`query_timeout`): the client's protocol state is unknown then. */
export function isClientSideTimeout(error: unknown): boolean {
  return error instanceof Error && error.message === 'Query read timeout';
}
