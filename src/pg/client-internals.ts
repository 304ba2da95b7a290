// What pg keeps on a client and its types do not name (pg 8.23, lib/client.js). All of it may be missing in pg-native.

import type pg from 'pg';

/** A client beyond its documented surface. */
export interface ClientInternals {
  readonly readyForQuery?: boolean;
  readonly _queryable?: boolean;
  readonly _ending?: boolean;
  readonly _activeQuery?: PendingQuery | null;
  readonly _queryQueue?: PendingQuery[];
  /** What a pipelining client has sent behind the active one. */
  readonly _sentQueryQueue?: PendingQuery[];
  readonly pipeline?: boolean;
  readonly binary?: boolean;
  readonly connection?: pg.Connection;
  readonly connectionParameters?: { readonly query_timeout?: unknown };
  readonly processID?: number | null;
  readonly secretKey?: number | null;
}

/** A query that has not been answered. */
export interface PendingQuery {
  text?: string;
  /** Set once it is to end before its time: nothing of it is sent any more. */
  stopped?: boolean;
  handleError(error: unknown, connection: unknown): void;
}
