/** The pool of this project, behind its Middy middleware, with everything from the environment. */
import { Readable } from 'node:stream';
import middy from '@middy/core';
import { executionModeStreamifyResponse } from '@middy/core/StreamifyResponse';
import { pgPool } from 'thawpool/middy';
import { openCursor, run, type SubjectEvent } from './protocol.ts';
import { secret } from './settings.ts';

export const handler = middy<SubjectEvent>()
  .use(pgPool(secret))
  .before(async ({ event, context }) => {
    if (event.op !== 'early-return') return undefined;
    const client = await context.db.connect(); // Never released: whatever would tell the pool of the end is skipped as well.
    return { rows: (await client.query('select 1 as one')).rows };
  })
  .handler((event, { db }) => run(event, db));

/** Middy runs every `after` before the body is read, and the cursor is open by then. */
export const stream = middy<SubjectEvent>({ executionMode: executionModeStreamifyResponse })
  .use(pgPool(secret))
  .handler(async (event, { db }) => Readable.from(await openCursor(event, db)));
