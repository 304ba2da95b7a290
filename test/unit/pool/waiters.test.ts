import { describe, expect, test } from 'vitest';
import { startWait, type Waiter, WaiterQueue } from '../../../src/pool/waiters.ts';
import { FakeClock } from '../../support/fake-clock.ts';
import { fc } from '../../support/fast-check.ts';

interface Named extends Waiter<string> {
  readonly name: number;
}

const waiter = (name: number, owner?: object): Named => ({
  name,
  owner,
  origin: undefined,
  since: { wall: 0, monotonic: 0 },
  resolve: () => undefined,
  reject: () => undefined,
  disarm: () => undefined,
});
const nameOf = (one: Waiter<string> | undefined): number | undefined => (one as Named | undefined)?.name;
const drain = (queue: WaiterQueue<string>): (number | undefined)[] => {
  const names: (number | undefined)[] = [];
  while (queue.size > 0) names.push(nameOf(queue.shift()));
  return names;
};
const filled = (...names: number[]) => {
  const queue = new WaiterQueue<string>();
  return { queue, handles: names.map((name) => queue.push(waiter(name))) };
};

describe('the queue', () => {
  test('is empty at first', () => {
    const queue = new WaiterQueue<string>();
    expect([queue.size, queue.shift()]).toEqual([0, undefined]);
  });

  test('hands out the one that came first', () => {
    const { queue } = filled(1, 2, 3);
    expect(queue.size).toBe(3);
    expect(drain(queue)).toEqual([1, 2, 3]);
    expect(queue.shift()).toBeUndefined();
  });

  test.each([
    [0, [2, 3]],
    [1, [1, 3]],
    [2, [1, 2]],
  ])('lets number %i leave', (index, rest) => {
    const { queue, handles } = filled(1, 2, 3);
    const handle = handles[index] as (typeof handles)[number];
    expect(queue.remove(handle)).toBe(true);
    expect(queue.remove(handle)).toBe(false);
    expect(queue.size).toBe(2);
    queue.push(waiter(4));
    expect(drain(queue)).toEqual([...rest, 4]);
  });

  test('lets the only one leave and goes on', () => {
    const { queue, handles } = filled(1);
    expect(queue.remove(handles[0] as (typeof handles)[number])).toBe(true);
    expect(queue.size).toBe(0);
    queue.push(waiter(2));
    expect(drain(queue)).toEqual([2]);
  });

  test('does not let one leave that was handed out', () => {
    const { queue, handles } = filled(1, 2);
    queue.shift();
    expect(queue.remove(handles[0] as (typeof handles)[number])).toBe(false);
    expect(queue.size).toBe(1);
  });

  test('lets all of one owner leave, longest wait first', () => {
    const queue = new WaiterQueue<string>();
    const [mine, yours] = [{}, {}];
    for (const [name, owner] of [
      [1, mine],
      [2, yours],
      [3, mine],
      [4, undefined],
      [5, mine],
    ] as const) {
      queue.push(waiter(name, owner));
    }
    expect(queue.removeOwnedBy(mine).map(nameOf)).toEqual([1, 3, 5]);
    expect(queue.removeOwnedBy(mine)).toEqual([]);
    expect(queue.size).toBe(2);
    queue.push(waiter(6, mine));
    expect(drain(queue)).toEqual([2, 4, 6]);
  });

  test('behaves as a list does, whatever is done to it', () => {
    const actions = fc.array(
      fc.oneof(
        fc.constant({ type: 'push' as const }),
        fc.constant({ type: 'shift' as const }),
        fc.record({ type: fc.constant('remove' as const), which: fc.nat(30) }),
        fc.constant({ type: 'owner' as const }),
      ),
      { maxLength: 60 },
    );
    const mine = {};
    fc.assert(
      fc.property(actions, (list) => {
        const queue = new WaiterQueue<string>();
        const handles: ReturnType<typeof queue.push>[] = [];
        let model: number[] = [];
        for (const action of list) {
          if (action.type === 'push') {
            model.push(handles.length);
            handles.push(queue.push(waiter(handles.length, handles.length % 3 === 0 ? mine : undefined)));
          } else if (action.type === 'shift') {
            expect(nameOf(queue.shift())).toBe(model.shift());
          } else if (action.type === 'owner') {
            expect(queue.removeOwnedBy(mine).map(nameOf)).toEqual(model.filter((name) => name % 3 === 0));
            model = model.filter((name) => name % 3 !== 0);
          } else {
            const handle = handles[action.which];
            if (handle === undefined) continue;
            expect(queue.remove(handle)).toBe(model.includes(action.which));
            model = model.filter((name) => name !== action.which);
          }
          expect(queue.size).toBe(model.length);
        }
        expect(drain(queue)).toEqual(model);
      }),
      { numRuns: 300 },
    );
  });
});

describe('a wait', () => {
  function begin(signal?: AbortSignal) {
    const clock = new FakeClock();
    const queue = new WaiterQueue<string>();
    const ends: string[] = [];
    startWait<string>(clock, queue, {
      since: clock.now(),
      budgetMillis: 100,
      owner: undefined,
      origin: 'here',
      signal,
      resolve: (lease) => void ends.push(`resolved ${lease}`),
      reject: (error) => void ends.push(`rejected ${String(error)}`),
      timedOut: (one) => {
        ends.push('timed out');
        one.disarm();
      },
      aborted: (one, reason) => {
        ends.push(`aborted ${String(reason)}`);
        one.disarm();
      },
    });
    return { clock, queue, ends };
  }

  test('ends after its budget and one more poll, out of the queue', async () => {
    const { clock, queue, ends } = begin();
    await clock.advance(99);
    expect([queue.size, ends]).toEqual([1, []]);
    await clock.advance(1);
    expect([queue.size, ends]).toEqual([0, ['timed out']]);
  });

  test('is not timed out by a timer that has fired when somebody else serves it before the poll', async () => {
    const { clock, queue, ends } = begin();
    clock.afterTurn(() => {
      const one = queue.shift();
      one?.disarm();
      one?.resolve('lease');
    });
    clock.freeze(1000, { monotonicRuns: true });
    await clock.turn();
    expect(ends).toEqual(['resolved lease']);
  });

  test('ends when the signal is aborted, with its reason, and then no more', async () => {
    const abort = new AbortController();
    const { clock, queue, ends } = begin(abort.signal);
    abort.abort('enough');
    expect([queue.size, ends]).toEqual([0, ['aborted enough']]);
    expect(clock.timers).toBe(0);
    await clock.advance(1000);
    expect(ends).toHaveLength(1);
  });

  test('hears neither timer nor signal once it is disarmed', async () => {
    const abort = new AbortController();
    const { clock, queue, ends } = begin(abort.signal);
    queue.shift()?.disarm();
    queue.push(waiter(1));
    abort.abort();
    await clock.advance(1000);
    expect([queue.size, ends]).toEqual([1, []]);
  });

  test('ends once when timer and signal meet', async () => {
    const abort = new AbortController();
    const { clock, ends } = begin(abort.signal);
    clock.freeze(1000, { monotonicRuns: true });
    clock.afterTurn(() => abort.abort('enough'));
    await clock.turn();
    expect(ends).toEqual(['aborted enough']);
  });
});
