/** A pg.Pool at module scope as most people write it: defaults, and nobody listens to its `error` event. */
import pg from 'pg';
import { plainPool } from './plain-pool.ts';
import { run, type SubjectEvent } from './protocol.ts';
import { limit, place, secret } from './settings.ts';
import { streamCursor, streamify } from './streamify.ts';

const db = plainPool(new pg.Pool({ ...place, ...limit, ...secret }));

export const handler = (event: SubjectEvent) => run(event, db);

export const stream = streamify((event, body) => streamCursor(event, db, body));
