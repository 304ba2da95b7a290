/**
 * A clock in slow motion, for pools whose sockets and server are real. On a loaded machine everything may have to wait
 * for some hundred milliseconds, and a sound connection that does not answer within 50 is taken for dead. By this clock a
 * machine would have to stand still for a second; what never comes takes as much longer to be given up.
 */
import { type Clock, type Instant, systemClock } from 'thawpool/core';

/** How many milliseconds of the machine make one of the pool. */
const slowness = 20;
/** The longest delay that a timer of Node.js can take (2^31 - 1); a longer one fires at once. */
const longestTimer = 2_147_483_647;

/** Returns a clock that starts at the present time and falls behind from then on. */
export function slowClock(): Clock {
  const start = systemClock.now();
  return {
    ...systemClock,
    now(): Instant {
      const { wall, monotonic } = systemClock.now();
      return {
        wall: start.wall + (wall - start.wall) / slowness,
        monotonic: start.monotonic + (monotonic - start.monotonic) / slowness,
      };
    },
    setTimer: (callback, millis) => systemClock.setTimer(callback, Math.min(millis * slowness, longestTimer)),
  };
}
