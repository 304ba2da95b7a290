// A pool of numbers with a name, as metrics take it.

import type { PoolOptions } from '../../../src/pool/index.ts';
import type { MeteredPool } from '../../../src/telemetry/metered-pool.ts';
import { type Harness, harness } from '../pool/harness.ts';

export interface NamedPool extends Harness {
  readonly metered: MeteredPool;
}

/** What the end of an invocation is told to. */
export type Ended = (requestId: string | undefined, alone: boolean, deadline?: number) => Promise<void> | void;

/** @param meters - makes it a pool that somebody drives: `ended` functions are put here */
export function namedPool(
  name: string,
  options: PoolOptions & { readonly reset?: boolean } = {},
  { reader, meters }: { reader?: MeteredPool; meters?: Set<Ended> } = {},
): NamedPool {
  const made = harness(options);
  const { pool } = made;
  const metered: MeteredPool = {
    name,
    ...(reader && { reader }),
    stats: () => pool.stats(),
    observe: (observer) => pool.observe(observer),
  };
  if (meters) {
    const addMeter = ({ ended }: { readonly ended: Ended }) => {
      meters.add(ended);
      return () => meters.delete(ended);
    };
    Object.defineProperty(metered, Symbol.for('thawpool.managed'), { value: { lifecycle: { addMeter } } });
  }
  return { ...made, metered };
}

/** Lets a pool of at most two go through everything that is counted. Takes 10 s of its clock. */
export async function script({ pool, factory, clock, settle }: NamedPool): Promise<void> {
  const owner = {};
  factory.hold('create');
  const first = pool.acquire({ owner });
  const second = pool.acquire();
  await clock.advance(250);
  factory.resume('create');
  const [one, two] = [await first, await second];
  // One waits for a lease of theirs, one in vain.
  const third = pool.acquire();
  const tooLong = pool.acquire({ timeoutMillis: 1000 }).catch((error: unknown) => error);
  await clock.advance(500);
  two.release();
  const three = await third;
  await clock.advance(1000);
  await tooLong;
  three.release();
  pool.reclaim(owner);
  one.release();
  await pool.freeze();
  // A freeze after which one of them is dead.
  await clock.advance(5000);
  factory.onValidate = () => false;
  let thawed = pool.thaw(5000);
  await clock.turn();
  await thawed;
  factory.onValidate = () => true;
  const fresh = await pool.acquire();
  fresh.release();
  await pool.freeze();
  await clock.advance(2000);
  for (const _ of [1, 2]) {
    thawed = pool.thaw(2000);
    await clock.turn();
    await thawed;
  }
  // Two that cannot be made, and what its maker notes.
  factory.onCreate = () => {
    throw new Error('no route');
  };
  const held = await pool.acquire();
  for (const _ of [1, 2]) await pool.acquire().catch((error: unknown) => error);
  factory.onCreate = (resource) => resource;
  await clock.advance(1250);
  held.release();
  for (const note of ['connect-retried', 'statement-retried', 'statement-retried', 'transaction-retried']) {
    pool.note(note, '57P03');
  }
  for (const note of ['fallback', 'credentials-renewed', 'pin', 'pin', 'something-else']) pool.note(note);
  pool.evict('stale-credentials');
  await settle();
}
