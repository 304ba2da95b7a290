// What pg keeps on a client and its types do not name (pg 8.23, lib/client.js). All of it may be missing in pg-native.

import type pg from 'pg';

/** A client beyond its documented surface. */
export interface ClientInternals {
  readonly readyForQuery?: boolean;
  readonly _queryable?: boolean;
  readonly _ending?: boolean;
  readonly _activeQuery?: PendingQuery | null;
  readonly _queryQueue?: PendingQuery[];
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
  handleError(error: unknown, connection: unknown): void;
}
