/** Orders in PostgreSQL. Every function takes whatever can run a statement: a pool, a client, a transaction. */
import { type Order, type OrderDraft, type OrderItem, totalOf } from './order.ts';
import type { Queryable } from './queryable.ts';

// One statement for all lines, however many there are: each column is one array parameter.
const INSERT_ITEMS = `
  insert into order_items (order_id, line, sku, quantity, price_cents)
  select $1, line, sku, quantity, price
  from unnest($2::text[], $3::int[], $4::bigint[]) with ordinality as item (sku, quantity, price, line)`;

// One statement for the order and its lines.
const SELECT_ORDER = `
  select customer, total_cents, created_at,
    (select json_agg(json_build_object('sku', sku, 'quantity', quantity, 'price', price_cents) order by line)
     from order_items where order_id = orders.id) as items
  from orders where id = $1`;

const UUID = /^[0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12}$/i;

/** Whether `text` can be the id of an order. */
export function isOrderId(text: string): boolean {
  return UUID.test(text);
}

/** Stores an order and its lines. Call it in a transaction: it runs two statements. */
export async function insertOrder(tx: Queryable, { customer, items }: OrderDraft): Promise<Order> {
  const total = totalOf(items);
  const { rows } = await tx.query<{ id: string; created_at: Date }>(
    'insert into orders (customer, total_cents) values ($1, $2) returning id, created_at',
    [customer, total],
  );
  const [row] = rows;
  if (row === undefined) throw new Error('INSERT … RETURNING has returned nothing.');
  const column = <Key extends keyof OrderItem>(key: Key) => items.map((item) => item[key]);
  await tx.query(INSERT_ITEMS, [row.id, column('sku'), column('quantity'), column('price')]);
  return { id: row.id, customer, items, total, createdAt: row.created_at.toISOString() };
}

/** Reads an order with its lines; `undefined` when there is none. */
export async function findOrder(db: Queryable, id: string): Promise<Order | undefined> {
  const { rows } = await db.query<{ customer: string; total_cents: string; created_at: Date; items: OrderItem[] }>(
    SELECT_ORDER,
    [id],
  );
  const [row] = rows;
  if (row === undefined) return undefined;
  const { customer, items, created_at } = row;
  // pg returns a bigint as text, because it may exceed 2^53. The limits of an order keep its total below that.
  return { id, customer, items, total: Number(row.total_cents), createdAt: created_at.toISOString() };
}

/**
 * Stores the order of a queued message unless that was done before: queues deliver at least once. Call it in a
 * transaction, so that the note of the message and the order are stored together or not at all.
 *
 * @returns whether the message was new
 */
export async function insertOrderOnce(tx: Queryable, messageId: string, draft: OrderDraft): Promise<boolean> {
  // A second delivery at the same moment waits here until the first one has ended.
  const { rows } = await tx.query(
    'insert into processed_messages (message_id) values ($1) on conflict do nothing returning message_id',
    [messageId],
  );
  if (rows.length === 0) return false;
  await insertOrder(tx, draft);
  return true;
}
