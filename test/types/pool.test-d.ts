// The pool itself: a pg.Pool with more.

import pg from 'pg';
import {
  AcquireError,
  type CreatePoolOptions,
  createPool,
  getPool,
  type PgClient,
  type PgLease,
  PgPool,
  PoolError,
  type PoolEvent,
  type PoolStats,
  type QueryAbortedError,
  type Transaction,
} from 'thawpool';
import { describe, expectTypeOf, it } from 'vitest';

declare const db: PgPool;

describe('a PgPool', () => {
  it('goes wherever a pg.Pool goes: pins an override whose overloads no longer match', () => {
    const takesPool = (pool: pg.Pool): pg.Pool => pool;
    takesPool(db);
    expectTypeOf(db).toExtend<pg.Pool>();
    expectTypeOf<PgPool>().toExtend<Pick<pg.Pool, 'query' | 'connect' | 'end' | 'on' | 'totalCount'>>();
    expectTypeOf(createPool()).toEqualTypeOf<PgPool>();
    expectTypeOf(getPool()).toEqualTypeOf<PgPool>();
  });

  it('has the row’s type from query<Row>(): pins rows that were any whatever was said', () => {
    interface Row {
      id: number;
      note: string | null;
    }
    expectTypeOf(db.query<Row>('select 1')).resolves.toEqualTypeOf<pg.QueryResult<Row>>();
    expectTypeOf(db.query<Row>('select $1', [1])).resolves.toEqualTypeOf<pg.QueryResult<Row>>();
    expectTypeOf(db.query<Row>({ text: 'select $1', values: [1] })).resolves.toEqualTypeOf<pg.QueryResult<Row>>();
    expectTypeOf(db.query<[number, string]>({ text: 'select', rowMode: 'array' })).resolves.toEqualTypeOf<
      pg.QueryArrayResult<[number, string]>
    >();
    db.query<Row>('select 1', (error, result) => {
      expectTypeOf(error).toEqualTypeOf<Error>();
      expectTypeOf(result.rows).toEqualTypeOf<Row[]>();
    });
    expectTypeOf(db.query(new pg.Query('select 1'))).toEqualTypeOf<pg.Query>();
  });

  it('has pg’s events typed: pins listeners that took any', () => {
    db.on('connect', (client) => expectTypeOf(client).toEqualTypeOf<pg.PoolClient>());
    db.on('error', (error, client) => {
      expectTypeOf(error).toEqualTypeOf<Error>();
      expectTypeOf(client).toEqualTypeOf<pg.PoolClient>();
    });
  });

  it('lends a client by promise, by callback, as a lease: pins three ways that disagreed', () => {
    expectTypeOf(db.connect()).resolves.toEqualTypeOf<PgClient>();
    expectTypeOf(db.connect()).resolves.toExtend<pg.PoolClient>();
    expectTypeOf(db.connect({ signal: AbortSignal.timeout(1) })).resolves.toEqualTypeOf<PgClient>();
    db.connect((error, client, done) => {
      expectTypeOf(error).toEqualTypeOf<Error | undefined>();
      expectTypeOf(client).toEqualTypeOf<PgClient | undefined>();
      done(true);
    });
    expectTypeOf(db.acquire()).resolves.toEqualTypeOf<PgLease>();
    expectTypeOf<PgLease>().toExtend<AsyncDisposable & Disposable>();
    expectTypeOf<PgLease['client']>().toEqualTypeOf<PgClient>();
    expectTypeOf(db.use(() => 'x' as const)).resolves.toEqualTypeOf<'x'>();
    expectTypeOf(db.use(async (client) => client.query('x'))).resolves.toEqualTypeOf<pg.QueryResult>();
  });

  it('returns from transaction what fn returns: pins unknown, and Promise<Promise<…>>', () => {
    expectTypeOf(db.transaction(() => 1)).resolves.toEqualTypeOf<number>();
    expectTypeOf(db.transaction(async () => 'x')).resolves.toEqualTypeOf<string>();
    expectTypeOf(
      db.transaction({ isolationLevel: 'serializable' }, async (tx) => tx.transaction(() => true)),
    ).resolves.toEqualTypeOf<boolean>();
    void db.transaction(async (tx) => {
      expectTypeOf(tx).toEqualTypeOf<Transaction>();
      expectTypeOf(tx.query<{ a: number }>('x')).resolves.toEqualTypeOf<pg.QueryResult<{ a: number }>>();
    });
  });

  it('takes a signal wherever a statement is sent: pins a config whose signal was an unknown property', () => {
    const { signal } = new AbortController();
    expectTypeOf(db.query<{ a: number }>({ text: 'x', values: [1], signal })).resolves.toEqualTypeOf<
      pg.QueryResult<{ a: number }>
    >();
    void db.use((client) => client.query<{ a: number }>({ text: 'x', signal }), { signal });
    void db.transaction({ signal }, async (tx) => {
      expectTypeOf(tx.query<{ a: number }>({ text: 'x', signal })).resolves.toEqualTypeOf<
        pg.QueryResult<{ a: number }>
      >();
    });
    // @ts-expect-error -- a controller is no signal
    void db.query({ text: 'x', signal: new AbortController() });
    expectTypeOf<QueryAbortedError['statement']>().toEqualTypeOf<'not-sent' | 'cancelled' | 'stopped' | 'unknown'>();
  });

  it('iterates over rows of the type that was asked for: pins rows that were any', () => {
    const rows = db.iterate<{ a: number }>('x', [1], { batchSize: 10, signal: AbortSignal.timeout(1) });
    expectTypeOf(rows).toExtend<AsyncIterable<{ a: number }>>();
    void db.transaction((tx) => {
      expectTypeOf(tx.iterate<{ a: string }>({ text: 'x' }).next()).resolves.toEqualTypeOf<
        IteratorResult<{ a: string }, void>
      >();
    });
    // @ts-expect-error -- a transaction has its connection already
    void db.transaction((tx) => void tx.iterate('x', [], { timeoutMillis: 1 }));
  });

  it('is ended by its block: pins a pool that `await using` refused', () => {
    expectTypeOf<PgPool>().toExtend<AsyncDisposable>();
  });

  it('tells its numbers and events: pins stats that were any', () => {
    expectTypeOf(db.stats()).toEqualTypeOf<PoolStats>();
    expectTypeOf(db.observe).parameter(0).parameter(0).toEqualTypeOf<PoolEvent>();
  });

  it('refuses misuse', () => {
    // @ts-expect-error -- there is no such isolation level
    void db.transaction({ isolationLevel: 'chaos' }, () => 1);
    // @ts-expect-error -- options alone are no transaction
    void db.transaction({ readOnly: true });
    // @ts-expect-error -- the function comes last
    void db.transaction(() => 1, { readOnly: true });
    // @ts-expect-error -- numbers are the pool's to tell, not to set
    db.stats().max = 5;
    // @ts-expect-error -- a lease has a client, it is none
    void db.acquire().then((lease) => lease.query('select 1'));
    // @ts-expect-error -- a pool is made by getPool() or createPool(), out of checked options
    void new PgPool({ max: 4 });
  });
});

describe('options', () => {
  it('are ours and those of pg’s Client: pins an Omit that took too much', () => {
    const options: CreatePoolOptions = {
      max: 2,
      host: 'localhost',
      password: async () => 'token',
      ssl: { ca: 'x' },
      statement_timeout: 1000,
      application_name: 'orders',
      connectionTimeoutMillis: 1000,
      maxLifetimeSeconds: 60,
    };
    createPool(options);
  });

  it('may be what was written for pg.Pool: pins options that no pg.PoolConfig fits', () => {
    const config = {
      host: 'localhost',
      max: 3,
      idleTimeoutMillis: 1000,
      connectionTimeoutMillis: 500,
    } satisfies pg.PoolConfig;
    createPool(config);
  });

  it('are refused when they are misspelt, or of the wrong kind', () => {
    // @ts-expect-error -- it is called maxIdle
    createPool({ maxidle: 1 });
    // @ts-expect-error -- durations are numbers, in milliseconds
    createPool({ acquireTimeoutMillis: '5s' });
    // @ts-expect-error -- reset is auto, always or never
    createPool({ reset: 'sometimes' });
  });
});

describe('errors', () => {
  it('are one family with a code: pins a code that was optional', () => {
    const error: unknown = undefined;
    if (error instanceof AcquireError) {
      expectTypeOf(error).toExtend<PoolError>();
      expectTypeOf(error.code).toBeString();
      expectTypeOf(error.phase).toBeString();
      expectTypeOf(error.stats).toEqualTypeOf<PoolStats>();
    }
    if (error instanceof PoolError) expectTypeOf(error.message).toBeString();
  });
});
