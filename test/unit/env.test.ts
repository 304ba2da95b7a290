import { describe, expect, it } from 'vitest';
import { checkOption, EnvError, type EnvValues, maskConnectionString, readEnv, variables } from '../../src/env.ts';
import { descriptions } from '../../src/env-descriptions.ts';
import { namespacePattern } from '../../src/telemetry/metric-names.ts';
import { fc } from '../support/fast-check.ts';

function errorOf(run: () => unknown): EnvError {
  try {
    run();
  } catch (error) {
    if (error instanceof EnvError) return error;
    throw error;
  }
  throw new Error('nothing was thrown');
}

const refusal = (env: Record<string, string>): string => errorOf(() => readEnv(env)).message;

const integers = variables.flatMap(({ name, option, rule }) =>
  rule.kind === 'integer' ? [{ name, option, rule }] : [],
);
const words = variables.flatMap(({ name, option, rule }) =>
  rule.kind === 'word' ? rule.words.map((word) => ({ name, option, word })) : [],
);

describe('the table', () => {
  it('has every variable once, and every option once', () => {
    expect(new Set(variables.map(({ name }) => name)).size).toBe(variables.length);
    expect(new Set(variables.map(({ option }) => option)).size).toBe(variables.length);
  });

  it('explains every variable, and none that does not exist', () => {
    expect(Object.keys(descriptions).toSorted()).toEqual(variables.map(({ name }) => name).toSorted());
  });

  it('has the variables that the documentation promises, and each option under its name', () => {
    const options = Object.fromEntries(variables.map(({ name, option }) => [name, option]));
    expect(options).toStrictEqual({
      DATABASE_URL: 'connectionString',
      PGHOST: 'host',
      PGPORT: 'port',
      PGDATABASE: 'database',
      PGUSER: 'user',
      PGPASSWORD: 'password',
      PGAPPNAME: 'application_name',
      PGSSLMODE: 'sslMode',
      PGSSLROOTCERT: 'sslRootCert',
      PGSSLNEGOTIATION: 'sslNegotiation',
      THAWPOOL_AUTH: 'auth',
      THAWPOOL_SECRET_ARN: 'secretArn',
      THAWPOOL_MAX: 'max',
      THAWPOOL_MAX_IDLE: 'maxIdle',
      THAWPOOL_MAX_PER_ENVIRONMENT: 'maxPerEnvironment',
      THAWPOOL_STATEMENT_CACHE: 'statementCache',
      THAWPOOL_ACQUIRE_TIMEOUT_MS: 'acquireTimeoutMillis',
      THAWPOOL_IDLE_TIMEOUT_MS: 'idleTimeoutMillis',
      THAWPOOL_MAX_LIFETIME_MS: 'maxLifetimeMillis',
      THAWPOOL_STATEMENT_TIMEOUT_MS: 'statementTimeoutMillis',
      THAWPOOL_DEADLINE_RESERVE_MS: 'deadlineReserveMillis',
      THAWPOOL_VALIDATE_AFTER_IDLE_MS: 'validateAfterIdleMillis',
      THAWPOOL_VALIDATE_TIMEOUT_MS: 'validateTimeoutMillis',
      THAWPOOL_ROUTE: 'route',
      THAWPOOL_PROXY_HOST: 'proxyHost',
      THAWPOOL_PROXY_FALLBACK: 'proxyFallback',
      THAWPOOL_PINNING: 'pinning',
      THAWPOOL_READER_HOST: 'readerHost',
      THAWPOOL_READER_MAX: 'readerMax',
      THAWPOOL_READ_ONLY: 'readOnly',
      THAWPOOL_METRICS: 'metrics',
      THAWPOOL_METRICS_NAMESPACE: 'metricsNamespace',
    } satisfies Record<string, keyof EnvValues>);
  });

  it.each(variables.filter(({ rule }) => rule.kind !== 'text' && rule.kind !== 'url'))(
    'allows the default of $name, unless it is described in words',
    ({ option, default: value, rule }) => {
      const inWords = rule.kind === 'word' ? !rule.words.includes(String(value)) : typeof value === 'string';
      if (inWords) expect(String(value)).toMatch(/ /);
      else expect(checkOption(option, value)).toBe(value);
    },
  );

  it.each(integers.filter(({ rule }) => rule.unit === 'ms'))(
    'keeps $name below what a timer of Node.js can take',
    ({ rule }) => {
      expect(rule.max).toBeLessThan(2 ** 31);
    },
  );

  it('marks what may hold a password as secret', () => {
    expect(variables.filter(({ secret }) => secret).map(({ name }) => name)).toStrictEqual([
      'DATABASE_URL',
      'PGPASSWORD',
    ]);
  });
});

describe('reading', () => {
  it('returns only what is set, under the option’s name and with its type', () => {
    expect(
      readEnv({
        DATABASE_URL: 'postgres://app:p%40ss@db.example.com/shop',
        PGPORT: '6432',
        PGSSLMODE: 'verify-full',
        THAWPOOL_MAX: '8',
        THAWPOOL_STATEMENT_TIMEOUT_MS: '0',
        PATH: '/usr/bin',
      }),
    ).toStrictEqual({
      values: {
        connectionString: 'postgres://app:p%40ss@db.example.com/shop',
        port: 6432,
        sslMode: 'verify-full',
        max: 8,
        statementTimeoutMillis: 0,
      },
      warnings: [],
    });
  });

  it('takes an empty variable, or one of spaces, as not set', () => {
    expect(readEnv({ THAWPOOL_MAX: '', PGHOST: '  ', PGPASSWORD: '', THAWPOOL_AUTH: undefined }).values).toStrictEqual(
      {},
    );
  });

  it('drops the spaces around a value, but not those of a password', () => {
    const { values } = readEnv({ THAWPOOL_MAX: ' 8\n', PGSSLMODE: ' require ', PGHOST: 'db\n', PGPASSWORD: ' pa ss ' });
    expect(values).toStrictEqual({ max: 8, sslMode: 'require', host: 'db', password: ' pa ss ' });
  });

  it('does not change what it reads', () => {
    const env = Object.freeze({ THAWPOOL_MAX: '8' });
    expect(() => readEnv(env)).not.toThrow();
  });

  it.each(integers)(
    'accepts both ends of the range of $name and refuses what lies beyond',
    ({ name, option, rule }) => {
      for (const value of [rule.min, rule.max]) expect(readEnv({ [name]: String(value) }).values[option]).toBe(value);
      expect(refusal({ [name]: String(rule.max + 1) })).toContain(`from ${rule.min} to ${rule.max}`);
      expect(refusal({ [name]: String(rule.min - 1) })).toContain(`got "${rule.min - 1}"`);
    },
  );

  it.each([
    'ten',
    '1.5',
    '1.0',
    '5.',
    '0x10',
    '1e3',
    '-1',
    '+1',
    '1_000',
    '1,000',
    '5s',
    '١',
    'NaN',
    'Infinity',
    '9'.repeat(16),
    '9'.repeat(400),
  ])('refuses %s for a number', (text) => {
    const message = refusal({ THAWPOOL_MAX: text });
    expect(message).toContain('THAWPOOL_MAX must be a whole number from 1 to 10000, got "');
    expect(message.length).toBeLessThan(250);
  });

  it('agrees with the digits of any text that it accepts as a number', () => {
    fc.assert(
      fc.property(fc.oneof(fc.string(), fc.integer().map(String), fc.double().map(String)), (text) => {
        try {
          const { max } = readEnv({ THAWPOOL_MAX: text }).values;
          return max === undefined
            ? text.trim() === ''
            : /^0*[1-9]\d{0,4}$/.test(text.trim()) && max === Number(text.trim());
        } catch (error) {
          return error instanceof EnvError;
        }
      }),
    );
  });

  it('names the variable, the option, the value, the range and what to do', () => {
    expect(refusal({ THAWPOOL_MAX: 'ten' })).toBe(
      'THAWPOOL_MAX must be a whole number from 1 to 10000, got "ten" (option max, environment THAWPOOL_MAX): the default is 4',
    );
    expect(refusal({ PGSSLMODE: 'verify_full' })).toContain(
      'PGSSLMODE must be one of disable, require, no-verify, verify-ca, verify-full, got "verify_full"',
    );
  });

  it('reports every bad variable in one error', () => {
    const error = errorOf(() =>
      readEnv({ THAWPOOL_MAX: 'ten', PGPORT: '0', THAWPOOL_MAX_IDLE: '1', THAWPOOL_ROUTE: 'moon' }),
    );
    expect(error.code).toBe('ERR_POOL_INVALID_OPTION');
    expect(error.name).toBe('EnvError');
    expect(error.problems.map((problem) => problem.split(' ')[0])).toStrictEqual([
      'PGPORT',
      'THAWPOOL_MAX',
      'THAWPOOL_ROUTE',
    ]);
    for (const problem of error.problems) expect(error.message).toContain(problem);
    expect(error.message).toMatch(/^3 settings/);
  });

  it.each(['constructor', 'toString', '__proto__', 'Direct'])('refuses %s for a word', (word) => {
    expect(refusal({ THAWPOOL_ROUTE: word })).toContain(`must be one of direct, rds-proxy, pgbouncer, got "${word}"`);
  });

  it.each(['prefer', 'allow'])('says why %s is not a mode of TLS', (mode) => {
    expect(refusal({ PGSSLMODE: mode })).toContain('without encryption');
  });

  it.each(['db1,db2', 'postgres://db', 'db 1'])('refuses %s for a host', (host) => {
    expect(refusal({ PGHOST: host })).toContain('one host name');
  });

  it('takes a socket directory for a host', () => {
    expect(readEnv({ PGHOST: '/var/run/postgresql' }).values.host).toBe('/var/run/postgresql');
  });
});

describe('a variable that takes words', () => {
  it.each(words)('$name takes $word', ({ name, option, word }) => {
    expect(readEnv({ [name]: word }).values).toStrictEqual({ [option]: word });
  });
});

describe('the namespace of the metrics', () => {
  it.each(['orders', 'Orders/Pool', 'a.b-c_d:e#1 x', 'AWSome', 'x'.repeat(255)])('may be %s', (name) => {
    expect(readEnv({ THAWPOOL_METRICS_NAMESPACE: name }).values).toStrictEqual({ metricsNamespace: name });
  });

  it.each(['AWS/Lambda', 'a"b', 'bestätigt', 'x'.repeat(256)])('is refused as %s', (name) => {
    expect(refusal({ THAWPOOL_METRICS_NAMESPACE: name })).toMatch(
      /^THAWPOOL_METRICS_NAMESPACE must be 1 to 255 letters, digits, blanks or \. - _ \/ # : that do not begin with AWS\//,
    );
  });

  it('is refused by the rule that the writer of metrics has', () => {
    const rule = variables.find(({ option }) => option === 'metricsNamespace')?.rule;
    expect(rule).toMatchObject({ pattern: namespacePattern });
  });
});

describe('an unknown name', () => {
  it.each([
    ['THAWPOOL_MAXIDLE', 'THAWPOOL_MAX_IDLE'],
    ['THAWPOOL_AMX', 'THAWPOOL_MAX'],
    ['THAWPOOL_ACQUIRE_TIMEOUT', 'THAWPOOL_ACQUIRE_TIMEOUT_MS'],
    ['THAWPOOL_IDEL_TIMEOUT_MS', 'THAWPOOL_IDLE_TIMEOUT_MS'],
    ['thawpool_route', 'THAWPOOL_ROUTE'],
    ['THAWPOOLMAX', 'THAWPOOL_MAX'],
    ['THAWPOOL_MAX_SIZE', 'THAWPOOL_MAX_IDLE'],
    ['THAWPOOL_LIFETIME', 'THAWPOOL_MAX_LIFETIME_MS'],
    ['THAWPOOL_IDLE', 'THAWPOOL_MAX_IDLE'],
    ['THAWPOOL_HOST', 'THAWPOOL_PROXY_HOST'],
    ['THAWPOOL_NAMESPACE', 'THAWPOOL_METRICS_NAMESPACE'],
    ['THAWPOOL_VALIDATE_MS', 'THAWPOOL_VALIDATE_TIMEOUT_MS'],
    ['THAWPOOL_IDLE_TIMEOUT_MILLIS', 'THAWPOOL_IDLE_TIMEOUT_MS'],
    ['THAWPOOL_RUOTE', 'THAWPOOL_ROUTE'],
  ])('is a warning: for %s it names %s', (name, nearest) => {
    const { values, warnings } = readEnv({ [name]: 'hunter2' });
    expect(values).toStrictEqual({});
    expect(warnings).toHaveLength(1);
    expect(warnings[0]).toMatch(new RegExp(`^${name} is set, .* ${nearest}$`));
    expect(warnings[0]).not.toContain('hunter2');
  });

  it('is no concern of ours without the prefix or without a value', () => {
    expect(readEnv({ PGHOTS: 'x', MY_THAWPOOL_MAX: '1', THAWPOOL_NOTHING: '' }).warnings).toStrictEqual([]);
  });
});

describe('a connection string', () => {
  it.each([
    'postgres://db',
    'postgresql://app@db:5432/shop',
    'postgres://app:p%40ss%2Fword%25@db/shop?application_name=x',
    'postgres:///shop',
    'postgres://app:secret@/shop?host=/var/run/postgresql',
    'postgres://app@%2Fvar%2Frun%2Fpostgresql/shop',
    'postgres://[::1]:5432/shop',
  ])('is accepted when pg can read it: %s', (url) => {
    expect(readEnv({ DATABASE_URL: url }).values.connectionString).toBe(url);
  });

  it.each([
    ['mysql://app:hunter2@db/shop', 'does not begin so', 'mysql://app:***@db/shop'],
    ['jdbc:postgresql://db/shop?user=app&password=hunter2', 'does not begin so', 'password=***'],
    ['host=db password=hunter2', 'does not begin so', 'not shown'],
    ['hunter2', 'does not begin so', 'not shown'],
    ['postgres://app:hunter2%zz@db/shop', 'percent-encoding', 'postgres://app:***@db/shop'],
    ['postgres://app:hunter2%e9@db/shop', 'percent-encoding', 'postgres://app:***@db/shop'],
    ['postgres://app:hunter2@db/sh%zzop', 'percent-encoding', 'postgres://app:***@db/sh%zzop'],
    ['postgres://app:hun/ter2@db/shop', 'does not parse', 'postgres://app:***@db/shop'],
    ['postgres://app:hunter2@db:port/shop', 'does not parse', 'postgres://app:***@db:port/shop'],
    ['postgres://app:hunter2@db1:5432,db2:5432/shop', 'one host only', 'postgres://app:***@db1:5432,db2:5432/shop'],
    ['postgres://app:hunter2', 'does not parse', 'postgres://app:***"'],
  ])('is refused without its password: %s', (url, why, visible) => {
    const { message, stack, cause } = errorOf(() => readEnv({ DATABASE_URL: url }));
    expect(message).toContain('DATABASE_URL must be a postgres:// or postgresql:// URL');
    expect(message).toContain(why);
    expect(message).toContain(visible);
    expect(cause).toBeUndefined();
    expect(`${message} ${stack}`).not.toMatch(/hunter2|ter2/);
  });

  it('is masked whatever the password looks like', () => {
    const characters = fc.string({
      unit: fc.constantFrom('@', ':', '/', '?', '#', '%', '&', '=', ' ', '\n', 'x', '0'),
      maxLength: 12,
    });
    fc.assert(
      fc.property(characters, characters, (before, after) => {
        const url = `postgres://app:${before}hunter2${after}@db/shop`;
        return !maskConnectionString(url).includes('hunter2');
      }),
    );
  });

  it.each(['postgres://db:5432/shop', 'postgres://app@db:5432/shop', 'postgres://db/shop?application_name=x'])(
    'is shown whole when it holds no password: %s',
    (url) => {
      expect(maskConnectionString(url)).toBe(url);
    },
  );
});

describe('an option given in code', () => {
  it('has the same range and the same message as its variable', () => {
    const inCode = errorOf(() => checkOption('max', 0)).message;
    expect(inCode).toBe(
      'max must be a whole number from 1 to 10000, got 0 (option max, environment THAWPOOL_MAX): the default is 4',
    );
    expect(refusal({ THAWPOOL_MAX: '0' })).toBe(inCode.replace('max', 'THAWPOOL_MAX').replace('got 0', 'got "0"'));
  });

  it('is returned when it is fine', () => {
    const max: number = checkOption('max', 8);
    const mode: string = checkOption('sslMode', 'require');
    expect([max, mode]).toStrictEqual([8, 'require']);
  });

  it.each([['8'], [1.5], [Number.NaN], [null], [undefined], [{}], [true], [8n]])(
    'is not converted: %s for a number',
    (value) => {
      expect(() => checkOption('max', value)).toThrow(EnvError);
    },
  );

  it.each([[''], [5], [null], [undefined]])('must be text that says something: %s for a host', (value) => {
    expect(() => checkOption('host', value)).toThrow('host must be one host name');
    expect(() => checkOption('user', value)).toThrow('user must be a name');
  });

  it('never shows a secret', () => {
    const secretive = errorOf(() => checkOption('connectionString', 'hunter2'));
    expect(secretive.message).not.toContain('hunter2');
    expect(errorOf(() => checkOption('password', 12345)).message).not.toContain('12345');
  });

  it('is cut in the message when it is long', () => {
    expect(errorOf(() => checkOption('route', 'x'.repeat(5000))).message.length).toBeLessThan(300);
  });
});
