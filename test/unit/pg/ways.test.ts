import { expect, it } from 'vitest';
import { Ways } from '../../../src/pg/ways.ts';

const none: ReadonlySet<number> = new Set();

/** Two places to go to, and a clock that is set by hand. */
function twoPlaces(): {
  ways: Ways;
  clock: { now: number };
  choose: (tried?: ReadonlySet<number>) => ReturnType<Ways['choose']>;
} {
  const clock = { now: 1_000_000 };
  const ways = new Ways(() => clock.now);
  return { ways, clock, choose: (tried = none) => ways.choose(2, tried) };
}

it('chooses the only place there is, for as long as it may take', () => {
  const ways = new Ways(() => 0);
  const choice = ways.choose(1, none);
  expect(choice).toMatchObject({ index: 0, last: true });
  choice.silent();
  expect(ways.choose(1, new Set([0]))).toMatchObject({ index: 0, last: true });
});

it('chooses the first while it answers', () => {
  const { choose } = twoPlaces();
  for (let time = 0; time < 3; time += 1) {
    const choice = choose();
    expect(choice).toMatchObject({ index: 0, last: false });
    expect(choice.answered()).toBe(false);
  }
});

it('goes on to the next within the same search', () => {
  const { choose } = twoPlaces();
  choose().settled();
  expect(choose(new Set([0]))).toMatchObject({ index: 1, last: true });
});

it('leaves a place alone that was silent, for five seconds', () => {
  const { choose, clock } = twoPlaces();
  choose().silent();
  expect(choose().index).toBe(1);
  clock.now += 4999;
  expect(choose().index).toBe(1);
  clock.now += 1;
  expect(choose().index).toBe(0);
});

it('sends one at a time to find out whether it answers again', () => {
  const { choose, clock } = twoPlaces();
  choose().silent();
  clock.now += 5000;
  const probe = choose();
  expect([probe.index, choose().index]).toEqual([0, 1]);
  probe.settled();
  expect(choose().index).toBe(0);
});

it('leaves it alone for twice as long each time, up to a minute', () => {
  const { choose, clock } = twoPlaces();
  choose().silent();
  for (const pause of [5000, 10_000, 20_000, 40_000, 60_000, 60_000]) {
    clock.now += pause - 1;
    expect(choose().index).toBe(1);
    clock.now += 1;
    const probe = choose();
    expect(probe.index).toBe(0);
    probe.silent();
  }
});

it('counts several that find out together as one', () => {
  const { choose, clock } = twoPlaces();
  const together = [choose(), choose(), choose()];
  for (const choice of together) choice.silent();
  clock.now += 5000;
  const probe = choose();
  expect(probe.index).toBe(0);
  probe.silent();
  clock.now += 9999;
  expect(choose().index).toBe(1);
  clock.now += 1;
  expect(choose().index).toBe(0);
});

it('says when a place answers that did not, and forgets how long it was left alone', () => {
  const { choose, clock } = twoPlaces();
  choose().silent();
  clock.now += 5000;
  choose().silent();
  clock.now += 10_000;
  expect(choose().answered()).toBe(true);
  const again = choose();
  expect(again.index).toBe(0);
  expect(again.answered()).toBe(false);
  choose().silent();
  clock.now += 5000;
  expect(choose().index).toBe(0);
});

it('hears of one that was under way before the silence, and answers', () => {
  const { choose } = twoPlaces();
  const slow = choose();
  choose().silent();
  expect(choose().index).toBe(1);
  expect(slow.answered()).toBe(true);
  expect(choose().index).toBe(0);
});

it('does not hear one twice', () => {
  const { choose, clock } = twoPlaces();
  choose().silent();
  clock.now += 5000;
  const first = choose();
  first.settled();
  const second = choose();
  expect(second.index).toBe(0);
  // The one that was settled already must not end the other's probing, nor begin another pause.
  first.settled();
  first.silent();
  expect(choose().index).toBe(1);
  second.settled();
  expect(choose().index).toBe(0);
});

it('believes an answer, and no silence after it', () => {
  const { choose } = twoPlaces();
  const choice = choose();
  choice.answered();
  choice.silent();
  expect(choose().index).toBe(0);
});

it('asks again at once when the clock was set back: nobody knows how long it was', () => {
  const { choose, clock } = twoPlaces();
  choose().silent();
  clock.now -= 1;
  expect(choose().index).toBe(0);
});

it('never leaves the last place alone', () => {
  const { choose } = twoPlaces();
  choose().silent();
  for (let time = 0; time < 3; time += 1) {
    const choice = choose();
    expect(choice).toMatchObject({ index: 1, last: true });
    choice.silent();
    expect(choice.answered()).toBe(false);
  }
});

it('goes through three places in their order', () => {
  const clock = { now: 0 };
  const ways = new Ways(() => clock.now);
  ways.choose(3, none).silent();
  const second = ways.choose(3, none);
  expect(second).toMatchObject({ index: 1, last: false });
  second.silent();
  expect(ways.choose(3, none)).toMatchObject({ index: 2, last: true });
  clock.now += 5000;
  expect(ways.choose(3, none).index).toBe(0);
  expect(ways.choose(3, new Set([0])).index).toBe(1);
});

it('tells that a place is due which is wanted more, one at a time', () => {
  const { ways, choose, clock } = twoPlaces();
  expect(ways.isDueBefore(1)).toBe(false);
  const first = choose();
  // One that is under way to a place that is not known to be silent finds nothing out.
  expect(ways.isDueBefore(1)).toBe(true);
  first.silent();
  expect([ways.isDueBefore(0), ways.isDueBefore(1)]).toEqual([false, false]);
  clock.now += 4999;
  expect(ways.isDueBefore(1)).toBe(false);
  clock.now += 1;
  expect([ways.isDueBefore(0), ways.isDueBefore(1)]).toEqual([false, true]);
  const probe = choose();
  expect(ways.isDueBefore(1)).toBe(false);
  probe.answered();
  expect(ways.isDueBefore(1)).toBe(true);
});
