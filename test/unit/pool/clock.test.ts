import { describe, expect, test } from 'vitest';
import { elapsedMillis, systemClock } from '../../../src/pool/clock.ts';
import { deferred } from '../../support/deferred.ts';
import { FakeClock } from '../../support/fake-clock.ts';

describe('elapsedMillis', () => {
  test.each([
    ['both clocks ran', 10, 10, 10],
    ['the monotonic clock stood still', 3000, 0, 3000],
    ['the wall clock was set back', -3000, 40, 40],
    ['the wall clock was set forward', 3000, 40, 3000],
    ['nothing happened', 0, 0, 0],
    ['the wall clock was set back and the monotonic one stood still', -5, 0, 0],
    ['both went back, which they do not', -5, -7, 0],
  ])('when %s', (_, wall, monotonic, elapsed) => {
    const from = { wall: 10_000, monotonic: 500 };
    expect(elapsedMillis(from, { wall: from.wall + wall, monotonic: from.monotonic + monotonic })).toBe(elapsed);
  });
});

describe('the clock of the process', () => {
  test('reads both clocks', () => {
    const { wall, monotonic } = systemClock.now();
    expect(Math.abs(wall - Date.now())).toBeLessThan(10_000);
    expect(Math.abs(monotonic - performance.now())).toBeLessThan(10_000);
  });

  test('sets timers that keep no process alive, and takes them back', () => {
    const timer = systemClock.setTimer(() => undefined, 1_000_000) as NodeJS.Timeout;
    expect(timer.hasRef()).toBe(false);
    systemClock.clearTimer(timer);
    systemClock.clearTimer(timer);
  });

  test('calls back after a turn of the event loop', async () => {
    const turned = deferred();
    let sync = true;
    systemClock.afterTurn(() => turned.resolve());
    await Promise.resolve().then(() => void (sync = false));
    await turned.promise;
    expect(sync).toBe(false);
  });
});

describe('the fake clock', () => {
  test('fires timers in the order in which they are due, each at its time', async () => {
    const clock = new FakeClock();
    const start = clock.now();
    const fired: [string, number][] = [];
    const note = (name: string) => (): void => void fired.push([name, elapsedMillis(start, clock.now())]);
    clock.setTimer(note('late'), 30);
    clock.setTimer(() => {
      note('early')();
      clock.setTimer(note('set by early'), 5);
    }, 10);
    clock.clearTimer(clock.setTimer(note('taken back'), 20));
    await clock.advance(29);
    expect(fired).toEqual([
      ['early', 10],
      ['set by early', 15],
    ]);
    await clock.advance(1);
    expect(fired.at(-1)).toEqual(['late', 30]);
  });

  test('lets nothing fire in a freeze, and what is overdue in the next turn', async () => {
    for (const monotonicRuns of [true, false]) {
      const clock = new FakeClock();
      const start = clock.now();
      const fired: string[] = [];
      clock.setTimer(() => {
        fired.push('timer');
        clock.afterTurn(() => void fired.push('poll after timer'));
      }, 10);
      clock.freeze(1000, { monotonicRuns });
      expect(fired).toEqual([]);
      expect(elapsedMillis(start, clock.now())).toBe(1000);
      await clock.turn();
      expect(fired).toEqual(monotonicRuns ? ['timer', 'poll after timer'] : []);
      await clock.advance(10);
      expect(fired).toEqual(['timer', 'poll after timer']);
      expect(clock.turns).toBe(0);
    }
  });

  test('moves the wall clock alone when somebody sets it', () => {
    const clock = new FakeClock();
    const { wall, monotonic } = clock.now();
    clock.jumpWall(-500);
    expect(clock.now()).toEqual({ wall: wall - 500, monotonic });
  });
});
