/** serverless-postgres as its documentation shows it: connect at the start of each invocation, clean up at its end. */
import ServerlessClient from 'serverless-postgres';
import { run, type SubjectDatabase, type SubjectEvent, transaction } from './protocol.ts';
import { place, secret } from './settings.ts';
import { streamCursor, streamify } from './streamify.ts';

const client = new ServerlessClient({
  ...place,
  application_name: process.env['PGAPPNAME'] ?? '',
  ...secret,
});

const db: SubjectDatabase = {
  query: (sql, params) => client.query(sql, params),
  transaction: (work) => transaction(client, work),
  connect: async () => ({ query: (sql, params) => client.query(sql, params), release() {} }),
};

export const handler = async (event: SubjectEvent) => {
  await client.connect();
  const result = await run(event, db);
  await client.clean();
  return result;
};

export const stream = streamify(async (event, body) => {
  await client.connect();
  await streamCursor(event, db, body);
  await client.clean();
});
