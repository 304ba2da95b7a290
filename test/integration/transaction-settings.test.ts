// Settings that hold for one transaction: nobody after it finds them, and nobody in it goes without.

import pg from 'pg';
import type { Transaction, TransactionSettings } from 'thawpool';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { Session } from '../../src/pg/session.ts';
import { sessionState } from '../../src/pg/session-state.ts';
import { runTransaction, type TransactionProgress } from '../../src/pg/transaction.ts';
import type { ProxyMessage } from '../lab/chaos-proxy.ts';
import { failure, through, useDatabase, usePools, useProxy } from './support.ts';

const database = useDatabase();
const proxy = useProxy();
const makePool = usePools(() => ({ connectionString: database.connectionString, max: 1 }));

/** The user itself, as a role to take on: others it may not. */
let role = '';
/** To a superuser, as somebody's own server may have one here, no policy applies. */
let aboveTheLaw = false;

beforeAll(async () => {
  await database.query('create table orders (tenant text not null, item text not null)');
  await database.query("insert into orders values ('a', 'apple'), ('a', 'apricot'), ('b', 'banana')");
  await database.query('alter table orders enable row level security');
  await database.query('alter table orders force row level security');
  await database.query("create policy own on orders using (tenant = current_setting('app.tenant', true))");
  const [user] = await database.query<{ name: string; above: boolean }>(
    'select rolname as name, rolsuper or rolbypassrls as above from pg_roles where rolname = current_user',
  );
  ({ name: role, above: aboveTheLaw } = user ?? expect.fail('There is no such user.'));
});

type Runs = Pick<Transaction, 'query'>;

async function items(db: Runs): Promise<string[]> {
  const { rows } = await db.query<{ item: string }>('select item from orders order by item');
  return rows.map(({ item }) => item);
}

async function read(db: Runs, name: string): Promise<string | null> {
  const { rows } = await db.query<{ value: string | null }>('select current_setting($1, true) as value', [name]);
  return rows[0]?.value ?? null;
}

/** A setting that is made for a transaction is the empty string after it, and not null: the server keeps its name. */
const gone: readonly (string | null)[] = [null, ''];

describe('tenants by row-level security', () => {
  beforeEach((ctx) => {
    if (aboveTheLaw) ctx.skip(`no policy applies to the user ${role}`);
  });

  it('sees its own rows and no others, one after the other on one connection', async () => {
    const { pool, warnings } = makePool();
    const asTenant = (tenant: string) => pool.transaction({ settings: { 'app.tenant': tenant } }, items);
    expect(await asTenant('a')).toEqual(['apple', 'apricot']);
    expect(await asTenant('b')).toEqual(['banana']);
    expect(await asTenant('nobody')).toEqual([]);
    expect(await asTenant('a')).toEqual(['apple', 'apricot']);
    // Without a tenant there are no rows, instead of those of the tenant before.
    expect(await pool.transaction(items)).toEqual([]);
    expect(pool.stats()).toMatchObject({ created: 1, idle: 1 });
    expect(warnings).toEqual([]);
  });

  it('is kept apart from another at the same time', async () => {
    const { pool } = makePool({ max: 4 });
    const tenants = Array.from({ length: 40 }, (_, index) => (index % 2 === 0 ? 'a' : 'b'));
    const seen = await Promise.all(
      tenants.map((tenant) => pool.transaction({ settings: { 'app.tenant': tenant } }, items)),
    );
    expect(seen).toEqual(tenants.map((tenant) => (tenant === 'a' ? ['apple', 'apricot'] : ['banana'])));
  });
});

describe('settings of a transaction', () => {
  it.each<[string, TransactionSettings[string], string]>([
    ['a text', 'plain', 'plain'],
    ['nothing', '', ''],
    ['what could end a literal', `'; drop table orders; --`, `'; drop table orders; --`],
    ['backslashes', String.raw`\'\\ E'\n'`, String.raw`\'\\ E'\n'`],
    ['lines, tabs and other alphabets', 'a\n\tб😀', 'a\n\tб😀'],
    ['what looks like a parameter', '$1 $2', '$1 $2'],
    ['a number', 1.5, '1.5'],
    ['a great number', 2n ** 70n, '1180591620717411303424'],
    ['true', true, 'true'],
  ])('arrive as they are: %s', async (_, value, expected) => {
    const { pool } = makePool();
    expect(await pool.transaction({ settings: { 'app.value': value } }, (tx) => read(tx, 'app.value'))).toBe(expected);
  });

  it('are there together, beside the modes', async () => {
    const { pool } = makePool();
    const settings = { 'app.tenant': 'a', statement_timeout: 4321, enable_seqscan: false, search_path: 'x, public' };
    const shown = await pool.transaction({ settings, readOnly: true, isolationLevel: 'serializable' }, async (tx) => {
      const names = [...Object.keys(settings), 'transaction_read_only', 'transaction_isolation'];
      const values: (string | null)[] = [];
      for (const name of names) values.push(await read(tx, name));
      return values;
    });
    expect(shown).toEqual(['a', '4321ms', 'off', 'x, public', 'on', 'serializable']);
  });

  it.each<[string, (tx: Transaction) => Promise<unknown>]>([
    ['COMMIT', (tx) => tx.query('select 1')],
    ['ROLLBACK', () => Promise.reject(new Error('of the function'))],
    ['the ROLLBACK of a transaction that has failed', (tx) => tx.query('select nothing_there')],
  ])('leave nothing behind after %s', async (_, fn) => {
    const { pool } = makePool();
    const { rows } = await pool.query<{ pid: number }>('select pg_backend_pid() as pid');
    await pool.transaction({ settings: { role, 'app.tenant': 'a', statement_timeout: 4321 } }, fn).catch(() => {});
    expect(gone).toContain(await read(pool, 'app.tenant'));
    expect(await read(pool, 'statement_timeout')).toBe('0');
    expect(await read(pool, 'role')).toBe('none');
    expect((await pool.query('select pg_backend_pid() as pid')).rows).toEqual(rows);
  });

  it('hold in nested transactions, and outlive those that are rolled back', async () => {
    const { pool } = makePool();
    const seen = await pool.transaction({ settings: { 'app.tenant': 'outer' } }, async (tx) => {
      const inside = await tx.transaction((nested) => read(nested, 'app.tenant'));
      await failure(
        tx.transaction(async (nested) => {
          await nested.query("select set_config('app.tenant', 'inner', true)");
          throw new Error('undo');
        }),
      );
      return [inside, await read(tx, 'app.tenant')];
    });
    expect(seen).toEqual(['outer', 'outer']);
  });

  it('are not for a nested transaction, which says so and harms nothing', async () => {
    const { pool } = makePool();
    const seen = await pool.transaction({ settings: { 'app.tenant': 'outer' } }, async (tx) => {
      const nested = tx.transaction as (...args: unknown[]) => Promise<unknown>;
      const error = await failure(nested.call(tx, { settings: { 'app.tenant': 'inner' } }, () => 1));
      return [error.constructor.name, error.message, await read(tx, 'app.tenant')];
    });
    expect(seen).toEqual([
      'TypeError',
      'tx.transaction() takes a function and no options: give modes and settings to the outermost transaction',
      'outer',
    ]);
  });

  it('are made again with each retry', async () => {
    const { pool } = makePool();
    const seen: (string | null)[] = [];
    await pool.transaction({ settings: { 'app.tenant': 'a' }, retries: 2 }, async (tx) => {
      seen.push(await read(tx, 'app.tenant'));
      if (seen.length < 3) await tx.query("do $$ begin raise sqlstate '40001'; end $$");
    });
    expect(seen).toEqual(['a', 'a', 'a']);
  });
});

describe('settings that cannot be made', () => {
  it.each<[string, () => TransactionSettings, string]>([
    ['that the server does not know', () => ({ no_such_setting: 'x' }), '42704'],
    ['to a value that it cannot have', () => ({ work_mem: 'plenty' }), '22023'],
    ['that nobody can change', () => ({ max_connections: 7 }), '55P02'],
    ['of a role that does not exist', () => ({ role: 'nobody_of_that_name' }), '22023'],
  ])('fail the transaction before fn has run, and not the connection: one %s', async (_, settings, code) => {
    const { pool, warnings } = makePool();
    let ran = false;
    const failing = pool.transaction({ settings: { 'app.tenant': 'a', ...settings() } }, () => {
      ran = true;
    });
    expect((await failure(failing)).code).toBe(code);
    expect(ran).toBe(false);
    expect(gone).toContain(await read(pool, 'app.tenant'));
    expect(pool.stats()).toMatchObject({ created: 1, idle: 1, leased: 0 });
    expect(warnings).toEqual([]);
  });

  it('fail the transaction where this user must not change one', async (ctx) => {
    if (aboveTheLaw) ctx.skip(`the user ${role} may change everything`);
    const { pool } = makePool();
    const error = await failure(pool.transaction({ settings: { log_statement: 'all' } }, () => expect.fail('It ran.')));
    expect(error.code).toBe('42501');
    await pool.query('select 1');
    expect(pool.stats()).toMatchObject({ created: 1, idle: 1 });
  });

  it.each<[string, unknown]>([
    ['a value', { 'app.tenant': undefined }],
    ['a name', { "app'tenant": 'top-secret' }],
    ['a kind of object', new Map([['app.tenant', 'top-secret']])],
  ])('are refused for %s that is none, before anything is sent', async (_, settings) => {
    const { pool } = makePool({ connectionString: through(proxy().port, database.connectionString) });
    await pool.query('select 1');
    const before = proxy().snapshot();
    const error = await failure(pool.transaction({ settings: settings as TransactionSettings }, () => 1));
    expect(error.code).toBe('ERR_POOL_INVALID_OPTION');
    expect(error.message).not.toContain('top-secret');
    expect(proxy().since(before).frontend).toEqual({});
    expect(pool.stats()).toMatchObject({ created: 1, idle: 1, leased: 0 });
  });
});

describe('the way there', () => {
  it('is one round trip with BEGIN, in which nothing is named', async () => {
    const { pool } = makePool({ connectionString: through(proxy().port, database.connectionString) });
    await pool.query('select 1');
    const before = proxy().snapshot();
    const sent: string[] = [];
    proxy().onMessage(({ direction, name, text }: ProxyMessage) => {
      if (direction === 'toServer') sent.push(`${name} ${text}`);
      return undefined;
    });
    const counts = await pool.transaction({ settings: { 'app.a': 1, 'app.b': 2 } }, () => proxy().since(before));
    expect(counts.frontend).toEqual({ Parse: 2, Bind: 2, Execute: 2, Sync: 1 });
    expect(counts.backend['ReadyForQuery']).toBe(1);
    expect(sent.filter((text) => /^Parse .*["']?thawpool/.test(text))).toEqual([]);
  });

  it('is the plain BEGIN where there are no settings', async () => {
    const { pool } = makePool({ connectionString: through(proxy().port, database.connectionString) });
    await pool.query('select 1');
    const before = proxy().snapshot();
    const counts = await pool.transaction({ settings: {} }, () => proxy().since(before));
    expect(counts.frontend).toEqual({ Query: 1 });
  });

  it.each(['Parse', 'Sync', 'ReadyForQuery'])(
    'leaves nothing of fn to doubt when it is lost at %s: it begins again elsewhere',
    async (at) => {
      const { pool } = makePool({ connectionString: through(proxy().port, database.connectionString) });
      await pool.query('select 1');
      let broken = 0;
      proxy().onMessage(({ name }: ProxyMessage) => {
        if (name !== at || broken > 0) return undefined;
        broken += 1;
        return 'reset';
      });
      let runs = 0;
      const seen = await pool.transaction({ settings: { 'app.tenant': 'a' } }, (tx) => {
        runs += 1;
        return read(tx, 'app.tenant');
      });
      expect([seen, runs, broken]).toEqual(['a', 1, 1]);
      expect(pool.stats()).toMatchObject({ created: 2, idle: 1 });
    },
  );

  it('says who asked, in the stack of an error', async () => {
    const { pool } = makePool();
    async function whoeverAsked(): Promise<number> {
      return await pool.transaction({ settings: { no_such_setting: 1 } }, () => 1);
    }
    expect((await failure(whoeverAsked())).stack).toContain('whoeverAsked');
  });
});

describe('a session on its own', () => {
  const clients: pg.Client[] = [];
  afterAll(() => Promise.all(clients.map((client) => client.end().catch(() => {}))));

  async function session(config: pg.ClientConfig = {}): Promise<Session> {
    const client = new pg.Client({ connectionString: database.connectionString, ...config });
    // Ended in the middle of a statement it has nobody else to tell.
    client.on('error', () => {});
    clients.push(client);
    await client.connect();
    return new Session(client);
  }

  const begun: TransactionProgress = { phase: 'begin' };
  const transaction = <R>(one: Session, settings: TransactionSettings, fn: (tx: Transaction) => Promise<R>) =>
    runTransaction(one, { settings }, fn, { ...begun });

  it('is not marked as changed by them, as it is by a setting that stays', async () => {
    const one = await session();
    await transaction(one, { 'app.tenant': 'a', role }, items);
    expect([one.state, one.customised]).toEqual([sessionState.clean, false]);
    await (one.send(["select set_config('app.tenant', 'a', false)"]) as Promise<unknown>);
    expect(one.customised).toBe(true);
  });

  it('takes them one after the other where it pipelines', async () => {
    const one = await session({ pipeline: true });
    expect(await transaction(one, { 'app.tenant': 'a' }, (tx) => read(tx, 'app.tenant'))).toBe('a');
    const error = await failure(transaction(one, { no_such_setting: 'a' }, items));
    expect(error.code).toBe('42704');
    await one.ready();
    expect(one.transactionStatus).toBe('I');
  });

  it('is not used again when the driver has given up waiting for them', async () => {
    const one = await session({
      connectionString: through(proxy().port, database.connectionString),
      query_timeout: 50,
    });
    proxy().hold('toServer');
    const error = await failure(transaction(one, { 'app.tenant': 'a' }, items));
    expect(error.message).toBe('Query read timeout');
    expect(one.usable).toBe(false);
  });
});
