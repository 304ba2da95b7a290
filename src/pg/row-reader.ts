// Rows a batch at a time, on a connection that does nothing else meanwhile: one portal, executed for so many rows at each
// turn, with no Sync before the end (PostgreSQL documentation, 54.2.3 Extended Query). It needs no transaction, and takes
// whatever returns rows.

import pg from 'pg';
import type { Session } from './session.ts';
import type { Row } from './types.ts';

/** pg's own, which its types name in part only (pg 8.23, lib/result.js). */
interface ResultInternals {
  addFields(fields: readonly pg.FieldDef[]): void;
  parseRow(fields: readonly unknown[]): Row;
}
const { Result } = pg as unknown as { readonly Result: new (rowMode: unknown, types: unknown) => ResultInternals };

/** What pg's `Query` hears from the connection (pg 8.23, lib/query.js). */
interface QueryHandlers {
  handleRowDescription(message: { readonly fields: readonly pg.FieldDef[] }): void;
  handleDataRow(message: { readonly fields: readonly unknown[] }): void;
  handlePortalSuspended(connection: pg.Connection): void;
  handleCommandComplete(message: unknown, connection: unknown): void;
  handleEmptyQuery(connection: unknown): void;
  handleError(error: unknown, connection: unknown): void;
}

/** What the driver's connection can do and its types do not name, or name with parameters of pg 7's. */
interface Connection {
  readonly stream: { cork(): void; uncork(): void };
  execute(config: { readonly rows?: number }): void;
  close(target: { readonly type: 'P'; readonly name: string }): void;
  flush(): void;
  sync(): void;
}

/** How a statement's rows are read. */
export interface ReadOptions {
  readonly batchSize: number;
}

/** The rows of one statement. */
export class RowReader {
  readonly #batchSize: number;
  readonly #result: ResultInternals;
  #rows: Row[] = [];
  /** Set while the server waits to be asked for more. */
  #suspended: Connection | undefined;
  #over = false;
  #stopped = false;
  /** Sync was sent: one more, and everything that is answered from then on would be one answer behind. */
  #synced = false;
  #error: unknown;
  #turns: (() => void)[] = [];

  /** Sends the statement, and asks for the first batch. */
  constructor(session: Session, config: pg.QueryConfig & { readonly rowMode?: unknown }, { batchSize }: ReadOptions) {
    this.#batchSize = batchSize;
    const types = config.types ?? { getTypeParser: session.client.getTypeParser.bind(session.client) };
    this.#result = new Result(config.rowMode, types);
    const query = new pg.Query({ ...config, rows: batchSize } as pg.QueryConfig);
    const { handleError, handleCommandComplete, handleEmptyQuery } = query as unknown as QueryHandlers;
    Object.assign(query, {
      handleRowDescription: ({ fields }) => this.#result.addFields(fields),
      handleDataRow: ({ fields }) => this.#take(fields),
      handlePortalSuspended: (connection) => {
        this.#suspended = connection as unknown as Connection;
        this.#turn();
      },
      // pg sends Sync with these.
      handleCommandComplete: (message, connection) => {
        this.#synced = true;
        handleCommandComplete.call(query, message, connection);
      },
      handleEmptyQuery: (connection) => {
        this.#synced = true;
        handleEmptyQuery.call(query, connection);
      },
      handleError: (error, connection) => {
        // After an error the server passes over everything until a Sync. It is on its way where the error came of it: what
        // runs outside of a transaction is committed then.
        if (error instanceof pg.DatabaseError && !this.#synced) (connection as Connection).sync();
        this.#synced = true;
        handleError.call(query, error, connection);
      },
      // By way of the callback: pg has its `query_timeout` ended by that.
      callback: (error?: unknown) => {
        this.#over = true;
        this.#suspended = undefined;
        this.#error ??= error ?? undefined;
        this.#turn();
      },
    } satisfies QueryHandlers & { callback: unknown });
    const refused: unknown = session.send([query]);
    if (refused instanceof Promise) refused.catch(() => {});
  }

  /** Whether the server waits to be asked for more. */
  get waiting(): boolean {
    return this.#suspended !== undefined;
  }

  /** Whether nothing of it is under way any more. */
  get over(): boolean {
    return this.#over;
  }

  /** Whether it was ended before its last row. */
  get stopped(): boolean {
    return this.#stopped;
  }

  /** The rows that came next; none when there are no more. @throws what the statement failed with, or a row's parser */
  async next(): Promise<Row[]> {
    if (this.#rows.length === 0 && this.#suspended) this.#ask(this.#suspended);
    while (this.#rows.length === 0 || !this.#settled) {
      if (this.#error !== undefined) throw this.#error as Error;
      if (this.#over) return [];
      await this.#nextTurn();
    }
    const rows = this.#rows;
    this.#rows = [];
    return rows;
  }

  /**
   * Wants no more. Resolves when the connection is free for something else.
   *
   * @throws what the statement has failed with: outside of a transaction it is committed only now
   */
  async stop(): Promise<void> {
    while (!this.#over) {
      const connection = this.#suspended;
      if (connection) {
        this.#suspended = undefined;
        this.#stopped = true;
        this.#synced = true;
        connection.stream.cork();
        connection.close({ type: 'P', name: '' });
        connection.sync();
        connection.stream.uncork();
      }
      await this.#nextTurn();
    }
    if (this.#error !== undefined) throw this.#error as Error;
  }

  /** A batch is complete. */
  get #settled(): boolean {
    return this.#over || this.#suspended !== undefined;
  }

  #ask(connection: Connection): void {
    this.#suspended = undefined;
    connection.stream.cork();
    connection.execute({ rows: this.#batchSize });
    connection.flush();
    connection.stream.uncork();
  }

  #take(fields: readonly unknown[]): void {
    if (this.#error !== undefined) return;
    try {
      this.#rows.push(this.#result.parseRow(fields));
    } catch (error) {
      this.#error = error;
    }
  }

  #nextTurn(): Promise<void> {
    return new Promise((resolve) => {
      this.#turns.push(resolve);
    });
  }

  #turn(): void {
    for (const go of this.#turns.splice(0)) go();
  }
}
