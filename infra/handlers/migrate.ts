/** Run once per deployment: creates the tables that are missing. Running it again changes nothing. */
import middy from '@middy/core';
import { pgPool } from 'thawpool/middy';
import { migrate } from '../orders/schema.ts';

export const handler = middy<unknown, { readonly migrated: true }>()
  .use(pgPool())
  .handler(async (_event, { db }) => {
    await db.transaction(migrate);
    return { migrated: true };
  });
