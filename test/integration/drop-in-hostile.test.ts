// What users' hooks, submittables and readers may do to a pool: whatever it is, the next one who asks is served.

import type pg from 'pg';
import type { PgPool } from 'thawpool';
import { describe, expect, it } from 'vitest';
import { shared } from '../../src/pg/lending.ts';
import { passOnHookErrors } from '../../src/pg/pool-hooks.ts';
import { whenOver } from '../../src/pg/submittable.ts';
import { deferred } from '../support/deferred.ts';
import { FakeClock } from '../support/fake-clock.ts';
import { Cursor } from '../support/pg-cursor.ts';
import { failure, thrown, until, useDatabase, usePools } from './support.ts';

const database = useDatabase();
const makePool = usePools(() => ({ connectionString: database.connectionString, max: 1 }));

const sound = async (pool: PgPool): Promise<void> => {
  expect((await pool.query('select 1 as a')).rows).toEqual([{ a: 1 }]);
  expect(pool.stats()).toMatchObject({ total: 1, idle: 1, creating: 0, leased: 0 });
};

describe('a hook', () => {
  it('that is an async verify fails whoever waits when it rejects', async () => {
    const problem = new Error('not good enough');
    let calls = 0;
    const { pool } = makePool({
      // oxlint-disable-next-line typescript/no-misused-promises -- what somebody will write
      verify: async (_, done) => {
        calls += 1;
        await Promise.resolve();
        if (calls === 1) throw problem;
        done();
      },
    });
    expect(await failure(pool.query('select 1'))).toBe(problem);
    await sound(pool);
  });

  it('that throws nothing at all has failed nevertheless', async () => {
    let calls = 0;
    const { pool } = makePool({
      verify: (_, done) => {
        calls += 1;
        // oxlint-disable-next-line typescript/only-throw-error -- what somebody will do
        if (calls === 1) throw undefined;
        done();
      },
    });
    expect((await failure(pool.query('select 1'))).message).toBe('undefined');
    await sound(pool);
  });

  it.each(['verify', 'onConnect'] as const)('%s that never ends costs its own connection only', async (name) => {
    let calls = 0;
    const hang = new Promise(() => {});
    const called = deferred();
    const clock = new FakeClock();
    const { pool } = makePool({
      clock,
      acquireTimeoutMillis: 5000,
      [name]: (_: pg.PoolClient, done?: () => void) => {
        calls += 1;
        called.resolve();
        if (calls === 1) return hang;
        done?.();
        return undefined;
      },
    });
    const failing = failure(pool.query('select 1'));
    await called.promise;
    await clock.advance(5000);
    expect((await failing).code).toMatch(/^ERR_POOL_(ACQUIRE|CREATE|CONNECT)_/);
    await until(pool, () => pool.stats().total === 0);
    await sound(pool);
    await expect.poll(() => database.sessions()).toHaveLength(1);
  });

  it('that calls back twice, or late, is heard once', async () => {
    const { pool } = makePool({
      verify: (_, done) => {
        done();
        done(new Error('after all'));
      },
    });
    await sound(pool);
  });

  it('is looked for in the causes of an error, in a circle of them too', async () => {
    const round = new Error('round');
    round.cause = round;
    const { pool } = makePool();
    const { core } = pool[shared];
    core.acquire = () => Promise.reject(round);
    passOnHookErrors(core, { onConnect: () => {} });
    expect(await failure(pool.connect())).toBe(round);
  });
});

describe('a submittable', () => {
  it('gives its connection back although its own handler throws', () => {
    const problem = new Error('mine');
    const heard: unknown[] = [];
    const query = {
      handleReadyForQuery: () => {
        throw problem;
      },
      handleError: () => {
        throw problem;
      },
    };
    whenOver(query, (error) => heard.push(error));
    expect(thrown(() => query.handleReadyForQuery())).toBe(problem);
    const refused = new Error('refused');
    expect(thrown(() => (query.handleError as (error: Error) => void)(refused))).toBe(problem);
    expect(heard).toEqual([undefined, refused]);
  });

  it('that the server refuses tells its own reader, and gives its connection back', async () => {
    const { pool } = makePool();
    const cursor = new Cursor('selct');
    const answer = pool.query(cursor) as unknown as Promise<unknown>;
    expect((await failure(cursor.read(1))).code).toBe('42601');
    await answer;
    await sound(pool);
  });
});

describe('a client', () => {
  it('that is released in a callback while a statement waits behind it is not lent before that is answered', async () => {
    const { pool } = makePool();
    const client = await pool.connect();
    const order: string[] = [];
    client.query('select 1', () => client.release());
    const queued = client.query("set application_name = 'queued'").then(() => order.push('queued'));
    const next = pool.query('show application_name').then(({ rows }) => {
      order.push('next');
      return rows;
    });
    await queued;
    // What it has left behind was cleared away.
    expect((await next)[0]).not.toEqual({ application_name: 'queued' });
    expect(order).toEqual(['queued', 'next']);
    await sound(pool);
  });
});

describe('end', () => {
  it('ends a pool whose reader was ended by itself', async () => {
    const { pool } = makePool({ readerHost: '127.0.0.1' });
    await pool.query('select 1');
    await pool.reader.query('select 1');
    await pool.reader.end();
    await pool.end();
    expect([pool.ended, pool.reader.ended]).toEqual([true, true]);
  });
});
