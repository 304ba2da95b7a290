/** Reads what a secret holds: the JSON that RDS writes and its rotation functions keep. It must not know who fetched it. */
import { type Credentials, CredentialsError } from './credentials.ts';
import { inspected } from './inspected.ts';

/** Holds one version of a secret as Secrets Manager returns it, with its own names. */
export interface SecretValue {
  readonly SecretString?: string | undefined;
  readonly SecretBinary?: unknown;
  readonly VersionId?: string | undefined;
}

/** What stands for a password wherever an object is shown. */
const hidden = '[hidden]';

/**
 * Holds a login. Its fields are ordinary ones, so that a copy has them all; shown by `inspect()` or as JSON, the password
 * is left out.
 */
export class SecretLogin implements Credentials {
  declare readonly password: string;
  declare readonly user?: string;
  declare readonly host?: string;
  declare readonly port?: number;
  declare readonly database?: string;
  declare readonly version?: string;

  constructor(fields: Credentials) {
    Object.assign(this, fields);
  }

  static {
    Object.defineProperty(this.prototype, inspected, {
      value(this: SecretLogin) {
        return this.toJSON();
      },
    });
  }

  /** Shows everything but the password; `inspect()` shows the same. */
  toJSON(): Credentials {
    return Object.assign({}, this, { password: hidden });
  }
}

/**
 * Reads a version of a secret: `username`, `password`, `host`, `port` (a number, or digits), `dbname`. Only `password` is
 * needed: the secret that RDS manages for a master user holds that and `username` (Amazon RDS User Guide, "Password
 * management with Amazon RDS and AWS Secrets Manager"). Other fields are not looked at, save `engine`, which must be
 * PostgreSQL where there is one.
 *
 * @param secret - how the secret is called in errors
 * @throws CredentialsError, which never holds a part of the secret
 */
export function readSecret(secret: string, { SecretString, SecretBinary, VersionId }: SecretValue): SecretLogin {
  const wrong = (what: string): CredentialsError =>
    new CredentialsError(
      `The secret ${secret} cannot be used to log in: ${what}. Expected is a JSON object as RDS writes it, with at ` +
        'least "password": {"username": …, "password": …, "host": …, "port": …, "dbname": …}. See ERR_POOL_CONNECT_CREDENTIALS.',
    );
  if (SecretString === undefined) throw wrong(SecretBinary === undefined ? 'it is empty' : 'it is binary, not text');
  if (SecretString.trim() === '') throw wrong('it is empty');
  const fields = parse(SecretString);
  if (fields === undefined) throw wrong('it is not JSON');
  if (fields === null || typeof fields !== 'object' || Array.isArray(fields)) throw wrong('it is no JSON object');
  const { username, password, host, port, dbname, engine } = fields as Readonly<Record<string, unknown>>;
  const text = (name: string, value: unknown): string | undefined => {
    if (value === undefined || value === null || value === '') return undefined;
    if (typeof value !== 'string') throw wrong(`its "${name}" is no string`);
    return value;
  };
  if (!/postgres/i.test(text('engine', engine) ?? 'postgres')) throw wrong('its "engine" is not PostgreSQL');
  const secretWord = text('password', password);
  if (secretWord === undefined) throw wrong('it has no "password"');
  const numbered = portOf(port);
  if (numbered === 'wrong') throw wrong('its "port" is no whole number from 1 to 65535');
  const login = {
    password: secretWord,
    user: text('username', username),
    host: text('host', host),
    port: numbered,
    database: text('dbname', dbname),
    version: VersionId,
  };
  return new SecretLogin(
    Object.fromEntries(Object.entries(login).filter(([, value]) => value !== undefined)) as unknown as Credentials,
  );
}

/** The parser's own message quotes what it stumbled over, so it is dropped. JSON knows no `undefined`. */
function parse(text: string): unknown {
  try {
    return JSON.parse(text) as unknown;
  } catch {
    return undefined;
  }
}

function portOf(port: unknown): number | 'wrong' | undefined {
  if (port === undefined || port === null || port === '') return undefined;
  const number = typeof port === 'string' && /^\d{1,5}$/.test(port.trim()) ? Number(port) : port;
  // TCP: 16 bits, and 0 is nobody's (RFC 9293, 3.1; RFC 6335, 6).
  return typeof number === 'number' && Number.isInteger(number) && number >= 1 && number <= 65_535 ? number : 'wrong';
}

/** Tells whether two logins would be the same to a server: one version, or the same words at the same place. */
export function sameLogin(one: Credentials, other: Credentials): boolean {
  if (one.version !== undefined && one.version === other.version) return true;
  return (
    one.password === other.password && one.user === other.user && one.host === other.host && one.port === other.port
  );
}
