// What submits itself: pg's own queries, cursors, streams of rows, COPY streams. Some of them call back, others call nobody.

/** What pg calls on it (pg 8.23, lib/client.js). */
interface Handlers {
  handleReadyForQuery(...args: unknown[]): unknown;
  handleError(...args: unknown[]): unknown;
}

/**
 * Hears when the server is done with something that submits itself, or has refused it. What it makes of an error is its
 * own affair and comes first.
 */
export function whenOver(query: unknown, over: (error?: Error) => void): void {
  const { handleReadyForQuery, handleError } = query as Partial<Handlers>;
  if (handleReadyForQuery === undefined || handleError === undefined) return;
  Object.assign(query as Handlers, {
    handleReadyForQuery(this: unknown, ...args: unknown[]) {
      try {
        handleReadyForQuery.apply(this, args);
      } finally {
        over();
      }
    },
    handleError(this: unknown, ...args: unknown[]) {
      try {
        handleError.apply(this, args);
      } finally {
        over(args[0] as Error);
      }
    },
  } satisfies Handlers);
}
