import { once } from 'node:events';
import pg from 'pg';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { startPostgres, type TestPostgres } from '../support/postgres.ts';
import { type ChaosProxy, startChaosProxy } from './chaos-proxy.ts';
import { fatalError } from './wire.ts';

let postgres: TestPostgres;
let proxy: ChaosProxy;
const clients: pg.Client[] = [];

beforeAll(async () => {
  postgres = await startPostgres();
});
afterAll(() => postgres.close());
beforeEach(async () => {
  proxy = await startChaosProxy({ targetHost: postgres.host, targetPort: postgres.port, trace: true });
});
afterEach(async () => {
  await proxy.close();
  clients.splice(0);
});

function newClient(): pg.Client {
  const { user, password, database } = postgres;
  const client = new pg.Client({ host: proxy.host, port: proxy.port, user, password, database });
  client.on('error', () => {});
  clients.push(client);
  return client;
}

async function connected(): Promise<pg.Client> {
  const client = newClient();
  await client.connect();
  return client;
}

const failure = (promise: Promise<unknown>) =>
  promise.then(
    () => 'no error',
    (error: NodeJS.ErrnoException) => error.code ?? error.message,
  );

/** Resolves with `silence` when the promise has not settled by the time that fresh queries have gone through. */
async function orSilence(promise: Promise<unknown>): Promise<unknown> {
  const probe = async () => {
    const client = await connected();
    for (let i = 0; i < 20; i += 1) await client.query('select 1');
    await client.end();
    return 'silence';
  };
  return Promise.race([promise, probe()]);
}

describe('the chaos proxy', () => {
  it.each([
    ['closed', () => proxy.closeAll()],
    ['told something in the server’s name', () => proxy.answerAll(fatalError('57P05', 'so much for that'))],
  ])('resets a connection that it has just %s', async (_, end) => {
    await connected();
    end();
    proxy.resetAll();
    expect((await proxy.until(({ open }) => open === 0)).opened).toBe(1);
  });

  it('passes queries through and counts connections and messages', async () => {
    const client = await connected();
    const before = proxy.snapshot();
    await client.query('select 1');
    await client.query('select $1::int', [1]);
    const { frontend, backend } = proxy.since(before);
    expect(frontend).toEqual({ Query: 1, Parse: 1, Bind: 1, Describe: 1, Execute: 1, Sync: 1 });
    expect(backend).toMatchObject({ ReadyForQuery: 2, DataRow: 2, CommandComplete: 2 });
    expect(before).toMatchObject({ opened: 1, open: 1 });
    await client.end();
    const after = await proxy.until((counts) => counts.open === 0);
    expect(after.connections[0]).toMatchObject({ endedBy: 'client', frontend: { Startup: 1, Terminate: 1 } });
  });

  it('passes large answers and parameters through unharmed', async () => {
    const client = await connected();
    const text = 'x'.repeat(3_000_000);
    const { rows } = await client.query('select $1::text as text, length($1) as length', [text]);
    expect(rows).toEqual([{ text, length: text.length }]);
  });

  it('traces statements and never passwords', async () => {
    const client = await connected();
    await client.query('select 1');
    const lines = proxy.trace.map(({ text }) => text);
    expect(lines).toContain('→ Query "select 1"');
    expect(lines).toContain('← ReadyForQuery I');
    expect(lines).toContain('→ Password');
    expect(JSON.stringify(lines)).not.toContain(postgres.password);
  });

  it('closes with FIN: the client says the connection terminated unexpectedly', async () => {
    const client = await connected();
    const error = once(client, 'error');
    proxy.closeAll();
    expect(((await error) as [Error])[0].message).toBe('Connection terminated unexpectedly');
    await proxy.until((counts) => counts.open === 0);
  });

  it('resets with RST: the client gets ECONNRESET', async () => {
    const client = await connected();
    const error = once(client, 'error');
    proxy.resetAll();
    expect(((await error) as [NodeJS.ErrnoException])[0].code).toBe('ECONNRESET');
  });

  it('black-holes open connections in silence, while new ones work', async () => {
    const client = await connected();
    proxy.blackhole();
    expect(await orSilence(failure(client.query('select 1')))).toBe('silence');
    expect(proxy.trace.at(-1)).toBeDefined();
    expect(proxy.trace.map(({ text }) => text)).toContain('→ Query "select 1" (swallowed)');
  });

  it('black-holes one direction: the statement runs, its answer is lost', async () => {
    await postgres.admin('create table if not exists arrived (at timestamptz default now())');
    await postgres.admin(`grant insert on arrived to ${postgres.user}`);
    const client = await connected();
    proxy.blackhole({ direction: 'toClient' });
    const silent = failure(client.query('insert into arrived default values'));
    await proxy.until((counts) => counts.backend['CommandComplete'] === 1);
    expect(await orSilence(silent)).toBe('silence');
    expect((await postgres.admin('select count(*)::int as n from arrived')).rows).toEqual([{ n: 1 }]);
  });

  it('refuses connections for real, and accepts again on the same port', async () => {
    const open = await connected();
    await proxy.refuse(true);
    expect(await failure(newClient().connect())).toBe('ECONNREFUSED');
    expect((await open.query('select 1 as one')).rows).toEqual([{ one: 1 }]);
    await proxy.refuse(false);
    expect((await (await connected()).query('select 1 as one')).rows).toEqual([{ one: 1 }]);
  });

  it('delays both directions', async () => {
    const client = await connected();
    proxy.delay(40);
    const from = performance.now();
    await client.query('select 1');
    expect(performance.now() - from).toBeGreaterThanOrEqual(79); // Timers may fire up to 1 ms early.
  });

  it('sends new connections to another server after retarget', async () => {
    const first = await connected();
    await using other = await startPostgres();
    proxy.retarget(other.host, other.port);
    const portOf = async (client: pg.Client) => (await client.query('show port')).rows[0] as { port: string };
    expect(await portOf(await connected())).toEqual({ port: String(other.port) });
    expect(await portOf(first)).toEqual({ port: String(postgres.port) });
  });

  it('is as new after healed(), and resets what a black hole took from', async () => {
    const client = await connected();
    proxy.blackhole();
    proxy.delay(1000);
    const pending = failure(client.query('select 1'));
    await proxy.refuse(true);
    await proxy.healed();
    expect(await pending).toBe('ECONNRESET');
    expect((await (await connected()).query('select 1 as one')).rows).toEqual([{ one: 1 }]);
  });

  it('acts at a protocol position, in place of a message or right after it', async () => {
    await postgres.admin('create table if not exists written (step text)');
    await postgres.admin(`grant insert on written to ${postgres.user}`);
    const insert = (client: pg.Client, step: string) => failure(client.query(`insert into written values ('${step}')`));
    const replaced = await connected();
    proxy.onMessage(({ text }) => (text.includes('in place') ? 'reset' : undefined));
    expect(await insert(replaced, 'in place')).toBe('ECONNRESET');
    const followed = await connected();
    proxy.onMessage(({ text }) => (text.includes('right after') ? 'forward-close' : undefined));
    expect(await insert(followed, 'right after')).toBe('Connection terminated unexpectedly');
    await expect
      .poll(async () => (await postgres.admin('select step from written')).rows)
      .toEqual([{ step: 'right after' }]);
  });

  it('passes the end of a session on as the server gave it', async () => {
    const client = await connected();
    const { rows } = await client.query('select pg_backend_pid() as pid');
    const error = once(client, 'error');
    await postgres.admin('select pg_terminate_backend($1)', [(rows[0] as { pid: number }).pid]);
    expect(((await error) as [pg.DatabaseError])[0].code).toBe('57P01');
    const counts = await proxy.until(({ open }) => open === 0);
    expect(counts.connections[0]?.endedBy).toBe('server');
  });

  it('keeps back what goes in one direction until it is let go', async () => {
    const client = await connected();
    proxy.hold('toClient');
    const answer = client.query('select 1 as one');
    await proxy.until(({ backend }) => (backend['CommandComplete'] ?? 0) > 0);
    const early = await Promise.race([answer, new Promise((r) => setTimeout(r, 20, 'silence'))]);
    expect(early).toBe('silence');
    proxy.letGo();
    expect((await answer).rows).toEqual([{ one: 1 }]);
  });

  it('drops what was held back when a black hole has come in its way', async () => {
    const client = await connected();
    proxy.hold('toClient');
    const answer = failure(client.query('select 1 as one'));
    await proxy.until(({ backend }) => (backend['CommandComplete'] ?? 0) > 0);
    proxy.blackhole();
    proxy.letGo();
    expect(await orSilence(answer)).toBe('silence');
  });

  it("says the server's words itself, in place of a message or to all", async () => {
    const words = fatalError('57P03', 'the database system is starting up');
    proxy.onMessage(({ name }) => (name === 'Startup' ? { answer: words } : undefined));
    expect(await failure(newClient().connect())).toBe('57P03');
    proxy.onMessage(undefined);
    const client = await connected();
    const error = once(client, 'error');
    proxy.answerAll(fatalError('57P05', 'terminating connection due to idle-session timeout'));
    expect(((await error) as [pg.DatabaseError])[0].code).toBe('57P05');
  });

  it('lets a client vanish without telling the server', async () => {
    const client = await connected();
    const { rows } = await client.query('select pg_backend_pid() as pid');
    const count = async () =>
      (await postgres.admin('select 1 from pg_stat_activity where pid = $1', [(rows[0] as { pid: number }).pid]))
        .rowCount;
    proxy.silenceExits(true);
    client.connection.stream.destroy();
    await proxy.until(({ open }) => open === 0);
    expect(await count()).toBe(1);
    await proxy.healed();
    await expect.poll(count).toBe(0);
  });

  it('says so when it waits in vain', async () => {
    await expect(proxy.until(({ opened }) => opened > 0, 10)).rejects.toThrow('waited 10 ms in vain');
  });

  it('knows the most connections that were open at once', async () => {
    const [first] = await Promise.all([connected(), connected()]);
    await first?.end();
    await connected();
    expect(proxy.peak).toBe(2);
  });
});
