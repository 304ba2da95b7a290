// Random sequences of everything that can be done to a pool, against a simple account of what may come of it.
//   MODEL_RUNS=100000 vitest run --project unit test/unit/pool/model.test.ts
// A failure prints the seed and the path of the smallest case: MODEL_SEED=… MODEL_PATH=… runs just that one.

import { expect, test } from 'vitest';
import { fc } from '../../support/fast-check.ts';
import { type Outcome, outcomes, type Script, World } from './model-world.ts';

const runs = Number(process.env['MODEL_RUNS'] ?? 1500);
const { MODEL_SEED: seed, MODEL_PATH: path } = process.env;

const calls = [
  { do: 'acquire', of: fc.record({ owner: fc.option(fc.nat(1), { nil: undefined }), timeoutMillis: timeouts() }) },
  { do: 'deadline', of: fc.constantFrom(-5, 10, 60, 500) },
  { do: 'tryAcquire', of: fc.constant(0) },
  { do: 'release', of: fc.nat(5) },
  { do: 'unproven', of: fc.nat(5) },
  { do: 'destroy', of: fc.nat(5) },
  { do: 'abort', of: fc.nat(5) },
  { do: 'break', of: fc.nat(5) },
  { do: 'thaw', of: fc.constantFrom(undefined, 0, 50, 5000) },
  { do: 'freeze', of: fc.constant(0) },
  { do: 'reclaim', of: fc.nat(1) },
  { do: 'reclaim unfit', of: fc.nat(1) },
  { do: 'evict', of: fc.constant(0) },
  { do: 'warm', of: fc.nat(4) },
  { do: 'drain', of: fc.constant(0) },
  { do: 'close', of: fc.constant(0) },
] as const;
type Call = { readonly [Which in keyof typeof calls]: { do: string; with: unknown } }[number];

function timeouts(): fc.Arbitrary<number | undefined> {
  return fc.constantFrom(undefined, undefined, 20, 100, 2000);
}

/** Ends the run early, so it is rare. */
const weights: Record<string, number> = {
  acquire: 12,
  release: 8,
  close: 1,
  evict: 1,
  drain: 1,
  abort: 4,
  break: 3,
  freeze: 4,
};
const call: fc.Arbitrary<Call> = fc.oneof(
  ...calls.map(({ do: name, of }) => ({
    weight: weights[name] ?? 2,
    arbitrary: (of as fc.Arbitrary<unknown>).map((value): Call => ({ do: name, with: value })),
  })),
);
const places = [
  ...['creating', 'validating', 'idle', 'leased', 'closing', 'gone'],
  ...[
    'created',
    'create-failed',
    'validated',
    'acquired',
    'released',
    'queued',
    'acquire-failed',
    'epoch',
    'thaw',
    'reclaimed',
  ],
];

type Action =
  | { readonly type: 'call'; readonly call: Call }
  | { readonly type: 'inside'; readonly place: string; readonly call: Call }
  | { readonly type: 'settle' }
  | { readonly type: 'turn' }
  | { readonly type: 'advance'; readonly millis: number }
  | { readonly type: 'frozen'; readonly millis: number; readonly monotonicRuns: boolean; readonly told: boolean }
  | { readonly type: 'jump'; readonly millis: number };

const action: fc.Arbitrary<Action> = fc.oneof(
  { weight: 12, arbitrary: call.map((one): Action => ({ type: 'call', call: one })) },
  {
    weight: 2,
    arbitrary: fc
      .record({ place: fc.constantFrom(...places), call })
      .map((inside): Action => ({ type: 'inside', ...inside })),
  },
  { weight: 5, arbitrary: fc.constant<Action>({ type: 'settle' }) },
  { weight: 1, arbitrary: fc.constant<Action>({ type: 'turn' }) },
  {
    weight: 5,
    arbitrary: fc.constantFrom(1, 10, 40, 75, 160, 1200).map((millis): Action => ({ type: 'advance', millis })),
  },
  {
    weight: 2,
    arbitrary: fc
      .record({ millis: fc.constantFrom(5, 500, 5000), monotonicRuns: fc.boolean(), told: fc.boolean() })
      .map((frozen): Action => ({ type: 'frozen', ...frozen })),
  },
  { weight: 1, arbitrary: fc.constantFrom(-5000, -50, 50, 5000).map((millis): Action => ({ type: 'jump', millis })) },
);

/** Mostly well: a factory of which nothing ever comes shows little. */
const ends: fc.Arbitrary<Outcome> = fc.oneof(
  { weight: 4, arbitrary: fc.constantFrom<Outcome[]>('ok', 'soon', 'slow') },
  { weight: 3, arbitrary: fc.constantFrom(...outcomes) },
);
const series = fc.array(ends, { minLength: 1, maxLength: 6 });
const script: fc.Arbitrary<Script> = fc
  .record({
    max: fc.integer({ min: 1, max: 4 }),
    maxIdle: fc.nat(2),
    validateAfterIdleMillis: fc.constantFrom(0, 100, 1000),
    reset: fc.boolean(),
    create: series,
    validate: series,
    resets: series,
    destroy: series,
  })
  .map((one) => ({ ...one, maxIdle: Math.min(one.maxIdle, one.max) }));

function perform(world: World, { do: what, with: value }: Call): void {
  const { pool, clock } = world.all;
  const number = value as number;
  const acts: Record<string, () => void> = {
    acquire: () => {
      const { owner, timeoutMillis } = value as { owner: number | undefined; timeoutMillis: number | undefined };
      world.acquire({ owner: owner === undefined ? undefined : world.owners[owner], timeoutMillis });
    },
    deadline: () => world.acquire({ deadline: clock.now().wall + number }),
    tryAcquire: () => world.tryAcquire(),
    release: () => world.giveBack(number, 'release'),
    unproven: () => world.giveBack(number, 'unproven'),
    destroy: () => world.giveBack(number, 'destroy'),
    abort: () => world.abort(number),
    break: () => world.break(number),
    thaw: () => world.expectToSettle(pool.thaw(value as number | undefined)),
    freeze: () => world.expectToSettle(pool.freeze()),
    reclaim: () => void pool.reclaim(world.owners[number] as object),
    'reclaim unfit': () => void pool.reclaim(world.owners[number] as object, (resource) => resource % 2 === 0),
    evict: () => pool.evict('stale-credentials'),
    warm: () => world.warm(number),
    drain: () => world.expectToSettle(pool.drain()),
    close: () => world.expectToSettle(pool.close()),
  };
  acts[what]?.();
}

async function act(world: World, one: Action): Promise<void> {
  const { clock, pool } = world.all;
  if (one.type === 'call') return perform(world, one.call);
  if (one.type === 'inside') return world.inside(one.place, () => perform(world, one.call));
  // Clocks do not move between an answer and the microtask that hears of it; the epoch may.
  if (one.type === 'jump' || one.type === 'frozen') await world.settle();
  if (one.type === 'jump') return clock.jumpWall(one.millis);
  if (one.type === 'frozen') {
    clock.freeze(one.millis, one);
    if (one.told) world.expectToSettle(pool.thaw(one.millis));
    return;
  }
  if (one.type === 'advance') await clock.advance(one.millis);
  else if (one.type === 'turn') await clock.turn();
  else await world.settle();
  world.check();
}

test(
  'whatever is done to it, a pool keeps its promises',
  async () => {
    const property = fc.asyncProperty(script, fc.array(action, { maxLength: 60 }), async (given, actions) => {
      const world = new World(given);
      for (const one of actions) await act(world, one);
      await world.settle();
      world.check();
      await world.end();
    });
    const replay = seed === undefined ? {} : { seed: Number(seed), ...(path === undefined ? {} : { path }) };
    await fc.assert(property, { numRuns: runs, ...replay });
    expect(runs).toBeGreaterThan(0);
  },
  // A run takes a few milliseconds.
  20_000 + runs * 50,
);
