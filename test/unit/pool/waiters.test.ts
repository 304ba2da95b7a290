import { describe, expect, test, vi } from 'vitest';
import { Waiter, WaiterQueue } from '../../../src/pool/waiters.ts';
import { FakeClock, settle } from '../../support/fake-clock.ts';
import { fc } from '../../support/fast-check.ts';

/** A queue by a clock that is moved by hand, of waiters that go by numbers, and how their waits ended. */
function begin() {
  const clock = new FakeClock();
  const ends: string[] = [];
  const names = new Map<Waiter<string>, number>();
  const nameOf = (one: Waiter<string> | undefined): number | undefined => one && names.get(one);
  const queue = new WaiterQueue<string>(clock, {
    timedOut: (one) => void ends.push(`${nameOf(one)} timed out`),
    aborted: (one, reason) => void ends.push(`${nameOf(one)} aborted ${String(reason)}`),
  });
  return {
    clock,
    queue,
    ends,
    nameOf,
    /** Has somebody wait. */
    wait(
      name: number,
      { budget = 100, owner, signal }: { budget?: number; owner?: object | undefined; signal?: AbortSignal } = {},
    ): Waiter<string> {
      const waiter = new Waiter<string>(
        clock.now(),
        budget,
        { owner },
        (lease) => void ends.push(`${name} has ${lease}`),
        () => undefined,
      );
      names.set(waiter, name);
      queue.push(waiter, signal);
      return waiter;
    },
    drain(): (number | undefined)[] {
      const out: (number | undefined)[] = [];
      while (queue.size > 0) out.push(nameOf(queue.shift()));
      return out;
    },
  };
}
const filled = (...names: number[]) => {
  const world = begin();
  return { ...world, waiters: names.map((name) => world.wait(name)) };
};

describe('the queue', () => {
  test('is empty at first', () => {
    const { queue } = begin();
    expect([queue.size, queue.shift()]).toEqual([0, undefined]);
  });

  test('hands out the one that came first', () => {
    const { queue, drain } = filled(1, 2, 3);
    expect(queue.size).toBe(3);
    expect(drain()).toEqual([1, 2, 3]);
    expect(queue.shift()).toBeUndefined();
  });

  test.each([
    [0, [2, 3]],
    [1, [1, 3]],
    [2, [1, 2]],
  ])('lets number %i leave', (index, rest) => {
    const { queue, waiters, wait, drain } = filled(1, 2, 3);
    const waiter = waiters[index] as Waiter<string>;
    expect(queue.remove(waiter)).toBe(true);
    expect(queue.remove(waiter)).toBe(false);
    expect(queue.size).toBe(2);
    wait(4);
    expect(drain()).toEqual([...rest, 4]);
  });

  test('lets the only one leave and goes on', () => {
    const { queue, waiters, wait, drain } = filled(1);
    expect(queue.remove(waiters[0] as Waiter<string>)).toBe(true);
    expect(queue.size).toBe(0);
    wait(2);
    expect(drain()).toEqual([2]);
  });

  test('does not let one leave that was handed out', () => {
    const { queue, waiters } = filled(1, 2);
    queue.shift();
    expect(queue.remove(waiters[0] as Waiter<string>)).toBe(false);
    expect(queue.size).toBe(1);
  });

  test('lets all of one owner leave, longest wait first', () => {
    const { queue, wait, nameOf, drain } = begin();
    const [mine, yours] = [{}, {}];
    for (const [name, owner] of [
      [1, mine],
      [2, yours],
      [3, mine],
      [4, undefined],
      [5, mine],
    ] as const) {
      wait(name, { owner });
    }
    expect(queue.removeOwnedBy(mine).map(nameOf)).toEqual([1, 3, 5]);
    expect(queue.removeOwnedBy(mine)).toEqual([]);
    expect(queue.size).toBe(2);
    wait(6, { owner: mine });
    expect(drain()).toEqual([2, 4, 6]);
  });

  test('keeps the order of thousands, whoever leaves in between', () => {
    const { queue, wait, drain } = begin();
    const waiters = Array.from({ length: 3000 }, (_, name) => wait(name));
    const stay = (name: number): boolean => name % 3 > 0;
    for (const [name, waiter] of waiters.entries()) if (!stay(name)) queue.remove(waiter);
    for (let name = 3000; name < 6000; name += 1) wait(name);
    const names = Array.from({ length: 6000 }, (_, name) => name);
    expect(drain()).toEqual(names.filter((name) => name >= 3000 || stay(name)));
  });

  test('behaves as a list does, whatever is done to it', () => {
    const actions = fc.array(
      fc.oneof(
        { weight: 4, arbitrary: fc.constant({ type: 'push' as const }) },
        { weight: 1, arbitrary: fc.constant({ type: 'shift' as const }) },
        { weight: 1, arbitrary: fc.record({ type: fc.constant('remove' as const), which: fc.nat(80) }) },
        { weight: 1, arbitrary: fc.constant({ type: 'owner' as const }) },
      ),
      { maxLength: 120, size: 'max' },
    );
    const mine = {};
    fc.assert(
      fc.property(actions, (list) => {
        const { queue, wait, nameOf, drain } = begin();
        const waiters: Waiter<string>[] = [];
        let model: number[] = [];
        for (const action of list) {
          if (action.type === 'push') {
            model.push(waiters.length);
            waiters.push(wait(waiters.length, { owner: waiters.length % 9 === 0 ? mine : undefined }));
          } else if (action.type === 'shift') {
            expect(nameOf(queue.shift())).toBe(model.shift());
          } else if (action.type === 'owner') {
            expect(queue.removeOwnedBy(mine).map(nameOf)).toEqual(model.filter((name) => name % 9 === 0));
            model = model.filter((name) => name % 9 !== 0);
          } else {
            const waiter = waiters[action.which];
            if (waiter === undefined) continue;
            expect(queue.remove(waiter)).toBe(model.includes(action.which));
            model = model.filter((name) => name !== action.which);
          }
          expect(queue.size).toBe(model.length);
        }
        expect(drain()).toEqual(model);
      }),
      { numRuns: 300 },
    );
  });
});

describe('a wait', () => {
  test('ends after its budget and one more poll, out of the queue', async () => {
    const { clock, queue, ends, wait } = begin();
    wait(1);
    await clock.advance(99);
    expect([queue.size, ends]).toEqual([1, []]);
    await clock.advance(1);
    expect([queue.size, ends]).toEqual([0, ['1 timed out']]);
  });

  test('is not timed out by a timer that has fired when somebody else serves it before the poll', async () => {
    const { clock, queue, ends, wait } = begin();
    wait(1);
    clock.afterTurn(() => queue.shift()?.resolve('it'));
    clock.freeze(1000, { monotonicRuns: true });
    await clock.turn();
    expect(ends).toEqual(['1 has it']);
  });

  test('that comes between the timer and the poll has its whole budget', async () => {
    const { clock, ends, wait } = begin();
    wait(1);
    clock.afterTurn(() => void wait(2));
    clock.freeze(100, { monotonicRuns: true });
    await clock.turn();
    expect(ends).toEqual(['1 timed out']);
    await clock.advance(99);
    expect(ends).toEqual(['1 timed out']);
    await clock.advance(1);
    expect(ends).toEqual(['1 timed out', '2 timed out']);
  });

  test('that is overdue when the timer fires for another, but was not then, has a poll of its own', async () => {
    const { clock, ends, wait } = begin();
    wait(1, { budget: 100 });
    wait(2, { budget: 130 });
    clock.freeze(100, { monotonicRuns: true });
    clock.afterTurn(() => clock.freeze(30, { monotonicRuns: true }));
    await clock.turn();
    expect(ends).toEqual(['1 timed out']);
    await clock.advance(30);
    expect(ends).toEqual(['1 timed out', '2 timed out']);
  });

  test('ends with the others that a pause has made overdue', async () => {
    const { clock, ends, wait } = begin();
    wait(1, { budget: 100 });
    wait(2, { budget: 130 });
    wait(3, { budget: 201 });
    clock.freeze(200, { monotonicRuns: true });
    await clock.turn();
    expect(ends).toEqual(['1 timed out', '2 timed out']);
  });

  test('ends when the timer fires, also by timers that run ahead of the clock', async () => {
    const { clock, ends, wait } = begin();
    const start = clock.now();
    clock.now = () => start;
    wait(1, { budget: 100 });
    wait(2, { budget: 150 });
    await clock.advance(100);
    expect(ends).toEqual(['1 timed out']);
    await clock.advance(50);
    expect(ends).toEqual(['1 timed out', '2 timed out']);
  });

  test('ends when its own budget does, whoever was served before it', async () => {
    const { clock, queue, ends, wait } = begin();
    wait(1);
    await clock.advance(60);
    wait(2);
    queue.shift();
    await clock.advance(99);
    expect(ends).toEqual([]);
    await clock.advance(1);
    expect(ends).toEqual(['2 timed out']);
  });

  test('ends by the order of the budgets where these differ, each at its time', async () => {
    const { clock, ends, wait } = begin();
    for (const [name, budget] of [
      [1, 300],
      [2, 100],
      [3, 400],
      [4, 50],
      [5, 200],
    ] as const) {
      wait(name, { budget });
    }
    const seen: [number, string][] = [];
    for (let at = 10; at <= 400; at += 10) {
      await clock.advance(10);
      for (const end of ends.splice(0)) seen.push([at, end]);
    }
    expect(seen).toEqual([
      [50, '4 timed out'],
      [100, '2 timed out'],
      [200, '5 timed out'],
      [300, '1 timed out'],
      [400, '3 timed out'],
    ]);
  });

  test('ends at its time behind a longer one that came first, also once they were in order again', async () => {
    const { clock, queue, ends, wait } = begin();
    wait(1, { budget: 1000 });
    wait(2, { budget: 100 });
    queue.shift();
    queue.shift();
    wait(3, { budget: 1000 });
    wait(4, { budget: 200 });
    wait(5, { budget: 300 });
    await clock.advance(300);
    expect(ends).toEqual(['4 timed out', '5 timed out']);
  });

  test('ends when the signal is aborted, with its reason, and then no more', async () => {
    const abort = new AbortController();
    const { clock, queue, ends, wait } = begin();
    wait(1, { signal: abort.signal });
    abort.abort('enough');
    expect([queue.size, ends]).toEqual([0, ['1 aborted enough']]);
    await settle();
    expect(clock.timers).toBe(0);
    await clock.advance(1000);
    expect(ends).toHaveLength(1);
  });

  test('hears neither timer nor signal once it is served', async () => {
    const abort = new AbortController();
    const { clock, queue, ends, wait } = begin();
    wait(1, { signal: abort.signal });
    queue.shift();
    wait(2, { budget: 2000 });
    abort.abort();
    await clock.advance(1000);
    expect([queue.size, ends]).toEqual([1, []]);
  });

  test('ends once when timer and signal meet', async () => {
    const abort = new AbortController();
    const { clock, ends, wait } = begin();
    wait(1, { signal: abort.signal });
    clock.freeze(1000, { monotonicRuns: true });
    clock.afterTurn(() => abort.abort('enough'));
    await clock.turn();
    expect(ends).toEqual(['1 aborted enough']);
  });

  test('ends once when the end of another serves it', async () => {
    const clock = new FakeClock();
    const ends: string[] = [];
    const queue: WaiterQueue<string> = new WaiterQueue(clock, {
      timedOut: () => {
        ends.push('timed out');
        queue.shift()?.resolve('it');
      },
      aborted: () => undefined,
    });
    for (let n = 0; n < 2; n += 1) {
      queue.push(
        new Waiter(
          clock.now(),
          100,
          undefined,
          (lease) => void ends.push(`has ${lease}`),
          () => undefined,
        ),
      );
    }
    await clock.advance(100);
    expect(ends).toEqual(['timed out', 'has it']);
  });
});

describe('however many wait,', () => {
  /** Counts how often the queue asks when somebody is due. */
  function counting() {
    const world = begin();
    let asked = 0;
    return {
      ...world,
      wait(name: number, budget: number): void {
        const since = world.clock.now();
        const { now } = world.clock;
        world.clock.now = () => ({
          wall: since.wall,
          get monotonic() {
            asked += 1;
            return since.monotonic;
          },
        });
        world.wait(name, { budget });
        world.clock.now = now;
      },
      asked(): number {
        const count = asked;
        asked = 0;
        return count;
      },
    };
  }

  test('a timer looks no further than the first that is not due, as long as all have the same budget', async () => {
    const { clock, queue, wait, asked, ends } = counting();
    for (let name = 0; name < 500; name += 1) wait(name, 100);
    await clock.advance(50);
    for (let name = 500; name < 1000; name += 1) wait(name, 100);
    for (let n = 0; n < 499; n += 1) queue.shift();
    asked();
    await clock.advance(50);
    expect(ends).toEqual(['499 timed out']);
    expect(asked()).toBeLessThan(10);
  });

  test('a timer looks no further either once those with another budget have left', async () => {
    const { clock, wait, asked, drain, ends } = counting();
    wait(1, 9000);
    wait(2, 50);
    drain();
    for (let name = 0; name < 500; name += 1) wait(name, 200);
    await clock.advance(10);
    for (let name = 500; name < 1000; name += 1) wait(name, 200);
    asked();
    await clock.advance(60);
    expect(ends).toEqual([]);
    expect(asked()).toBeLessThan(10);
  });

  test('everybody is given a place a few times at most', () => {
    const { queue, wait } = begin();
    let places = 0;
    for (let name = 0; name < 1000; name += 1) {
      const waiter = wait(name);
      let { place } = waiter;
      Object.defineProperty(waiter, 'place', {
        get: () => place,
        set: (value: number) => {
          places += 1;
          place = value;
        },
      });
    }
    expect(places).toBeLessThan(2000);
    expect(queue.size).toBe(1000);
  });
});

describe('whoever leaves, leaves no place behind', () => {
  test.each(['first', 'last'])('for long, though the %s of all stays', (who) => {
    const { queue, wait, drain } = begin();
    if (who === 'first') wait(0);
    let highest = 0;
    let before: Waiter<string> | undefined;
    for (let name = 1; name <= 100_000; name += 1) {
      const waiter = wait(name);
      highest = Math.max(highest, waiter.place);
      if (who === 'first') queue.remove(waiter);
      else if (before) queue.remove(before);
      before = waiter;
    }
    expect(highest).toBeLessThan(100);
    expect(drain()).toEqual([who === 'first' ? 0 : 100_000]);
  });
});

describe('the timer', () => {
  test('is one for all, however many wait', () => {
    const { clock } = filled(1, 2, 3);
    expect(clock.timers).toBe(1);
  });

  test('is taken back at the end of a turn in which the last one leaves', async () => {
    const { clock, drain } = filled(1, 2, 3);
    drain();
    expect(clock.timers).toBe(1);
    await settle();
    expect(clock.timers).toBe(0);
  });

  test('stays as it is where somebody comes in the same turn', async () => {
    const { clock, queue, wait, drain, ends } = filled(1);
    const set: number[] = [];
    const { setTimer } = clock;
    clock.setTimer = (callback, millis) => {
      set.push(millis);
      return setTimer.call(clock, callback, millis);
    };
    drain();
    wait(2);
    await settle();
    expect([clock.timers, set]).toEqual([1, []]);
    queue.shift();
    wait(3, { budget: 50 });
    expect([clock.timers, set]).toEqual([1, [50]]);
    await clock.advance(50);
    expect(ends).toEqual(['3 timed out']);
    expect([clock.timers, set]).toEqual([0, [50]]);
  });

  test('is looked after once in each turn in which nobody waited', async () => {
    const { wait, drain } = begin();
    const nextTick = vi.spyOn(process, 'nextTick');
    try {
      for (let turn = 1; turn <= 3; turn += 1) {
        nextTick.mockClear();
        for (let n = 0; n < 5; n += 1) {
          wait(n);
          drain();
        }
        expect(nextTick).toHaveBeenCalledTimes(1);
        await settle();
      }
    } finally {
      nextTick.mockRestore();
    }
  });

  test('is set anew for who is still waiting, and for whole milliseconds', async () => {
    const { clock, wait, ends } = begin();
    wait(1, { budget: 10 });
    wait(2, { budget: 20.5 });
    const set: number[] = [];
    const { setTimer } = clock;
    clock.setTimer = (callback, millis) => {
      set.push(millis);
      return setTimer.call(clock, callback, millis);
    };
    await clock.advance(10);
    expect([ends, set]).toEqual([['1 timed out'], [11]]);
    await clock.advance(11);
    expect(ends).toEqual(['1 timed out', '2 timed out']);
    expect(clock.timers).toBe(0);
  });
});
