import pgPromise from 'pg-promise';
import { getPool, withPool } from 'thawpool';

const pgp = pgPromise();
/** What pg-promise takes for a pool of its own making, and adds to. */
function lentPool(): object {
  return Object.create(getPool()) as object;
}
Object.assign(pgp, { pg: { ...pgp.pg, Pool: lentPool } });
const db = pgp({});

/** Takes one of an item out of the stock, or fails, and answers with the number of the order. */
export const handler = withPool(async ({ item }: { item: string }) =>
  db.tx(async (tx) => {
    await tx.none('update stock set quantity = quantity - 1 where item = $<item>', { item });
    const { id } = await tx.one<{ id: number }>('insert into orders (item) values ($<item>) returning id', { item });
    return id;
  }),
);
