/** The events that every subject understands, so that any scenario drives any subject. */
import { existsSync, writeFileSync } from 'node:fs';
import { setTimeout as wait } from 'node:timers/promises';
import type { QueryResultRow } from 'pg';

/** One step of a script: a statement, or a gate at which the handler waits for the scenario. */
export type Step = { readonly sql: string } | { readonly gate: string };

/** What a scenario asks of a handler. */
export type SubjectEvent =
  | { readonly op: 'query'; readonly sql?: string; readonly params?: readonly unknown[] }
  | { readonly op: 'transaction'; readonly statements: readonly string[] }
  | { readonly op: 'sleep-in-transaction'; readonly millis: number }
  | { readonly op: 'parallel'; readonly n: number; readonly sql?: string }
  | { readonly op: 'burn'; readonly millis: number }
  | { readonly op: 'throw' }
  /** Answers without a thought for the database. */
  | { readonly op: 'nothing' }
  /**
   * Steps one after the other: each on whatever connection there is (`pool`), all on one that was borrowed (`client`), or
   * in a transaction. `throw` and `keep` end it with a borrowed connection in hand.
   */
  | {
      readonly op: 'script';
      readonly on: 'pool' | 'client' | 'transaction';
      readonly steps: readonly Step[];
      readonly end?: 'throw' | 'keep';
    }
  /** Starts a query and answers without waiting for it; where it is `caught`, somebody hears of its failure. */
  | { readonly op: 'leave'; readonly sql: string; readonly caught: boolean }
  /** Has a middleware in front of the handler borrow a connection and answer in the handler's place. */
  | { readonly op: 'early-return' }
  /** Streams `rows` numbers out of a cursor, `batch` at a time; only the streaming handlers do. */
  | { readonly op: 'stream'; readonly rows: number; readonly batch: number; readonly gate?: string };

/** What a handler answers. */
export interface SubjectResult {
  readonly rows?: readonly QueryResultRow[];
  readonly count?: number;
}

/** The part of a pool or client that subjects use. */
export interface Queryable {
  query(sql: string, params?: unknown[]): Promise<{ rows: QueryResultRow[] }>;
}

/** A connection that was borrowed. */
export interface Borrowed extends Queryable {
  release(): void;
}

/** What a subject lends to {@link run}. */
export interface SubjectDatabase extends Queryable {
  /** Runs `work` between BEGIN and COMMIT on one connection. */
  transaction<T>(work: (tx: Queryable) => Promise<T>): Promise<T>;
  /** Borrows a connection; a subject with one connection only hands out that. */
  connect(): Promise<Borrowed>;
}

/** What a handler throws when it is told to. */
export const ON_PURPOSE = 'The handler failed on purpose.';
/** The least that a server can be asked. */
const LEAST = 'select 1 as one';
const GATE_POLL_MILLIS = 2;

/** Does what the event asks. Without `sql` a query is `select 1 as one`. */
export async function run(event: SubjectEvent, db: SubjectDatabase): Promise<SubjectResult> {
  switch (event.op) {
    case 'query': {
      const { rows } = await db.query(event.sql ?? LEAST, event.params && [...event.params]);
      return { rows };
    }
    case 'transaction':
      return db.transaction((tx) =>
        follow(
          event.statements.map((sql) => ({ sql })),
          tx,
        ),
      );
    case 'sleep-in-transaction':
      return db.transaction(async (tx) => {
        const { rows } = await tx.query('select pg_backend_pid() as pid');
        await wait(event.millis);
        return { rows };
      });
    case 'parallel': {
      const queries = Array.from({ length: event.n }, () => db.query(event.sql ?? LEAST));
      return { count: (await Promise.all(queries)).length };
    }
    case 'burn':
      for (const until = performance.now() + event.millis; performance.now() < until; );
      return {};
    case 'throw':
      await db.query(LEAST);
      throw new Error(ON_PURPOSE);
    case 'nothing':
      return {};
    case 'script':
      return script(event, db);
    case 'leave': {
      const left = db.query(event.sql);
      if (event.caught) left.catch((error: Error) => console.log(`left behind: ${error.message}`));
      return {};
    }
    case 'early-return':
    case 'stream':
      throw new Error(`This handler does not know how to ${event.op}.`);
  }
}

async function script(event: SubjectEvent & { op: 'script' }, db: SubjectDatabase): Promise<SubjectResult> {
  const all = async (on: Queryable) => {
    const result = await follow(event.steps, on);
    if (event.end === 'throw') throw new Error(ON_PURPOSE);
    return result;
  };
  if (event.on === 'pool') return all(db);
  if (event.on === 'transaction') return db.transaction(all);
  const client = await db.connect();
  const result = await all(client); // Nobody releases it when a step throws: that is what these scripts are for.
  if (event.end === undefined) client.release();
  return result;
}

async function follow(steps: readonly Step[], on: Queryable): Promise<SubjectResult> {
  let rows: readonly QueryResultRow[] = [];
  for (const step of steps) {
    if ('gate' in step) await passGate(step.gate);
    else rows = (await on.query(step.sql)).rows;
  }
  return { rows };
}

/** Says that the handler is here, and waits until the scenario opens the gate. */
async function passGate(path: string): Promise<void> {
  writeFileSync(`${path}.reached`, '');
  while (!existsSync(path)) await wait(GATE_POLL_MILLIS);
}

/** Opens a cursor in a transaction of its own, as a streaming handler does that has much to send, and returns its rows. */
export async function openCursor(event: SubjectEvent, db: SubjectDatabase): Promise<AsyncIterable<string>> {
  if (event.op !== 'stream') throw new Error(`A streaming handler does not know how to ${event.op}.`);
  const client = await db.connect();
  await client.query('BEGIN');
  await client.query(`DECLARE numbers NO SCROLL CURSOR FOR SELECT n FROM generate_series(1, ${event.rows}) AS n`);
  return readCursor(event, client);
}

/** Reads the cursor piece by piece to its end, and releases its connection. */
async function* readCursor({ batch, gate }: SubjectEvent & { op: 'stream' }, client: Borrowed): AsyncGenerator<string> {
  try {
    for (let at = 0; ; at += batch) {
      const { rows } = await client.query(`FETCH ${batch} FROM numbers`);
      if (rows.length === 0) break;
      yield rows.map(({ n }) => `${n}\n`).join('');
      if (gate !== undefined && at === 0) await passGate(gate);
    }
    await client.query('COMMIT');
  } finally {
    client.release();
  }
}

/** `BEGIN … COMMIT` as most people write it around a connection. */
export async function transaction<T>(client: Queryable, work: (tx: Queryable) => Promise<T>): Promise<T> {
  await client.query('BEGIN');
  try {
    const result = await work(client);
    await client.query('COMMIT');
    return result;
  } catch (error) {
    await client.query('ROLLBACK');
    throw error;
  }
}
