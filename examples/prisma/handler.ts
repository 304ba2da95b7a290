import { PrismaPg } from '@prisma/adapter-pg';
import { getPool, withPool } from 'thawpool';
import { PrismaClient } from './generated/client.ts';

const prisma = new PrismaClient({ adapter: new PrismaPg(getPool()) });

/** Takes one of an item out of the stock, or fails, and answers with the number of the order. */
export const handler = withPool(async ({ item }: { item: string }) =>
  prisma.$transaction(async (tx) => {
    await tx.stock.update({ where: { item }, data: { quantity: { decrement: 1 } } });
    return (await tx.order.create({ data: { item } })).id;
  }),
);
