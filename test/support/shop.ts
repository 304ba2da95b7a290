/** What every example that keeps a shop is held to: the same function, written with one library after the other. */
import { getPool } from 'thawpool';
import { simulateFreeze } from 'thawpool/testing';
import { afterAll, beforeAll, expect, test } from 'vitest';

type Handler = (event: { item: string }, context: object) => Promise<number | undefined>;

const tables = `
  create table stock (item text primary key, quantity int not null check (quantity >= 0));
  create table orders (id int generated always as identity primary key, item text not null references stock);
  insert into stock values ('lamp', 100), ('last chair', 1);
`;

/** Tests a handler that takes one of an item out of the stock, and answers with the number of the order. */
export function describeShop(handler: Handler): void {
  const pool = getPool();
  beforeAll(() => pool.query(tables));
  afterAll(() => (pool.ending ? undefined : pool.end()));

  const stockOf = async (item: string): Promise<unknown> => {
    const { rows } = await pool.query<{ quantity: number }>('select quantity from stock where item = $1', [item]);
    return rows[0]?.quantity;
  };
  const ordersOf = async (item: string): Promise<number[]> => {
    const { rows } = await pool.query<{ id: number }>('select id from orders where item = $1 order by id', [item]);
    return rows.map(({ id }) => id);
  };

  test('takes what is ordered out of the stock', async () => {
    const before = await stockOf('lamp');
    const order = await handler({ item: 'lamp' }, {});
    expect(await ordersOf('lamp')).toContain(order);
    expect(await stockOf('lamp')).toBe((before as number) - 1);
    expect(pool.stats()).toMatchObject({ leased: 0 });
  });

  test('orders nothing that is out of stock', async () => {
    await handler({ item: 'last chair' }, {});
    await expect(handler({ item: 'last chair' }, {})).rejects.toThrow();
    expect(await ordersOf('last chair')).toHaveLength(1);
    expect(await stockOf('last chair')).toBe(0);
    expect(pool.stats()).toMatchObject({ leased: 0 });
  });

  test('takes more orders at once than there are connections', async () => {
    const before = await stockOf('lamp');
    const orders = await Promise.all(Array.from({ length: 10 }, () => handler({ item: 'lamp' }, {})));
    expect(new Set(orders).size).toBe(10);
    expect(await stockOf('lamp')).toBe((before as number) - 10);
    expect(pool.stats()).toMatchObject({ leased: 0, waiting: 0 });
  });

  test.each(['alive', 'closed', 'reset', 'black-holed'] as const)(
    'takes an order after a freeze that left its sockets %s',
    async (sockets) => {
      await handler({ item: 'lamp' }, {});
      simulateFreeze(pool, { forMillis: 60_000, sockets });
      const order = await handler({ item: 'lamp' }, {});
      expect(await ordersOf('lamp')).toContain(order);
    },
  );
}
