// Rows one by one: what is in memory, and what becomes of the connection however the loop ends.

import { QueryAbortedError } from 'thawpool';
import { describe, expect, it } from 'vitest';
import { controlOf } from '../../src/pg/control.ts';
import { failure, thrown, until, useDatabase, usePools } from './support.ts';

const database = useDatabase();
const makePool = usePools(() => ({ connectionString: database.connectionString, max: 1 }));

const numbers = 'select n from generate_series(1, $1::int) n';

async function all<T>(rows: AsyncIterable<T>): Promise<T[]> {
  const list: T[] = [];
  for await (const row of rows) list.push(row);
  return list;
}

describe('pool.iterate', () => {
  it.each([1, 2, 10, 11, 25])('brings every row, %i of ten at a time', async (batchSize) => {
    const { pool } = makePool();
    const rows = await all(pool.iterate<{ n: number }>(numbers, [10], { batchSize }));
    expect(rows.map(({ n }) => n)).toEqual([1, 2, 3, 4, 5, 6, 7, 8, 9, 10]);
    expect(pool.stats()).toMatchObject({ idle: 1, total: 1 });
  });

  it('takes a config, with types and rows as arrays', async () => {
    const { pool } = makePool();
    const types = { getTypeParser: () => (value: string) => `<${value}>` } as never;
    expect(await all(pool.iterate({ text: 'select 1 as a', types }))).toEqual([{ a: '<1>' }]);
    expect(await all(pool.iterate({ text: 'select $1::int, 2', values: [1], rowMode: 'array' } as never))).toEqual([
      [1, 2],
    ]);
    expect(await all(pool.iterate('select 1 as a where false'))).toEqual([]);
    expect(await all(pool.iterate('select to_json($1::text) as a', ['x']))).toEqual([{ a: 'x' }]);
  });

  it('takes what returns rows and is no query, and what returns none', async () => {
    const { pool } = makePool();
    await pool.query('create table if not exists written (a int)');
    const written = pool.iterate('insert into written select generate_series(1, 5) returning a', [], { batchSize: 2 });
    expect(await all(written)).toHaveLength(5);
    expect(await all(pool.iterate('delete from written'))).toEqual([]);
    expect(await all(pool.iterate(''))).toEqual([]);
  });

  it('asks for the next batch only when the one before is used up', async () => {
    const { pool } = makePool();
    await database.query('create sequence if not exists asked');
    const rows = pool.iterate("select nextval('asked')::int as n from generate_series(1, 1000)", [], { batchSize: 10 });
    const last = async () => (await database.query<{ n: number }>('select last_value::int as n from asked'))[0]?.n;
    for (let index = 0; index < 10; index += 1) await rows.next();
    expect(await last()).toBe(10);
    await rows.next();
    expect(await last()).toBe(20);
    await rows.return();
    expect(await last()).toBe(20);
  });

  it.each([
    ['break', 'break'],
    ['return', 'return'],
    ['throw', 'throw'],
  ])('gives the connection back after %s', async (_, how) => {
    const { pool, warnings } = makePool();
    const loop = async (): Promise<void> => {
      for await (const { n } of pool.iterate<{ n: number }>(numbers, [1000], { batchSize: 3 })) {
        if (n < 5) continue;
        if (how === 'break') break;
        if (how === 'return') return;
        throw new Error('enough');
      }
    };
    if (how === 'throw') expect((await failure(loop())).message).toBe('enough');
    else await loop();
    // Nothing is given back before the server is ready.
    expect(pool.stats()).toMatchObject({ idle: 1, leased: 0, released: 1 });
    expect((await pool.query('select 1 as a')).rows).toEqual([{ a: 1 }]);
    expect(warnings).toEqual([]);
  });

  it('fails at the first row, in the middle, and for a parser’s sake, and gives the connection back', async () => {
    const { pool } = makePool();
    expect((await failure(all(pool.iterate('selct')))).code).toBe('42601');
    const seen: unknown[] = [];
    const dividing = async (): Promise<void> => {
      for await (const row of pool.iterate('select 10 / (5 - n) as a from generate_series(1, 9) n', [], {
        batchSize: 2,
      })) {
        seen.push(row.a);
      }
    };
    expect((await failure(dividing())).code).toBe('22012');
    expect(seen).toEqual([2, 3, 5, 10].slice(0, seen.length));
    expect(seen.length).toBeGreaterThan(1);
    const types = {
      getTypeParser: () => () => {
        throw new Error('cannot read this');
      },
    } as never;
    expect(
      (await failure(all(pool.iterate({ text: numbers, values: [10], types }, undefined, { batchSize: 2 })))).message,
    ).toBe('cannot read this');
    expect((await failure(all(pool.iterate('select $1::int', ['x'])))).code).toBe('22P02');
    await until(pool, () => pool.stats().idle === 1);
    expect(pool.stats()).toMatchObject({ created: 1, total: 1 });
  });

  it('fails when the connection is lost, and the pool makes another', async () => {
    const { pool } = makePool();
    const { rows } = await pool.query<{ pid: number }>('select pg_backend_pid() as pid');
    const reading = pool.iterate(numbers, [1000], { batchSize: 1 });
    await reading.next();
    await database.terminate(rows[0]?.pid ?? 0);
    expect((await failure(all(reading))).message).toMatch(/terminat/);
    expect((await pool.query('select 1 as a')).rows).toEqual([{ a: 1 }]);
  });

  it('opens nothing before its first row is asked for, and nothing when told to return first', async () => {
    const { pool } = makePool();
    const rows = pool.iterate('select 1');
    expect(pool.stats()).toMatchObject({ total: 0, acquired: 0 });
    await rows.return();
    expect(pool.stats()).toMatchObject({ total: 0, acquired: 0 });
  });

  it('reads a config whose text and values come from getters of its class', async () => {
    const { pool } = makePool();
    class Template {
      readonly #text = 'select $1::int as a';
      get text(): string {
        return this.#text;
      }
      get values(): unknown[] {
        return [4];
      }
    }
    const { signal } = new AbortController();
    expect(await all(pool.iterate(new Template()))).toEqual([{ a: 4 }]);
    expect(await all(pool.iterate(new Template(), [5]))).toEqual([{ a: 5 }]);
    expect(await pool.transaction((tx) => all(tx.iterate(new Template())))).toEqual([{ a: 4 }]);
    expect((await pool.query({ text: 'select 6 as a', signal })).rows).toEqual([{ a: 6 }]);
    const limited = Object.assign(new Template(), { signal });
    expect((await pool.query(limited)).rows).toEqual([{ a: 4 }]);
  });

  it('answers calls of next that do not wait for each other in their order', async () => {
    const { pool } = makePool();
    const rows = pool.iterate<{ n: number }>(numbers, [3], { batchSize: 2 });
    const results = await Promise.all([rows.next(), rows.next(), rows.next(), rows.next(), rows.next()]);
    expect(results.map(({ value }) => value?.n)).toEqual([1, 2, 3, undefined, undefined]);
    expect(pool.stats()).toMatchObject({ idle: 1, leased: 0, released: 1 });
  });

  describe('of what is refused at its very end, when it is committed', () => {
    const insert = 'insert into picky select generate_series(1, 4) % 2 returning a';
    const sound = async (pool: ReturnType<typeof makePool>['pool']): Promise<void> => {
      // One ReadyForQuery too many would answer the first of these, and each answer come one statement late.
      const answers = [1, 2, 3, 4].map(async (n) => (await pool.query('select $1::int as a', [n])).rows);
      expect(await Promise.all(answers)).toEqual([1, 2, 3, 4].map((a) => [{ a }]));
      expect(pool.stats()).toMatchObject({ created: 1, idle: 1 });
    };
    const table = 'create table if not exists picky (a int, unique (a) deferrable initially deferred)';

    it.each([2, 4, 10])('tells the error behind the last row, %i at a time', async (batchSize) => {
      const { pool } = makePool();
      await database.query(table);
      expect((await failure(all(pool.iterate(insert, [], { batchSize })))).code).toBe('23505');
      await sound(pool);
    });

    it('tells the error when the loop is left early', async () => {
      const { pool } = makePool();
      await database.query(table);
      const leaving = async (): Promise<void> => {
        for await (const _ of pool.iterate(insert, [], { batchSize: 2 })) break;
      };
      expect((await failure(leaving())).code).toBe('23505');
      await sound(pool);
    });

    it('tells what the loop has thrown before that', async () => {
      const { pool } = makePool();
      await database.query(table);
      const throwing = async (): Promise<void> => {
        for await (const _ of pool.iterate(insert, [], { batchSize: 2 })) throw new Error('mine');
      };
      expect((await failure(throwing())).message).toBe('mine');
      await sound(pool);
    });

    it('tells the error when the signal has ended it', async () => {
      const { pool } = makePool();
      await database.query(table);
      const controller = new AbortController();
      const rows = pool.iterate(insert, [], { batchSize: 2, signal: controller.signal });
      await rows.next();
      controller.abort();
      expect((await failure(rows.next())).code).toBe('23505');
      await sound(pool);
    });
  });

  it('has its connection closed when the driver gives up waiting', async () => {
    const { pool } = makePool({ query_timeout: 1000 });
    const reading = async (): Promise<void> => {
      for await (const _ of pool.iterate(numbers, [2_147_483_647], { batchSize: 1 }));
    };
    expect((await failure(reading())).message).toBe('Query read timeout');
    expect(pool.stats()).toMatchObject({ leased: 0, idle: 0 });
    expect((await pool.query('select 1 as a')).rows).toEqual([{ a: 1 }]);
    expect(pool.stats().created).toBe(2);
  });

  it('is over when its invocation is, and touches the connection no more', async () => {
    const { pool } = makePool();
    const control = controlOf(pool);
    const owner = { deadline: undefined };
    const rows = control.viewFor(owner).iterate(numbers, [10], { batchSize: 2 });
    await rows.next();
    await rows.next();
    expect(control.reclaim(owner)).toHaveLength(1);
    const next = pool.query('select 1 as a');
    expect((await failure(rows.next())).code).toBe('ERR_POOL_RECLAIMED');
    expect((await next).rows).toEqual([{ a: 1 }]);
    expect(await rows.next()).toEqual({ done: true, value: undefined });
    expect(pool.stats()).toMatchObject({ leased: 0, idle: 1 });
  });

  it('is waited for by end', async () => {
    const { pool } = makePool();
    const rows = pool.iterate<{ n: number }>(numbers, [4], { batchSize: 2 });
    await rows.next();
    const ending = pool.end();
    expect((await all(rows)).map(({ n }) => n)).toEqual([2, 3, 4]);
    await ending;
    expect(await failure(pool.iterate('select 1').next())).toMatchObject({ code: 'ERR_POOL_CLOSED' });
  });

  it('refuses a batch size that is none', () => {
    const { pool } = makePool();
    for (const batchSize of [0, -1, 1.5, Number.NaN, 2 ** 31]) {
      expect(thrown(() => pool.iterate('select 1', [], { batchSize })).message).toBe(
        `batchSize must be a whole number from 1 to 2147483647, got ${batchSize}. See ERR_POOL_INVALID_OPTION.`,
      );
    }
  });
});

describe('an abort of pool.iterate', () => {
  const reason = new Error('enough rows');

  it('cancels what the server is at', async () => {
    const { pool } = makePool();
    const controller = new AbortController();
    const reading = failure(all(pool.iterate('select pg_sleep(3608)', [], { signal: controller.signal })));
    await until(pool, () => pool.stats().leased === 1);
    for (let rows: unknown[] = []; rows.length === 0; ) {
      rows = await database.query(
        "select 1 from pg_stat_activity where datname = current_database() and query = 'select pg_sleep(3608)' and state = 'active'",
      );
    }
    controller.abort(reason);
    const error = await reading;
    expect(error).toBeInstanceOf(QueryAbortedError);
    expect(error).toMatchObject({ statement: 'cancelled', cause: reason });
    expect((await pool.query('select 1 as a')).rows).toEqual([{ a: 1 }]);
    expect(pool.stats()).toMatchObject({ total: 1, idle: 1 });
  });

  it('ends it between two batches, and the server hears of it at once', async () => {
    const { pool } = makePool();
    const controller = new AbortController();
    const rows = pool.iterate(numbers, [1000], { batchSize: 2, signal: controller.signal });
    await rows.next();
    controller.abort(reason);
    const waiting =
      "select 1 from pg_stat_activity where query like '%generate_series%' and state = 'idle' and datname = $1";
    for (let idle: unknown[] = []; idle.length === 0; ) idle = await database.query(waiting, [database.name]);
    expect(await failure(rows.next())).toMatchObject({ statement: 'stopped', cause: reason });
    expect(pool.stats()).toMatchObject({ total: 1, idle: 1 });
    expect((await pool.query('select 1 as a')).rows).toEqual([{ a: 1 }]);
  });

  it('at any moment leaves a connection that answers each question with its own answer', async () => {
    const { pool } = makePool();
    const ends = { done: 0, cancelled: 0, stopped: 0 };
    for (let round = 0; round < 120; round += 1) {
      const controller = new AbortController();
      const reading = all(
        pool.iterate('select pg_sleep(0.0005) from generate_series(1, 6)', [], {
          batchSize: 1 + (round % 3),
          signal: controller.signal,
        }),
      ).then(
        () => (ends.done += 1),
        (error: QueryAbortedError) => {
          expect(error.code).toBe('ERR_POOL_QUERY_ABORTED');
          ends[error.statement === 'stopped' ? 'stopped' : 'cancelled'] += 1;
        },
      );
      for (let turn = round % 40; turn > 0; turn -= 1) await new Promise((resolve) => setImmediate(resolve));
      controller.abort();
      await reading;
      const answers = [1, 2].map(async (n) => (await pool.query('select $1::int as a, $2::int as b', [n, round])).rows);
      expect(await Promise.all(answers)).toEqual([1, 2].map((a) => [{ a, b: round }]));
    }
    expect(ends.done + ends.cancelled + ends.stopped).toBe(120);
  });

  it('takes it out of the queue', async () => {
    const { pool } = makePool();
    const client = await pool.connect();
    const controller = new AbortController();
    const reading = failure(all(pool.iterate('select 1', [], { signal: controller.signal })));
    controller.abort(reason);
    expect(await reading).toMatchObject({ code: 'ERR_POOL_QUERY_ABORTED', statement: 'not-sent', cause: reason });
    client.release();
    const late = failure(all(pool.iterate({ text: 'select 1', signal: controller.signal })));
    expect(await late).toMatchObject({ statement: 'not-sent' });
  });
});

describe('tx.iterate', () => {
  it('lets other statements run in the transaction meanwhile', async () => {
    const { pool } = makePool();
    const sums = await pool.transaction(async (tx) => {
      const list: number[] = [];
      for await (const { n } of tx.iterate<{ n: number }>(numbers, [5], { batchSize: 2 })) {
        const { rows } = await tx.query<{ a: number }>('select $1::int * 10 as a', [n]);
        list.push(rows[0]?.a ?? 0);
      }
      return list;
    });
    expect(sums).toEqual([10, 20, 30, 40, 50]);
  });

  it('closes its cursor however the loop ends, and runs beside another', async () => {
    const { pool } = makePool();
    await pool.transaction(async (tx) => {
      for await (const a of tx.iterate<{ n: number }>(numbers, [3], { batchSize: 1 })) {
        for await (const b of tx.iterate<{ n: number }>(numbers, [9], { batchSize: 1 })) if (b.n > a.n) break;
      }
      const { rows } = await tx.query('select name from pg_cursors where is_holdable or name like $1', ['thawpool%']);
      expect(rows).toEqual([]);
    });
  });

  it('fails in the middle, after which a savepoint can be gone back to', async () => {
    const { pool } = makePool();
    await pool.transaction(async (tx) => {
      const error = await failure(
        tx.transaction(async (inner) => {
          for await (const row of inner.iterate('select 1 / (2 - n) as a from generate_series(1, 3) n', [], {
            batchSize: 1,
          })) {
            expect(row.a).toBe(1);
          }
        }),
      );
      expect(error.code).toBe('22012');
      expect((await tx.query('select 1 as a')).rows).toEqual([{ a: 1 }]);
    });
  });

  it('takes a named statement again and again', async () => {
    const { pool } = makePool();
    const statement = { name: 'numbers', text: numbers, values: [3] };
    await pool.transaction(async (tx) => {
      for (let round = 0; round < 3; round += 1) expect(await all(tx.iterate(statement))).toHaveLength(3);
    });
  });

  it('is stopped by its signal between two rows, and the transaction goes on', async () => {
    const { pool } = makePool();
    const reason = new Error('enough rows');
    const controller = new AbortController();
    await pool.transaction(async (tx) => {
      const rows = tx.iterate(numbers, [9], { batchSize: 3, signal: controller.signal });
      await rows.next();
      controller.abort(reason);
      expect(await failure(rows.next())).toMatchObject({ statement: 'stopped', cause: reason });
      expect((await tx.query('select 1 as a')).rows).toEqual([{ a: 1 }]);
      expect((await tx.query('select name from pg_cursors where name like $1', ['thawpool%'])).rows).toEqual([]);
    });
  });

  it('is over with its transaction', async () => {
    const { pool } = makePool();
    const rows = await pool.transaction(async (tx) => {
      const reading = tx.iterate(numbers, [10], { batchSize: 1 });
      await reading.next();
      return reading;
    });
    expect((await failure(rows.next())).code).toBe('ERR_POOL_TRANSACTION_ENDED');
  });
});
