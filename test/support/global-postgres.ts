/**
 * The one PostgreSQL server of the integration tests: started before the first file, stopped after the last. A test
 * file takes its coordinates by `inject('postgres')` and makes a database of its own, and roles, which its role may.
 */
import { createRequire } from 'node:module';
import type { TestProject } from 'vitest/node';

// Loaded by Node itself: the module runner of a global setup has no import.meta.resolve(), by which postgres.ts finds
// the binaries.
const { startPostgres } = createRequire(import.meta.url)('./postgres.ts') as typeof import('./postgres.ts');

/** Where the server is; plain data, since it crosses into the test's worker. */
export interface PostgresCoordinates {
  readonly host: string;
  readonly port: number;
  readonly user: string;
  readonly password: string;
  readonly database: string;
  readonly connectionString: string;
  readonly version: string;
}

declare module 'vitest' {
  interface ProvidedContext {
    postgres: PostgresCoordinates;
  }
}

/** Starts the server, provides its coordinates and returns what stops it. */
export async function setup(project: TestProject): Promise<() => Promise<void>> {
  // Of the 100 that are PostgreSQL's default, a machine with many cores uses all: that many files run at once.
  const server = await startPostgres({ maxConnections: 400 }).catch((cause: unknown) => {
    const reason = cause instanceof Error ? cause.message : String(cause);
    throw new Error(`The integration tests have no PostgreSQL server: ${reason}`, { cause });
  });
  if (server.managed) await server.admin(`alter role "${server.user}" createdb createrole`);
  const { host, port, user, password, database, connectionString, version } = server;
  project.provide('postgres', { host, port, user, password, database, connectionString, version });
  return () => server.close();
}
