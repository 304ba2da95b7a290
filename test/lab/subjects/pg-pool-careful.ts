/** A pg.Pool with what careful people add: an `error` listener, a connect timeout, an idle timeout, keep-alive. */
import pg from 'pg';
import { plainPool } from './plain-pool.ts';
import { run, type SubjectEvent } from './protocol.ts';
import { limit, place, secret } from './settings.ts';
import { streamCursor, streamify } from './streamify.ts';

const pool = new pg.Pool({
  ...place,
  connectionTimeoutMillis: 1000,
  idleTimeoutMillis: 30_000,
  keepAlive: true,
  ...limit,
  ...secret,
});
pool.on('error', (error) => console.warn(`idle client: ${error.message}`));
const db = plainPool(pool);

export const handler = (event: SubjectEvent) => run(event, db);

export const stream = streamify((event, body) => streamCursor(event, db, body));
