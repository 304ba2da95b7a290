import { eq, sql } from 'drizzle-orm';
import { drizzle } from 'drizzle-orm/node-postgres';
import { integer, pgTable, text } from 'drizzle-orm/pg-core';
import { withPool } from 'thawpool';

const stock = pgTable('stock', { item: text().primaryKey(), quantity: integer().notNull() });
const orders = pgTable('orders', {
  id: integer().primaryKey().generatedAlwaysAsIdentity(),
  item: text()
    .notNull()
    .references(() => stock.item),
});

/** Takes one of an item out of the stock, or fails, and answers with the number of the order. */
export const handler = withPool(async ({ item }: { item: string }, { db }) =>
  drizzle({ client: db }).transaction(async (tx) => {
    await tx
      .update(stock)
      .set({ quantity: sql`${stock.quantity} - 1` })
      .where(eq(stock.item, item));
    const [order] = await tx.insert(orders).values({ item }).returning({ id: orders.id });
    return order?.id;
  }),
);
