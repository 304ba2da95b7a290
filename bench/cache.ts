/** Whether this version has a statement cache, and how a process is told to use it. */
import { variables } from '../src/env.ts';

const NAME = 'THAWPOOL_STATEMENT_CACHE';

/** Whether statements can be prepared once for each connection. */
export const hasStatementCache: boolean = variables.some(({ name }) => name === NAME);

/** Environment of a process with the cache on or off; empty where there is none. */
export function cacheEnv(on: boolean): Record<string, string> {
  return hasStatementCache ? { [NAME]: on ? '100' : '0' } : {};
}
