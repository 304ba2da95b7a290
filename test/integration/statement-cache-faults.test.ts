/** A statement that is prepared ends as it would without a name, wherever its connection breaks and whoever stops it. */
import { AmbiguousResultError, type PgPool } from 'thawpool';
import { beforeAll, describe, expect, it } from 'vitest';
import { controlOf } from '../../src/pg/control.ts';
import type { ProxyMessage, Verdict } from '../lab/chaos-proxy.ts';
import { fatalError } from '../lab/wire.ts';
import { failure, through, useDatabase, usePools, useProxy } from './support.ts';

const database = useDatabase();
const proxy = useProxy();
const makePool = usePools(() => ({ connectionString: database.connectionString, max: 1 }));

/** Runs a text so often that it is prepared and its columns are known. */
async function warmUp(pool: Pick<PgPool, 'query'>, text: string, values: unknown[]): Promise<void> {
  for (let use = 0; use < 3; use += 1) await pool.query(text, values);
}

async function prepared(pool: Pick<PgPool, 'query'>): Promise<string[]> {
  const { rows } = await pool.query<{ statement: string }>(
    `select statement from pg_prepared_statements where name like 'thawpool\\_%' order by prepare_time, name`,
  );
  return rows.map(({ statement }) => statement);
}

describe('a connection that is lost', () => {
  const insert = 'insert into effects values ($1) returning id';
  const toServer = ['Bind', 'Execute', 'Sync'];
  const toClient = ['BindComplete', 'DataRow', 'CommandComplete', 'ReadyForQuery'];
  const terminated = { answer: fatalError('57P01', 'terminating connection due to administrator command') };
  const verdicts: readonly Verdict[] = ['close', 'reset', 'forward-close', 'forward-reset', terminated];
  const points = [...toServer, ...toClient].flatMap((name) => verdicts.map((verdict) => [name, verdict] as const));
  let last = 0;

  beforeAll(async () => {
    await database.query('create table effects (id int)');
  });

  /** Breaks the connection at the first message of this name. @returns how it ended, and how often the row is there */
  async function broken(statementCache: number, name: string, verdict: Verdict): Promise<readonly [string, number]> {
    const { pool, events } = makePool({
      connectionString: through(proxy().port, database.connectionString),
      statementCache,
    });
    await warmUp(pool, insert, [0]);
    const pids = await database.sessions();
    let seen: string[] = [];
    proxy().onMessage((message: ProxyMessage): Verdict | undefined => {
      seen.push(message.name);
      if (message.name !== name) return undefined;
      proxy().onMessage(undefined);
      return verdict;
    });
    last += 1;
    const id = last;
    const ended = await pool.query(insert, [id]).then(
      () => 'fulfilled',
      (error: unknown) => (error instanceof AmbiguousResultError ? 'ambiguous' : `failed: ${String(error)}`),
    );
    expect(seen.includes('Parse')).toBe(statementCache === 0);
    seen = [];
    proxy().onMessage(undefined);
    const retries = events.filter((event) => event.type === 'noted' && event.what === 'statement-retried').length;
    await pool.end();
    // What was sent may still be under way.
    while ((await database.sessions()).some((pid) => pids.includes(pid)));
    const [row] = await database.query<{ n: number }>('select count(*)::int as n from effects where id = $1', [id]);
    return [`${ended}, retried ${retries} times`, row?.n ?? -1];
  }

  it.each(points)('means the same with a name as without: at %s, %j', async (name, verdict) => {
    const [without, there] = await broken(0, name, verdict);
    const [withName, thereToo] = await broken(100, name, verdict);
    expect(withName).toBe(without);
    expect(without).toMatch(/^(?:fulfilled|ambiguous), retried 0 times$/);
    expect(thereToo).toBe(there);
    expect(there).toBeLessThanOrEqual(1);
    if (without.startsWith('fulfilled')) expect(there).toBe(1);
  });

  it('while the server waited for a statement: it is run on another connection, once', async () => {
    const idle = { answer: fatalError('57P05', 'terminating connection due to idle-session timeout') };
    expect(await broken(0, 'Parse', idle)).toEqual(['fulfilled, retried 1 times', 1]);
    expect(await broken(100, 'Bind', idle)).toEqual(['fulfilled, retried 1 times', 1]);
  });

  it('before what was refused is sent again is told as it is without a name', async () => {
    await database.query('create table changes (id int)');
    const { pool } = makePool({ connectionString: through(proxy().port, database.connectionString) });
    const text = 'insert into changes values ($1) returning *';
    for (const [name, verdict] of [
      ['ReadyForQuery', 'close'],
      ['Parse', 'close'],
      ['CommandComplete', 'close'],
      ['ReadyForQuery', 'forward-close'],
    ] as const) {
      await warmUp(pool, text, [0]);
      await database.query('alter table changes add more int');
      const refused = { now: false };
      proxy().onMessage((message: ProxyMessage): Verdict | undefined => {
        if (message.name === 'ErrorResponse') refused.now = true;
        if (!refused.now || message.name !== name) return undefined;
        proxy().onMessage(undefined);
        return verdict;
      });
      const error = await failure(pool.query(text, [1]));
      expect(error).toBeInstanceOf(AmbiguousResultError);
      await database.query('alter table changes drop more');
    }
    await pool.query(text, [2]);
    await pool.end();
    while ((await database.sessions()).length > 0);
    // The server has run one of them, the third, and nobody was told that it has.
    const rows = await database.query<{ id: number }>('select id from changes where id > 0 order by id');
    expect(rows.map(({ id }) => id)).toEqual([1, 2]);
  });
});

describe('a statement that is stopped', () => {
  const texts = {
    'as it runs': 'select pg_sleep($1) as slept',
    'before it is bound': 'select 1 as one from locked where $1 >= 0',
  };
  const owner = { deadline: undefined };

  beforeAll(async () => {
    await database.query('create table locked (id int)');
  });

  /** Resolves once the pool's connection is at work on this text. */
  async function running(text: string): Promise<void> {
    const active = `select 1 from pg_stat_activity where datname = $1 and state = 'active' and query = $2
      and wait_event_type in ('Timeout', 'Lock')`;
    while ((await database.query(active, [database.name, text])).length === 0) {
      // In a transaction the server would show the same again.
      await database.query('select pg_stat_clear_snapshot()');
    }
  }

  const stops: Record<string, (pool: PgPool, text: string) => Promise<void>> = {
    'by the end of an invocation': async (pool, text) => {
      const over = failure(controlOf(pool).viewFor(owner).query(text, [30]));
      await running(text);
      await controlOf(pool).expire(owner, 100);
      expect(await over).toMatchObject({ code: 'ERR_POOL_DEADLINE', cause: { code: '57014' } });
    },
    'by a signal': async (pool, text) => {
      const controller = new AbortController();
      const over = failure(pool.query({ text, values: [30], signal: controller.signal }));
      await running(text);
      controller.abort();
      expect(await over).toMatchObject({ code: 'ERR_POOL_QUERY_ABORTED', statement: 'cancelled' });
    },
    'by the server': async (pool, text) => {
      const over = failure(pool.query(text, [30]));
      await running(text);
      await database.query(`select pg_cancel_backend(pid) from pg_stat_activity where query = $1 and datname = $2`, [
        text,
        database.name,
      ]);
      expect(await over).toMatchObject({ code: '57014' });
    },
    'by query_timeout': async (pool, text) => {
      const over = failure(
        pool.query({ text, values: [30], query_timeout: 200 } as { text: string; values: number[] }),
      );
      await running(text);
      expect(await over).toMatchObject({ message: 'Query read timeout' });
    },
  };

  for (const [how, stop] of Object.entries(stops)) {
    for (const [when, text] of Object.entries(texts)) {
      it.each([
        ['as it is prepared', 1],
        ['when its columns are known', 3],
      ])(`${how}, ${when}, %s, is prepared all the same, or anew`, async (_, uses) => {
        const { pool, events } = makePool();
        for (let use = 0; use < uses; use += 1) await pool.query(text, [0]);
        await database.query('begin');
        if (when === 'before it is bound') await database.query('lock table locked');
        await stop(pool, text);
        await database.query('commit');
        for (let use = 0; use < 4; use += 1)
          expect((await pool.query(text, [0])).rowCount).toBe(when === 'as it runs' ? 1 : 0);
        expect(await prepared(pool)).toEqual([text]);
        expect(events.filter((event) => event.type === 'noted')).toEqual([]);
      });
    }
  }

  it.each(['by the end of an invocation', 'by a signal'])('%s, is not sent again when it was refused', async (how) => {
    await database.query('drop table if exists stale');
    await database.query('create table stale (id int)');
    const { pool } = makePool({ connectionString: through(proxy().port, database.connectionString) });
    const text = 'select * from stale where id = $1';
    await warmUp(pool, text, [1]);
    await database.query('alter table stale add more int');
    const sessions = await database.sessions();
    const before = proxy().snapshot();
    // The server has refused it, and nobody has heard of that when it is stopped.
    proxy().hold('toClient');
    const { signal, abort } = makeSignal();
    const over = failure(
      how === 'by a signal'
        ? pool.query({ text, values: [1], signal })
        : controlOf(pool).viewFor(owner).query(text, [1]),
    );
    await proxy().until((counts) => counts.backend['ErrorResponse'] !== before.backend['ErrorResponse']);
    const stopped = how === 'by a signal' ? abort() : controlOf(pool).expire(owner, 1000);
    await proxy().until((counts) => counts.frontend['CancelRequest'] === (before.frontend['CancelRequest'] ?? 0) + 1);
    proxy().letGo();
    const error = await over;
    const told = how === 'by a signal' ? error : (error.cause as { code?: string });
    expect(told).toHaveProperty('code', '0A000');
    await stopped;
    expect(proxy().since(before).frontend['Parse']).toBeUndefined();
    // It was taken note of: in a transaction it would fail otherwise.
    await pool.transaction(async (tx) => {
      expect((await tx.query(text, [1])).fields.map(({ name }) => name)).toEqual(['id', 'more']);
    });
    expect(await database.sessions()).toEqual(sessions);
  });
});

function makeSignal(): { signal: AbortSignal; abort: () => void } {
  const controller = new AbortController();
  return { signal: controller.signal, abort: () => controller.abort() };
}
