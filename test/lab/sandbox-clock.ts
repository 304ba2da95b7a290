/**
 * Moves the clocks of the process that it is loaded into first (`node --import`): the wall clock and the monotonic one,
 * by the milliseconds that the file named by `LAB_CLOCK_FILE` holds at that moment. Timers stay the system's own, or take
 * `LAB_TIMERS_SLOWER` times as long.
 */
import { readFileSync } from 'node:fs';

/** How far a sandbox's clocks are from the machine's, in milliseconds. */
export interface ClockOffsets {
  readonly wall: number;
  readonly monotonic: number;
}

function offsets(file: string): ClockOffsets {
  return JSON.parse(readFileSync(file, 'utf8')) as ClockOffsets;
}

const file = process.env['LAB_CLOCK_FILE'];
if (file !== undefined) {
  const RealDate = Date;
  const monotonic = performance.now.bind(performance);
  const wall = () => RealDate.now() + offsets(file).wall;
  globalThis.Date = new Proxy(RealDate, {
    construct: (target, args, newTarget) =>
      Reflect.construct(target, args.length === 0 ? [wall()] : args, newTarget) as Date,
    get: (target, name, receiver) => (name === 'now' ? wall : (Reflect.get(target, name, receiver) as unknown)),
  });
  Object.defineProperty(performance, 'now', { value: () => monotonic() + offsets(file).monotonic });
}

const slower = process.env['LAB_TIMERS_SLOWER'];
if (slower !== undefined) {
  globalThis.setTimeout = new Proxy(globalThis.setTimeout, {
    apply: (target, self, [callback, millis = 1, ...rest]: [() => void, number?, ...unknown[]]) =>
      Reflect.apply(target, self, [callback, millis * Number(slower), ...rest]) as NodeJS.Timeout,
  });
}
