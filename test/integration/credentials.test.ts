import { randomUUID } from 'node:crypto';
import { inspect } from 'node:util';
import type { CreatePoolOptions, PoolEvent } from 'thawpool';
import { type CredentialSource, type Credentials, CredentialsError } from 'thawpool/auth';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { failure, useDatabase, usePools } from './support.ts';

const database = useDatabase();
const role = `r_${randomUUID().replaceAll('-', '')}`;
const makePool = usePools(() => {
  const { hostname: host, port } = new URL(database.connectionString);
  return { host, port: Number(port), database: database.name, user: role } satisfies CreatePoolOptions;
});

const setPassword = (password: string): Promise<unknown> => database.query(`alter role ${role} password '${password}'`);

beforeAll(async () => {
  await database.query(`create role ${role} login password 'first'`);
  await database.query(`grant connect on database ${database.name} to ${role}`);
});
afterAll(async () => {
  await database.query(`revoke all on database ${database.name} from ${role}`);
  await database.query(`drop role ${role}`);
});

/** A source whose credentials are set by the test, and that notes what it was asked. */
function source(given: Credentials, more: Partial<CredentialSource> = {}) {
  const own = {
    name: 'the test',
    given,
    fresh: undefined as Credentials | undefined,
    asked: [] as string[][],
    ...more,
    credentials({ refused }: Parameters<CredentialSource['credentials']>[0]) {
      own.asked.push(refused.map(({ password }) => password));
      return refused.length === 0 ? own.given : own.fresh;
    },
  };
  return own;
}

const notes = (events: readonly PoolEvent[]): string[] =>
  events.flatMap((event) => (event.type === 'noted' ? [event.what] : []));
const evicted = (events: readonly PoolEvent[]): string[] =>
  events.flatMap((event) => (event.type === 'transition' && event.to === 'closing' ? [event.reason ?? ''] : []));

describe('a source of credentials', () => {
  it('is asked for each connection, and told where it goes', async () => {
    const password = source({ password: 'first' });
    const targets: unknown[] = [];
    const { pool } = makePool({
      password: {
        name: 'the test',
        credentials: (request) => {
          targets.push(request.target);
          return password.credentials(request);
        },
      },
    });
    await pool.warm(3);
    const { hostname: host, port } = new URL(database.connectionString);
    const here = { host, port: Number(port), user: role, database: database.name };
    expect(targets).toEqual([here, here, here]);
  });

  it('is asked for others when the server refuses them, within the same acquire', async () => {
    const password = source({ password: 'stale' });
    password.fresh = { password: 'first' };
    const { pool, events } = makePool({ password });
    expect((await pool.query('select current_user::text as name')).rows).toEqual([{ name: role }]);
    expect(password.asked).toEqual([[], ['stale']]);
    expect(notes(events)).toEqual(['credentials-renewed']);
  });

  it('fails with the refusal when it has no others, and says whose they were', async () => {
    const password = source({ password: 'stale' });
    const { pool } = makePool({ password });
    const error = await failure(pool.query('select 1'));
    expect(error.code).toBe('ERR_POOL_CONNECT_AUTH');
    expect(error.message).toContain(
      `refused user "${role}" with what the test gave, fresh ones included (password authentication failed for user "${role}")`,
    );
    expect(password.asked).toEqual([[], ['stale']]);
  });

  it('never shows in an error', async () => {
    const password = source({ password: 'hush-hush' });
    const { pool } = makePool({ password });
    const error = await failure(pool.query('select 1'));
    expect(inspect(error, { depth: 9, showHidden: true })).not.toContain('hush-hush');
    expect(inspect(pool, { depth: 9 }) + JSON.stringify(pool)).not.toContain('hush-hush');
  });

  it('fails the connection with its own words when it has none', async () => {
    const { pool } = makePool({
      password: {
        name: 'the test',
        credentials: () => {
          throw new CredentialsError('There are none today. Come back tomorrow.');
        },
      },
    });
    const error = await failure(pool.query('select 1'));
    expect(error.code).toBe('ERR_POOL_CONNECT_CREDENTIALS');
    expect(error.message).toBe(
      'Could not make a connection: There are none today. Come back tomorrow. See ERR_POOL_CONNECT_CREDENTIALS.',
    );
  });

  it('is asked again when it says that this may help', async () => {
    let left = 2;
    const { pool } = makePool({
      password: {
        name: 'the test',
        credentials: () => {
          left -= 1;
          if (left >= 0) throw new CredentialsError('Too many requests.', { transient: true });
          return { password: 'first' };
        },
      },
    });
    expect((await pool.query('select 1 as a')).rows).toEqual([{ a: 1 }]);
  });

  it('whose credentials may not travel in the clear is not even asked without TLS', async () => {
    const password = source({ password: 'first' }, { requiresTls: true });
    const { pool } = makePool({ password, sslMode: 'disable' });
    const error = await failure(pool.query('select 1'));
    expect(error.message).toMatch(/TLS/);
    expect(password.asked).toEqual([]);
  });

  it('may say where to connect and as whom; what was set wins', async () => {
    const { hostname: host, port } = new URL(database.connectionString);
    const password = source(
      { password: 'first', user: role, host, port: Number(port), database: 'elsewhere' },
      { locates: true },
    );
    const { pool } = makePool({ host: undefined, port: undefined, user: undefined, password });
    expect((await pool.query('select current_user::text as name')).rows).toEqual([{ name: role }]);
    const { pool: nowhere } = makePool({ database: undefined, password });
    expect((await failure(nowhere.query('select 1'))).code).toBe('ERR_POOL_CONNECT_DATABASE');
  });

  it('decides who logs in, and says so where another user was set', async () => {
    const password = source({ password: 'first', user: role }, { locates: true });
    const { pool, warnings } = makePool({ user: 'somebody', password });
    await pool.warm(2);
    expect(warnings).toEqual([
      `The user is set to "somebody" (option user, environment PGUSER), but the test is for "${role}", which is the one that logs in. Leave the user out.`,
    ]);
  });
});

describe('credentials that were replaced', () => {
  it('have the connections that were made with older ones closed, in use or not', async () => {
    const password = source({ password: 'first', version: '1' });
    const { pool, events } = makePool({ password, maxIdle: 4 });
    await pool.warm(2);
    const held = await pool.connect();
    await setPassword('second');
    try {
      password.given = { password: 'second', version: '2' };
      // Two are taken, so that another is made.
      const others = await Promise.all([pool.connect(), pool.connect()]);
      expect(evicted(events)).toEqual([]);
      for (const client of others) client.release();
      held.release();
      expect(evicted(events)).toEqual(['stale-credentials', 'stale-credentials']);
      expect(pool.stats()).toMatchObject({ idle: 1, destroyed: { 'stale-credentials': 2 } });
    } finally {
      await setPassword('first');
    }
  });

  it('leave those alone that were made with the same version, or with none', async () => {
    const password = source({ password: 'first', version: '1' });
    const { pool, events } = makePool({ password, maxIdle: 4 });
    await pool.warm(3);
    password.given = { password: 'first' };
    await pool.warm(4);
    expect(evicted(events)).toEqual([]);
  });
});

describe('a function', () => {
  it('is asked again after a refusal, and counts when it has something else to say', async () => {
    const words = ['stale', 'first'];
    const { pool } = makePool({ password: async () => words.shift() ?? 'none' });
    expect((await pool.query('select 1 as a')).rows).toEqual([{ a: 1 }]);
    expect(words).toEqual([]);
  });

  it('that says the same again ends in the refusal', async () => {
    let asked = 0;
    const { pool } = makePool({
      password: () => {
        asked += 1;
        return 'stale';
      },
    });
    expect((await failure(pool.query('select 1'))).code).toBe('ERR_POOL_CONNECT_AUTH');
    expect(asked).toBe(2);
  });
});
