// pg's types that the rest of the package speaks of, so that no other folder imports pg; and what thawpool adds to them.
import type pg from 'pg';

/** What pg's `Client` takes. */
export type ClientConfig = pg.ClientConfig;
/** Something that makes a client as pg's `Client` does. */
export type ClientConstructor = new (config: pg.ClientConfig) => pg.Client;

/** pg's query config, and what a lent client takes besides. */
export interface PgClientQueryConfig<I = unknown[]> extends pg.QueryConfig<I> {
  /**
   * Ends the statement: before it is sent, nothing is sent; while it runs, the server is asked to cancel it. Where it
   * cannot be asked (RDS Proxy), or does not confirm in a second, the connection is closed. The error is a
   * `QueryAbortedError`; a statement that is done before the cancel reaches it answers as usual.
   */
  readonly signal?: AbortSignal | undefined;
}

/** pg's query config, and what `pool.query()` takes besides. */
export interface PgQueryConfig<I = unknown[]> extends PgClientQueryConfig<I> {
  /**
   * Running it twice does no harm: it is sent again when the connection was lost before its result came, instead of
   * failing with `AmbiguousResultError`.
   *
   * @default false
   */
  readonly idempotent?: boolean;
}

/** pg's own default for a row whose shape was not given. */
// oxlint-disable-next-line typescript/no-explicit-any -- as pg's types have it
export type Row = any;

/** pg's `query`, and what thawpool adds to its config. */
export type PgClientQuery = pg.ClientBase['query'] &
  (<R extends pg.QueryResultRow = Row, I = unknown[]>(config: PgClientQueryConfig<I>) => Promise<pg.QueryResult<R>>);

/** A lent client: pg's own, whose statements take a `signal`. */
export interface PgClient extends pg.PoolClient {
  query: PgClientQuery;
}
