// A pool under steady load while the password in its secret is rotated, in each order in which that may happen: a real
// PostgreSQL that refuses old passwords, and the real AWS SDK against Secrets Manager in miniature.
import { randomUUID } from 'node:crypto';
import { inspect } from 'node:util';
import pg from 'pg';
import type { CreatePoolOptions, PgPool, PoolEvent } from 'thawpool';
import { secretCredentials } from 'thawpool/auth';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test, vi } from 'vitest';
import type { StoredSecret } from '../support/secrets-manager/secret-store.ts';
import { SecretsManagerDouble } from '../support/secrets-manager/secrets-manager.ts';
import { until, useDatabase, usePools } from './support.ts';

const database = useDatabase();
const address = () => {
  const { hostname: host, port } = new URL(database.connectionString);
  return { host, port: Number(port) };
};
const roles = ['a', 'b'].map((letter) => `r_${letter}_${randomUUID().replaceAll('-', '')}`);
const [role = '', clone = ''] = roles;
const word = (count: number) => `word ${count} of the test`;
const fields = (count: number, username = role) => ({
  engine: 'postgres',
  username,
  password: word(count),
  dbname: database.name,
  ...address(),
});

let manager: SecretsManagerDouble;
let secret: StoredSecret;
let secrets = 0;
const makePool = usePools(() => ({ auth: 'secret', secretArn: secret.arn }) satisfies CreatePoolOptions);

const makeBare = usePools(() => ({}));

const setPassword = async (to: Readonly<Record<string, string>>): Promise<void> => {
  await database.query(`alter role ${to['username']} password '${to['password']}'`);
};
const logIn = async ({ username, password }: Readonly<Record<string, string>>): Promise<void> => {
  const client = new pg.Client({ ...address(), database: database.name, user: username, password });
  await client.connect();
  await client.end();
};

beforeAll(async () => {
  manager = await SecretsManagerDouble.start();
  for (const name of roles) {
    await database.query(`create role ${name} login`);
    await database.query(`grant connect on database ${database.name} to ${name}`);
    // Else their sessions could be neither seen nor ended by whoever is no superuser.
    await database.query(`grant ${name} to current_user with inherit true`);
  }
});
beforeEach(async () => {
  for (const [name, value] of Object.entries(manager.environment)) vi.stubEnv(name, value);
  vi.stubEnv('AWS_CONFIG_FILE', '/nowhere/config');
  vi.stubEnv('AWS_SHARED_CREDENTIALS_FILE', '/nowhere/credentials');
  secrets += 1;
  secret = manager.store.create(`orders-db-${secrets}`, fields(1));
  await setPassword({ username: role, password: word(1) });
  manager.calls.length = 0;
});
afterEach(async () => {
  vi.unstubAllEnvs();
  await manager.healed();
});
afterAll(async () => {
  await manager[Symbol.asyncDispose]();
  for (const name of roles) {
    await database.query(`revoke all on database ${database.name} from ${name}`);
    await database.query(`drop role ${name}`);
  }
});

const opened = (event: PoolEvent): boolean =>
  event.type === 'transition' && event.from === 'creating' && event.to !== 'closing';
const evictions = (events: readonly PoolEvent[], reason: string): number =>
  events.filter((event) => event.type === 'transition' && event.to === 'closing' && event.reason === reason).length;

/** Workers that query without a pause, on connections that do not last. */
function load(pool: PgPool, events: readonly PoolEvent[], workers = 4) {
  const failures: unknown[] = [];
  let users = new Set<unknown>();
  const stop = new AbortController();
  let queries = 0;
  const work = async (): Promise<void> => {
    while (!stop.signal.aborted) {
      try {
        const { rows } = await pool.query<{ name: string }>('select current_user::text as name');
        queries += 1;
        users.add(rows[0]?.name);
      } catch (error) {
        failures.push(error);
        // A pool that always fails would fail without end.
        if (failures.length > 20) return;
      }
    }
  };
  const running = Array.from({ length: workers }, work);
  return {
    failures,
    /** Goes on until so many connections have been opened from now on, and have answered. @returns who was logged in */
    async goOn(connections = 6): Promise<unknown[]> {
      const before = events.filter(opened).length;
      const answered = queries;
      users = new Set();
      await until(
        pool,
        () =>
          failures.length > 0 || (events.filter(opened).length >= before + connections && queries > answered + workers),
      );
      return [...users];
    },
    async stop(): Promise<void> {
      stop.abort();
      await Promise.all(running);
    },
  };
}

/** Ends every session of the roles, and waits until they are gone. */
const endSessions = () =>
  database.query('select pg_terminate_backend(pid, 5000) from pg_stat_activity where usename = any($1)', [roles]);

/** Connections last so long, and are opened all the time. */
const brief: CreatePoolOptions = { max: 3, maxIdle: 3, maxLifetimeMillis: 5 };

describe('no query fails under load', () => {
  test('in the order of the rotation functions: the password, then the stage', async () => {
    const { pool, events } = makePool(brief);
    const work = load(pool, events);
    await work.goOn();
    secret.createSecret(fields(2));
    await work.goOn();
    await secret.setSecret(setPassword);
    await work.goOn();
    await secret.testSecret(logIn);
    secret.finishSecret();
    await work.goOn();
    // And once more, from what the first has left.
    secret.createSecret(fields(3));
    await secret.setSecret(setPassword);
    secret.finishSecret();
    await work.goOn();
    await work.stop();
    expect(work.failures).toEqual([]);
    await expect(logIn({ username: role, password: word(2) })).rejects.toThrow('password authentication failed');
  });

  test('in the order of a person: the secret, then the password', async () => {
    const { pool, events } = makePool(brief);
    const work = load(pool, events);
    await work.goOn();
    secret.put(fields(2));
    await work.goOn();
    // A cold sandbox, which has not kept the first one.
    const cold = makePool(brief);
    const first = load(cold.pool, cold.events, 2);
    await first.goOn();
    await setPassword({ username: role, password: word(2) });
    await Promise.all([work.goOn(), first.goOn()]);
    await Promise.all([work.stop(), first.stop()]);
    expect([...work.failures, ...first.failures]).toEqual([]);
  });

  test('with users that take turns', async () => {
    const { pool, events } = makePool(brief);
    const work = load(pool, events);
    expect(await work.goOn()).toEqual([role]);
    secret.createSecret(fields(2, clone));
    await secret.setSecret(setPassword);
    expect(await work.goOn()).toEqual([role]);
    secret.finishSecret();
    expect(await work.goOn()).toEqual([role]);
    // The next turn takes the first user's password away.
    secret.createSecret(fields(3));
    await secret.setSecret(setPassword);
    // A session that was opened before may still be in somebody's hands: each is replaced as it comes back.
    let users = await work.goOn();
    while (users.includes(role) && work.failures.length === 0) users = await work.goOn();
    expect(users).toEqual([clone]);
    secret.finishSecret();
    await work.goOn();
    await work.stop();
    expect(work.failures).toEqual([]);
  });

  test('when a rotation is left half done, and then undone', async () => {
    const { pool, events } = makePool(brief);
    const work = load(pool, events);
    await work.goOn();
    secret.createSecret(fields(2));
    await secret.setSecret(setPassword);
    await work.goOn();
    secret.cancel();
    await work.goOn();
    await setPassword({ username: role, password: word(1) });
    await work.goOn();
    await work.stop();
    expect(work.failures).toEqual([]);
  });

  test('and Secrets Manager is asked a few times, not by each connection', async () => {
    const { pool, events } = makePool(brief);
    const work = load(pool, events);
    await work.goOn(20);
    expect(manager.count()).toBe(1);
    secret.createSecret(fields(2));
    await secret.setSecret(setPassword);
    await work.goOn(20);
    await work.stop();
    expect(work.failures).toEqual([]);
    // Those that were refused before the first of them had an answer share it; at most max were under way.
    expect(manager.count('AWSPENDING')).toBeLessThanOrEqual(2);
    expect(manager.count('AWSCURRENT')).toBeLessThanOrEqual(4);
  });
});

describe('sessions that were opened with an older version', () => {
  test('that the server has ended are replaced with the new password, and the others closed as they come back', async () => {
    const { pool, events } = makePool({ max: 5, maxIdle: 5 });
    const leases = await Promise.all(Array.from({ length: 4 }, () => pool.connect()));
    const busy = leases.pop();
    for (const lease of leases) lease.release();
    secret.createSecret(fields(2));
    await secret.setSecret(setPassword);
    secret.finishSecret();
    const [ended] = (await busy?.query<{ pid: number }>('select pg_backend_pid() as pid'))?.rows ?? [];
    const others = (await database.sessions()).filter((pid) => pid !== ended?.pid);
    const gone = until(pool, () => evictions(events, 'broken') > 0);
    await database.terminate(others[0] ?? 0);
    await gone;
    // Four at once, the lease that is out among them: room for one that is new.
    const again = await Promise.all(Array.from({ length: 3 }, () => pool.connect()));
    await Promise.all(again.map((lease) => lease.query('select 1')));
    for (const lease of again) lease.release();
    busy?.release();
    await until(pool, () => evictions(events, 'stale-credentials') === 3);
    const { rows } = await pool.query<{ name: string }>('select current_user::text as name');
    expect(rows).toEqual([{ name: role }]);
    expect(manager.calls.map(({ stage }) => stage)).toEqual(['AWSCURRENT', 'AWSCURRENT']);
  });

  test('may all be ended by the server: the next query logs in with the new password', async () => {
    const { pool } = makePool({ max: 4, maxIdle: 4 });
    await Promise.all(Array.from({ length: 4 }, () => pool.query('select pg_sleep(0)')));
    secret.createSecret(fields(2));
    await secret.setSecret(setPassword);
    await endSessions();
    const all = await Promise.all(Array.from({ length: 8 }, () => pool.query('select 1 as one')));
    expect(all.map(({ rows }) => rows[0])).toEqual(Array.from({ length: 8 }, () => ({ one: 1 })));
    secret.finishSecret();
    await endSessions();
    expect((await pool.query('select 2 as two')).rows).toEqual([{ two: 2 }]);
  });
});

test('a pool with a secret shows no password, also not in its errors', async () => {
  const { pool } = makePool();
  await setPassword({ username: role, password: 'something else' });
  const error = await pool.query('select 1').catch((reason: unknown) => reason);
  expect(error).toMatchObject({ code: 'ERR_POOL_CONNECT_AUTH' });
  for (const shown of [
    inspect(error, { depth: 9, showHidden: true }),
    inspect(pool, { depth: 9 }),
    JSON.stringify(pool),
  ]) {
    expect(shown).not.toContain(word(1));
  }
});

test('a source with a client and times of its own is given as the password', async () => {
  const source = secretCredentials({
    secretArn: secret.arn,
    ttlMillis: 0,
    timeoutMillis: 10_000,
  });
  const { pool } = makeBare({ password: source });
  const client = await pool.connect();
  try {
    const { rows } = await client.query<{ name: string }>('select current_user::text as name');
    expect(rows).toEqual([{ name: role }]);
    // Named by nothing but the secret.
    expect(client).toMatchObject({ ...address(), database: database.name });
  } finally {
    client.release();
  }
});

test('a secret that is not there fails the connection in words that say so', async () => {
  const { pool } = makePool({ secretArn: `${secret.arn}x` });
  const error = (await pool.query('select 1').catch((reason: unknown) => reason)) as Error;
  expect(error).toMatchObject({ code: 'ERR_POOL_CONNECT_CREDENTIALS' });
  expect(error.message).toContain(`There is no secret ${secret.arn}x with a version AWSCURRENT in eu-west-1`);
  expect(error.message.match(/See ERR_POOL_CONNECT_CREDENTIALS\./g)).toHaveLength(1);
});
