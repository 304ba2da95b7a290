import { createPool, type DatabasePool, sql } from 'slonik';
import { getPool, withPool } from 'thawpool';
import { slonikOn } from './pool-driver.ts';

/** Opens nothing, and looks at no connection string: the pool has its own. */
const slonik: Promise<DatabasePool> = createPool('postgres://', slonikOn(getPool()));

/** Takes one of an item out of the stock, or fails, and answers with the number of the order. */
export const handler = withPool(async ({ item }: { item: string }) =>
  (await slonik).transaction(async (tx) => {
    await tx.query(sql.unsafe`update stock set quantity = quantity - 1 where item = ${item}`);
    const id: unknown = await tx.oneFirst(sql.unsafe`insert into orders (item) values (${item}) returning id`);
    return id as number;
  }),
);
