import { join } from 'node:path';
import { runner } from 'node-pg-migrate';
import { withPool } from 'thawpool';

/** Brings the database up to date, and answers with the migrations that were run: a function to be called by a deployment. */
export const handler = withPool(async (_event: object, { db }) =>
  db.use(async (dbClient) => {
    const migrations = await runner({
      dbClient,
      dir: join(import.meta.dirname, 'migrations'),
      migrationsTable: 'migrations',
      direction: 'up',
      singleTransaction: true,
      advisoryLockMode: 'wait',
      log: () => {},
    });
    return migrations.map(({ name }) => name);
  }),
);
