// Every combination of what the four functions of a factory can do, in one story that calls each of them while somebody
// waits. What becomes of it in words is the table in docs/core.md.
import { describe, expect, test } from 'vitest';
import type { Lease } from '../../../src/pool/lease.ts';
import { type Watched, watch } from '../../support/deferred.ts';
import { type Harness, harness } from './harness.ts';

const outcomes = ['ok', 'throws', 'rejects', 'hangs', 'slow', 'late'] as const;
type Outcome = (typeof outcomes)[number] | 'says no';
const answers: readonly Outcome[] = [...outcomes, 'says no'];

/** Every step has this budget. */
const budgetMillis = 100;
const delays: Partial<Record<Outcome, number>> = { slow: 50, late: 150 };
/** Time enough for one step to fail in any way, and for another one after it. */
const aWhile = 400;

interface Story {
  readonly create: Outcome;
  readonly validate: Outcome;
  readonly reset: Outcome;
  readonly destroy: Outcome;
  readonly max: number;
}

/** The first call of a function ends in the way that is being tried; the later ones succeed. */
function first<T>({ clock }: Harness, outcome: Outcome, success: T, no: T): (succeed: T) => Promise<T> | T {
  let calls = 0;
  return (succeed) => {
    calls += 1;
    if (calls > 1) return succeed;
    const error = new Error(outcome);
    if (outcome === 'throws') throw error;
    if (outcome === 'rejects') return Promise.reject(error);
    if (outcome === 'says no') return no;
    const delay = delays[outcome];
    if (delay === undefined) return outcome === 'ok' ? success : new Promise<T>(() => undefined);
    return new Promise<T>((resolve) => void clock.setTimer(() => resolve(success), delay));
  };
}

function prepare({ create, validate, reset, destroy, max }: Story): Harness {
  const all = harness({
    reset: true,
    max,
    maxIdle: 1,
    acquireTimeoutMillis: 10_000,
    createTimeoutMillis: budgetMillis,
    validateTimeoutMillis: budgetMillis,
    resetTimeoutMillis: budgetMillis,
    destroyTimeoutMillis: budgetMillis,
    validateAfterIdleMillis: 500,
  });
  const { factory } = all;
  const making = first(all, create, 1, 0);
  const proving = first(all, validate, true, false);
  const cleaning = first(all, reset, true, false);
  const leaving = first<void>(all, destroy, undefined, undefined);
  factory.onCreate = (resource) => making(resource);
  factory.onValidate = () => proving(true);
  factory.onReset = () => cleaning(true);
  factory.onDestroy = () => leaving();
  return all;
}

const good = (outcome: Outcome): boolean => outcome === 'ok' || outcome === 'slow';
const silent = (outcome: Outcome): boolean => outcome === 'hangs' || outcome === 'late';

async function tell(story: Story): Promise<void> {
  const all = prepare(story);
  const { pool, factory, ledger, clock, advance } = all;
  const waits: Watched<Lease<number>>[] = [];
  const acquire = (): Watched<Lease<number>> => {
    const waiting = watch(pool.acquire());
    waits.push(waiting);
    return waiting;
  };
  const served = (waiting: Watched<Lease<number>>): Lease<number> => {
    expect(waiting.state).toBe('fulfilled');
    return waiting.value as Lease<number>;
  };

  // Creation: a failure goes to whoever waits, and the next acquire finds the place free.
  const making = acquire();
  await advance(aWhile);
  expect(making.state).toBe(good(story.create) ? 'fulfilled' : 'rejected');
  if (!good(story.create)) {
    const code = silent(story.create) ? 'ERR_POOL_CREATE_TIMEOUT' : 'ERR_POOL_CREATE_FAILED';
    expect(making.error).toMatchObject({ code });
  }
  const one = making.value ?? served(await after(acquire(), advance));
  const made = one.resource;

  // Reset, with somebody waiting: the same one when it is clean, another one otherwise.
  const cleaning = acquire();
  await advance(0);
  const before = cleaning.state === 'fulfilled' ? cleaning.value?.resource : made;
  one.release();
  const two = served(await after(cleaning, advance));
  expect(two.resource === before).toBe(good(story.reset) || story.max > 1);
  if (!good(story.reset)) expect(factory.callsOf('destroy')).toContain(`${made} invalid`);
  two.release();
  await advance(0);

  // Proof of life, after a pause: the same one when it is alive, another one otherwise.
  await advance(1000);
  const idle = pool.stats().idle;
  const three = served(await after(acquire(), advance));
  expect(factory.callsOf('validate').length).toBeGreaterThan(0);
  if (!good(story.validate)) expect(pool.stats()).toMatchObject({ invalidated: 1, epoch: 1 });
  else expect(pool.stats()).toMatchObject({ invalidated: 0, epoch: 0, validated: 1 });
  expect(idle).toBeGreaterThan(0);

  // Destruction, with as many waiting as it takes to need its place.
  const four = Array.from({ length: story.max }, acquire);
  three.destroy();
  await advance(aWhile);
  for (const waiting of four) served(waiting).release();
  await advance(aWhile);

  // The end.
  const closed = watch(pool.close());
  await advance(aWhile);
  expect(closed.state).toBe('fulfilled');
  expect(pool.stats()).toMatchObject({ total: 0, waiting: 0 });
  expect(ledger.counts.acquired + ledger.counts['acquire-failed']).toBe(waits.length);
  expect(waits.filter(({ state }) => state === 'rejected')).toHaveLength(good(story.create) ? 0 : 1);
  const everMade = factory.made - (['throws', 'rejects', 'hangs'].includes(story.create) ? 1 : 0);
  expect(pool.stats().created).toBe(everMade);
  expect([...factory.destroyed.values()]).toEqual(Array.from({ length: everMade }, () => 1));
  expect(clock.timers).toBe(0);
}

async function after<T>(waiting: Watched<T>, advance: (millis: number) => Promise<void>): Promise<Watched<T>> {
  await advance(aWhile);
  return waiting;
}

describe.each(outcomes)('a creation that %s', (create) => {
  test.each(answers)('and a proof that %s, with every reset and destruction', async (validate) => {
    for (const reset of answers) {
      for (const destroy of outcomes) {
        for (const max of [1, 2]) {
          const story = { create, validate, reset, destroy, max };
          try {
            await tell(story);
          } catch (error) {
            throw new Error(`where ${JSON.stringify(story)}`, { cause: error });
          }
        }
      }
    }
  });
});
