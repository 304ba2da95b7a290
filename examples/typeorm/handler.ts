import pg from 'pg';
import { getPool, withPool } from 'thawpool';
import { DataSource, EntitySchema } from 'typeorm';

const Stock = new EntitySchema<{ item: string; quantity: number }>({
  name: 'stock',
  columns: { item: { type: 'text', primary: true }, quantity: { type: 'int' } },
});
const Order = new EntitySchema<{ id: number; item: string }>({
  name: 'orders',
  columns: { id: { type: 'int', primary: true, generated: true }, item: { type: 'text' } },
});

/** What TypeORM takes for a pool of its own making, and may end. Ours stays. */
function lentPool(): pg.Pool {
  return Object.create(getPool(), { end: { value: (done: () => void) => done() } }) as pg.Pool;
}

const source = new DataSource({ type: 'postgres', driver: { ...pg, Pool: lentPool }, entities: [Stock, Order] });

let ready: Promise<DataSource> | undefined;

/** Connects with the first invocation; where that fails, with the next one. */
function connected(): Promise<DataSource> {
  ready ??= source.initialize().catch((error: unknown) => {
    ready = undefined;
    throw error;
  });
  return ready;
}

/** Takes one of an item out of the stock, or fails, and answers with the number of the order. */
export const handler = withPool(async ({ item }: { item: string }) => {
  const { manager } = await connected();
  return manager.transaction(async (tx) => {
    await tx.decrement(Stock, { item }, 'quantity', 1);
    return (await tx.save(Order, { item })).id;
  });
});
