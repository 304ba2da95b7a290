import { inspect } from 'node:util';
import { describe, expect, test } from 'vitest';
import { CredentialsError } from '../../../src/auth/credentials.ts';
import { readSecret, SecretLogin, type SecretValue, sameLogin } from '../../../src/auth/secret-shape.ts';
import { thrown } from '../../integration/support.ts';

const word = 'hunter2-of-the-test';
const arn = 'arn:aws:secretsmanager:eu-west-1:111122223333:secret:orders-db-AbCdEf';
const text = (fields: unknown, VersionId?: string): SecretValue => ({
  SecretString: typeof fields === 'string' ? fields : JSON.stringify(fields),
  ...(VersionId !== undefined && { VersionId }),
});

describe('a secret as RDS writes it', () => {
  const full = {
    username: 'app',
    password: word,
    engine: 'postgres',
    host: 'db.example.test',
    port: 5433,
    dbname: 'orders',
    dbInstanceIdentifier: 'orders-1',
    dbClusterIdentifier: 'orders',
    masterarn: 'arn:aws:secretsmanager:eu-west-1:111122223333:secret:master-AbCdEf',
    something: { else: true },
  };

  test('gives user, password, host, port, database and the version', () => {
    expect(Object.assign({}, readSecret(arn, text(full, 'v1')))).toEqual({
      user: 'app',
      password: word,
      host: 'db.example.test',
      port: 5433,
      database: 'orders',
      version: 'v1',
    });
  });

  test('may hold username and password only, as that of a master user does', () => {
    const login = readSecret(arn, text({ username: 'postgres', password: word }));
    expect(Object.keys(login).toSorted()).toEqual(['password', 'user']);
  });

  test('may hold its port as digits', () => {
    expect(readSecret(arn, text({ password: word, port: '5439' })).port).toBe(5439);
  });

  test.each(['postgres', 'postgresql', 'aurora-postgresql', 'Postgres'])('may be of the engine %s', (engine) => {
    expect(readSecret(arn, text({ password: word, engine })).password).toBe(word);
  });

  test.each([null, ''])('may leave a field %j', (nothing) => {
    const fields = {
      password: word,
      username: nothing,
      host: nothing,
      port: nothing,
      dbname: nothing,
      engine: nothing,
    };
    expect(Object.assign({}, readSecret(arn, text(fields)))).toEqual({ password: word });
  });

  test('may hold a password with spaces and signs, which stays as it is', () => {
    expect(readSecret(arn, text({ password: ' a"b\\c% ' })).password).toBe(' a"b\\c% ');
  });
});

describe('a secret that is no login', () => {
  const expected = 'Expected is a JSON object as RDS writes it, with at least "password"';
  const cases: readonly (readonly [string, SecretValue, string])[] = [
    ['nothing', {}, 'it is empty'],
    ['an empty text', text(''), 'it is empty'],
    ['blanks', text('  \n'), 'it is empty'],
    ['bytes', { SecretBinary: new Uint8Array([1, 2]) }, 'it is binary, not text'],
    ['a bare password', text(word), 'it is not JSON'],
    ['cut off JSON', text(`{"password": "${word}`), 'it is not JSON'],
    ['a JSON string', text(JSON.stringify(word)), 'it is no JSON object'],
    ['a JSON null', text('null'), 'it is no JSON object'],
    ['a list', text([word]), 'it is no JSON object'],
    ['no password', text({ username: word }), 'it has no "password"'],
    ['an empty password', text({ username: word, password: '' }), 'it has no "password"'],
    ['a password that is a number', text({ password: 9_271_828 }), 'its "password" is no string'],
    ['a user that is a number', text({ password: word, username: 9_271_828 }), 'its "username" is no string'],
    ['a host that is an object', text({ password: word, host: { name: word } }), 'its "host" is no string'],
    ['a database that is a list', text({ password: word, dbname: [word] }), 'its "dbname" is no string'],
    ['another engine', text({ password: word, engine: 'mysql-9271828' }), 'its "engine" is not PostgreSQL'],
    ...[0, 65_536, 5432.5, -1, '0', 'x5432', '', ' ', true, [], '123456', '9271828', 9_271_828]
      .filter((port) => port !== '')
      .map(
        (port) =>
          [
            `the port ${JSON.stringify(port)}`,
            text({ password: word, port }),
            'its "port" is no whole number from 1 to 65535',
          ] as const,
      ),
  ];

  test.each(cases)('is refused for what it is: %s', (_, value, what) => {
    const error = thrown(() => readSecret(arn, value));
    expect(error).toBeInstanceOf(CredentialsError);
    expect(error).toMatchObject({ code: 'ERR_POOL_CONNECT_CREDENTIALS', transient: false });
    expect(error.message).toContain(`The secret ${arn} cannot be used to log in: ${what}. ${expected}`);
    const shown = inspect(error, { depth: null, showHidden: true });
    for (const part of [word, '9271828', '9_271_828']) expect(shown).not.toContain(part);
  });
});

describe('a login', () => {
  const login = new SecretLogin({ password: word, user: 'app', host: 'h', port: 5432, version: 'v1' });

  test('hides its password when it is shown, also inside something else', () => {
    for (const shown of [
      inspect(login),
      inspect({ deep: [login] }, { depth: null, showHidden: true }),
      JSON.stringify(login),
      JSON.stringify({ login }),
    ]) {
      expect(shown).not.toContain(word);
      expect(shown).toContain('[hidden]');
      expect(shown).toContain('app');
    }
  });

  test('has all its fields in a copy', () => {
    expect(Object.assign({}, login)).toEqual({ password: word, user: 'app', host: 'h', port: 5432, version: 'v1' });
  });

  test('is the same as one of the same version, or with the same words at the same place', () => {
    const same = { password: word, user: 'app', host: 'h', port: 5432 };
    expect(sameLogin(login, { password: 'other', version: 'v1' })).toBe(true);
    expect(sameLogin(login, { ...same, version: 'v2' })).toBe(true);
    expect(sameLogin(login, same)).toBe(true);
    for (const other of [{ password: 'x' }, { user: 'x' }, { host: 'x' }, { port: 1 }]) {
      expect(sameLogin(login, { ...same, ...other, version: 'v2' })).toBe(false);
    }
    expect(sameLogin({ password: 'a' }, { password: 'b' })).toBe(false);
  });
});
