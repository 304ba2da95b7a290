import knex from 'knex';
import { getPool, withPool } from 'thawpool';

const db = knex({ client: 'pg', connectionPool: getPool() });

/** Takes one of an item out of the stock, or fails, and answers with the number of the order. */
export const handler = withPool(async ({ item }: { item: string }) =>
  db.transaction(async (tx) => {
    await tx('stock').where({ item }).decrement('quantity', 1);
    const [order] = await tx('orders').insert({ item }).returning<{ id: number }[]>('id');
    return order?.id;
  }),
);
