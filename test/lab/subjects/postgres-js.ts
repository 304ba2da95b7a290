/** postgres.js at module scope, as its documentation shows it. */
import postgres from 'postgres';
import { run, type SubjectDatabase, type SubjectEvent } from './protocol.ts';
import { limit, place, secret } from './settings.ts';
import { streamCursor, streamify } from './streamify.ts';

const options = { ...limit, ...secret };
const sql = place.connectionString === undefined ? postgres(options) : postgres(place.connectionString, options);

/** Statements come as text here; where postgres.js has parameters it asks for them by name, as `unsafe` does. */
const asked = async (on: Pick<typeof sql, 'unsafe'>, text: string, params?: unknown[]) => ({
  rows: [...(await on.unsafe(text, params as never[] | undefined))],
});

const db: SubjectDatabase = {
  query: (text, params) => asked(sql, text, params),
  transaction: async (work) => {
    let result: Awaited<ReturnType<typeof work>> | undefined;
    await sql.begin(async (tx) => {
      result = await work({ query: (text, params) => asked(tx, text, params) });
    });
    return result as Awaited<ReturnType<typeof work>>;
  },
  async connect() {
    const reserved = await sql.reserve();
    return { query: (text, params) => asked(reserved, text, params), release: () => reserved.release() };
  },
};

export const handler = (event: SubjectEvent) => run(event, db);

export const stream = streamify((event, body) => streamCursor(event, db, body));
