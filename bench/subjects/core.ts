/** A process of the core section: one pool, and the figures of a round. */
import { createHook } from 'node:async_hooks';
import type { CorePool } from './core-pool.ts';
import { corePools } from './core-pools.ts';

let pool: CorePool;
/** How many operations make a round long enough, as the rounds so far have shown. */
let enough = 1;
let wanted = 0;
let warm = false;

/** Optimised code is there after this long. */
const WARM_UP_MILLIS = 250;

/** Opens the pool. @param millis - how long a round is to take */
export async function open(name: string, slots: number, millis: number): Promise<void> {
  const make = corePools[name];
  if (make === undefined) throw new Error(`There is no pool "${name}".`);
  pool = await make(slots);
  wanted = millis;
}

/** Repeats until a round is long enough, then measures one. @returns nanoseconds for one operation */
async function timed(step: (count: number) => Promise<void> | void, per: number): Promise<number> {
  for (const from = performance.now(); !warm; warm = performance.now() - from > WARM_UP_MILLIS) await step(enough);
  for (;;) {
    const from = process.hrtime.bigint();
    await step(enough);
    const nanos = Number(process.hrtime.bigint() - from);
    if (nanos >= wanted * 0.5e6 || enough >= 1e8) return nanos / (enough * per);
    enough = Math.ceil(enough * Math.min(20, Math.max(1.5, (wanted * 1e6) / nanos)));
  }
}

export const cycle = (): Promise<number> => timed((count) => pool.cycle(count), 1);

export const attempt = (): Promise<number> => timed((count) => pool.attempt?.(count), 1);

export async function burst(callers: number): Promise<number> {
  // Else what the rounds before have left to collect is the larger part of many a round. It throws away optimised code too.
  globalThis.gc?.();
  await pool.burst(callers);
  return timed(async (count) => {
    for (let n = 0; n < count; n += 1) await pool.burst(callers);
  }, callers);
}

/** Counts the promises made while `step` runs. */
async function promisesIn(step: () => Promise<void> | void): Promise<number> {
  let count = 0;
  const hook = createHook({
    init(_, type) {
      count += Number(type === 'PROMISE');
    },
  });
  hook.enable();
  try {
    const done = step();
    // Those of waiting here are not the subject's.
    if (done === undefined) return count;
    await done;
    return count;
  } finally {
    hook.disable();
  }
}

/** @returns promises for one `tryAcquire` and release */
export const promisesPerAttempt = async (): Promise<number> => (await promisesIn(() => pool.attempt?.(1000))) / 1000;

/** @returns promises for one acquire and release, the loop's own await included */
export const promisesPerCycle = async (): Promise<number> =>
  Math.round(await promisesIn(() => pool.cycle(1000))) / 1000;
