/** A process of the query section: one way to the server. */
import { quantile } from '../statistics.ts';
import { type Ask, databases } from './databases.ts';

const ORDERS = 1000;

let ask: Ask;
let next = 0;

async function one(): Promise<void> {
  next = (next % ORDERS) + 1;
  const id = next;
  const order = await ask(id);
  if (order?.id !== id) throw new Error(`Asked for order ${id}, got ${order?.id}.`);
}

/** Until all that runs often is optimised, and every statement that is to be prepared is. */
const WARM_UP = 5000;

/** Connects and gets warm. */
export async function open(name: string, callers: number): Promise<void> {
  const way = databases[name];
  if (way === undefined) throw new Error(`There is no way "${name}".`);
  ask = await way();
  await throughput(callers, WARM_UP);
}

/** @returns the time within which this share of so many queries was answered, one after the other, in microseconds */
export async function latency(count: number, share: number): Promise<number> {
  const micros: number[] = [];
  for (let n = 0; n < count; n += 1) {
    const from = performance.now();
    await one();
    micros.push((performance.now() - from) * 1000);
  }
  return quantile(micros, share);
}

/** @returns queries in a second, by so many callers who each ask again as soon as they are answered */
export async function throughput(callers: number, count: number): Promise<number> {
  let left = count;
  const caller = async (): Promise<void> => {
    while (left > 0) {
      left -= 1;
      await one();
    }
  };
  const from = performance.now();
  await Promise.all(Array.from({ length: callers }, caller));
  return (count * 1000) / (performance.now() - from);
}
