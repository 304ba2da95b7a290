// A statement is never run twice unless the caller said so, whatever happens to its connection and when. Thousands of
// statements write into a table that counts them, while a proxy breaks connections at random places in the protocol.
//
// AT_MOST_ONCE_RUNS sets how many statements each part sends, AT_MOST_ONCE_SEED which faults they meet.
import {
  AcquireError,
  AmbiguousResultError,
  type CreatePoolOptions,
  createPool,
  type PgPool,
  PoolError,
  withPool,
} from 'thawpool';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { type ChaosProxy, type ProxyMessage, startChaosProxy, type Verdict } from '../lab/chaos-proxy.ts';
import { fatalError } from '../lab/wire.ts';
import { startPostgres, type TestPostgres } from '../support/postgres.ts';

const runs = Number(process.env['AT_MOST_ONCE_RUNS'] ?? 500);
const seed = Number(process.env['AT_MOST_ONCE_SEED'] ?? 20261101);

let server: TestPostgres;
let proxy: ChaosProxy;
beforeAll(async () => {
  // Thousands of reconnects: one round of the password's hash instead of 4096 makes each cheap (PostgreSQL 16+).
  server = await startPostgres({ maxConnections: 300, settings: { scram_iterations: '1' } });
  proxy = await startChaosProxy({ targetHost: server.host, targetPort: server.port });
  await server.admin('create table effects (id int not null)');
  await server.admin('create table counters (id int primary key, n int not null)');
  await server.admin(`grant all on effects, counters to "${server.user}"`);
});
afterAll(async () => {
  await proxy.close();
  await server.close();
});

/** A number in [0, 1) that depends on nothing but its arguments: the faults do not depend on who comes first. */
function random(...parts: readonly number[]): number {
  let hash = 0x811c9dc5;
  for (const part of [seed, ...parts]) {
    hash = Math.imul(hash ^ part, 0x85ebca6b);
    hash ^= hash >>> 13;
    hash = Math.imul(hash, 0xc2b2ae35);
    hash ^= hash >>> 16;
  }
  return (hash >>> 0) / 2 ** 32;
}

/** The ways in which a message is the last one: instead of it, or right after it. */
const faults: readonly (readonly [name: string, verdict: Verdict])[] = [
  ['close', 'close'],
  ['reset', 'reset'],
  ['blackhole', 'blackhole'],
  ['close after it', 'forward-close'],
  ['reset after it', 'forward-reset'],
  ['blackhole after it', 'forward-blackhole'],
  // In the place of a message, which never arrives: what the server itself may say before or after it has done its work.
  ['57P01', { answer: fatalError('57P01', 'terminating connection due to administrator command') }],
  ['57P05', { answer: fatalError('57P05', 'terminating connection due to idle-session timeout') }],
];

/** A black hole ends with this; nothing else takes as long. */
const patienceMillis = 250;

/** While a connection is made nothing can run twice, and the messages are many. */
const startupShare = 0.002;
const statementShare = 0.05;

/** Breaks connections until the proxy is healed. @returns how often each fault was injected */
function breakConnections(part: number): ReadonlyMap<string, number> {
  const injected = new Map<string, number>();
  const ready = new Set<number>();
  proxy.onMessage(({ connection, direction, index, name, swallowed }: ProxyMessage): Verdict | undefined => {
    if (swallowed) return undefined;
    const place = [part, connection, index, Number(direction === 'toServer')];
    const share = ready.has(connection) ? statementShare : startupShare;
    if (name === 'ReadyForQuery') ready.add(connection);
    if (random(...place) >= share) return undefined;
    // 57P05 it says only while it waits for a statement.
    const possible = name === 'Query' || name === 'Parse' ? faults : faults.slice(0, -1);
    const [fault, verdict] = possible[Math.floor(random(...place, 1) * possible.length)] as (typeof faults)[number];
    injected.set(fault, (injected.get(fault) ?? 0) + 1);
    return verdict;
  });
  return injected;
}

/** A statement whose caller has heard of its end may still be under way at the server. */
async function everythingIsOver(): Promise<void> {
  const sessions = `select 1 from pg_stat_activity where application_name = 'at-most-once' limit 1`;
  while ((await server.admin(sessions)).rowCount !== 0) await new Promise((resolve) => setTimeout(resolve, 20));
}

/** How a caller was told of the end of what he asked for. */
interface Told {
  readonly id: number;
  /** Nothing when it was fulfilled. */
  readonly error: unknown;
}

/** What may be there of an effect whose caller was told this: [least, most]. */
type Rule = (error: unknown) => readonly [least: number, most: number];

/**
 * The rule. Fulfilled: once. Rejected: not at all, with three exceptions, in each of which the error says so.
 *
 * - `AmbiguousResultError`, whose message is just that.
 * - pg's own `Query read timeout`: the caller set `query_timeout`, by which pg stops listening. What was sent is not taken back.
 * - `ERR_POOL_DEADLINE` whose cause is not the server's word (57014) that it has cancelled the statement.
 */
const once: Rule = (error) => {
  if (error === undefined) return [1, 1];
  return [0, mayHaveRun(error) ? 1 : 0];
};

function mayHaveRun(error: unknown): boolean {
  if (error instanceof AmbiguousResultError) return true;
  if (error instanceof PoolError && error.code === 'ERR_POOL_DEADLINE') {
    return (error.cause as { code?: string } | undefined)?.code !== '57014';
  }
  return error instanceof Error && error.message === 'Query read timeout';
}

/** With the caller's word that twice does no harm. */
const atLeastOnce: Rule = (error) => [error === undefined ? 1 : 0, Number.POSITIVE_INFINITY];

/** What was told, beside what is there: one sentence for each effect that breaks the rule. */
function broken({ told, counted }: Outcome, rule: Rule): string[] {
  return told.flatMap(({ id, error }) => {
    const [least, most] = rule(error);
    const count = counted.get(id) ?? 0;
    return count >= least && count <= most
      ? []
      : [`${id} is there ${count} times, and its caller was told: ${kindOf(error)}`];
  });
}

function kindOf(error: unknown): string {
  if (error === undefined) return 'fulfilled';
  if (error instanceof AcquireError) return error.code;
  if (error instanceof PoolError) return `${error.code}: ${(error.cause as Error | undefined)?.message}`;
  return (error as Error).message;
}

type Ask = (db: PgPool, id: number) => Promise<unknown>;

/** Each has one effect, which `effects` or `counters` counts by the number of whoever asked for it. */
const statements: readonly Ask[] = [
  (db, id) => db.query(`insert into effects values (${id})`),
  (db, id) => db.query('insert into effects values ($1)', [id]),
  (db, id) => db.query('insert into effects values ($1) returning id, repeat($2, 20000)', [id, 'x']),
  (db, id) => db.query({ name: 'named', text: 'insert into effects values ($1)', values: [id] }),
  (db, id) => db.query(`update counters set n = n + 1 where id = ${id}`),
  (db, id) => db.query('update counters set n = n + 1 where id = $1', [id]),
];

const transactions: readonly Ask[] = [
  (db, id) => db.transaction((tx) => tx.query('insert into effects values ($1)', [id])),
  (db, id) =>
    db.transaction({ retries: 3 }, async (tx) => {
      await tx.query(`select ${id}`);
      await tx.query(`update counters set n = n + 1 where id = ${id}`);
    }),
  (db, id) =>
    db.transaction({ retries: 3 }, async (tx) => {
      await tx.transaction((inner) => inner.query('insert into effects values ($1)', [id]));
      await tx.query('select 1');
    }),
];

const idempotent: readonly Ask[] = [
  (db, id) => db.query({ text: `insert into effects values (${id})`, idempotent: true }),
  (db, id) => db.query({ text: 'insert into effects values ($1)', values: [id], idempotent: true }),
  (db, id) =>
    db.transaction({ retries: 3, idempotent: true }, (tx) => tx.query('insert into effects values ($1)', [id])),
];

/** Ends just before the invocation's time is up, or just after. */
const slow: Ask = (db, id) =>
  db.query(`insert into effects select ${id} from pg_sleep(${(patienceMillis * (0.7 + random(id) * 0.6)) / 1000})`);

/** Callers at one time, each with room for a connection. */
const callers = 24;

interface Outcome {
  readonly told: readonly Told[];
  readonly counted: ReadonlyMap<number, number>;
  readonly injected: ReadonlyMap<string, number>;
}

/** How a request is made of a pool. */
type Door = (pool: PgPool) => (kind: Ask, id: number) => Promise<unknown>;

const directly: Door = (pool) => (kind, id) => kind(pool, id);

/** Each in an invocation of its own that ends soon: what is under way then is cancelled. */
const inInvocations: Door = (pool) => {
  const handler = withPool(({ kind, id }: { kind: Ask; id: number }, { db }) => kind(db, id), { pool });
  return (kind, id) => handler({ kind, id }, { getRemainingTimeInMillis: () => 2 * patienceMillis });
};

/** Has requests made again and again by callers who know nothing of each other, and counts what is there in the end. */
async function survive(
  part: number,
  kinds: readonly Ask[],
  options: CreatePoolOptions = {},
  door: Door = directly,
): Promise<Outcome> {
  await server.admin('truncate effects, counters');
  await server.admin(`insert into counters select id, 0 from generate_series(1, ${runs}) as id`);
  const told: Told[] = [];
  const pool = makePool(options);
  const ask = door(pool);
  const injected = breakConnections(part);
  let last = 0;
  const caller = async (): Promise<void> => {
    while (last < runs) {
      last += 1;
      const id = last;
      const error = await ask(kinds[id % kinds.length] as Ask, id).then(
        () => undefined,
        (reason: unknown) => reason,
      );
      told.push({ id, error });
    }
  };
  await Promise.all(Array.from({ length: callers }, caller));
  await proxy.healed();
  await pool.end();
  await everythingIsOver();
  return { told, injected, counted: await count() };
}

async function count(): Promise<Map<number, number>> {
  const { rows } = await server.admin(
    `select id, sum(n)::int as n from (select id, 1 as n from effects union all select id, n from counters) as each group by id`,
  );
  return new Map(rows.map(({ id, n }: { id: number; n: number }) => [id, n]));
}

/** Says what was tried, so that a run that found nothing can be told from one that tried nothing. */
function report(title: string, { told, counted, injected }: Outcome): void {
  const kinds = new Map<string, number>();
  for (const { id, error } of told) {
    const there = mayHaveRun(error) ? `, there ${counted.get(id) ? 1 : 0} times` : '';
    const kind = `${kindOf(error)}${there}`;
    kinds.set(kind, (kinds.get(kind) ?? 0) + 1);
  }
  const list = (counts: ReadonlyMap<string, number>) =>
    [...counts]
      .toSorted(([, a], [, b]) => b - a)
      .map(([name, n]) => `\n    ${String(n).padStart(6)}  ${name}`)
      .join('');
  const total = [...injected.values()].reduce((sum, n) => sum + n, 0);
  console.log(
    `${title}, seed ${seed}: ${told.length} requests, ${total} faults${list(injected)}\n  told${list(kinds)}`,
  );
}

function makePool(options: CreatePoolOptions): PgPool {
  const url = Object.assign(new URL(server.connectionString), { hostname: proxy.host, port: String(proxy.port) });
  return createPool({
    connectionString: url.toString(),
    application_name: 'at-most-once',
    env: {},
    onWarning: () => {},
    max: callers,
    maxIdle: callers,
    acquireTimeoutMillis: 1000,
    // Now and then a proof of life, and sessions that the server itself ends, those behind black holes above all.
    validateAfterIdleMillis: 20,
    options: '-c idle_session_timeout=1s',
    idle_in_transaction_session_timeout: 1000,
    ...options,
  });
}

describe('under thousands of faults', { timeout: 60_000 + 250 * runs }, () => {
  test('a statement has its effect once when it was fulfilled, and never twice', async () => {
    const outcome = await survive(1, statements, { query_timeout: patienceMillis });
    report('statements', outcome);
    expect(broken(outcome, once)).toEqual([]);
  });

  test('so has a transaction, retries included', async () => {
    const outcome = await survive(2, transactions, { query_timeout: patienceMillis });
    report('transactions', outcome);
    expect(broken(outcome, once)).toEqual([]);
  });

  test('so have both in an invocation whose time is up', async () => {
    const outcome = await survive(3, [...statements, ...transactions, slow], {}, inInvocations);
    report('invocations', outcome);
    expect(broken(outcome, once)).toEqual([]);
  });

  test('what is idempotent has its effect at least once when it was fulfilled', async () => {
    const outcome = await survive(4, idempotent, { query_timeout: patienceMillis });
    report('idempotent', outcome);
    expect(broken(outcome, atLeastOnce)).toEqual([]);
    // The rule for all others would notice: without this the tests above could not fail.
    expect(broken(outcome, once)).not.toEqual([]);
  });
});
