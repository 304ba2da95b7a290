// Who is next, among the threads of a process. One has the turn, the others wait for it in the order of their tickets:
// those who have fewer places first, and then those who have waited longer.

import { type Callers, type HeldName, holdName, Line } from './kernel-name.ts';

/** How long those who are behind others leave a turn to each of them. It keeps the order, nothing else. */
export const placeMillis = 5;

/** Nanoseconds of two years, which is longer than any thread waits and most machines run. */
const timeBits = 56n;

/** What there is to know of somebody who wants the turn. */
export interface TurnWish {
  readonly name: string;
  /** Since when, on `process.hrtime`'s clock, which all threads share. */
  readonly since: bigint;
  /** How many places it has. */
  readonly held: () => number;
  /** Whoever has the turn must wait for long. */
  readonly told: () => void;
  /** Hears of those who wait for the turn once it is had. */
  readonly callers: Callers;
}

/** Waits for the turn. */
export async function takeTurn({ name, since, held, told, callers }: TurnWish, signal: AbortSignal): Promise<HeldName> {
  for (let notBefore = 0; ; ) {
    signal.throwIfAborted();
    // Those who are behind others only look, for a while, whether somebody has it.
    const turn = performance.now() < notBefore ? undefined : await holdName(name, callers);
    if (turn) return turn;
    const ticket = (BigInt(held()) << timeBits) | BigInt.asUintN(Number(timeBits), since);
    const line = new Line(name, { ticket, told });
    await endOf(line, signal);
    if (line.place !== undefined) notBefore = performance.now() + line.place * placeMillis;
    else if (performance.now() < notBefore) await pause(1, signal);
  }
}

/** Whether somebody waits for the turn who has fewer places than that. */
export function isOvertaken(turn: HeldName, held: number): boolean {
  return turn.callers > 0 && turn.first >> timeBits < BigInt(held);
}

/** Waits for the end of a line, and ends it when the signal fires. */
export async function endOf(line: Line, signal: AbortSignal): Promise<void> {
  const hangUp = (): void => line.hangUp();
  if (signal.aborted) hangUp();
  signal.addEventListener('abort', hangUp, { once: true });
  await line.ended;
  signal.removeEventListener('abort', hangUp);
}

/** Waits so long, or until the signal fires. */
export function pause(millis: number, signal: AbortSignal): Promise<void> {
  if (millis === 0 || signal.aborted) return Promise.resolve();
  return new Promise((resolve) => {
    const done = (): void => {
      clearTimeout(timer);
      signal.removeEventListener('abort', done);
      resolve();
    };
    const timer = setTimeout(done, millis);
    signal.addEventListener('abort', done, { once: true });
  });
}
