// Several statements in one round trip, with bound parameters: one Sync behind all of them (PostgreSQL documentation,
// 54.2.3 Extended Query). Nothing is named, so that it may pass a pooler.

import type pg from 'pg';

/** A statement and what is bound to `$1`, `$2`, …. */
export interface BatchedStatement {
  readonly text: string;
  readonly values: readonly string[];
}

/** A query as pg's queue takes it: it writes what it likes and hears how that was answered. */
interface Batch {
  /** What it is known by while it runs. */
  readonly text: string;
  /** pg's to set: it leaves one that is there already. */
  callback?: (error?: Error | null) => void;
  submit(connection: pg.Connection): void;
  handleReadyForQuery(): void;
  handleError(error: Error): void;
  handleDataRow(): void;
  handleCommandComplete(): void;
}

/**
 * Makes a query out of several statements, for pg's `query(batch, callback)`. What they return is not kept. The first
 * that fails is the error; those behind it are not run.
 */
export function batchOf(statements: readonly BatchedStatement[]): pg.Submittable {
  const batch: Batch = {
    text: statements.map(({ text }) => text).join('; '),
    submit(connection) {
      const { stream } = connection;
      // One segment: otherwise each message is a write of its own.
      stream.cork();
      for (const { text, values } of statements) {
        // Their second parameter is one of pg 7's, which its types still ask for.
        connection.parse({ name: '', text, types: [] }, true);
        connection.bind({ values: [...values] }, true);
        connection.execute({}, true);
      }
      connection.sync();
      stream.uncork();
    },
    handleReadyForQuery: () => batch.callback?.(),
    handleError: (error) => batch.callback?.(error),
    handleDataRow: () => {},
    handleCommandComplete: () => {},
  };
  return batch;
}
