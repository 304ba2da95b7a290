import { expect, test } from 'vitest';
import { Flights } from '../../../src/auth/secret-flights.ts';
import { type Deferred, deferred, watch } from '../../support/deferred.ts';
import { settle } from '../../support/fake-clock.ts';

function setUp() {
  let turn = 0;
  const made: Deferred<string>[] = [];
  const make = () => {
    const one = deferred<string>();
    made.push(one);
    return one.promise;
  };
  const tick = () => {
    turn += 1;
    return turn;
  };
  return { flights: new Flights(make, tick), made, tick };
}

const answer = (made: readonly Deferred<string>[], at: number, value: string) => made[at]?.resolve(value);

test('a running call is shared by all for whom it is new enough', async () => {
  const { flights, made, tick } = setUp();
  const before = tick();
  const all = Array.from({ length: 50 }, () => flights.after(before));
  answer(made, 0, 'one');
  expect(new Set((await Promise.all(all)).map(({ value }) => value))).toEqual(new Set(['one']));
  expect(made).toHaveLength(1);
});

test('those for whom it is too old share the next one, which waits for it', async () => {
  const { flights, made, tick } = setUp();
  const first = flights.after(tick());
  const since = tick();
  const late = Array.from({ length: 50 }, () => flights.after(since));
  await settle();
  expect(made).toHaveLength(1);
  answer(made, 0, 'one');
  await first;
  await settle();
  expect(made).toHaveLength(2);
  answer(made, 1, 'two');
  const flown = await Promise.all(late);
  expect(new Set(flown.map(({ value }) => value))).toEqual(new Set(['two']));
  expect(new Set(flown.map(({ answered }) => answered)).size).toBe(1);
  expect(flown[0]?.answered).toBeGreaterThan(since);
  expect(made).toHaveLength(2);
});

test('a call that is over is not shared any more', async () => {
  const { flights, made, tick } = setUp();
  const before = tick();
  const first = flights.after(before);
  answer(made, 0, 'one');
  await first;
  await settle();
  const second = flights.after(before);
  answer(made, 1, 'two');
  await expect(second).resolves.toMatchObject({ value: 'two' });
});

test('an error goes to those who wait for that call, and not to those who wait for the next', async () => {
  const { flights, made, tick } = setUp();
  const first = watch(flights.after(tick()));
  const next = flights.after(tick());
  made[0]?.reject(new Error('no'));
  await settle();
  expect(first).toMatchObject({ state: 'rejected', error: new Error('no') });
  answer(made, 1, 'two');
  await expect(next).resolves.toMatchObject({ value: 'two' });
});

test('one that begins between the end of one call and the next serves both', async () => {
  const { flights, made, tick } = setUp();
  const first = flights.after(tick());
  const next = flights.after(tick());
  const joined = first.then(() => flights.after(tick()));
  answer(made, 0, 'one');
  await first;
  await settle();
  for (const one of made.slice(1)) one.resolve('two');
  expect((await Promise.all([next, joined])).map(({ value }) => value)).toEqual(['two', 'two']);
  expect(made.length).toBeLessThanOrEqual(3);
});
