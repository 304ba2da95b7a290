/** A process of the memory section. Its young generation is so large that nothing is collected while it is counted. */
import { type CorePool, type OpenCorePool } from './core-pool.ts';
import { corePools } from './core-pools.ts';

/** Kept, so that they are not collected. */
const kept: CorePool[] = [];

function opener(name: string): OpenCorePool {
  const open = corePools[name];
  if (open === undefined) throw new Error(`There is no pool "${name}".`);
  return open;
}

function heap(): number {
  globalThis.gc?.();
  globalThis.gc?.();
  return process.memoryUsage().heapUsed;
}

/** Lets go of what is still under way, so that only what is kept is counted. */
const settle = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

/** @returns bytes for each idle resource, itself included */
export async function perSlot(name: string, slots: number): Promise<number> {
  const open = opener(name);
  kept.push(await open(1)); // Code and shared tables.
  await settle();
  const before = heap();
  kept.push(await open(slots));
  await settle();
  return (heap() - before) / slots;
}

/** @returns bytes for each caller who waits, its promise included */
export async function perWaiter(name: string, waiters: number): Promise<number> {
  const pool = await opener(name)(1);
  kept.push(pool);
  await pool.wait(1);
  await settle();
  const before = heap();
  const other = await opener(name)(1);
  kept.push(other);
  await other.wait(waiters);
  await settle();
  return (heap() - before) / waiters;
}

/** @returns bytes allocated by one operation */
async function allocated(step: (count: number) => Promise<void> | void, count: number): Promise<number> {
  for (let warmUp = 0; warmUp < 20; warmUp += 1) await step(count);
  heap();
  const before = process.memoryUsage().heapUsed;
  await step(count);
  return (process.memoryUsage().heapUsed - before) / count;
}

let cycled: CorePool | undefined;

/** @returns bytes allocated by one acquire and release */
export async function perCycle(name: string, count: number): Promise<number> {
  const pool = (cycled ??= await opener(name)(1));
  return allocated((n) => pool.cycle(n), count);
}

/** @returns bytes allocated by one `tryAcquire` and release */
export async function perAttempt(name: string, count: number): Promise<number> {
  const pool = (cycled ??= await opener(name)(1));
  return allocated((n) => pool.attempt?.(n), count);
}
