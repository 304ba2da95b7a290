import { splitSslFromUrl } from './auth/tls.ts';
import { EnvError } from './env.ts';

/**
 * Takes a connection string apart into the fields that pg's `Client` has, so that an option or another variable can win
 * over any single one of them. What it does not name is left out.
 *
 * @param connectionString - a `postgres://` URL that `env.ts` has checked
 * @returns pg's names; other query parameters (`application_name`, `options`, …) under their own, `sslmode` and its like
 * under ours.
 * @throws TlsOptionError `ERR_POOL_INVALID_OPTION` for client certificates in the string
 * @throws EnvError `ERR_POOL_INVALID_OPTION` for a password that is cut in two because it is not percent-encoded
 */
export function fieldsOf(connectionString: string): Record<string, string | number> {
  const { connectionString: rest, sslMode, sslRootCert, sslNegotiation } = splitSslFromUrl(connectionString);
  // An empty host is no URL to the parser; to libpq and pg it means "from elsewhere".
  const url = new URL(rest.replace('@/', `@${nowhere}/`).replace(/:\/\/(?=\/|$)/, `://${nowhere}`));
  if (isCutInTwo(url)) {
    throw new EnvError([
      'The connection string has an @ behind its host (option connectionString, environment DATABASE_URL), so that a part of the password would be taken for something else: percent-encode @ : / ? # % in the user name and password, and @ elsewhere',
    ]);
  }
  const host = decodeURIComponent(url.hostname).replace(/^\[(.*)\]$/, '$1');
  const fields: Record<string, string | number | undefined> = {
    host: host === nowhere ? undefined : host,
    port: url.port === '' ? undefined : Number(url.port),
    user: decodeURIComponent(url.username),
    password: decodeURIComponent(url.password),
    database: decodeURIComponent(url.pathname.slice(1)),
    sslMode,
    sslRootCert,
    sslNegotiation,
    ...Object.fromEntries(url.searchParams),
  };
  return Object.fromEntries(
    Object.entries(fields).filter(([, value]) => value !== undefined && value !== ''),
  ) as Record<string, string | number>;
}

/**
 * Whether a `/`, `?` or `#` in the password has ended the part that it belongs to. It must not be found out by an error
 * that names the host or the database: these are parts of the password then.
 */
function isCutInTwo({ username, pathname, search, hash }: URL): boolean {
  return pathname.includes('@') || hash.includes('@') || (username === '' && search.includes('@'));
}

/** Stands in for a host that was left out. */
const nowhere = 'nowhere.invalid';
