// A round trip that runs no SQL: a bare Sync, answered by ReadyForQuery (PostgreSQL documentation, 54.2.4).

import type pg from 'pg';

/** A query as pg's queue takes it: it writes what it likes and hears how that was answered. */
interface SyncPing {
  callback: (error?: Error | null) => void;
  submit(connection: pg.Connection): void;
  handleReadyForQuery(): void;
  handleError(error: Error): void;
}

/** Makes a ping, which tells `done` how it was answered. */
export function syncPing(done: (error?: Error | null) => void): pg.Submittable {
  const ping: SyncPing = {
    callback: done,
    submit: (connection) => connection.sync(),
    // By way of the callback: pg has its `query_timeout` ended by that.
    handleReadyForQuery: () => ping.callback(),
    handleError: (error) => ping.callback(error),
  };
  return ping;
}
