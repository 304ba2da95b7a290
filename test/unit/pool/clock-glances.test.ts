import { describe, expect, test, vi } from 'vitest';
import { Glances, glanceOf, type Instant, stampOf, systemClock } from '../../../src/pool/clock.ts';
import { FakeClock, settle } from '../../support/fake-clock.ts';

/** Glances by clocks and turns that are moved by hand, and how often both clocks, or the wall clock alone, were read. */
function begin() {
  const clock = { wall: 1000, monotonic: 5 };
  const read = { both: 0, wall: 0 };
  const ends: (() => void)[] = [];
  const glances = new Glances(
    () => {
      read.both += 1;
      return { ...clock };
    },
    () => {
      read.wall += 1;
      return clock.wall;
    },
    (callback) => void ends.push(callback),
  );
  return {
    clock,
    read,
    ends,
    glance: () => glances.glance(),
    stamp: () => glances.stamp(),
    times(count: number): Instant[] {
      return Array.from({ length: count }, () => glances.glance());
    },
    /** The turn is over, and the event loop polls. */
    turn(): void {
      for (const end of ends.splice(0)) end();
    },
  };
}
/** Readings that are a burst, and how many the last of them then stands for besides. */
const [burst, repeats] = [8, 31];
/** The same for the first burst of a turn: nobody knows of which turns those are that come before. */
const first = 2 * burst;

describe('a glance', () => {
  test('is a reading of both clocks, while it is none of many', () => {
    const { clock, read, glance } = begin();
    for (let n = 1; n <= 50; n += 1) {
      clock.wall += 1;
      clock.monotonic += 0.5;
      expect(glance()).toEqual(clock);
      expect(read).toEqual({ both: n, wall: 0 });
    }
  });

  test('sees a pause of the process, or its own work, after a few in one millisecond', () => {
    const { clock, glance, times } = begin();
    times(burst - 1);
    clock.monotonic += 1500;
    expect(glance()).toEqual({ wall: 1000, monotonic: 1505 });
  });

  test('is used again in a burst, so many times and no more', () => {
    const { clock, read, times, glance } = begin();
    const last = times(first).at(-1);
    clock.wall += 5000;
    clock.monotonic += 5000;
    expect(new Set(times(repeats))).toEqual(new Set([last]));
    expect(read).toEqual({ both: first, wall: 0 });
    expect(glance()).toEqual({ wall: 6000, monotonic: 5005 });
    expect(read).toEqual({ both: first + 1, wall: 1 });
  });

  test('is the same reading through a millisecond of a burst: the wall clock alone is looked at', () => {
    const { clock, read, times } = begin();
    const [last] = times(first).slice(-1);
    clock.monotonic += 0.4;
    for (const one of times(5 * (repeats + 1))) expect(one).toBe(last);
    expect(read).toEqual({ both: first, wall: 5 });
  });

  test('takes as many for a burst in each millisecond', () => {
    const { clock, read, times, glance } = begin();
    times(first + repeats);
    clock.wall += 1;
    times(burst - 1);
    expect(read.both).toBe(first + burst - 1);
    clock.monotonic += 700;
    expect(glance().monotonic).toBe(705);
    clock.monotonic += 1;
    expect(glance().monotonic).toBe(705);
  });

  test('counts backwards in time as another millisecond', () => {
    const { clock, times, glance } = begin();
    times(first + repeats);
    clock.wall -= 10_000;
    clock.monotonic += 3;
    expect(glance()).toEqual({ wall: -9000, monotonic: 8 });
    clock.monotonic += 3;
    expect(glance()).toEqual({ wall: -9000, monotonic: 11 });
  });

  test('never outlives its turn', () => {
    const { clock, times, turn, glance } = begin();
    times(first + 1);
    turn();
    clock.monotonic += 60_000;
    expect(glance()).toEqual({ wall: 1000, monotonic: 60_005 });
  });

  test('takes a whole burst again after a turn, even within the millisecond', () => {
    const { read, times, turn } = begin();
    times(first + repeats);
    turn();
    times(first - 1);
    expect(read).toEqual({ both: 2 * first - 1, wall: 0 });
    times(2);
    expect(read).toEqual({ both: 2 * first, wall: 0 });
  });

  test('counts none of the turns before for a burst', () => {
    const { clock, read, times, glance } = begin();
    times(burst - 1);
    // Another turn: nobody was told that the one before had ended.
    times(burst);
    clock.monotonic += 1500;
    expect(glance()).toEqual({ wall: 1000, monotonic: 1505 });
    expect(read).toEqual({ both: first, wall: 0 });
  });

  test('that is to say when something happens makes no burst, and is no older than a reading of one', () => {
    const { clock, read, times, glance, stamp } = begin();
    for (let n = 1; n <= 100; n += 1) {
      clock.monotonic += 0.001;
      expect(stamp()).toEqual(clock);
    }
    expect(read).toEqual({ both: 100, wall: 0 });
    const [last] = times(first).slice(-1);
    clock.monotonic += 1500;
    expect([stamp(), stamp()]).toEqual([last, last]);
    for (let n = 0; n < repeats; n += 1) expect(glance()).toBe(last);
    expect(stamp()).toEqual(clock);
    expect(read).toEqual({ both: 101 + first, wall: 0 });
  });

  test('asks for the end of its turn once, and in each turn', () => {
    const { clock, ends, times, turn } = begin();
    times(burst - 1);
    expect(ends).toHaveLength(0);
    times(1000);
    clock.wall += 1;
    times(1000);
    expect(ends).toHaveLength(1);
    turn();
    times(1000);
    expect(ends).toHaveLength(1);
  });
});

describe('a pool', () => {
  test("glances at the process's clocks, and shares a reading in a burst only", async () => {
    const glance = glanceOf(systemClock);
    const before = systemClock.now();
    const many = Array.from({ length: 3200 }, () => glance());
    const after = systemClock.now();
    expect(new Set(many).size).toBeLessThan(many.length);
    for (const one of many) {
      expect(one.wall).toBeGreaterThanOrEqual(before.wall);
      expect(one.monotonic).toBeLessThanOrEqual(after.monotonic);
    }
    const last = glance();
    await settle();
    expect(glance()).not.toBe(last);
  });

  test('has one reading for all of a burst in a millisecond', async () => {
    await settle();
    vi.useFakeTimers({ toFake: ['Date'] });
    try {
      const glance = glanceOf(systemClock);
      expect(new Set(Array.from({ length: 3200 }, () => glance())).size).toBeLessThanOrEqual(first);
    } finally {
      vi.useRealTimers();
    }
  });

  test("takes a burst's reading for its news, and makes no burst by them", async () => {
    await settle();
    const glance = glanceOf(systemClock);
    const stamp = stampOf(systemClock);
    const alone = Array.from({ length: 1000 }, () => stamp());
    expect(new Set(alone).size).toBe(alone.length);
    const told = Array.from({ length: 3200 }, () => glance() === stamp());
    expect(told).toContain(true);
    await settle();
    glance();
    expect(stamp()).not.toBe(glance());
  });

  test('reads the clock that it was given each time, made from the clock of the process or not', () => {
    const fake = new FakeClock();
    const glance = glanceOf(fake);
    for (let n = 0; n < 100; n += 1) {
      fake.jumpWall(1);
      expect(glance()).toEqual(fake.now());
    }
    let reads = 0;
    const now = (): Instant => {
      reads += 1;
      return systemClock.now();
    };
    const own = { ...systemClock, now };
    const readings = [glanceOf(own), stampOf(own)];
    for (let n = 0; n < 100; n += 1) for (const reading of readings) reading();
    expect(reads).toBe(200);
  });
});
