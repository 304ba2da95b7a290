/**
 * Moves the clocks of the process that it is loaded into first (`node --import`): the wall clock and the monotonic one,
 * by the milliseconds that the file named by `LAB_CLOCK_FILE` holds at that moment. Timers stay the system's own.
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
