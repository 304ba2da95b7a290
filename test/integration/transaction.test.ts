import { PoolError, type Transaction } from 'thawpool';
import { beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { deferred } from '../support/deferred.ts';
import { failure, useDatabase, usePools } from './support.ts';

const database = useDatabase();
const makePool = usePools(() => ({ connectionString: database.connectionString }));

const ended =
  'This transaction has ended: nothing more can run in it. Await every statement before the function given to transaction() returns. See ERR_POOL_TRANSACTION_ENDED.';
const aborted =
  'Nothing was committed: a statement of the transaction had failed and its error was caught, so PostgreSQL rolled everything back at COMMIT. Let the error out, or run that part in a nested tx.transaction(). See ERR_POOL_TRANSACTION_ABORTED.';

beforeAll(() => database.query('create table notes (note text unique deferrable initially immediate)'));
beforeEach(() => database.query('truncate notes'));

const add = (tx: Pick<Transaction, 'query'>, note: string) => tx.query('insert into notes values ($1)', [note]);
const notes = async () =>
  (await database.query<{ note: string }>('select note from notes order by note')).map((row) => row.note);

describe('a transaction', () => {
  it('commits what fn did and returns what fn returned', async () => {
    const { pool } = makePool();
    const answer = await pool.transaction(async (tx) => {
      await add(tx, 'kept');
      expect(await notes()).toEqual([]);
      return 42;
    });
    expect(answer).toBe(42);
    expect(await notes()).toEqual(['kept']);
    expect(pool.stats()).toMatchObject({ created: 1, idle: 1, leased: 0 });
  });

  it('takes a function that is not async', async () => {
    const { pool } = makePool();
    expect(await pool.transaction(() => 'plain')).toBe('plain');
  });

  it.each<[string, (error: Error) => Promise<never>]>([
    ['rejects', (error) => Promise.reject(error)],
    [
      'throws',
      (error) => {
        throw error;
      },
    ],
  ])('rolls back when fn %s, and throws the same error', async (_, fail) => {
    const { pool, warnings } = makePool();
    const error = new Error('of the function');
    const thrown = await failure(
      pool.transaction(async (tx) => {
        await add(tx, 'undone');
        return fail(error);
      }),
    );
    expect(thrown).toBe(error);
    expect(await notes()).toEqual([]);
    expect(pool.stats()).toMatchObject({ created: 1, idle: 1 });
    expect(warnings).toEqual([]);
  });

  it('says that nothing was committed when fn has swallowed an error', async () => {
    const { pool } = makePool();
    const error = await failure(
      pool.transaction(async (tx) => {
        await add(tx, 'lost');
        await failure(tx.query('select nothing_there'));
        return 'all is well';
      }),
    );
    expect(error).toBeInstanceOf(PoolError);
    expect(error).toMatchObject({ code: 'ERR_POOL_TRANSACTION_ABORTED', message: aborted });
    expect(await notes()).toEqual([]);
    expect(pool.stats()).toMatchObject({ created: 1, idle: 1 });
  });

  it('passes on what COMMIT itself is refused with', async () => {
    const { pool } = makePool();
    await add(pool, 'there already');
    const error = await failure(
      pool.transaction(async (tx) => {
        await tx.query('set constraints all deferred');
        await add(tx, 'there already');
      }),
    );
    expect(error.code).toBe('23505');
    expect(await notes()).toEqual(['there already']);
    await pool.query('select 1');
    expect(pool.stats()).toMatchObject({ created: 1, idle: 1 });
  });

  it.each([
    ['read committed', { isolationLevel: 'read committed' }, ['read committed', 'off', 'off']],
    ['repeatable read', { isolationLevel: 'repeatable read' }, ['repeatable read', 'off', 'off']],
    ['serializable', { isolationLevel: 'serializable' }, ['serializable', 'off', 'off']],
    ['read only', { readOnly: true }, ['read committed', 'on', 'off']],
    ['everything', { isolationLevel: 'serializable', readOnly: true, deferrable: true }, ['serializable', 'on', 'on']],
    ['nothing', { readOnly: false, deferrable: false }, ['read committed', 'off', 'off']],
  ] as const)('is on the server what was asked for: %s', async (_, options, expected) => {
    const { pool } = makePool();
    const shown = await pool.transaction(options, async (tx) => {
      const settings = ['transaction_isolation', 'transaction_read_only', 'transaction_deferrable'];
      const answers = [];
      for (const name of settings)
        answers.push((await tx.query<Record<string, string>>(`show ${name}`)).rows[0]?.[name]);
      return answers;
    });
    expect(shown).toEqual(expected);
  });

  it('has a read-only one refuse to write, and the next one not', async () => {
    const { pool } = makePool({ max: 1 });
    expect((await failure(pool.transaction({ readOnly: true }, (tx) => add(tx, 'no')))).code).toBe('25006');
    await pool.transaction((tx) => add(tx, 'yes'));
    expect(await notes()).toEqual(['yes']);
  });

  it.each(['chaos', 'toString', 'read committed; drop table notes'])(
    'refuses the isolation level "%s"',
    async (level) => {
      const { pool } = makePool();
      const error = await failure(pool.transaction({ isolationLevel: level as never }, () => 1));
      expect(error).toMatchObject({
        code: 'ERR_POOL_INVALID_OPTION',
        message: `isolationLevel must be one of read committed, repeatable read, serializable, got "${level}". See ERR_POOL_INVALID_OPTION.`,
      });
      expect(pool.stats().leased).toBe(0);
      await pool.query('select 1');
    },
  );

  it.each<[string, unknown[]]>([
    ['nothing', []],
    ['options alone', [{ readOnly: true }]],
    ['options behind fn', [() => 1, { readOnly: true }]],
    ['something else', ['begin']],
  ])('refuses %s instead of options and a function', async (_, args) => {
    const { pool } = makePool();
    const error = await failure((pool.transaction as (...all: unknown[]) => Promise<unknown>).apply(pool, args));
    expect(error).toBeInstanceOf(TypeError);
    expect(error.message).toBe('transaction() takes a function, after its options if there are any');
    expect(pool.stats().acquired).toBe(0);
  });

  it('runs nothing after its end: promise, callback, nested', async () => {
    const { pool } = makePool({ max: 1 });
    let kept: Transaction | undefined;
    await pool.transaction((tx) => {
      kept = tx;
    });
    const tx = kept as Transaction;
    expect(await failure(tx.query('select 1'))).toMatchObject({ code: 'ERR_POOL_TRANSACTION_ENDED', message: ended });
    expect(await failure(tx.transaction(() => 1))).toMatchObject({ code: 'ERR_POOL_TRANSACTION_ENDED' });
    const called = deferred<unknown>();
    tx.query('select 1', (error) => called.resolve(error));
    expect(await called.promise).toMatchObject({ code: 'ERR_POOL_TRANSACTION_ENDED', message: ended });
    expect(pool.stats()).toMatchObject({ idle: 1, leased: 0 });
  });

  it('takes the forms of query that a client takes', async () => {
    const { pool } = makePool();
    await pool.transaction(async (tx) => {
      expect((await tx.query({ text: 'select $1::int as x', values: [1], rowMode: 'array' })).rows).toEqual([[1]]);
      const called = deferred<unknown>();
      tx.query('select 2 as two', (_, result) => called.resolve(result.rows));
      expect(await called.promise).toEqual([{ two: 2 }]);
    });
  });

  it('fails with its connection, which is rolled back and not used again', async () => {
    const { pool } = makePool({ max: 1 });
    const error = await failure(
      pool.transaction(async (tx) => {
        await add(tx, 'lost');
        const { rows } = await tx.query<{ pid: number }>('select pg_backend_pid() as pid');
        await database.terminate(rows[0]?.pid as number);
        await add(tx, 'never sent');
      }),
    );
    // Sent or not, depending on whether the end had arrived: the driver's words differ.
    expect(String(error)).toMatch(/terminat|not queryable|ECONNRESET/);
    expect(await notes()).toEqual([]);
    expect((await pool.query('select 1 as one')).rows).toEqual([{ one: 1 }]);
    expect(pool.stats()).toMatchObject({ created: 2, idle: 1 });
  });

  it('respects the limits of its acquire', async () => {
    const { pool } = makePool({ max: 1 });
    const client = await pool.connect();
    const error = await failure(pool.transaction({ timeoutMillis: 10, readOnly: true }, () => 1));
    expect(error.code).toBe('ERR_POOL_ACQUIRE_TIMEOUT');
    const signal = AbortSignal.abort(new Error('not now'));
    expect((await failure(pool.transaction({ signal }, () => 1))).code).toBe('ERR_POOL_ACQUIRE_ABORTED');
    client.release();
  });
});

describe('a nested transaction', () => {
  it('undoes only its own part when it throws', async () => {
    const { pool } = makePool({ max: 1 });
    await pool.transaction(async (tx) => {
      await add(tx, 'a');
      const error = await failure(
        tx.transaction(async (inner) => {
          await add(inner, 'b');
          await inner.query('select nothing_there');
        }),
      );
      expect(error.code).toBe('42703');
      await tx.transaction((inner) => add(inner, 'c'));
      await add(tx, 'd');
    });
    expect(await notes()).toEqual(['a', 'c', 'd']);
  });

  it('nests further, and returns what fn returned', async () => {
    const { pool } = makePool({ max: 1 });
    const answer = await pool.transaction((tx) =>
      tx.transaction(async (inner) => {
        await add(inner, 'inner');
        await failure(
          inner.transaction(async (innermost) => {
            await add(innermost, 'innermost');
            throw new Error('undo');
          }),
        );
        return inner.transaction(() => 'answer');
      }),
    );
    expect(answer).toBe('answer');
    expect(await notes()).toEqual(['inner']);
  });

  it('is undone with the outer one', async () => {
    const { pool } = makePool();
    await failure(
      pool.transaction(async (tx) => {
        await tx.transaction((inner) => add(inner, 'inner'));
        throw new Error('undo');
      }),
    );
    expect(await notes()).toEqual([]);
  });

  it('runs after the one before when several are started at once', async () => {
    const { pool } = makePool({ max: 1 });
    const order: string[] = [];
    const results = await pool.transaction((tx) =>
      Promise.allSettled(
        ['a', 'b', 'c'].map((name) =>
          tx.transaction(async (inner) => {
            order.push(`${name} begins`);
            await add(inner, name);
            if (name === 'b') throw new Error('undo b');
            order.push(`${name} ends`);
            return name;
          }),
        ),
      ),
    );
    expect(results.map((result) => result.status)).toEqual(['fulfilled', 'rejected', 'fulfilled']);
    expect(order).toEqual(['a begins', 'a ends', 'b begins', 'c begins', 'c ends']);
    expect(await notes()).toEqual(['a', 'c']);
  });

  it('says that it was rolled back when fn has swallowed an error', async () => {
    const { pool } = makePool();
    await pool.transaction(async (tx) => {
      const error = await failure(
        tx.transaction(async (inner) => {
          await add(inner, 'lost');
          await failure(inner.query('select nothing_there'));
        }),
      );
      expect(error).toMatchObject({
        code: 'ERR_POOL_TRANSACTION_ABORTED',
        message:
          'The nested transaction was rolled back: a statement of it had failed and its error was caught, after which PostgreSQL runs nothing more in it. Let the error out of the nested transaction and catch it there. See ERR_POOL_TRANSACTION_ABORTED.',
        cause: { code: '25P02' },
      });
      await add(tx, 'kept');
    });
    expect(await notes()).toEqual(['kept']);
  });

  it('does not wait for itself when it is begun from the outer transaction’s handle', async () => {
    const { pool } = makePool({ max: 1 });
    await pool.transaction(async (tx) => {
      await tx.transaction(async (inner) => {
        await tx.transaction((deeper) => add(deeper, 'through the outer handle'));
        await failure(
          tx.transaction(async (deeper) => {
            await add(deeper, 'undone');
            throw new Error('undo');
          }),
        );
        await add(inner, 'through the inner one');
      });
    });
    expect(await notes()).toEqual(['through the inner one', 'through the outer handle']);
  });

  it('runs nothing after its end, while the outer one goes on', async () => {
    const { pool } = makePool();
    await pool.transaction(async (tx) => {
      let kept: Transaction | undefined;
      await tx.transaction((inner) => {
        kept = inner;
      });
      expect(await failure((kept as Transaction).query('select 1'))).toMatchObject({
        code: 'ERR_POOL_TRANSACTION_ENDED',
      });
      await add(tx, 'goes on');
    });
    expect(await notes()).toEqual(['goes on']);
  });

  it('is waited for when fn forgets to', async () => {
    const { pool } = makePool();
    await pool.transaction((tx) => {
      void tx.transaction((inner) => add(inner, 'forgotten'));
    });
    expect(await notes()).toEqual(['forgotten']);
  });
});
