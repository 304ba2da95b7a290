// What PgBouncer means by its errors. It gives one SQLSTATE, 08P01, to nearly all of them (up to 1.25): the words tell
// them apart. Pure: an error in, a word out.

/** What an error of PgBouncer's own says. */
export type PgBouncerMeaning =
  /** It does not take a parameter of the startup packet. */
  | 'parameter'
  /** It does not know the user, or the password is wrong. */
  | 'login'
  /** It cannot log in at the server itself, and waiting does not help. */
  | 'server-login'
  /** It knows no such database. */
  | 'database'
  /** It wants TLS, and there was none. */
  | 'tls'
  /** It is set up wrongly, or for another kind of use. */
  | 'configuration'
  /** It has as many clients as it may. */
  | 'full'
  /** The server behind it is not there, or somebody is at work on it. */
  | 'unavailable'
  /** A statement has waited for a server connection for as long as it may: it was never sent on. */
  | 'no-backend'
  /** It has closed a connection on which nothing was under way. */
  | 'idle';

/** PgBouncer's words (1.18: janitor.c, client.c, objects.c), and those of the server that it passes on when it cannot log in. */
const words: readonly (readonly [pattern: RegExp, meaning: PgBouncerMeaning])[] = [
  [/^unsupported startup parameter/, 'parameter'],
  [
    /^(SASL|password|PAM|certificate|LDAP|"trust") authentication failed$|^no such user|^(unix socket )?login rejected$/,
    'login',
  ],
  [
    /^password authentication failed for user|^no pg_hba\.conf entry|^role ".*" does not exist|^server login failed: /,
    'server-login',
  ],
  [/^no such database|^database ".*" does not exist/, 'database'],
  [/^SSL required$|^TLS (client certificate|connection) required$/, 'tls'],
  [/^bouncer config error$|^transaction blocks not allowed in statement pooling mode$/, 'configuration'],
  [/^no more connections allowed/, 'full'],
  [/^query_wait_timeout$|^query_timeout$/, 'no-backend'],
  [/^client_idle_timeout$/, 'idle'],
  [
    /^client_login_timeout|^server login has been failing|^server conn crashed|^database removed$|^database ".*" is disabled$|^pgbouncer cannot connect|shutting down|starting up|^too many connections|^sorry, too many clients already$|connection slots/,
    'unavailable',
  ],
];

/** Tells what PgBouncer means; nothing for an error that is not its own, or that it has new words for. */
export function pgbouncerMeaning(error: unknown): PgBouncerMeaning | undefined {
  if (!(error instanceof Error) || (error as { code?: unknown }).code !== '08P01') return undefined;
  const { message } = error;
  return words.find(([pattern]) => pattern.test(message))?.[1];
}

/** Tells whether another attempt to connect is in vain until somebody changes something. */
export function isSettledByPgBouncer(error: unknown): boolean {
  return lasting.has(pgbouncerMeaning(error));
}

const lasting: ReadonlySet<PgBouncerMeaning | undefined> = new Set([
  'parameter',
  'login',
  'server-login',
  'database',
  'tls',
  'configuration',
]);
