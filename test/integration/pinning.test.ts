// Statements that would pin an RDS Proxy session: every way in which one can be sent is seen, and none of the pool's own
// is taken for one.

import { EventEmitter } from 'node:events';
import pg from 'pg';
import type { PgPool, Transaction } from 'thawpool';
import { expectNoPinning } from 'thawpool/testing';
import { afterAll, describe, expect, it } from 'vitest';
import { PinLinter } from '../../src/pg/pin-linter.ts';
import { Session } from '../../src/pg/session.ts';
import type { ProxyMessage } from '../lab/chaos-proxy.ts';
import { deferred } from '../support/deferred.ts';
import { failure, type TestPool, through, thrown, useDatabase, usePools, useProxy } from './support.ts';

const database = useDatabase();
const proxy = useProxy();
const makePool = usePools(() => ({ connectionString: database.connectionString, max: 1 }));

const pinning = 'listen orders';

/** As pg-cursor is, as far as pg is concerned: it submits itself, and there are no rows until somebody reads. */
class Cursor extends EventEmitter {
  readonly text: string;
  readonly done = deferred<unknown>();

  constructor(text: string) {
    super();
    this.text = text;
  }

  submit(connection: pg.Connection): void {
    connection.query(this.text);
  }
  handleError(error: unknown): void {
    this.done.resolve(error);
  }
  handleRowDescription(): void {}
  handleDataRow(): void {}
  handleCommandComplete(): void {}
  handleReadyForQuery(): void {
    this.done.resolve(undefined);
  }
}

/** As pg-query-stream is: the text is the cursor's. */
class Stream extends EventEmitter {
  readonly cursor: Cursor;
  readonly submit: Cursor['submit'];
  readonly handleError: Cursor['handleError'];
  readonly handleRowDescription = (): void => {};
  readonly handleDataRow = (): void => {};
  readonly handleCommandComplete = (): void => {};
  readonly handleReadyForQuery: () => void;

  constructor(text: string) {
    super();
    this.cursor = new Cursor(text);
    this.submit = this.cursor.submit.bind(this.cursor);
    this.handleError = this.cursor.handleError.bind(this.cursor);
    this.handleReadyForQuery = this.cursor.handleReadyForQuery.bind(this.cursor);
  }
}

type Query = (...args: unknown[]) => unknown;

/** How `query` can be given a statement. @returns the error that the caller hears, in the caller's way */
const forms: Readonly<Record<string, (query: Query, text: string) => Promise<unknown>>> = {
  text: (query, text) => settled(query(text)),
  'text and values': (query, text) => settled(query(text, [])),
  config: (query, text) => settled(query({ text })),
  'config with a name': (query, text) => settled(query({ name: 'named', text })),
  callback: (query, text) => new Promise((resolve) => void query(text, resolve)),
  'values and a callback': (query, text) => new Promise((resolve) => void query(text, [], resolve)),
};

const submittables: Readonly<Record<string, (query: Query, text: string) => Promise<unknown>>> = {
  "pg's own Query": (query, text) => new Promise((resolve) => void query(new pg.Query(text, undefined, resolve))),
  'Query that emits': (query, text) =>
    new Promise((resolve) => {
      const emitting = new pg.Query(text) as unknown as EventEmitter;
      emitting.on('error', resolve).on('end', () => resolve(undefined));
      query(emitting);
    }),
  cursor(query, text) {
    const cursor = new Cursor(text);
    query(cursor);
    return cursor.done.promise;
  },
  stream(query, text) {
    const stream = new Stream(text);
    query(stream);
    return stream.cursor.done.promise;
  },
};

async function settled(result: unknown): Promise<unknown> {
  try {
    await result;
    return undefined;
  } catch (error) {
    return error;
  }
}

/** Where a `query` can be had. */
const doors: Readonly<Record<string, (pool: PgPool, use: (query: Query) => Promise<unknown>) => Promise<unknown>>> = {
  'pool.query': (pool, use) => use(pool.query.bind(pool)),
  async 'client.query'(pool, use) {
    const client = await pool.connect();
    try {
      return await use(client.query.bind(client));
    } finally {
      client.release();
    }
  },
  'use(fn)': (pool, use) => pool.use((client) => use(client.query.bind(client))),
  'tx.query': (pool, use) => pool.transaction((tx) => use(tx.query as Query)),
  'nested tx.query': (pool, use) => pool.transaction((tx) => tx.transaction((nested) => use(nested.query as Query))),
};

const ways = Object.keys(doors).flatMap((door) =>
  // pool.query() of a submittable never gives its connection back, here as in pg.
  [...Object.keys(forms), ...(door === 'pool.query' ? [] : Object.keys(submittables))].map((form) => [door, form]),
) as [string, string][];

const send = ({ pool }: Pick<TestPool, 'pool'>, door: string, form: string, text: string): Promise<unknown> => {
  const way = { ...forms, ...submittables }[form] ?? expect.fail();
  return (doors[door] ?? expect.fail())(pool, (query) => way(query, text));
};

const pinsOf = ({ events }: TestPool): unknown[] =>
  events.flatMap((event) => (event.type === 'noted' && event.what === 'pin' ? event.detail : []));

describe.each(ways)('a statement sent by %s as %s', (door, form) => {
  it("is refused by 'error', and the connection stays fit", async () => {
    const made = makePool({ pinning: 'error' });
    const error = await send(made, door, form, pinning);
    expect(error).toMatchObject({ name: 'PoolError', code: 'ERR_POOL_PINNED' });
    expect(pinsOf(made)).toEqual([]);
    expect(await send(made, door, form, 'select 1')).toBeFalsy();
    expect(made.pool.stats()).toMatchObject({ created: 1, idle: 1, leased: 0 });
    expect(made.warnings).toEqual([]);
  });

  it("is named once by 'warn', and sent", async () => {
    const made = makePool({ pinning: 'warn' });
    for (let time = 0; time < 2; time += 1) expect(await send(made, door, form, pinning)).toBeFalsy();
    expect(made.warnings).toEqual([
      expect.stringMatching(
        /^A statement pins its session behind RDS Proxy: "listen orders"\. LISTEN .* See ERR_POOL_PINNED\.$/,
      ),
    ]);
    expect(pinsOf(made)).toEqual(['listen', 'listen']);
  });
});

describe("the mode 'count'", () => {
  it('sends the statement and says no word', async () => {
    const made = makePool({ pinning: 'count' });
    await made.pool.query("select set_config('app.tenant', 'a', true)");
    await made.pool.query('listen orders');
    expect(pinsOf(made)).toEqual(['transaction-setting', 'listen']);
    expect(made.warnings).toEqual([]);
  });
});

describe("the mode 'off'", () => {
  it.each([undefined, 'off'] as const)('is there where %s was asked for on a direct route', async (mode) => {
    const made = makePool(mode === undefined ? {} : { pinning: mode });
    await made.pool.query('listen orders');
    expect(pinsOf(made)).toEqual([]);
    expect(made.warnings).toEqual([]);
  });
});

describe('what the pool itself sends', () => {
  it('does not count, though it cleans, pings, rolls back and sets', async () => {
    const made = makePool({ pinning: 'warn', reset: 'always', validateAfterIdleMillis: 0 });
    const { pool, warnings } = made;
    await pool.transaction({ isolationLevel: 'serializable', readOnly: true }, (tx) =>
      tx.transaction(() => tx.query('select 1')).catch(() => {}),
    );
    await pool.transaction((tx) => tx.transaction(() => Promise.reject(new Error('undo')))).catch(() => {});
    const client = await pool.connect();
    await client.query('begin');
    client.release();
    await pool.query('select 1');
    expect(pinsOf(made)).toEqual([]);
    expect(warnings).toEqual([expect.stringContaining('released with an open transaction')]);
  });

  it('counts the settings of a transaction, of which AWS does not say whether they pin, and refuses none', async () => {
    const made = makePool({ pinning: 'error' });
    await made.pool.transaction({ settings: { 'app.a': 1, 'app.b': 2 } }, (tx) => tx.query('select 1'));
    expect(pinsOf(made)).toEqual(['transaction-setting']);
  });

  it('holds nothing that pins, on a route through a pooler', async () => {
    const { pool } = makePool({
      connectionString: through(proxy().port, database.connectionString),
      route: 'pgbouncer',
      pinning: 'off',
    });
    const sent: string[] = [];
    proxy().onMessage(({ direction, name, text }: ProxyMessage) => {
      if (direction === 'toServer' && (name === 'Query' || name === 'Parse')) sent.push(`${name} ${text}`);
      return undefined;
    });
    const nested = async (tx: Transaction): Promise<void> => {
      await tx.transaction((inner) => inner.query({ name: 'named', text: 'select 1' }));
      await tx.transaction(() => Promise.reject(new Error('undo'))).catch(() => {});
    };
    await pool.transaction({ isolationLevel: 'serializable', readOnly: true }, nested);
    await pool.transaction(() => Promise.reject(new Error('undo'))).catch(() => {});
    const client = await pool.connect();
    await client.query('begin');
    client.release();
    await pool.query({ name: 'named', text: 'select 2', values: [] });
    expect(sent.length).toBeGreaterThan(10);
    expect(
      sent.filter((text) => /\b(?:set|reset|discard|deallocate|listen|unlisten|close|do)\b|set_config/i.test(text)),
    ).toEqual([]);
    expect(sent.filter((text) => text.includes('named'))).toEqual([]);
  });
});

describe('a session', () => {
  const clients: pg.Client[] = [];
  afterAll(() => Promise.all(clients.map((client) => client.end())));

  async function connected(): Promise<pg.Client> {
    const client = new pg.Client({ connectionString: database.connectionString });
    clients.push(client);
    await client.connect();
    return client;
  }

  const prepared = async (session: Session): Promise<string[]> => {
    const { rows } = await session.client.query<{ name: string }>('select name from pg_prepared_statements');
    return rows.map(({ name }) => name);
  };

  it('keeps the names of statements unless told to drop them', async () => {
    const session = new Session(await connected());
    await session.client.query({ name: 'kept', text: 'select $1::int', values: [1] });
    await new Promise((resolve) => {
      session.client.query(new pg.Query({ name: 'kept-too', text: 'select $1::int' }, [1], resolve));
    });
    expect((await prepared(session)).toSorted()).toEqual(['kept', 'kept-too']);
  });

  it('drops them when told to, and the answers are the same', async () => {
    const session = new Session(await connected(), { dropNames: true });
    const config = Object.freeze({ name: 'dropped', text: 'select $1::int as n', values: [1] });
    for (let time = 0; time < 2; time += 1) expect((await session.client.query(config)).rows).toEqual([{ n: 1 }]);
    const { name: _, values: __, ...without } = config;
    const again = await session.client.query({ name: 'dropped', ...without }, [2]);
    expect(again.rows).toEqual([{ n: 2 }]);
    const answered = await new Promise((resolve) => {
      const query = new pg.Query({ name: 'dropped', text: 'select $1::int as n' }, [3], (_error, result) =>
        resolve(result),
      );
      session.client.query(query);
    });
    expect(answered).toMatchObject({ rows: [{ n: 3 }] });
    // Of one name, as no server takes them twice.
    expect((await session.client.query({ name: 'dropped', text: 'select 4 as n' })).rows).toEqual([{ n: 4 }]);
    expect(await prepared(session)).toEqual([]);
    expect(config.name).toBe('dropped');
  });

  it('lints what is sent before anybody has it, as by listeners of `connect`, and not what the pool sends', async () => {
    const linter = new PinLinter({ mode: 'error', onWarning: () => {}, onPin: () => {} });
    const session = new Session(await connected(), { dropNames: false, linter });
    expect(await settled(session.client.query('set application_name = x'))).toMatchObject({ code: 'ERR_POOL_PINNED' });
    await session.query(pinning);
  });
});

describe('expectNoPinning()', () => {
  it('returns what fn returns, which is given the pool', async () => {
    const { pool } = makePool();
    const rows = await expectNoPinning(pool, async (db) => {
      expect(db).toBe(pool);
      return (await db.query('select 1 as one')).rows;
    });
    expect(rows).toEqual([{ one: 1 }]);
    expect(await expectNoPinning(pool, () => 'plain')).toBe('plain');
  });

  it('names each statement that would pin: why, what to do, and where it is sent', async () => {
    const { pool } = makePool();
    const error = await failure(
      expectNoPinning(pool, async (db) => {
        async function sendsIt(): Promise<void> {
          for (let id = 0; id < 3; id += 1) await db.query(`select setval('orders_${id}', 1)`).catch(() => {});
        }
        await sendsIt();
        await db.transaction((tx) => tx.query('create temp table basket (id int) on commit drop; listen orders'));
        await db.query('select 1');
      }),
    );
    expect(error).toMatchObject({ name: 'PoolError', code: 'ERR_POOL_PINNED' });
    const [head, ...lines] = error.message.split('\n').map((line) => line.trim());
    expect(head).toBe('2 statements would pin the session behind RDS Proxy. See ERR_POOL_PINNED.');
    expect(lines).toEqual([
      expect.stringMatching(/^"select setval \( \? , \? \)"\. nextval\(\) and setval\(\) leave .* Make the column /),
      expect.stringMatching(/^at .*sendsIt .*pinning\.test\.ts/),
      expect.stringMatching(
        /^"create temp table .*"\. A temporary table.* Use a WITH query.* LISTEN registers .* Listen on/,
      ),
      expect.stringMatching(/^at .*pinning\.test\.ts/),
    ]);
  });

  it.each(['off', 'count', 'warn'] as const)("hears them whatever the pool's own mode: %s", async (mode) => {
    const { pool } = makePool({ pinning: mode });
    await expect(expectNoPinning(pool, (db) => db.query(pinning))).rejects.toThrow('A statement would pin the session');
  });

  it("names them all where the pool's own mode refuses the first", async () => {
    const { pool } = makePool({ pinning: 'error' });
    const error = await failure(
      expectNoPinning(pool, async (db) => {
        await db.query('listen a').catch(() => {});
        await db.query('listen b');
      }),
    );
    expect(error.message).toMatch(/^2 statements .*\n.*"listen a".*\n.*\n.*"listen b"/);
    expect(error.cause).toMatchObject({ code: 'ERR_POOL_PINNED' });
  });

  it.each(ways)('hears what %s is given as %s', async (door, form) => {
    const { pool } = makePool();
    await expect(expectNoPinning(pool, (db) => send({ pool: db }, door, form, pinning))).rejects.toThrow(
      'listen orders',
    );
  });

  it('lets through what AWS does not say to pin', async () => {
    const { pool } = makePool();
    const read = await expectNoPinning(pool, (db) =>
      db.transaction({ settings: { 'app.tenant': 'a' } }, async (tx) => {
        await tx.query('set local work_mem = 77');
        return (await tx.query("select current_setting('app.tenant') as tenant")).rows;
      }),
    );
    expect(read).toEqual([{ tenant: 'a' }]);
  });

  it('throws what fn throws', async () => {
    const { pool } = makePool();
    const error = new Error('of the function');
    expect(
      await failure(
        expectNoPinning(pool, async (db) => {
          await db.query(pinning);
          throw error;
        }),
      ),
    ).toBe(error);
  });

  it('hears what a listener of `connect` sends', async () => {
    const { pool } = makePool();
    const set = deferred();
    pool.on('connect', (client) => void client.query('set work_mem = 77').then(() => set.resolve(), set.reject));
    const error = await failure(
      expectNoPinning(pool, async (db) => {
        await db.query('select 1');
        await set.promise;
      }),
    );
    expect(error.message).toContain('"set work_mem = ?"');
  });

  it('hears the reader as well, and no other pool', async () => {
    const { connectionString } = database;
    const { host } = new URL(connectionString);
    const { pool } = makePool({ readerHost: host });
    const { pool: other } = makePool();
    expect(pool.reader).not.toBe(pool);
    const sends = (by: PgPool): Promise<unknown> => expectNoPinning(pool, () => by.query(pinning));
    await expect(sends(pool.reader)).rejects.toThrow('listen orders');
    expect(await sends(other)).toMatchObject({ command: 'LISTEN' });
  });

  it('tells the statements of one fn from those of another at the same time', async () => {
    const { pool } = makePool({ max: 2 });
    const [first, second] = [deferred(), deferred()];
    const guilty = failure(
      expectNoPinning(pool, async (db) => {
        await first.promise;
        await db.query(pinning);
        second.resolve();
      }),
    );
    const innocent = expectNoPinning(pool, async (db) => {
      first.resolve();
      await second.promise;
      return (await db.query('select 1 as one')).rows;
    });
    expect((await guilty).message).toContain('listen orders');
    expect(await innocent).toEqual([{ one: 1 }]);
  });

  it('counts for everybody what cannot be told to be of one', async () => {
    const { pool } = makePool({ max: 2 });
    const [asked, done] = [deferred(), deferred()];
    // Begun outside of both, as the work of a server is that is called over the network.
    const server = asked.promise.then(() => pool.query(pinning)).finally(() => done.resolve());
    const calls = [1, 2].map(() => failure(expectNoPinning(pool, () => done.promise)));
    asked.resolve();
    await server;
    for (const error of await Promise.all(calls)) expect(error.message).toContain('listen orders');
  });

  it('counts what one inside of another sends for both', async () => {
    const { pool } = makePool();
    let inner: Error | undefined;
    const outer = await failure(
      expectNoPinning(pool, async (db) => {
        inner = await failure(expectNoPinning(db, () => db.query(pinning)));
      }),
    );
    expect(inner?.message).toContain('listen orders');
    expect(outer.message).toContain('listen orders');
  });

  it('leaves nothing behind: neither a listener nor a refusal', async () => {
    const { pool } = makePool();
    const names = pool.eventNames();
    const { stackTraceLimit } = Error;
    await failure(expectNoPinning(pool, (db) => db.query(pinning)));
    await failure(expectNoPinning(pool, () => Promise.reject(new Error('of the function'))));
    expect(pool.eventNames()).toEqual(names);
    expect(Error.stackTraceLimit).toBe(stackTraceLimit);
    await pool.query(pinning);
    // Work that the first call has left behind is no longer its own.
    expect((await failure(expectNoPinning(pool, () => pool.query(pinning)))).message).toContain('listen orders');
  });

  it('refuses a pool that is not ours', async () => {
    const foreign = new pg.Pool() as PgPool;
    expect(await failure(expectNoPinning(foreign, () => 1))).toMatchObject({
      code: 'ERR_POOL_INVALID_OPTION',
      message:
        'expectNoPinning() takes a pool made by createPool() or getPool(), and this one was not. See ERR_POOL_INVALID_OPTION.',
    });
    await foreign.end();
  });
});

describe('the option', () => {
  it('takes four words', () => {
    expect(thrown(() => makePool({ pinning: 'loud' as 'warn' })).message).toMatch(/pinning|THAWPOOL_PINNING/);
  });
});
