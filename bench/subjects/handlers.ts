/** The handlers of the section on warm invocations: each does one query and returns the row. */
import middy from '@middy/core';
import pg from 'pg';
import { withPool } from 'thawpool';
import { pgPool } from 'thawpool/middy';
import { SQL } from './databases.ts';

/** What they are invoked with. */
export interface Event {
  readonly id: number;
}

/** The part of Lambda's context that somebody looks at. */
export interface Context {
  readonly awsRequestId: string;
  getRemainingTimeInMillis(): number;
}

type Order = { readonly id: number };

/** A handler as Lambda calls it. */
export type Handler = (event: Event, context: Context) => Promise<Order | undefined>;

/** One client at module scope, as a handler without a pool has it. */
async function connected(): Promise<pg.Client> {
  const client = new pg.Client({ connectionString: process.env['DATABASE_URL'] ?? '' });
  await client.connect();
  return client;
}

async function bare(): Promise<Handler> {
  const client = await connected();
  return async (event) => (await client.query<Order>(SQL, [event.id])).rows[0];
}

async function bareBehindMiddy(): Promise<Handler> {
  const client = await connected();
  const handler = middy<Event>().handler(async (event) => (await client.query<Order>(SQL, [event.id])).rows[0]);
  return handler as unknown as Handler;
}

function behindMiddy(): Handler {
  const handler = middy<Event>()
    .use(pgPool())
    .handler(async (event, { db }) => (await db.query<Order>(SQL, [event.id])).rows[0]);
  return handler as unknown as Handler;
}

function wrapped(): Handler {
  return withPool(async (event: Event, { db }) => (await db.query<Order>(SQL, [event.id])).rows[0]);
}

/** Every handler by its name. */
export const handlers: Readonly<Record<string, () => Handler | Promise<Handler>>> = {
  bare,
  'bare behind Middy': bareBehindMiddy,
  middy: behindMiddy,
  withPool: wrapped,
};
