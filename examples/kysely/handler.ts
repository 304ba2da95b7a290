import { type Generated, Kysely, PostgresDialect } from 'kysely';
import { withPool } from 'thawpool';

interface Shop {
  stock: { item: string; quantity: number };
  orders: { id: Generated<number>; item: string };
}

/** Takes one of an item out of the stock, or fails, and answers with the number of the order. */
export const handler = withPool(async ({ item }: { item: string }, { db: pool }) => {
  const db = new Kysely<Shop>({ dialect: new PostgresDialect({ pool }) });
  return db.transaction().execute(async (tx) => {
    await tx
      .updateTable('stock')
      .set(({ eb }) => ({ quantity: eb('quantity', '-', 1) }))
      .where('item', '=', item)
      .execute();
    const { id } = await tx.insertInto('orders').values({ item }).returning('id').executeTakeFirstOrThrow();
    return id;
  });
});
