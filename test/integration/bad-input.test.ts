// Every mistake that can be made from outside is one clear sentence. `docs/errors.md` lists them.

import type { CreatePoolOptions } from 'thawpool';
import { createPool, PoolError } from 'thawpool';
import { afterAll, beforeAll, describe, expect, inject, it } from 'vitest';
import { failure, thrown, useDatabase, usePools } from './support.ts';

const database = useDatabase();
const makePool = usePools(() => ({ connectionString: database.connectionString }));

const changed = (change: Partial<URL>): string => Object.assign(new URL(database.connectionString), change).toString();

describe('where to connect', () => {
  const at = () => `${inject('postgres').host}:${inject('postgres').port}`;
  const sentence = async (options: CreatePoolOptions) => {
    const error = await failure(makePool({ acquireTimeoutMillis: 1000, ...options }).pool.query('select 1'));
    expect(error).toBeInstanceOf(PoolError);
    return [error.code, error.message];
  };

  it('names a wrong password', async () => {
    expect(await sentence({ connectionString: changed({ password: 'wrong' }) })).toEqual([
      'ERR_POOL_CONNECT_AUTH',
      `Could not make a connection: The server at ${at()} refused user "app" (password authentication failed for user "app"). Check the user, its password, and pg_hba.conf or rds_iam. See ERR_POOL_CONNECT_AUTH.`,
    ]);
  });

  it('names an unknown user', async () => {
    expect(await sentence({ connectionString: changed({ username: 'nobody_here' }) })).toEqual([
      'ERR_POOL_CONNECT_AUTH',
      `Could not make a connection: The server at ${at()} refused user "nobody_here" (password authentication failed for user "nobody_here"). Check the user, its password, and pg_hba.conf or rds_iam. See ERR_POOL_CONNECT_AUTH.`,
    ]);
  });

  it('names a missing password', async () => {
    const connectionString = changed({ password: '' });
    expect(await sentence({ connectionString })).toEqual([
      'ERR_POOL_CONNECT_AUTH',
      `Could not make a connection: The server at ${at()} asks for a password and none is set (SASL: SCRAM-SERVER-FIRST-MESSAGE: client password must be a string). Set PGPASSWORD, or the password in DATABASE_URL. See ERR_POOL_CONNECT_AUTH.`,
    ]);
  });

  it('names a database that does not exist', async () => {
    expect(await sentence({ connectionString: changed({ pathname: '/not_there' }) })).toEqual([
      'ERR_POOL_CONNECT_DATABASE',
      `Could not make a connection: There is no database "not_there" at ${at()} (database "not_there" does not exist). Check PGDATABASE or the path of DATABASE_URL. See ERR_POOL_CONNECT_DATABASE.`,
    ]);
  });

  it('says that the server has no TLS', async () => {
    const text = 'The server does not support SSL connections';
    expect(await sentence({ sslMode: 'require' })).toEqual([
      'ERR_POOL_CONNECT_TLS',
      `Could not make a connection: TLS to ${at()} failed (${text}). ${inject('postgres').host} answered that it has no TLS, and going on without it was not allowed. Switch it on at the server (ssl = on; PgBouncer: client_tls_sslmode), or set PGSSLMODE=disable if nobody can listen in between: password and data are then readable. See ERR_POOL_CONNECT_TLS.`,
    ]);
  });

  it('names a directory without a server', async () => {
    expect(await sentence({ connectionString: 'postgres://app@/app?host=/nowhere/at/all' })).toEqual([
      'ERR_POOL_CONNECT_REFUSED',
      'Could not make a connection: Nothing answers at /nowhere/at/all (ENOENT). Check the host and PGPORT, that the server runs, and the security groups. See ERR_POOL_CONNECT_REFUSED.',
    ]);
  });

  it('names a certificate file that is not there', async () => {
    expect(await sentence({ sslMode: 'verify-full', sslRootCert: '/var/task/missing.pem' })).toEqual([
      'ERR_POOL_INVALID_OPTION',
      `Could not make a connection: sslRootCert must be a readable PEM file, got "/var/task/missing.pem" (environment PGSSLROOTCERT): ENOENT: no such file or directory, open '/var/task/missing.pem'. In a Lambda function files of the bundle are under /var/task. See ERR_POOL_INVALID_OPTION.`,
    ]);
  });
});

describe('settings', () => {
  type Case = [name: string, options: CreatePoolOptions, problem: string];
  const count = 'a whole number from';
  const cases: Case[] = [
    [
      'THAWPOOL_MAX=0',
      { env: { THAWPOOL_MAX: '0' } },
      `THAWPOOL_MAX must be ${count} 1 to 10000, got "0" (option max, environment THAWPOOL_MAX): the default is 4`,
    ],
    [
      'THAWPOOL_MAX=ten',
      { env: { THAWPOOL_MAX: 'ten' } },
      `THAWPOOL_MAX must be ${count} 1 to 10000, got "ten" (option max, environment THAWPOOL_MAX): the default is 4`,
    ],
    [
      'max: 0',
      { max: 0 },
      `max must be ${count} 1 to 10000, got 0 (option max, environment THAWPOOL_MAX): the default is 4`,
    ],
    [
      'max: "4"',
      { max: '4' as never },
      `max must be ${count} 1 to 10000, got "4" (option max, environment THAWPOOL_MAX): the default is 4`,
    ],
    [
      'max: null',
      { max: null as never },
      `max must be ${count} 1 to 10000, got null (option max, environment THAWPOOL_MAX): the default is 4`,
    ],
    [
      'a negative timeout',
      { acquireTimeoutMillis: -1 },
      `acquireTimeoutMillis must be ${count} 1 to 900000 (milliseconds), got -1 (option acquireTimeoutMillis, environment THAWPOOL_ACQUIRE_TIMEOUT_MS): the default is 5000`,
    ],
    [
      'a negative timeout in the environment',
      { env: { THAWPOOL_IDLE_TIMEOUT_MS: '-5' } },
      `THAWPOOL_IDLE_TIMEOUT_MS must be ${count} 0 to 86400000 (milliseconds), got "-5" (option idleTimeoutMillis, environment THAWPOOL_IDLE_TIMEOUT_MS): the default is 300000`,
    ],
    [
      'maxIdle above max',
      { max: 2, maxIdle: 3 },
      'maxIdle must be at most max (2), got 3 (options maxIdle and max, environment THAWPOOL_MAX_IDLE and THAWPOOL_MAX): lower maxIdle or raise max',
    ],
    [
      'maxIdle above the default of max',
      { maxIdle: 5 },
      'maxIdle must be at most max (4), got 5 (options maxIdle and max, environment THAWPOOL_MAX_IDLE and THAWPOOL_MAX): lower maxIdle or raise max',
    ],
    [
      'both in the environment',
      { env: { THAWPOOL_MAX: '2', THAWPOOL_MAX_IDLE: '3' } },
      'maxIdle must be at most max (2), got 3 (options maxIdle and max, environment THAWPOOL_MAX_IDLE and THAWPOOL_MAX): lower maxIdle or raise max',
    ],
    [
      'one of each',
      { max: 1, env: { THAWPOOL_MAX_IDLE: '3' } },
      'maxIdle must be at most max (1), got 3 (options maxIdle and max, environment THAWPOOL_MAX_IDLE and THAWPOOL_MAX): lower maxIdle or raise max',
    ],
    [
      'pg’s name for the acquire timeout',
      { connectionTimeoutMillis: -1 },
      `connectionTimeoutMillis, which is acquireTimeoutMillis must be ${count} 1 to 900000 (milliseconds), got -1 (option acquireTimeoutMillis, environment THAWPOOL_ACQUIRE_TIMEOUT_MS): the default is 5000`,
    ],
    [
      'pg’s name for the lifetime',
      { maxLifetimeSeconds: 0.0001 },
      `maxLifetimeSeconds, which is maxLifetimeMillis must be ${count} 0 to 86400000 (milliseconds), got 0.1 (option maxLifetimeMillis, environment THAWPOOL_MAX_LIFETIME_MS): the default is 1800000`,
    ],
    ['a misspelt option', { maxidle: 1 } as never, 'maxidle is not an option of thawpool: it is called maxIdle'],
    [
      'an option in another unit',
      { acquireTimeoutMs: 100 } as never,
      'acquireTimeoutMs is not an option of thawpool: it is called acquireTimeoutMillis',
    ],
    [
      'an option with two letters swapped',
      { mxaIdle: 1 } as never,
      'mxaIdle is not an option of thawpool: it is called maxIdle',
    ],
    [
      'an option in snake case',
      { idle_timeout_millis: 1 } as never,
      'idle_timeout_millis is not an option of thawpool: it is called idleTimeoutMillis',
    ],
    [
      'an option of another driver',
      { username: 'x' } as never,
      'username is not an option of thawpool: it is called user',
    ],
    [
      'a URL that does not parse',
      { connectionString: 'postgres://user:secret@host:port/db' },
      'connectionString must be a postgres:// or postgresql:// URL, got "postgres://user:***@host:port/db" (option connectionString, environment DATABASE_URL): it does not parse: percent-encode @ : / ? # % in the user name and password, and name one host only',
    ],
    ...['user:p@ss/secret@host/db', 'user:1/secret@host/db', 'user:1?secret@host/db', 'user:1#secret@host/db'].map(
      (cut): Case => [
        `a password that is cut in two (${cut})`,
        { env: { DATABASE_URL: `postgres://${cut}` } },
        'The connection string has an @ behind its host (option connectionString, environment DATABASE_URL), so that a part of the password would be taken for something else: percent-encode @ : / ? # % in the user name and password, and @ elsewhere',
      ],
    ),
    [
      'another protocol',
      { env: { DATABASE_URL: 'mysql://user:secret@host/db' } },
      'DATABASE_URL must be a postgres:// or postgresql:// URL, got "mysql://user:***@host/db" (option connectionString, environment DATABASE_URL): it does not begin so',
    ],
    [
      'a client certificate in the URL',
      { connectionString: 'postgres://user@host/db?sslcert=/a' },
      'sslcert is not read from a connection string: give ssl: { cert, key, ca } in code',
    ],
    [
      'a password that is no text',
      { password: 12_345 as never },
      'password must be a password, got a value that is not shown because it may hold a password (option password, environment PGPASSWORD): the default is none',
    ],
    [
      'a mode without encryption',
      { env: { PGSSLMODE: 'prefer' } },
      'PGSSLMODE must be one of disable, require, no-verify, verify-ca, verify-full, got "prefer" (option sslMode, environment PGSSLMODE): prefer and allow would go on without encryption when the server offers none; say require, verify-ca, verify-full or disable',
    ],
    ['reset', { reset: 'sometimes' as never }, 'reset must be auto, always or never, got "sometimes"'],
  ];

  it.each(cases)('%s is one sentence', (_, options, problem) => {
    const error = thrown(() => createPool({ env: {}, ...options }));
    expect(error).toBeInstanceOf(PoolError);
    expect(error).toMatchObject({
      code: 'ERR_POOL_INVALID_OPTION',
      message: `${problem}. See ERR_POOL_INVALID_OPTION.`,
    });
    expect(error.message).not.toMatch(/secret|12345|p@ss/);
  });

  it('are all named at once', () => {
    const error = thrown(() =>
      createPool({ env: { THAWPOOL_MAX: 'ten' }, acquireTimeoutMillis: -1, maxidle: 1 } as never),
    );
    expect(error.message).toMatch(
      /^3 settings are not usable:\n- maxidle .*\n- THAWPOOL_MAX .*\n- acquireTimeoutMillis .*\nSee ERR_POOL_INVALID_OPTION\.$/,
    );
  });

  it('are refused where they ask for what is not there', () => {
    expect(thrown(() => createPool({ env: {}, metrics: 'otel' as never }))).toMatchObject({
      code: 'ERR_POOL_INVALID_OPTION',
      message: expect.stringContaining('metrics must be one of off, emf, got "otel"'),
    });
  });

  it('fit together by themselves: one connection is kept, or none when there is to be none', () => {
    for (const env of [{ THAWPOOL_MAX: '2' }, { THAWPOOL_MAX: '1' }, { THAWPOOL_MAX_IDLE: '0' }]) {
      expect(createPool({ env }).stats().maxIdle).toBe('THAWPOOL_MAX' in env ? 1 : 0);
    }
  });

  it('given in code win over the environment, one by one', async () => {
    const elsewhere = 'postgres://nobody:nothing@nowhere.invalid:1/none';
    const { hostname: host, port, username: user, password, pathname } = new URL(database.connectionString);
    const { pool } = makePool({
      connectionString: undefined as never,
      env: { DATABASE_URL: elsewhere, THAWPOOL_MAX: '7' },
      ...{
        host,
        port: Number(port),
        user,
        password: decodeURIComponent(password),
        database: pathname.slice(1),
        max: 2,
      },
      sslMode: 'disable',
    });
    expect((await pool.query('select current_database() as name')).rows).toEqual([{ name: database.name }]);
    expect(pool.stats().max).toBe(2);
  });

  it('of the process stay out when another environment is given', async () => {
    const before = process.env['PGHOST'];
    process.env['PGHOST'] = 'nowhere.invalid';
    try {
      const { port, username: user, password, pathname } = new URL(database.connectionString);
      const { pool } = makePool({
        connectionString: undefined as never,
        ...{ port: Number(port), user, password: decodeURIComponent(password), database: pathname.slice(1) },
      });
      expect((await pool.query('select 1 as one')).rows).toEqual([{ one: 1 }]);
    } finally {
      if (before === undefined) delete process.env['PGHOST'];
      else process.env['PGHOST'] = before;
    }
  });

  it('of pg’s Client pass', async () => {
    const { pool, warnings } = makePool({
      application_name: 'passes',
      statement_timeout: 1234,
      lock_timeout: 321,
      options: '-c geqo=off',
      query_timeout: 5000,
      keepAlive: true,
      fallback_application_name: 'unused',
      client_encoding: 'UTF8',
    });
    const { rows } = await pool.query(
      `select name, setting from pg_settings where name in ('application_name', 'statement_timeout', 'lock_timeout', 'geqo') order by name`,
    );
    expect(rows).toEqual([
      { name: 'application_name', setting: 'passes' },
      { name: 'geqo', setting: 'off' },
      { name: 'lock_timeout', setting: '321' },
      { name: 'statement_timeout', setting: '1234' },
    ]);
    expect(warnings).toEqual([]);
  });

  it('of pg’s Pool are carried out where they can be', async () => {
    const { pool, warnings } = makePool({
      connectionTimeoutMillis: 50,
      max: 1,
      maxLifetimeSeconds: 60,
      idleTimeoutMillis: 1000,
    });
    const client = await pool.connect();
    const error = await failure(pool.query('select 1'));
    expect(error.message).toMatch(/^Timed out after 50 ms/);
    client.release();
    expect(warnings).toEqual([]);
    const patient = makePool({ connectionTimeoutMillis: 0, acquireTimeoutMillis: 51, max: 1 }).pool;
    const held = await patient.connect();
    expect((await failure(patient.query('select 1'))).message).toMatch(/^Timed out after 51 ms/);
    held.release();
  });
});

describe('warnings', () => {
  const warningsOf = (options: object): string[] => makePool(options).warnings;

  it('name an unknown variable and the nearest known one, never its value', () => {
    expect(warningsOf({ env: { THAWPOOL_MAX_IDEL: 'secret' } })).toEqual([
      'THAWPOOL_MAX_IDEL is set, but thawpool has no such variable and ignores it; the nearest known name is THAWPOOL_MAX_IDLE',
    ]);
  });

  it('name an option that nobody knows', () => {
    expect(warningsOf({ colour: 'red' })).toEqual([
      "colour is no option of thawpool or of pg's Client, and has no effect.",
    ]);
    expect(warningsOf({ colour: undefined })).toEqual([]);
  });

  it('leave the options of a client of one’s own alone', async () => {
    const { Client } = await import('pg');
    expect(warningsOf({ colour: 'red', Client: class extends Client {} })).toEqual([]);
  });

  it.each([
    ['min', -1, 'a whole number from 0'],
    ['maxUses', 1.5, 'a whole number from 1, or Infinity'],
    ['allowExitOnIdle', 'yes', 'true or false'],
    ['log', true, 'a function'],
    ['onConnect', 'set role app', 'a function'],
    ['verify', true, 'a function'],
    ['Promise', {}, 'a function'],
  ])('have pg’s option %s be what it must', (name, value, wanted) => {
    const shown = typeof value === 'object' ? '[object Object]' : JSON.stringify(value);
    expect(thrown(() => makePool({ [name]: value })).message).toBe(
      `${name} must be ${wanted}, got ${shown}. See ERR_POOL_INVALID_OPTION.`,
    );
  });

  it('pass over what asks for nothing', () => {
    expect(warningsOf({ min: 0, maxUses: Number.POSITIVE_INFINITY, allowExitOnIdle: false, log: undefined })).toEqual(
      [],
    );
  });

  it('name a parameter that does not belong into a connection string', () => {
    const url = `${database.connectionString}?max=50&application_name=kept`;
    const { pool, warnings } = makePool({ connectionString: url });
    expect(warnings).toEqual([
      'The connection string has a parameter max, which has no effect there: give it as an option.',
    ]);
    expect(pool.stats().max).toBe(4);
  });

  it('fail nothing when whoever hears them throws', async () => {
    const emitted: string[] = [];
    const hear = (warning: Error): void => void emitted.push(warning.message);
    process.on('warning', hear);
    const { pool } = makePool({
      colour: 'red',
      onWarning: () => {
        throw new Error('I take no warnings');
      },
    } as never);
    const client = await pool.connect();
    await client.query('begin');
    client.release();
    expect((await pool.query('select 1 as one')).rows).toEqual([{ one: 1 }]);
    await expect.poll(() => emitted).toHaveLength(2);
    process.off('warning', hear);
  });

  it('about the environment are given once for a process when nobody hears them', async () => {
    const emitted: string[] = [];
    const hear = (warning: Error): void => void emitted.push(`${warning.name}: ${warning.message}`);
    process.on('warning', hear);
    createPool({ env: { THAWPOOL_COLOUR: 'red' } });
    createPool({ env: { THAWPOOL_COLOUR: 'red' } });
    await expect.poll(() => emitted).toHaveLength(1);
    expect(emitted[0]).toMatch(/^PoolWarning: THAWPOOL_COLOUR is set, but thawpool has no such variable/);
    process.off('warning', hear);
  });
});

describe('a variable of libpq that pg reads by itself', () => {
  const before = process.env['PGSSLMODE'];
  beforeAll(() => void (process.env['PGSSLMODE'] = 'require'));
  afterAll(() => {
    if (before === undefined) delete process.env['PGSSLMODE'];
    else process.env['PGSSLMODE'] = before;
  });

  it('does not decide about TLS behind our back', async () => {
    expect((await makePool().pool.query('select 1 as one')).rows).toEqual([{ one: 1 }]);
  });
});
