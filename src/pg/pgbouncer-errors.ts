// What to say of a connection that PgBouncer has not let in. Loaded with connect-error.ts, when there is something to say.

import { type PgBouncerMeaning, pgbouncerMeaning } from './pgbouncer.ts';

/** Codes of a connection that PgBouncer has not let in. */
export type PgBouncerErrorCode =
  | 'ERR_POOL_CONNECT_AUTH'
  | 'ERR_POOL_CONNECT_DATABASE'
  | 'ERR_POOL_CONNECT_UNAVAILABLE'
  | 'ERR_POOL_CONNECT_FAILED';

/** What was tried. */
interface Target {
  readonly at: string;
  readonly user: string | undefined;
  readonly database: string | undefined;
}

type Explanation = readonly [code: PgBouncerErrorCode, text: (target: Target, message: string) => string];

const explanations: Readonly<Partial<Record<PgBouncerMeaning, Explanation>>> = {
  parameter: [
    'ERR_POOL_CONNECT_FAILED',
    ({ at }, message) =>
      `PgBouncer at ${at} does not take what the connection was begun with (${message}). Set route "pgbouncer" (THAWPOOL_ROUTE), with which no such parameter is sent.`,
  ],
  login: [
    'ERR_POOL_CONNECT_AUTH',
    ({ at, user }, message) =>
      `PgBouncer at ${at} refused user "${user ?? ''}" (${message}). Check the user, its password, and PgBouncer's auth_file or auth_query.`,
  ],
  'server-login': [
    'ERR_POOL_CONNECT_AUTH',
    ({ at }, message) =>
      `PgBouncer at ${at} could not log in at the server behind it (${message}). Check the password in PgBouncer's auth_file or [databases], and the server's pg_hba.conf.`,
  ],
  database: [
    'ERR_POOL_CONNECT_DATABASE',
    ({ at, database, user }, message) =>
      `There is no database "${database ?? user ?? ''}" at PgBouncer at ${at} (${message}). Check PGDATABASE or the path of DATABASE_URL, and PgBouncer's [databases].`,
  ],
  configuration: [
    'ERR_POOL_CONNECT_FAILED',
    ({ at }, message) => `PgBouncer at ${at} is not set up for this (${message}). Its log says more.`,
  ],
  full: [
    'ERR_POOL_CONNECT_UNAVAILABLE',
    ({ at }, message) =>
      `PgBouncer at ${at} has as many clients as it may (${message}). Raise its max_client_conn, which costs it 2 kB each, or lower THAWPOOL_MAX or the function's concurrency.`,
  ],
  unavailable: [
    'ERR_POOL_CONNECT_UNAVAILABLE',
    ({ at }, message) =>
      `PgBouncer at ${at} has no server to log in to (${message}). Look whether that runs, and into PgBouncer's log.`,
  ],
  'no-backend': [
    'ERR_POOL_CONNECT_UNAVAILABLE',
    ({ at }, message) =>
      `PgBouncer at ${at} has no server connection to spare (${message}). Raise its default_pool_size, or shorten transactions.`,
  ],
};

/** Explains a connection that PgBouncer has not let in; nothing for an error that is not its own. */
export function explainPgBouncer(
  error: unknown,
  target: Target,
): readonly [code: PgBouncerErrorCode, text: string] | undefined {
  const meaning = pgbouncerMeaning(error);
  const known = meaning && explanations[meaning];
  return known && error instanceof Error ? [known[0], known[1](target, error.message)] : undefined;
}
