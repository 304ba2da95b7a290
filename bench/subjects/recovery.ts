/** The process of the section on recovery: one handler behind the wrapper, and a fresh connection beside it. */
import { Socket } from 'node:net';
import pg from 'pg';
import { withPool } from 'thawpool';
import { type Clock, systemClock } from 'thawpool/core';
import { SQL } from './databases.ts';
import type { Context, Event } from './handlers.ts';

const TIMEOUT_MILLIS = 10_000;
const connectionString = process.env['DATABASE_URL'] ?? '';

let frozenMillis = 0;

/** The process is stopped for a moment only; its clock says that it was for longer. */
const clock: Clock = {
  now() {
    const { wall, monotonic } = systemClock.now();
    return { wall: wall + frozenMillis, monotonic: monotonic + frozenMillis };
  },
  setTimer: (callback, millis) => systemClock.setTimer(callback, millis),
  clearTimer: (timer) => systemClock.clearTimer(timer),
  afterTurn: (callback) => systemClock.afterTurn(callback),
};

/** When a connection was begun last. */
let begunAt = 0;

const { connect } = Socket.prototype as { connect: (...args: unknown[]) => Socket };
Socket.prototype.connect = function begin(this: Socket, ...args: unknown[]): Socket {
  begunAt = performance.now();
  return connect.apply(this, args);
};

/** What an invocation came to. */
export interface Invoked {
  readonly millis: number;
  /** How much of it went by before the connection was begun that it needed. */
  readonly begunMillis: number;
  /** What it failed with. */
  readonly error?: string;
}

const handler = withPool(
  async (event: Event, { db }) => (await db.query<{ readonly id: number }>(SQL, [event.id])).rows[0],
  { clock },
);

let requests = 0;

/** Invokes the handler. */
export async function invoke(): Promise<Invoked> {
  requests += 1;
  // By its own clock, as a Lambda function's deadline is by the clock of the machine that it is thawed on.
  const deadline = clock.now().wall + TIMEOUT_MILLIS;
  const context: Context = {
    awsRequestId: `request-${requests}`,
    getRemainingTimeInMillis: () => deadline - clock.now().wall,
  };
  const from = performance.now();
  try {
    await handler({ id: 1 }, context);
    return { millis: performance.now() - from, begunMillis: begunAt - from };
  } catch (error) {
    return { millis: performance.now() - from, begunMillis: begunAt - from, error: String(error) };
  }
}

/** The next invocation comes after a freeze of this length. */
export function jump(millis: number): void {
  frozenMillis += millis;
}

let kept: pg.Client | undefined;

/** Asks the same on a connection made for it, which it keeps. What it had before is given up. */
export async function fresh(): Promise<Invoked> {
  kept?.connection.stream.destroy();
  const client = new pg.Client({ connectionString });
  client.on('error', () => {});
  const from = performance.now();
  await client.connect();
  await client.query(SQL, [1]);
  const millis = performance.now() - from;
  kept = client;
  return { millis, begunMillis: begunAt - from };
}
