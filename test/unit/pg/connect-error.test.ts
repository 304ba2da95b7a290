import { describe, expect, it } from 'vitest';
import { type ConnectTarget, connectError } from '../../../src/pg/connect-error.ts';
import { readOnlyServerError } from '../../../src/pg/read-only-error.ts';

const target: ConnectTarget = { host: 'db.example.com', port: 6432, user: 'app', database: 'orders' };
const noTls = undefined;
const coded = (code: string, message: string): Error => Object.assign(new Error(message), { code });
const once = { count: 1, millis: 12, before: [] };

type Row = [name: string, error: unknown, code: string, text: string];

const rows: Row[] = [
  [
    'a name that does not exist',
    coded('ENOTFOUND', 'getaddrinfo ENOTFOUND db.example.com'),
    'ERR_POOL_CONNECT_DNS',
    `The host name "db.example.com" was not found (ENOTFOUND). Check PGHOST or DATABASE_URL, and that the function's network can resolve it.`,
  ],
  [
    'a resolver that does not answer',
    coded('EAI_AGAIN', 'x'),
    'ERR_POOL_CONNECT_DNS',
    `The host name "db.example.com" was not found (EAI_AGAIN). Check PGHOST or DATABASE_URL, and that the function's network can resolve it.`,
  ],
  ...['ECONNREFUSED', 'EHOSTUNREACH', 'ENETUNREACH', 'ETIMEDOUT', 'ENOENT'].map(
    (code): Row => [
      code,
      coded(code, 'x'),
      'ERR_POOL_CONNECT_REFUSED',
      `Nothing answers at db.example.com:6432 (${code}). Check the host and PGPORT, that the server runs, and the security groups.`,
    ],
  ),
  ...['28P01', '28000'].map(
    (code): Row => [
      code,
      coded(code, 'password authentication failed'),
      'ERR_POOL_CONNECT_AUTH',
      'The server at db.example.com:6432 refused user "app" (password authentication failed). Check the user, its password, and pg_hba.conf or rds_iam.',
    ],
  ),
  [
    'no such database',
    coded('3D000', 'database "orders" does not exist'),
    'ERR_POOL_CONNECT_DATABASE',
    'There is no database "orders" at db.example.com:6432 (database "orders" does not exist). Check PGDATABASE or the path of DATABASE_URL.',
  ],
  [
    'no slots',
    coded('53300', 'sorry, too many clients already'),
    'ERR_POOL_CONNECT_UNAVAILABLE',
    `The server at db.example.com:6432 has no connection slots left (sorry, too many clients already). Lower THAWPOOL_MAX or the function's concurrency, raise max_connections, or go through a proxy.`,
  ],
  [
    'a server that is starting',
    coded('57P03', 'the database system is starting up'),
    'ERR_POOL_CONNECT_UNAVAILABLE',
    'The server at db.example.com:6432 did not let us in (57P03: the database system is starting up).',
  ],
  [
    'another refusal of the server',
    coded('0A000', 'feature not supported'),
    'ERR_POOL_CONNECT_FAILED',
    'The server at db.example.com:6432 did not let us in (0A000: feature not supported).',
  ],
  [
    'a connection that was reset',
    coded('ECONNRESET', 'read ECONNRESET'),
    'ERR_POOL_CONNECT_UNAVAILABLE',
    'The connection to db.example.com:6432 was closed before it was ready (read ECONNRESET). The server may be restarting, or something on the way ends connections.',
  ],
  [
    'a connection that was closed',
    new Error('Connection terminated unexpectedly'),
    'ERR_POOL_CONNECT_UNAVAILABLE',
    'The connection to db.example.com:6432 was closed before it was ready (Connection terminated unexpectedly). The server may be restarting, or something on the way ends connections.',
  ],
  [
    'no password',
    new Error('SASL: SCRAM-SERVER-FIRST-MESSAGE: client password must be a string'),
    'ERR_POOL_CONNECT_AUTH',
    'The server at db.example.com:6432 asks for a password and none is set (SASL: SCRAM-SERVER-FIRST-MESSAGE: client password must be a string). Set PGPASSWORD, or the password in DATABASE_URL.',
  ],
  [
    'an option that only the password function could find wrong',
    coded('ERR_POOL_INVALID_OPTION', 'secretArn must be the ARN of a secret.'),
    'ERR_POOL_CONNECT_FAILED',
    'secretArn must be the ARN of a secret.',
  ],
  ['something else', new Error('odd'), 'ERR_POOL_CONNECT_FAILED', 'Connecting to db.example.com:6432 failed (odd).'],
  ['no error at all', 'odd', 'ERR_POOL_CONNECT_FAILED', 'Connecting to db.example.com:6432 failed (odd).'],
];

describe('why there is no connection', () => {
  it.each(rows)('%s', (_, error, code, text) => {
    const told = connectError(error, target, once, noTls);
    expect(told).toMatchObject({ name: 'PoolError', code, message: `${text} See ${code}.`, cause: error });
  });

  it('is explained by whoever knows about TLS, before anybody else', () => {
    const error = coded('28000', 'no pg_hba.conf entry for host, SSL off');
    const told = connectError(error, target, once, 'The server wants TLS.');
    expect(told.code).toBe('ERR_POOL_CONNECT_TLS');
    expect(told.message).toBe(
      'TLS to db.example.com:6432 failed (no pg_hba.conf entry for host, SSL off). The server wants TLS. See ERR_POOL_CONNECT_TLS.',
    );
  });

  it('says how often it was tried', () => {
    const told = connectError(coded('ECONNREFUSED', 'x'), target, { count: 7, millis: 3249, before: [] }, noTls);
    expect(told.message).toMatch(/groups\. Tried 7 times in 3\.2 s\. See ERR_POOL_CONNECT_REFUSED\.$/);
  });

  it('names a socket directory without a port', () => {
    const told = connectError(coded('ENOENT', 'x'), { ...target, host: '/tmp' }, once, noTls);
    expect(told.message).toMatch(/^Nothing answers at \/tmp \(ENOENT\)\./);
  });

  it.each<[Partial<ConnectTarget>, string]>([
    [{ database: undefined }, 'There is no database "app"'],
    [{ database: undefined, user: undefined }, 'There is no database ""'],
  ])('names the database that is meant when none is given: %o', (given, text) => {
    const told = connectError(coded('3D000', 'x'), { ...target, ...given }, once, noTls);
    expect(told.message.startsWith(text)).toBe(true);
  });

  it('names no user where there is none', () => {
    expect(connectError(coded('28P01', 'x'), { ...target, user: undefined }, once, noTls).message).toContain('user ""');
  });

  it('is a server that cannot be written to', () => {
    for (const standby of [true, false]) {
      const error = readOnlyServerError(standby);
      const told = connectError(error, target, once, noTls);
      expect(told).toMatchObject({ code: 'ERR_POOL_CONNECT_READ_ONLY', cause: error });
      expect(told.message).toContain('db.example.com:6432');
      expect(told.message).toContain('readOnly');
    }
  });
});
