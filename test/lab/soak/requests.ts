/** What the soaked handler is asked: ordinary work, and bad manners. */
import type { SoakEvent } from './handler.ts';
import type { Random } from './random.ts';

/** One request, and what may come of it when nothing is broken. */
export interface Request {
  readonly name: string;
  readonly event: SoakEvent;
  /** The number that it writes into the table `soak`, if it writes one. */
  readonly id?: number;
  /** `never`, or the only error it may fail with of its own: `on-purpose`, or out of time. */
  readonly fails: 'never' | 'on-purpose' | 'deadline';
  /** Whether connection errors reach it as they are: it has borrowed a connection, or is in a transaction. */
  readonly holds: boolean;
  /** The function's timeout, where the request is about it. */
  readonly timeoutMillis?: number;
}

interface Kind {
  readonly name: string;
  readonly weight: number;
  readonly fails?: Request['fails'];
  readonly holds?: true;
  readonly writes?: true;
  readonly timeoutMillis?: number;
  event(id: number, random: Random): SoakEvent;
}

/** Time enough for a server that is not there at the thaw (600 ms), and the longest pause between two attempts after that (500 ms). */
const OUT_OF_TIME_MILLIS = 1600;

/** Creates the table that counts what was written. */
export const CREATE_TABLE = 'create table if not exists soak (id int not null)';

const write = (id: number) => `insert into soak values (${id})`;
const sleep = (random: Random, most: number) => `select pg_sleep(${random.between(1, most) / 1000})`;

const kinds: readonly [Kind, ...Kind[]] = [
  { name: 'query', weight: 6, event: () => ({ op: 'query' }) },
  { name: 'write', weight: 8, writes: true, event: (id) => ({ op: 'query', sql: write(id) }) },
  {
    name: 'write with parameters',
    weight: 8,
    writes: true,
    event: (id) => ({ op: 'query', sql: 'insert into soak values ($1)', params: [id] }),
  },
  { name: 'slow query', weight: 4, event: (_, random) => ({ op: 'query', sql: sleep(random, 150) }) },
  {
    name: 'transaction',
    weight: 6,
    holds: true,
    writes: true,
    event: (id, random) => ({ op: 'transaction', statements: [write(id), sleep(random, 20), 'select 1'] }),
  },
  {
    name: 'queries at once',
    weight: 5,
    event: (_, random) => ({ op: 'parallel', n: random.between(2, 8), sql: sleep(random, 20) }),
  },
  {
    name: 'borrowed client',
    weight: 3,
    holds: true,
    event: (_, random) => ({ op: 'script', on: 'client', steps: [{ sql: 'select 1' }, { sql: sleep(random, 20) }] }),
  },
  {
    name: 'session settings',
    weight: 2,
    holds: true,
    event: () => ({
      op: 'script',
      on: 'client',
      steps: [{ sql: "set search_path to 'nowhere'" }, { sql: 'create temp table left_behind (n int)' }],
    }),
  },
  { name: 'nothing', weight: 2, event: () => ({ op: 'nothing' }) },
  { name: 'throws', weight: 2, fails: 'on-purpose', event: () => ({ op: 'throw' }) },
  {
    name: 'throws in an open transaction',
    weight: 2,
    fails: 'on-purpose',
    holds: true,
    event: () => ({ op: 'script', on: 'client', steps: [{ sql: 'begin' }, { sql: 'select 1' }], end: 'throw' }),
  },
  {
    name: 'keeps its client',
    weight: 2,
    holds: true,
    event: () => ({ op: 'script', on: 'client', steps: [{ sql: 'begin' }, { sql: 'select 1' }], end: 'keep' }),
  },
  {
    name: 'leaves a query behind',
    weight: 2,
    event: (_, random) => ({ op: 'leave', sql: sleep(random, 100), caught: true }),
  },
  {
    name: 'out of time',
    weight: 1,
    fails: 'deadline',
    timeoutMillis: OUT_OF_TIME_MILLIS,
    event: () => ({ op: 'query', sql: 'select pg_sleep(5)' }),
  },
  {
    name: 'out of time in a transaction',
    weight: 1,
    fails: 'deadline',
    holds: true,
    timeoutMillis: OUT_OF_TIME_MILLIS,
    event: () => ({ op: 'transaction', statements: ['select 1', 'select pg_sleep(5)'] }),
  },
];

/** Makes one up. */
export function nextRequest(id: number, random: Random): Request {
  const { name, fails = 'never', holds = false, writes, timeoutMillis, event } = random.pick(kinds);
  return {
    name,
    event: event(id, random),
    fails,
    holds,
    ...(writes && { id }),
    ...(timeoutMillis !== undefined && { timeoutMillis }),
  };
}
