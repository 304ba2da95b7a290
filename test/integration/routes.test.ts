// What a pool does by way of an RDS Proxy, held to Amazon's rules by a double; where it goes when that does not answer;
// and its reader.

import { type CreatePoolOptions, type PoolEvent, withPool } from 'thawpool';
import { FakeClock, simulateFreeze } from 'thawpool/testing';
import { afterAll, afterEach, beforeAll, describe, expect, inject, it } from 'vitest';
import { type Certificates, makeCertificates, whyNoCertificates } from '../support/certificates.ts';
import { type RdsProxy, type RdsProxyOptions, startRdsProxy } from '../support/rds-proxy/rds-proxy.ts';
import { makeContext } from './invocations.ts';
import { failure, nextEvent, useDatabase, usePools } from './support.ts';

const reason = whyNoCertificates();
const database = useDatabase();
const open: RdsProxy[] = [];
let certificates: Certificates;

beforeAll(() => {
  if (reason === undefined) certificates = makeCertificates();
});
afterAll(() => certificates?.dispose());
afterEach(async () => {
  for (const proxy of open.splice(0)) await proxy.close();
});

const server = (): { host: string; port: number; user: string; password: string } => {
  const { host, port, user, password } = inject('postgres');
  return { host, port, user, password };
};

/** A proxy in front of the server, to which clients log in with the server's own user and password. */
async function startProxy(options: Partial<RdsProxyOptions> = {}): Promise<RdsProxy> {
  const { user, password } = server();
  const proxy = await startRdsProxy({
    target: server(),
    tls: certificates.local,
    auth: { kind: 'password', users: { [user]: password } },
    maxBackends: 2,
    ...options,
  });
  open.push(proxy);
  return proxy;
}

/** What a function has in its environment, the proxy aside: the server itself. */
const directly = (): Record<string, string> => {
  const { host, port, user, password } = server();
  return { PGHOST: host, PGPORT: String(port), PGUSER: user, PGPASSWORD: password, PGDATABASE: database.name };
};
const by = ({ host, port }: RdsProxy, env: Record<string, string> = {}): Record<string, string> => ({
  ...directly(),
  THAWPOOL_PROXY_HOST: `${host}:${port}`,
  PGSSLROOTCERT: certificates.caFile,
  // Not the process that is asked about the environment here.
  PGSSLMODE: 'verify-full',
  ...env,
});

const makePool = usePools(() => ({}));
const serverPort = async (pool: ReturnType<typeof makePool>['pool']): Promise<unknown> =>
  (await pool.query('select inet_server_port() as port')).rows[0].port;
const notes = (events: readonly PoolEvent[]): string[] =>
  events.flatMap((event) => (event.type === 'noted' ? [event.what] : []));
const validations = (events: readonly PoolEvent[]): number => events.filter(({ type }) => type === 'validated').length;

describe.skipIf(reason)(`by way of an RDS Proxy${reason ? ` (${reason})` : ''}`, () => {
  it('keeps to the rules in all that it sends by itself', async () => {
    const proxy = await startProxy();
    const { pool, warnings } = makePool({ env: by(proxy), maxIdle: 4 });
    await pool.warm(4);
    await pool.transaction({ isolationLevel: 'serializable', settings: { 'app.tenant': 7 } }, async (tx) => {
      await tx.transaction((inner) => inner.query('select 1'));
    });
    simulateFreeze(pool, { forMillis: 60_000, sockets: 'alive' });
    await pool.query({ name: 'by name', text: 'select $1::int', values: [1] });
    const client = await pool.connect();
    await client.query('begin');
    client.release();
    await nextEvent(pool, (event) => event.type === 'transition' && event.to === 'idle');
    proxy.assertRulesKept();
    expect(warnings).toEqual([expect.stringContaining('released with an open transaction')]);
    expect(proxy.stats()).toMatchObject({ cancelRequests: 0, pinnedClients: { ever: 0 } });
  });

  it('leaves out what the proxy refuses in a startup packet, and says so once', async () => {
    const proxy = await startProxy();
    const options: CreatePoolOptions = {
      statement_timeout: 5000,
      options: '-c work_mem=8MB',
      application_name: 'orders',
    };
    const { pool, warnings } = makePool({ env: by(proxy), ...options });
    await pool.warm(2);
    expect((await pool.query("select current_setting('application_name') as name")).rows).toEqual([{ name: 'orders' }]);
    expect(proxy.refusals).toEqual([]);
    expect(warnings).toEqual([
      `localhost is connected to by way of rds-proxy, which ends a connection that asks for statement_timeout, options as it begins: left out. Set it for the role instead, once, at the server: ALTER ROLE ${server().user} SET … TO …`,
    ]);
  });

  it('stops waiting for a statement after statementTimeoutMillis, and gives its connection up', async () => {
    const proxy = await startProxy();
    const { pool, warnings } = makePool({ env: by(proxy, { THAWPOOL_STATEMENT_TIMEOUT_MS: '100' }) });
    expect((await failure(pool.query('select pg_sleep(30)'))).message).toBe('Query read timeout');
    expect(await serverPort(pool)).toBe(server().port);
    expect(pool.stats()).toMatchObject({ created: 2, destroyed: { broken: 1 } });
    expect(warnings).toEqual([]);
  });

  it('closes what still runs at the deadline, since there is no cancel', async () => {
    const proxy = await startProxy();
    const clock = new FakeClock();
    const env = by(proxy, { AWS_LAMBDA_RUNTIME_API: 'here' });
    const { pool } = makePool({ env, clock, deadlineReserveMillis: 10_000 });
    const handler = withPool((_event: object, { db }) => db.query('select pg_sleep(3)'), { pool });
    const refused = failure(handler({}, makeContext({ getRemainingTimeInMillis: () => 30_000 })));
    await proxy.until(() => proxy.stats().borrows === 1);
    await clock.advance(20_000);
    expect(await refused).toMatchObject({ code: 'ERR_POOL_DEADLINE' });
    expect(proxy.stats().cancelRequests).toBe(0);
    expect(pool.stats()).toMatchObject({ total: 0, destroyed: { invalid: 1 } });
  });

  it('cleans nothing up in a session that is not its own', async () => {
    const proxy = await startProxy();
    const { pool } = makePool({ env: by(proxy), reset: 'always', pinning: 'off', max: 1 });
    await pool.query("select set_config('app.left', 'behind', false)");
    await pool.query('select 1');
    expect(proxy.pins.map(({ statement }) => statement)).toEqual(["select set_config('app.left', 'behind', false)"]);
  });

  it('proves a connection alive only after a long sleep', async () => {
    const proxy = await startProxy();
    const { pool, events } = makePool({ env: by(proxy) });
    await pool.query('select 1');
    simulateFreeze(pool, { forMillis: 20_000, sockets: 'alive' });
    await pool.query('select 1');
    expect(validations(events)).toBe(0);
    simulateFreeze(pool, { forMillis: 40_000, sockets: 'alive' });
    await pool.query('select 1');
    expect(validations(events)).toBe(1);
    expect(proxy.stats().syncsAnswered).toBe(1);
  });

  it('counts on Lambda what pins, warns of it elsewhere, and refuses it where that was asked for', async () => {
    const proxy = await startProxy();
    const pinning = 'listen orders';
    const there = makePool({ env: by(proxy, { AWS_LAMBDA_FUNCTION_NAME: 'orders' }) });
    await there.pool.query(pinning);
    expect([notes(there.events), there.warnings]).toEqual([['pin'], []]);
    const here = makePool({ env: by(proxy) });
    await here.pool.query(pinning);
    expect([notes(here.events), here.warnings.length]).toEqual([['pin'], 1]);
    const strict = makePool({ env: by(proxy, { THAWPOOL_PINNING: 'error' }) });
    expect((await failure(strict.pool.query(pinning))).code).toBe('ERR_POOL_PINNED');
    const direct = makePool({ env: directly() });
    await direct.pool.query(pinning);
    expect([notes(direct.events), direct.warnings]).toEqual([[], []]);
    expect(proxy.pins).toHaveLength(2);
  });
});

describe.skipIf(reason)(`a proxy that does not answer${reason ? ` (${reason})` : ''}`, () => {
  const fallback = { THAWPOOL_PROXY_FALLBACK: 'direct' };
  const inTheClear = { PGSSLMODE: 'disable', PGSSLROOTCERT: '' };

  it('is an error that names it, unless there is somewhere else to go', async () => {
    const proxy = await startProxy();
    await proxy.stop();
    const { pool } = makePool({ env: by(proxy), acquireTimeoutMillis: 300 });
    const error = await failure(pool.query('select 1'));
    expect(error).toMatchObject({
      code: 'ERR_POOL_CONNECT_REFUSED',
      message: expect.stringContaining(
        `Nothing answers at localhost:${proxy.port} (ECONNREFUSED), which is taken for a proxy. Check THAWPOOL_PROXY_HOST or PGHOST`,
      ),
    });
  });

  it.each(['stop', 'hang'] as const)('is passed by (%s), and gone back to when it answers', async (how) => {
    // The server has no TLS here, and is to be gone to.
    const proxy = await startProxy({ requireTls: false });
    let wall = Date.now();
    const clock = {
      now: () => ({ wall, monotonic: wall }),
      setTimer: (fn: () => void, millis: number) => setTimeout(fn, millis).unref(),
      clearTimer: (timer: unknown) => clearTimeout(timer as NodeJS.Timeout),
      afterTurn: (fn: () => void) => void setImmediate(() => setImmediate(fn)),
    };
    const { pool, events, warnings } = makePool({
      env: by(proxy, { ...fallback, ...inTheClear }),
      clock,
      maxIdle: 4,
      acquireTimeoutMillis: 3000,
    });
    await proxy[how]();
    await pool.warm(2);
    expect(proxy.stats().logins).toBe(0);
    expect(notes(events)).toContain('fallback');
    await (how === 'stop' ? proxy.start() : proxy.unhang());
    // Left alone for five seconds of the wall clock.
    await pool.warm(3);
    expect(proxy.stats().logins).toBe(0);
    wall += 5000;
    await pool.warm(4);
    expect(proxy.stats().logins).toBe(1);
    // What had gone elsewhere is given up.
    expect(pool.stats()).toMatchObject({ idle: 1, destroyed: { expired: 3 } });
    expect(warnings).toEqual([]);
  });

  it('is not left for the server because it refuses a login', async () => {
    const proxy = await startProxy({ auth: { kind: 'password', users: { [server().user]: 'another' } } });
    const { pool } = makePool({ env: by(proxy, fallback) });
    expect((await failure(pool.query('select 1'))).code).toBe('ERR_POOL_CONNECT_AUTH');
  });

  it('and a server that does not either are both in the error', async () => {
    const proxy = await startProxy();
    await proxy.stop();
    const env = { ...by(proxy, { ...fallback, ...inTheClear }), PGHOST: '127.0.0.1', PGPORT: String(proxy.port) };
    const { pool } = makePool({ env, acquireTimeoutMillis: 300 });
    const error = await failure(pool.query('select 1'));
    expect(error.message).toMatch(
      new RegExp(`Nothing answers at 127\\.0\\.0\\.1:${proxy.port} .* Nor did these answer: localhost: .*ECONNREFUSED`),
    );
  });

  it('has no fallback without a host', () => {
    const env = { THAWPOOL_PROXY_HOST: 'p.example', THAWPOOL_PROXY_FALLBACK: 'direct' };
    expect(() => makePool({ env })).toThrow('proxyFallback is "direct", but there is no host to go to');
  });
});

describe('readers', () => {
  it('are the pool itself where there are none', async () => {
    const { pool } = makePool({ env: directly() });
    expect(pool.reader).toBe(pool);
    const handler = withPool(async (_event: object, { db }) => db.reader === db, { pool });
    expect(await handler({}, makeContext())).toBe(true);
  });

  it('are a pool of their own, with a limit of its own, that cannot write', async () => {
    const { host, port } = server();
    const env = { ...directly(), THAWPOOL_READER_HOST: `${host}:${port}`, THAWPOOL_READER_MAX: '7' };
    const { pool } = makePool({ env });
    expect([pool.stats().max, pool.reader.stats().max, pool.reader === pool]).toEqual([4, 7, false]);
    await pool.query('create table notes (text text)');
    expect((await failure(pool.reader.query("insert into notes values ('x')"))).code).toBe('25006');
    expect((await pool.reader.query('select count(*)::int as n from notes')).rows).toEqual([{ n: 0 }]);
    expect([pool.stats().created, pool.reader.stats().created]).toEqual([1, 1]);
    await pool.end();
    expect(pool.reader.ended).toBe(true);
  });

  it.skipIf(reason)('that do not answer are passed by for the writer, and still do not write', async () => {
    const reader = await startProxy();
    await reader.stop();
    const env = { ...directly(), THAWPOOL_READER_HOST: `localhost:${reader.port}` };
    const { pool } = makePool({ env });
    expect((await pool.reader.query('select inet_server_port() as port')).rows).toEqual([{ port: server().port }]);
    expect((await failure(pool.reader.query('create table nothing ()'))).code).toBe('25006');
  });

  it('belong to the invocation like the pool: what is left behind is taken back', async () => {
    const { host, port } = server();
    const { pool, warnings } = makePool({ env: { ...directly(), THAWPOOL_READER_HOST: `${host}:${port}` } });
    const handler = withPool(
      async (_event: object, { db }) => {
        await db.reader.connect();
        await db.connect();
      },
      { pool },
    );
    await handler({}, makeContext());
    expect(warnings).toHaveLength(1);
    expect(warnings[0]).toMatch(/left behind: a connection, acquired.*; a connection, acquired/s);
    expect([pool.stats().leased, pool.reader.stats().leased]).toEqual([0, 0]);
  });
});
