// Why a connection to Redis could not be made, in words, and whether trying again may help. Pure: an error in, a verdict out.

import { PoolError } from '../pool/index.ts';

/** Where it was tried, and as whom. No secret is among it. */
export interface RedisTarget {
  readonly peer: string;
  readonly host: string;
  readonly username: string | undefined;
  readonly database: number;
}

type Code =
  | 'ERR_POOL_CONNECT_DNS'
  | 'ERR_POOL_CONNECT_REFUSED'
  | 'ERR_POOL_CONNECT_TLS'
  | 'ERR_POOL_CONNECT_AUTH'
  | 'ERR_POOL_CONNECT_DATABASE'
  | 'ERR_POOL_CONNECT_UNAVAILABLE'
  | 'ERR_POOL_CONNECT_FAILED';

/** Node's codes of a peer that nobody can be reached at, now. */
const unreachable: ReadonlySet<string> = new Set([
  ...['ECONNREFUSED', 'EHOSTUNREACH', 'ENETUNREACH', 'ETIMEDOUT', 'ENOENT'],
]);
/** Node's codes of a connection that ended. */
const lost: ReadonlySet<string> = new Set(['ECONNRESET', 'EPIPE', 'ECONNABORTED']);
/** The first word of a reply that means: not yet, or not here any more (Redis documentation, RESP errors). */
const notNow = /^(LOADING|BUSY|MASTERDOWN|TRYAGAIN|CLUSTERDOWN)\b|max number of clients reached/;
/** OpenSSL's and Node's codes of a handshake or a verification that failed. */
const tlsCode = /^(ERR_SSL|ERR_TLS|EPROTO|CERT_|DEPTH_ZERO|SELF_SIGNED|UNABLE_TO|HOSTNAME_MISMATCH)/;

/** Says what went wrong and what to do. The original is its `cause`. */
export function redisConnectError(error: unknown, target: RedisTarget, tries: number, millis: number): PoolError {
  const [code, text] = explain(error, target);
  const tried = tries > 1 ? ` Tried ${tries} times in ${(millis / 1000).toFixed(1)} s.` : '';
  return new PoolError(code, `${text}${tried} See ${code}.`, { cause: error });
}

/** Whether trying again may help, within the budget that there is. */
export function mayPass(error: unknown): boolean {
  const [code] = explain(error, { peer: '', host: '', username: undefined, database: 0 });
  return (
    code === 'ERR_POOL_CONNECT_REFUSED' || code === 'ERR_POOL_CONNECT_UNAVAILABLE' || codeOf(error) === 'EAI_AGAIN'
  );
}

function explain(given: unknown, { peer, host, username, database }: RedisTarget): readonly [code: Code, text: string] {
  // All addresses of a host refused: each is an error of its own.
  const error: unknown = given instanceof AggregateError ? (given.errors[0] ?? given) : given;
  const code = codeOf(error) ?? '';
  const message = error instanceof Error ? error.message || error.name : String(error);
  if (code === 'ENOTFOUND' || code === 'EAI_AGAIN') {
    return [
      'ERR_POOL_CONNECT_DNS',
      `The host name "${host}" was not found (${code}). Check REDIS_URL, and that the function's network can resolve it.`,
    ];
  }
  if (unreachable.has(code)) {
    return [
      'ERR_POOL_CONNECT_REFUSED',
      `Nothing answers at ${peer} (${code}). Check the host and port in REDIS_URL, that the server runs, and the security groups.`,
    ];
  }
  if (tlsCode.test(code)) {
    return [
      'ERR_POOL_CONNECT_TLS',
      `TLS to ${peer} failed (${code}: ${message}). Check that the server speaks TLS at this port; a CA of your own goes into the option tls.ca.`,
    ];
  }
  if (/^(WRONGPASS|NOAUTH|NOPERM|ERR invalid password|ERR AUTH)/i.test(message)) {
    return [
      'ERR_POOL_CONNECT_AUTH',
      `The server at ${peer} refused user "${username ?? 'default'}" (${message}). Check the user and the password, in REDIS_URL or the options.`,
    ];
  }
  if (/DB index is out of range|SELECT is not allowed/i.test(message)) {
    return [
      'ERR_POOL_CONNECT_DATABASE',
      `There is no database ${database} at ${peer} (${message}). Check the path of REDIS_URL; a cluster has database 0 only.`,
    ];
  }
  if (lost.has(code) || notNow.test(message) || /Socket closed unexpectedly/.test(message)) {
    return ['ERR_POOL_CONNECT_UNAVAILABLE', `The server at ${peer} cannot take the connection now (${message}).`];
  }
  return ['ERR_POOL_CONNECT_FAILED', `Connecting to ${peer} failed (${message}).`];
}

function codeOf(error: unknown): string | undefined {
  const code = (error as { readonly code?: unknown } | null | undefined)?.code;
  return typeof code === 'string' ? code : undefined;
}
