/** One bare pg.Client at module scope: the least that a warm invocation can cost, and no care for the freeze. */
import pg from 'pg';
import { run, type SubjectDatabase, type SubjectEvent, transaction } from './protocol.ts';
import { place, secret } from './settings.ts';
import { streamCursor, streamify } from './streamify.ts';

const client = new pg.Client({ ...place, ...secret });
const connected = client.connect();

const db: SubjectDatabase = {
  query: (sql, params) => client.query(sql, params),
  transaction: (work) => transaction(client, work),
  connect: async () => ({ query: (sql, params) => client.query(sql, params), release() {} }),
};

export const handler = async (event: SubjectEvent) => {
  await connected;
  return run(event, db);
};

export const stream = streamify(async (event, body) => {
  await connected;
  await streamCursor(event, db, body);
});
