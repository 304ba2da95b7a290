// A server of the file's own, because it is stopped.

import { createPool, type PgPool } from 'thawpool';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { startPostgres, type TestPostgres } from '../support/postgres.ts';
import { failure, until } from './support.ts';

const given = process.env['DATABASE_URL'];

describe.skipIf(given)(`a server that is restarted${given ? ' (DATABASE_URL names one that is not ours)' : ''}`, () => {
  let server: TestPostgres;
  let pool: PgPool;
  const warnings: string[] = [];

  beforeAll(async () => {
    server = await startPostgres();
    pool = createPool({
      env: {},
      connectionString: server.connectionString,
      maxIdle: 3,
      acquireTimeoutMillis: 50_000,
      onWarning: (message) => warnings.push(message),
    });
  });
  afterEach(() => server.start());
  afterAll(async () => {
    await pool?.end();
    await server?.close();
  });

  it.each(['fast', 'immediate'] as const)('(%s) costs a reconnect and no query', async (mode) => {
    await pool.warm(3);
    const { created } = pool.stats();
    await server.restart(mode);
    const answers = await Promise.all(Array.from({ length: 6 }, () => pool.query('select 1 as one')));
    expect(answers.map(({ rows }) => rows)).toEqual(Array.from({ length: 6 }, () => [{ one: 1 }]));
    expect(pool.stats().created).toBeGreaterThan(created);
    expect(warnings).toEqual([]);
  });

  it('is waited for while it is down', async () => {
    await pool.warm(1);
    // One that is on its way would be tried again and again while the server is down.
    await until(pool, () => pool.stats().creating === 0);
    const gone = until(pool, () => pool.stats().total === 0);
    await server.stop('fast');
    await gone;
    const waiting = Promise.all(Array.from({ length: 3 }, () => pool.query('select 1 as one')));
    await until(pool, () => pool.stats().creating === 3);
    await server.start();
    expect((await waiting).map(({ rows }) => rows)).toEqual(Array.from({ length: 3 }, () => [{ one: 1 }]));
  });

  it('fails the transaction that was open, and nothing after it', async () => {
    const error = await failure(
      pool.transaction(async (tx) => {
        await tx.query('select 1');
        await server.restart('fast');
        await tx.query('select 2');
      }),
    );
    expect(String(error)).toMatch(/terminat|not queryable|ECONNRESET|lost/);
    expect((await pool.query('select 1 as one')).rows).toEqual([{ one: 1 }]);
  });
});
