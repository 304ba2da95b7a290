/** The ways to a query of the query section: a client, pools, and ours with and without the statement cache. */
import pg from 'pg';
import postgres from 'postgres';
import { createPool } from 'thawpool';

/** One order, by its id. */
export const SQL = 'select id, customer, total, made from bench_orders where id = $1';

/** Asks for one order. */
export type Ask = (id: number) => Promise<{ readonly id: number } | undefined>;

type Order = { readonly id: number };

const connectionString = process.env['DATABASE_URL'] ?? '';
/** All pools have as many connections. */
const max = 8;

async function client(): Promise<Ask> {
  const one = new pg.Client({ connectionString });
  await one.connect();
  return async (id) => (await one.query<Order>(SQL, [id])).rows[0];
}

function pool(): Ask {
  const many = new pg.Pool({ connectionString, max });
  return async (id) => (await many.query<Order>(SQL, [id])).rows[0];
}

function postgresJs(): Ask {
  const sql = postgres(connectionString, { max });
  return async (id) => (await sql<Order[]>`select id, customer, total, made from bench_orders where id = ${id}`)[0];
}

/** With or without the cache as the environment says. */
function thawpool(): Ask {
  const db = createPool({ max });
  return async (id) => (await db.query<Order>(SQL, [id])).rows[0];
}

/** Every way by its name. */
export const databases: Readonly<Record<string, () => Ask | Promise<Ask>>> = {
  'pg.Client': client,
  'pg.Pool': pool,
  'postgres.js': postgresJs,
  thawpool,
};
