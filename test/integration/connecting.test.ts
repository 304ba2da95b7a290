// Making a connection: what is tried again, for how long, and what the error says in the end.

import { Socket } from 'node:net';
import pg from 'pg';
import { AcquireError, type CreatePoolOptions, type PgPool } from 'thawpool';
import { FakeClock } from 'thawpool/testing';
import { describe, expect, it } from 'vitest';
import { freePort } from '../support/free-port.ts';
import { refusingServer } from './refusing-server.ts';
import { failure, through, useDatabase, usePools, useProxy } from './support.ts';

const database = useDatabase();
const proxy = useProxy();
const makePool = usePools(() => ({ connectionString: database.connectionString }));

/** A Client that says when a connection is attempted. */
function counting(): { Client: NonNullable<CreatePoolOptions['Client']>; attempts: (count: number) => Promise<void> } {
  const made: pg.Client[] = [];
  let tell = (): void => {};
  class Counting extends pg.Client {
    constructor(config: pg.ClientConfig) {
      super(config);
      made.push(this);
      tell();
    }
  }
  const attempts = async (count: number): Promise<void> => {
    while (made.length < count) await new Promise<void>((resolve) => (tell = resolve));
  };
  return { Client: Counting, attempts };
}

/** A socket whose connecting fails as the operating system would have it. */
function failing(code: string, message: string): () => Socket {
  return () => {
    const socket = new Socket();
    socket.connect = () => {
      process.nextTick(() => socket.destroy(Object.assign(new Error(message), { code })));
      return socket;
    };
    return socket;
  };
}

/**
 * What a query fails with that was tried more than once. A machine that stands still for as long as the budget lasts leaves
 * no time for a second try: then it is asked again.
 */
async function failureAfterRetries(pool: PgPool): Promise<Error & { code?: string }> {
  for (let left = 20; ; left -= 1) {
    const error = await failure(pool.query('select 1'));
    if (left === 0 || / Tried \d+ times /.test(error.message)) return error;
  }
}

describe('while nothing but patience is missing', () => {
  it('waits for a server that is starting up', async () => {
    await using server = await refusingServer(proxy(), [
      ['57P03', 'the database system is starting up'],
      ['57P03', 'the database system is not yet accepting connections'],
    ]);
    const { pool } = makePool({ connectionString: through(server.port, database.connectionString) });
    expect((await pool.query('select 1 as one')).rows).toEqual([{ one: 1 }]);
    expect(server.refused).toBe(2);
    expect(pool.stats()).toMatchObject({ created: 1, createFailed: 0 });
  });

  it.each([
    ['57P01', 'terminating connection due to administrator command'],
    ['57P02', 'terminating connection because of crash of another server process'],
    ['08006', 'connection failure'],
    ['53300', 'sorry, too many clients already'],
  ])('tries again after %s', async (code, message) => {
    await using server = await refusingServer(proxy(), [[code, message]]);
    const { pool } = makePool({ connectionString: through(server.port, database.connectionString) });
    expect((await pool.query('select 1 as one')).rows).toEqual([{ one: 1 }]);
    expect(server.refused).toBe(1);
  });

  it('waits for a slot when all are taken', async () => {
    await database.query(`alter database ${database.name} connection limit 3`);
    try {
      // One of the three is the test's own.
      const { pool: full } = makePool({ max: 2 });
      await full.warm(2);
      const { Client, attempts } = counting();
      const { pool } = makePool({ Client });
      const waiting = pool.query('select 1 as one');
      await attempts(3);
      await full.end();
      expect((await waiting).rows).toEqual([{ one: 1 }]);
    } finally {
      await database.query(`alter database ${database.name} connection limit -1`);
    }
  });

  it('says in the end that there was no slot', async () => {
    await database.query(`alter database ${database.name} connection limit 1`);
    try {
      const { host, port } = new URL(database.connectionString);
      const { pool } = makePool({ acquireTimeoutMillis: 150 });
      const error = await failureAfterRetries(pool);
      expect(error).toBeInstanceOf(AcquireError);
      expect(error.code).toBe('ERR_POOL_CONNECT_UNAVAILABLE');
      expect(error.message).toMatch(
        new RegExp(
          `^Could not make a connection: The server at ${host} has no connection slots left \\(too many connections for database "${database.name}"\\)\\. Lower THAWPOOL_MAX or the function's concurrency, raise max_connections, or go through a proxy\\. Tried \\d+ times in \\d+\\.\\d s\\. See ERR_POOL_CONNECT_UNAVAILABLE\\.$`,
        ),
      );
      expect(port).not.toBe('');
      expect(error).toMatchObject({ cause: { code: 'ERR_POOL_CONNECT_UNAVAILABLE', cause: { code: '53300' } } });
    } finally {
      await database.query(`alter database ${database.name} connection limit -1`);
    }
  });

  it('waits for a server that refuses connections for a while', async () => {
    await proxy().refuse(true);
    const { Client, attempts } = counting();
    const { pool } = makePool({ Client, connectionString: through(proxy().port, database.connectionString) });
    const waiting = pool.query('select 1 as one');
    await attempts(3);
    await proxy().refuse(false);
    expect((await waiting).rows).toEqual([{ one: 1 }]);
  });

  it.each(['close', 'reset'] as const)('tries again after a %s in the middle of the login', async (verdict) => {
    let left = 2;
    proxy().onMessage(({ name }) => {
      if (name !== 'Startup' || left === 0) return undefined;
      left -= 1;
      return verdict;
    });
    const { pool } = makePool({ connectionString: through(proxy().port, database.connectionString) });
    expect((await pool.query('select 1 as one')).rows).toEqual([{ one: 1 }]);
    expect(left).toBe(0);
  });

  it('serves with the connection that was on its way those who come after a caller gave up', async () => {
    proxy().hold('toClient');
    const clock = new FakeClock();
    const { pool } = makePool({ clock, connectionString: through(proxy().port, database.connectionString), max: 1 });
    const waiting = failure(pool.acquire({ timeoutMillis: 10 }));
    await clock.advance(10);
    const error = await waiting;
    expect(error.code).toBe('ERR_POOL_ACQUIRE_TIMEOUT');
    expect(error.message).toMatch(
      /^Timed out after 10 ms waiting for a connection \(max 1, leased 0, creating 1, waiting 0\): a new connection was still being made, at "\w+" of [\w.]+:\d+\. Check that the peer can be reached and answers, or raise the acquire timeout\. See ERR_POOL_ACQUIRE_TIMEOUT\.$/,
    );
    proxy().letGo();
    expect((await pool.query('select 1 as one')).rows).toEqual([{ one: 1 }]);
    expect(pool.stats()).toMatchObject({ created: 1 });
  });

  it('tells in the timeline what was tried', async () => {
    await proxy().refuse(true);
    const { Client, attempts } = counting();
    const clock = new FakeClock();
    const { pool } = makePool({
      Client,
      clock,
      connectionString: through(proxy().port, database.connectionString),
      acquireTimeoutMillis: 30_000,
    });
    const waiting = failure(pool.acquire({ timeoutMillis: 120 }));
    await attempts(2);
    await clock.advance(120);
    const error = (await waiting) as AcquireError;
    expect(error.code).toBe('ERR_POOL_ACQUIRE_TIMEOUT');
    expect(error.timeline[0]).toEqual({ phase: 'queued', atMillis: 0 });
    expect(error.timeline.filter(({ phase }) => phase === 'retry')[0]).toMatchObject({
      error: { code: 'ECONNREFUSED' },
    });
    expect(error).toMatchObject({ cause: { code: 'ECONNREFUSED' }, stats: { creating: 1 } });
  });

  it('strands nobody when a creation fails', async () => {
    await using server = await refusingServer(proxy(), [['28P01', 'password authentication failed for user "app"']]);
    const { pool } = makePool({ connectionString: through(server.port, database.connectionString), max: 1 });
    const results = await Promise.allSettled(Array.from({ length: 3 }, () => pool.query('select 1')));
    expect(results.map(({ status }) => status)).toEqual(['rejected', 'fulfilled', 'fulfilled']);
    expect(pool.stats()).toMatchObject({ waiting: 0, created: 1, createFailed: 1 });
  });
});

describe('what cannot succeed by waiting', () => {
  it('is tried once', async () => {
    await using server = await refusingServer(proxy(), [
      ['28P01', 'password authentication failed for user "app"'],
      ['28P01', 'never asked for'],
    ]);
    const { pool } = makePool({ connectionString: through(server.port, database.connectionString) });
    expect((await failure(pool.query('select 1'))).code).toBe('ERR_POOL_CONNECT_AUTH');
    expect(server.refused).toBe(1);
  });

  it('is a name that does not exist, asked for briefly', async () => {
    const { pool } = makePool({
      connectionString: 'postgres://app@db.invalid/app',
      stream: failing('ENOTFOUND', 'getaddrinfo ENOTFOUND db.invalid'),
    });
    const error = await failureAfterRetries(pool);
    expect(error.code).toBe('ERR_POOL_CONNECT_DNS');
    expect(error.message).toMatch(
      /^Could not make a connection: The host name "db\.invalid" was not found \(ENOTFOUND\)\. Check PGHOST or DATABASE_URL, and that the function's network can resolve it\. Tried \d+ times in \d+\.\d s\. See ERR_POOL_CONNECT_DNS\.$/,
    );
  });

  it('is a port on which nobody listens, for as long as the budget lasts', async () => {
    const port = await freePort();
    const { pool } = makePool({
      connectionString: through(port, database.connectionString),
      acquireTimeoutMillis: 150,
    });
    const error = await failureAfterRetries(pool);
    expect(error.code).toBe('ERR_POOL_CONNECT_REFUSED');
    expect(error.message).toMatch(
      new RegExp(
        `^Could not make a connection: Nothing answers at 127\\.0\\.0\\.1:${port} \\(ECONNREFUSED\\)\\. Check the host and PGPORT, that the server runs, and the security groups\\. Tried \\d+ times in \\d+\\.\\d s\\. See ERR_POOL_CONNECT_REFUSED\\.$`,
      ),
    );
  });

  it('is a server that speaks something else', async () => {
    const { pool } = makePool({
      connectionString: 'postgres://app@db.example/app',
      stream: failing('EPROTO', 'no such protocol'),
      sslMode: 'disable',
    });
    const error = await failure(pool.query('select 1'));
    expect(error.message).toBe(
      'Could not make a connection: Connecting to db.example:5432 failed (no such protocol). See ERR_POOL_CONNECT_FAILED.',
    );
  });
});

describe('a password that is a function', () => {
  const url = () => Object.assign(new URL(database.connectionString), { password: '' }).toString();

  it('is asked for each connection', async () => {
    const { password } = new URL(database.connectionString);
    let asked = 0;
    const { pool } = makePool({
      connectionString: url(),
      password: async () => {
        asked += 1;
        return decodeURIComponent(password);
      },
    });
    await pool.warm(3);
    expect(asked).toBe(3);
  });

  it('fails the connection when it fails', async () => {
    const { pool } = makePool({ connectionString: url(), password: () => Promise.reject(new Error('no token today')) });
    const error = await failure(pool.query('select 1'));
    expect(error.code).toBe('ERR_POOL_CONNECT_FAILED');
    expect(error.message).toMatch(
      /^Could not make a connection: Connecting to 127\.0\.0\.1:\d+ failed \(no token today\)\./,
    );
  });
});
