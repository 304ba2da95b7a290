// The double of RDS Proxy, rule by rule: what is allowed passes, what is forbidden is refused and on record.

import { readFileSync } from 'node:fs';
import { connect as connectTcp } from 'node:net';
// oxlint-disable-next-line no-restricted-imports -- the tokens of the real signer are what the double must accept
import { Signer } from '@aws-sdk/rds-signer';
import pg from 'pg';
import { afterAll, afterEach, beforeAll, describe, expect, inject, it, vi } from 'vitest';
import { type Certificates, makeCertificates, whyNoCertificates } from '../support/certificates.ts';
import { freePort } from '../support/free-port.ts';
import { startPostgres } from '../support/postgres.ts';
import {
  type AccessKey,
  type ClientAuth,
  type RdsProxy,
  type RdsProxyOptions,
  startRdsProxy,
} from '../support/rds-proxy/rds-proxy.ts';
import { failure, useDatabase } from './support.ts';

const REGION = 'eu-west-1';
const KEY = { accessKeyId: 'AKIDEXAMPLE', secretAccessKey: 'secret+key/of=ours' };
const PASSWORDS: ClientAuth = { kind: 'password', users: { app: 'proxy password' } };

const reason = whyNoCertificates();

interface SignedFor {
  readonly hostname?: string;
  readonly port?: number;
  readonly username?: string;
  readonly region?: string;
  readonly accessKeyId?: string;
  readonly secretAccessKey?: string;
  readonly sessionToken?: string;
}

/** A token of Amazon's own signer. */
function sign(proxy: RdsProxy, other: SignedFor = {}): Promise<string> {
  const { hostname = proxy.host, port = proxy.port, username = 'app', region = REGION, ...key } = other;
  return new Signer({ hostname, port, username, region, credentials: { ...KEY, ...key } }).getAuthToken();
}

/** Sends bytes without TLS and returns all that comes back until the end, or until `enough` is there. */
function raw(proxy: RdsProxy, bytes: Buffer, enough = Number.POSITIVE_INFINITY): Promise<string> {
  return new Promise((resolve, reject) => {
    const socket = connectTcp(proxy.port, '127.0.0.1', () => socket.write(bytes));
    let answer = '';
    socket.on('data', (chunk) => {
      answer += chunk.toString('latin1');
      if (answer.length >= enough) socket.destroy();
    });
    socket.on('close', () => resolve(answer));
    socket.on('error', reject);
  });
}

/** A message without a type: its length, a code, and what follows. */
function untyped(code: number, body: Buffer | string = ''): Buffer {
  const head = Buffer.alloc(8);
  head.writeInt32BE(8 + Buffer.byteLength(body));
  head.writeInt32BE(code, 4);
  return Buffer.concat([head, Buffer.from(body)]);
}

const startup = (parameters: string, version = 3 << 16): Buffer => untyped(version, `${parameters}\0`);
const GSSENC_REQUEST = untyped(80877104);
const SSL_REQUEST = untyped(80877103);

describe.skipIf(reason)(`the double of RDS Proxy${reason ? ` (${reason})` : ''}`, () => {
  const database = useDatabase();
  const { host, port, user, password } = inject('postgres');
  const target = { host, port, user, password };
  let certificates: Certificates;
  let ca: string;
  const proxies: RdsProxy[] = [];
  const clients: pg.Client[] = [];

  beforeAll(() => {
    certificates = makeCertificates();
    ca = readFileSync(certificates.caFile, 'utf8');
  });
  afterAll(() => certificates?.dispose());
  afterEach(async () => {
    vi.useRealTimers();
    for (const proxy of proxies.splice(0)) await proxy.close();
    await Promise.allSettled(clients.splice(0).map((client) => client.end()));
  });

  const start = async (options: Partial<RdsProxyOptions> = {}): Promise<RdsProxy> => {
    const proxy = await startRdsProxy({ target, tls: certificates.local, auth: PASSWORDS, ...options });
    proxies.push(proxy);
    return proxy;
  };
  const startIam = (
    more: { keys?: Record<string, AccessKey>; users?: string[] } & Partial<RdsProxyOptions> = {},
  ): Promise<RdsProxy> => {
    const { keys = { [KEY.accessKeyId]: { secretAccessKey: KEY.secretAccessKey } }, users, ...options } = more;
    const granted = users === undefined ? {} : { users };
    return start({ auth: { kind: 'iam', region: REGION, accessKeys: keys, ...granted }, ...options });
  };
  const clientOf = (proxy: RdsProxy, config: pg.ClientConfig = {}): pg.Client => {
    const at = { host: proxy.host, port: proxy.port, user: 'app', database: database.name, ssl: { ca } };
    const client = new pg.Client({ ...at, password: 'proxy password', ...config });
    client.on('error', () => {});
    clients.push(client);
    return client;
  };
  const connect = async (proxy: RdsProxy, config: pg.ClientConfig = {}): Promise<pg.Client> => {
    const client = clientOf(proxy, config);
    await client.connect();
    return client;
  };
  /** With a startup packet of our own. */
  const connectWith = async (proxy: RdsProxy, parameters: Record<string, string>): Promise<pg.Client> => {
    const client = clientOf(proxy);
    Object.assign(client, { getStartupConf: () => ({ user: 'app', database: database.name, ...parameters }) });
    await client.connect();
    return client;
  };
  const pidOf = async (client: pg.Client): Promise<number> =>
    (await client.query<{ pid: number }>('select pg_backend_pid() as pid')).rows[0]?.pid ?? 0;
  /** Timers fire when the test says so; sockets go on. */
  const holdTime = (): void => void vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] });
  /** The end of a client that its server ends, with the last error before it. */
  const ended = (client: pg.Client): Promise<{ code?: string; message?: string }> =>
    new Promise((resolve) => {
      let last: Error & { code?: string } = new Error('nothing was said');
      client.on('error', (error) => {
        if ('code' in error) last = error as Error & { code?: string };
      });
      client.once('end', () => resolve({ ...(last.code ? { code: last.code } : {}), message: last.message }));
    });

  describe('encryption', () => {
    it('lets a client in by TLS with the given certificate', async () => {
      const proxy = await start();
      const client = await connect(proxy);
      expect((await client.query('select 1 as one')).rows).toEqual([{ one: 1 }]);
      proxy.assertRulesKept();
      expect(proxy.stats()).toMatchObject({ logins: 1, clients: { now: 1 }, backends: { now: 1 } });
      const stranger = await failure(connect(proxy, { ssl: { ca: readFileSync(certificates.otherCaFile, 'utf8') } }));
      expect(stranger.message).toMatch(/certificate/);
      proxy.assertRulesKept();
    });

    it('refuses a startup packet without TLS', async () => {
      const proxy = await start();
      const error = await failure(connect(proxy, { ssl: false }));
      expect(error).toMatchObject({ code: '28000', message: 'This RDS Proxy requires TLS connections' });
      expect(proxy.refusals).toMatchObject([{ rule: 'tls', code: '28000' }]);
      expect(() => proxy.assertRulesKept()).toThrow(/tls \(28000\)/);
    });

    it('takes a client without TLS when it is told to', async () => {
      const proxy = await start({ requireTls: false });
      expect(await pidOf(await connect(proxy, { ssl: false }))).toBeGreaterThan(0);
      proxy.assertRulesKept();
    });

    it('takes no token without TLS', async () => {
      const proxy = await startIam({ requireTls: false });
      const error = await failure(connect(proxy, { ssl: false, password: await sign(proxy) }));
      expect(error).toMatchObject({ code: '28000', message: 'IAM is allowed only with SSL connections.' });
      expect(proxy.refusals).toMatchObject([{ rule: 'tls' }]);
    });

    it('hangs up on TLS without a request for it', async () => {
      const proxy = await start();
      const direct = { sslnegotiation: 'direct' } as pg.ClientConfig;
      await failure(connect(proxy, direct));
      expect(proxy.refusals).toMatchObject([{ rule: 'direct-tls', message: '' }]);
    });

    it('declines GSS encryption and goes on', async () => {
      const proxy = await start();
      expect(await raw(proxy, Buffer.concat([GSSENC_REQUEST, SSL_REQUEST]), 2)).toBe('NS');
      proxy.assertRulesKept();
    });

    it('takes nothing unencrypted behind a request for TLS', async () => {
      const proxy = await start();
      expect(await raw(proxy, Buffer.concat([SSL_REQUEST, startup('user\0app\0')]))).toContain('C08P01');
      expect(proxy.refusals).toMatchObject([{ rule: 'protocol' }]);
    });

    it('needs a certificate where it requires TLS', async () => {
      await expect(startRdsProxy({ target, auth: PASSWORDS })).rejects.toThrow(/requireTls/);
      const proxy = await startRdsProxy({ target, auth: PASSWORDS, requireTls: false });
      proxies.push(proxy);
      expect((await failure(connect(proxy))).message).toMatch(/does not support SSL/);
      expect(await pidOf(await connect(proxy, { ssl: false }))).toBeGreaterThan(0);
    });
  });

  describe('the startup packet', () => {
    const tracked = {
      application_name: 'orders',
      datestyle: 'German, DMY',
      TimeZone: 'Asia/Tokyo',
      extra_float_digits: '0',
      search_path: 'pg_catalog, "$user"',
    };
    const show = `select current_setting('application_name') as application_name, current_setting('datestyle') as datestyle,
      current_setting('timezone') as "TimeZone", current_setting('extra_float_digits') as extra_float_digits,
      current_setting('search_path') as search_path`;

    it('may set the tracked variables, which follow the client to each backend', async () => {
      const proxy = await start({ maxBackends: 1 });
      const client = await connectWith(proxy, tracked);
      const plain = await connect(proxy);
      for (let round = 0; round < 2; round += 1) {
        expect((await client.query(show)).rows).toEqual([tracked]);
        const [other] = (await plain.query<typeof tracked>(show)).rows;
        for (const [name, value] of Object.entries(tracked)) {
          expect(other?.[name as keyof typeof tracked], name).not.toBe(value);
        }
      }
      proxy.assertRulesKept();
    });

    it.each(['statement_timeout', 'lock_timeout', 'idle_in_transaction_session_timeout', '_pq_.x', 'geqo'])(
      'may not hold %s',
      async (name) => {
        const proxy = await start();
        const error = await failure(connectWith(proxy, { [name]: '1' }));
        expect(error).toMatchObject({
          code: '0A000',
          message: `Feature not supported: RDS Proxy currently doesn't support the option ${name}.`,
        });
        expect(proxy.refusals).toMatchObject([{ rule: 'startup-parameter', code: '0A000', reason: name }]);
      },
    );

    it('may not hold options', async () => {
      const proxy = await start();
      const error = await failure(connect(proxy, { options: '-c geqo=off' }));
      expect(error).toMatchObject({
        code: '0A000',
        message: "Feature not supported: RDS Proxy currently doesn't support command-line options.",
      });
      expect(proxy.refusals).toMatchObject([{ rule: 'startup-parameter', reason: 'options' }]);
    });

    it('may not ask for replication', async () => {
      const proxy = await start();
      const error = await failure(connect(proxy, { replication: 'database' } as pg.ClientConfig));
      expect(error).toMatchObject({ code: '0A000', message: expect.stringContaining('streaming replication mode') });
    });

    it('must name a user, and version 3.0', async () => {
      const proxy = await start({ requireTls: false });
      expect(await raw(proxy, startup('database\0x\0'))).toContain('A user name is missing');
      expect(await raw(proxy, startup('user\0app\0', (3 << 16) + 2))).toContain('only version 3.0');
      expect(await raw(proxy, startup('user\0app\0', 2 << 16))).toContain('only version 3.0');
      expect(proxy.refusals.map(({ rule, code, reason }) => [rule, code, reason])).toEqual([
        ['user', '28000', 'no user in the startup packet'],
        ['protocol-version', '0A000', '3.2'],
        ['protocol-version', '0A000', '2.0'],
      ]);
    });

    it('names the database, and an unknown one is refused with the words of the server', async () => {
      const proxy = await start();
      const error = await failure(connect(proxy, { database: 'nowhere' }));
      expect(error).toMatchObject({ code: '3D000', message: expect.stringContaining('"nowhere" does not exist') });
    });

    it('with a value that the server does not take is refused at the first statement', async () => {
      const proxy = await start();
      const client = await connectWith(proxy, { timezone: 'Mars/Olympus' });
      const gone = ended(client);
      expect(await failure(client.query('select 1'))).toMatchObject({ code: '22023' });
      await gone;
    });
  });

  describe('IAM', () => {
    const refusal = async (proxy: RdsProxy, token: string | Promise<string>, user = 'app'): Promise<string> => {
      const before = proxy.refusals.length;
      const error = await failure(connect(proxy, { user, password: await token }));
      expect(error).toMatchObject({
        code: '28P01',
        message: `The IAM authentication failed for the role ${user}. Check the IAM token for this role and try again.`,
      });
      expect(proxy.refusals).toHaveLength(before + 1);
      const refused = proxy.refusals.at(-1);
      expect(refused?.rule).toBe('token');
      expect(JSON.stringify(refused)).not.toMatch(/X-Amz-Signature=|secret\+key/);
      return refused?.reason ?? '';
    };

    it('takes the tokens of the real signer, and the same one twice', async () => {
      const proxy = await startIam();
      const token = await sign(proxy);
      await connect(proxy, { password: token });
      await connect(proxy, { password: token });
      expect(proxy.stats()).toMatchObject({ logins: 2, distinctTokens: 1 });
      proxy.assertRulesKept();
    });

    it('counts different tokens', async () => {
      const keys = {
        [KEY.accessKeyId]: { secretAccessKey: KEY.secretAccessKey },
        AKIDOTHER: { secretAccessKey: 'x', sessionToken: 'a session/token+with=signs' },
      };
      const proxy = await startIam({ keys });
      await connect(proxy, { password: await sign(proxy) });
      const other = { accessKeyId: 'AKIDOTHER', secretAccessKey: 'x', sessionToken: keys.AKIDOTHER.sessionToken };
      await connect(proxy, { password: await sign(proxy, other) });
      expect(proxy.stats()).toMatchObject({ logins: 2, distinctTokens: 2 });
      proxy.assertRulesKept();
    });

    it('takes tokens for another name and user, where those are its own', async () => {
      const proxy = await startIam({ host: 'orders.proxy-abc.eu-west-1.rds.amazonaws.com' });
      const token = await sign(proxy, { username: 'Jürgen & co' });
      const client = await connect(proxy, { host: 'localhost', user: 'Jürgen & co', password: token });
      expect((await client.query('select current_user as name')).rows).toEqual([{ name: user }]);
      proxy.assertRulesKept();
    });

    it('refuses a token for another host, port, user or region', async () => {
      const proxy = await startIam();
      const own = `localhost:${proxy.port}`;
      expect(await refusal(proxy, sign(proxy, { hostname: 'db.example.com' }))).toBe(
        `signed for db.example.com:${proxy.port}, not ${own}`,
      );
      expect(await refusal(proxy, sign(proxy, { port: 5432 }))).toBe(`signed for localhost:5432, not ${own}`);
      expect(await refusal(proxy, sign(proxy, { username: 'admin' }))).toBe('signed for the user admin, not app');
      expect(await refusal(proxy, sign(proxy), 'admin')).toBe('signed for the user app, not admin');
      expect(await refusal(proxy, sign(proxy, { region: 'us-east-1' }))).toBe(
        'signed for the region us-east-1, not eu-west-1',
      );
    });

    it('refuses a key it does not know, a wrong secret and a wrong session token', async () => {
      const keys = {
        [KEY.accessKeyId]: { secretAccessKey: KEY.secretAccessKey },
        TEMPORARY: { secretAccessKey: KEY.secretAccessKey, sessionToken: 'right' },
      };
      const proxy = await startIam({ keys });
      expect(await refusal(proxy, sign(proxy, { accessKeyId: 'WHO' }))).toBe('the access key WHO is unknown');
      expect(await refusal(proxy, sign(proxy, { secretAccessKey: 'x' }))).toBe('the signature is wrong');
      const temporary = { accessKeyId: 'TEMPORARY' };
      const other = 'the session token is another one or missing';
      expect(await refusal(proxy, sign(proxy, temporary))).toBe(other);
      expect(await refusal(proxy, sign(proxy, { ...temporary, sessionToken: 'wrong' }))).toBe(other);
      expect(await refusal(proxy, sign(proxy, { sessionToken: 'right' }))).toBe(other);
      await connect(proxy, { password: await sign(proxy, { ...temporary, sessionToken: 'right' }) });
    });

    it('refuses a token after 15 minutes, or from the future, and takes it just before', async () => {
      let now = Date.now();
      const proxy = await startIam({ now: () => now });
      const token = await sign(proxy);
      const signed = /X-Amz-Date=(\d{4})(\d\d)(\d\d)T(\d\d)(\d\d)(\d\d)Z/.exec(token)?.slice(1).map(Number) ?? [];
      const [year = 0, month = 0, day = 0, hour = 0, minute = 0, second = 0] = signed;
      const date = Date.UTC(year, month - 1, day, hour, minute, second);
      now = date + 900_000;
      await connect(proxy, { password: token });
      now = date + 900_001;
      expect(await refusal(proxy, token)).toBe('expired 1 ms ago');
      now = date - 300_000;
      await connect(proxy, { password: token });
      now = date - 300_001;
      expect(await refusal(proxy, token)).toBe('signed 300001 ms in the future');
    });

    it('refuses a token whose credentials have ended', async () => {
      let now = Date.now();
      const validUntil = now + 60_000;
      const keys = { [KEY.accessKeyId]: { secretAccessKey: KEY.secretAccessKey, validUntil } };
      const proxy = await startIam({ keys, now: () => now });
      const token = await sign(proxy);
      await connect(proxy, { password: token });
      now = validUntil + 5;
      expect(await refusal(proxy, token)).toBe('the credentials that signed it ended 5 ms ago');
    });

    it('refuses a token that was tampered with', async () => {
      const proxy = await startIam();
      const token = await sign(proxy);
      const changed = (from: RegExp, to: string): Promise<string> => {
        const other = token.replace(from, to);
        expect(other).not.toBe(token);
        return refusal(proxy, other);
      };
      const wrong = 'the signature is wrong';
      expect(await changed(/X-Amz-Expires=900/, 'X-Amz-Expires=899')).toBe(wrong);
      expect(await changed(/X-Amz-Expires=900/, 'X-Amz-Expires=901')).toBe(
        'X-Amz-Expires is 901, not 1 to 900 seconds',
      );
      expect(await changed(/Action=connect&/, 'Action=connect&More=1&')).toBe(wrong);
      expect(await changed(/Action=connect&/, 'Action=connect&Action=connect&')).toBe('Action is there twice');
      expect(await changed(/Action=connect/, 'Action=admin')).toBe('Action is not connect');
      expect(await changed(/X-Amz-Signature=(.)/, 'X-Amz-Signature=x$1')).toBe('X-Amz-Signature is no signature');
      expect(await changed(/(X-Amz-Signature=\w+)/, '$1ff')).toBe('X-Amz-Signature is no signature');
      expect(
        await changed(
          /X-Amz-Signature=\w/,
          token.includes('X-Amz-Signature=0') ? 'X-Amz-Signature=1' : 'X-Amz-Signature=0',
        ),
      ).toBe(wrong);
      expect(await changed(/%2Frds-db%2F/, '%2Frds%2F')).toBe('signed for the service rds, not rds-db');
      expect(await changed(/%2F\d{8}%2F/, '%2F20200101%2F')).toBe('the dates of scope and X-Amz-Date differ');
      expect(await changed(/aws4_request/, 'aws5_request')).toBe('the credential scope has another form');
      expect(await changed(/AWS4-HMAC-SHA256/, 'none')).toBe('X-Amz-Algorithm is not AWS4-HMAC-SHA256');
      expect(await changed(/^/, 'https://')).toBe('not of the form host:port/?parameters');
      expect(await changed(/=900/, '=%ZZ')).toBe('a parameter is not URL-encoded');
      await connect(proxy, { password: token });
    });

    it('refuses a password, and a user who was granted nothing', async () => {
      const proxy = await startIam({ users: ['app', 'reader'] });
      expect(await refusal(proxy, 'proxy password')).toBe('not of the form host:port/?parameters');
      const token = sign(proxy, { username: 'admin' });
      expect(await refusal(proxy, token, 'admin')).toBe('rds-db:connect is not granted for admin');
      await connect(proxy, { user: 'reader', password: await sign(proxy, { username: 'reader' }) });
    });
  });

  describe('passwords', () => {
    it('are asked for by SCRAM and refused when they are wrong', async () => {
      const users = { app: 'proxy password' };
      const proxy = await start({ auth: { kind: 'password', users } });
      await connect(proxy);
      const error = await failure(connect(proxy, { password: 'another' }));
      expect(error).toMatchObject({
        code: '28P01',
        message: 'The password that was provided for the role app is wrong.',
      });
      const unknown = await failure(connect(proxy, { user: 'nobody' }));
      expect(unknown).toMatchObject({ code: '28000', message: expect.stringContaining('no credentials for the role') });
      expect(proxy.refusals).toMatchObject([
        { rule: 'password', code: '28P01' },
        { rule: 'user', code: '28000' },
      ]);
      users.app = 'another';
      await connect(proxy, { password: 'another' });
      expect(await failure(connect(proxy))).toMatchObject({ code: '28P01' });
      expect(proxy.stats().logins).toBe(2);
    });
  });

  describe('after the login', () => {
    it('reports what the server reports, without a key for cancelling', async () => {
      const proxy = await start();
      const client = clientOf(proxy, { application_name: 'orders' });
      const reported = new Map<string, string>();
      const { connection } = client as unknown as { connection: NodeJS.EventEmitter };
      connection.on('parameterStatus', ({ parameterName, parameterValue }) => {
        reported.set(parameterName as string, parameterValue as string);
      });
      const keys: unknown[] = [];
      connection.on('backendKeyData', (message) => keys.push(message));
      await client.connect();
      expect(Object.fromEntries(reported)).toMatchObject({
        server_version: expect.stringMatching(/^\d+/),
        application_name: 'orders',
        client_encoding: 'UTF8',
        integer_datetimes: 'on',
        standard_conforming_strings: 'on',
        in_hot_standby: 'off',
        default_transaction_read_only: 'off',
        DateStyle: expect.any(String),
        TimeZone: expect.any(String),
      });
      expect(keys).toEqual([]);
    });

    it('ignores a cancel request, and holds it against the client', async () => {
      const proxy = await start();
      expect(await raw(proxy, untyped(80877102, Buffer.alloc(8)))).toBe('');
      expect(proxy.stats().cancelRequests).toBe(1);
      expect(proxy.refusals).toMatchObject([{ rule: 'cancel-request' }]);
      expect(() => proxy.assertRulesKept()).toThrow(/cancel-request/);
    });

    it('ends a client that breaks the protocol', async () => {
      const proxy = await start();
      const client = await connect(proxy);
      const { connection } = client as unknown as { connection: { stream: NodeJS.WritableStream } };
      const gone = ended(client);
      connection.stream.write(Buffer.from('y\0\0\0\x04', 'latin1'));
      expect(await gone).toMatchObject({ code: '08P01' });
      expect(proxy.refusals).toMatchObject([{ rule: 'protocol', reason: 'message type "y"' }]);
    });

    it('ends a client that speaks before its login is done', async () => {
      const proxy = await start({ requireTls: false });
      const query = Buffer.from('Q\0\0\0\x0dselect 1\0', 'latin1');
      expect(await raw(proxy, Buffer.concat([startup('user\0app\0'), query]))).toContain('C08P01');
      expect(await raw(proxy, Buffer.alloc(8))).toContain('C08P01');
      expect(proxy.refusals).toMatchObject([
        { rule: 'protocol', reason: 'message type "Q" before the login was done' },
        { rule: 'protocol', reason: 'a startup packet of 0 bytes' },
      ]);
    });
  });

  describe('multiplexing', () => {
    it('serves fifty clients with three backends', async () => {
      const proxy = await start({ maxBackends: 3 });
      const all = await Promise.all(Array.from({ length: 50 }, () => connect(proxy)));
      const three = all.slice(0, 3);
      const pids = await Promise.all(three.map((client) => client.query('begin').then(() => pidOf(client))));
      const answers = all
        .slice(3)
        .flatMap((client, at) => [
          client.query<{ at: number; pid: number }>('select $1::int as at, pg_backend_pid() as pid', [at]),
          client.query<{ at: number; pid: number }>(`select ${at} as at, pg_backend_pid() as pid`),
        ]);
      await proxy.until(() => proxy.stats().waiting.now === 47);
      await Promise.all(three.map((client) => client.query('commit')));
      const rows = (await Promise.all(answers)).map(({ rows: [row] }) => row);
      expect(rows.map((row) => row?.at)).toEqual(Array.from({ length: 94 }, (_, at) => Math.floor(at / 2)));
      for (const row of rows) expect(pids).toContain(row?.pid);
      expect(new Set(pids).size).toBe(3);
      expect(proxy.stats()).toMatchObject({
        clients: { now: 50, ever: 50, most: 50 },
        backends: { now: 3, ever: 3, most: 3 },
        waiting: { now: 0 },
        borrows: 97,
      });
      proxy.assertRulesKept();
    });

    it('keeps transactions apart', async () => {
      await database.query('create table if not exists own_rows (client int)');
      const proxy = await start({ maxBackends: 2 });
      const all = await Promise.all(Array.from({ length: 6 }, () => connect(proxy)));
      // The first two at once; the others wait for their backends.
      await Promise.all(all.slice(0, 2).map((client) => client.query('begin')));
      await Promise.all(
        all.map(async (client, at) => {
          if (at >= 2) await client.query('begin');
          await client.query('insert into own_rows values ($1)', [at]);
          expect((await client.query('select client from own_rows')).rows).toEqual([{ client: at }]);
          await client.query('rollback');
        }),
      );
      expect(await database.query('select * from own_rows')).toEqual([]);
      expect(proxy.stats()).toMatchObject({ borrows: 6, backends: { most: 2 } });
      proxy.assertRulesKept();
    });

    it('keeps a backend until the transaction ends, a failed one too, and no longer', async () => {
      const proxy = await start({ maxBackends: 1 });
      const [one, other] = [await connect(proxy), await connect(proxy)];
      await one.query('begin');
      expect(await failure(one.query('select 1/0'))).toMatchObject({ code: '22012' });
      const waiting = pidOf(other);
      await proxy.until(() => proxy.stats().waiting.now === 1);
      await one.query('rollback');
      expect(await waiting).toBeGreaterThan(0);
      proxy.assertRulesKept();
    });

    it('serves those who wait in their order', async () => {
      const proxy = await start({ maxBackends: 1 });
      const holder = await connect(proxy);
      const others = [await connect(proxy), await connect(proxy), await connect(proxy)];
      await holder.query('begin');
      const order: number[] = [];
      const answers: Promise<unknown>[] = [];
      for (const [at, client] of others.entries()) {
        answers.push(client.query('select 1').then(() => order.push(at)));
        await proxy.until(() => proxy.stats().waiting.now === at + 1);
      }
      await holder.query('commit');
      await Promise.all(answers);
      expect(order).toEqual([0, 1, 2]);
    });

    it('passes a pipeline on as a whole, and an error in it', async () => {
      const proxy = await start({ maxBackends: 1 });
      const client = await connect(proxy);
      const { connection } = client as unknown as { connection: { stream: { cork(): void; uncork(): void } } };
      connection.stream.cork();
      const good = client.query({ text: 'select $1::text as a', values: ['x'.repeat(100_000)] });
      connection.stream.uncork();
      expect((await good).rows[0]?.a).toHaveLength(100_000);
      expect(await failure(client.query('select $1::int', ['no number']))).toMatchObject({ code: '22P02' });
      expect((await client.query('select $1::int as a', [2])).rows).toEqual([{ a: 2 }]);
      expect(proxy.stats().borrows).toBe(3);
      proxy.assertRulesKept();
    });

    it('answers a client that does not wait for its answers, in one borrow', async () => {
      const proxy = await start({ maxBackends: 1 });
      const client = await connect(proxy, { pipeline: true });
      const values = Array.from({ length: 20 }, (_, at) => (at === 7 ? 'no number' : at));
      const answers = values.map((value) => client.query<{ at: number }>('select $1::int as at', [value]));
      expect(await Promise.allSettled(answers)).toMatchObject(
        values.map((at) => (at === 'no number' ? { reason: { code: '22P02' } } : { value: { rows: [{ at }] } })),
      );
      // One answer is there and the next is not: the backend must not go to somebody else between them.
      await database.query('select pg_advisory_lock(816)');
      const [first, second] = [client.query('select 1'), client.query('select pg_advisory_xact_lock(816)')];
      await first;
      const waiting = pidOf(await connect(proxy));
      await proxy.until(() => proxy.stats().waiting.now === 1);
      await database.query('select pg_advisory_unlock(816)');
      expect((await second).rows).toHaveLength(1);
      expect(await waiting).toBeGreaterThan(0);
      proxy.assertRulesKept();
    });

    it('passes on many rows, several statements at once and COPY', async () => {
      await database.query('create table if not exists copied (i int)');
      const proxy = await start({ maxBackends: 1 });
      const client = await connect(proxy);
      const { rows } = await client.query<{ i: number; pad: string }>(
        `select i, repeat('x', 1000) as pad from generate_series(1, 5000) as i`,
      );
      expect(rows).toHaveLength(5000);
      const both = (await client.query('select 1 as a; select 2 as b')) as unknown as pg.QueryResult[];
      expect(both.map(({ rows }) => rows)).toEqual([[{ a: 1 }], [{ b: 2 }]]);
      const { connection } = client as unknown as {
        connection: NodeJS.EventEmitter & { stream: NodeJS.WritableStream };
      };
      connection.once('copyInResponse', () =>
        connection.stream.write(Buffer.from('d\0\0\0\x061\nc\0\0\0\x04', 'latin1')),
      );
      // pg answers a COPY that nobody feeds with CopyFail, unless the query takes the message.
      const copy = Object.assign(new pg.Query('copy copied from stdin'), { handleCopyInResponse: () => {} });
      const done = new Promise((resolve, reject) => void copy.on('end', resolve).on('error', reject));
      client.query(copy);
      await done;
      expect(await database.query('select i from copied')).toEqual([{ i: 1 }]);
      proxy.assertRulesKept();
    });

    it('answers a bare Sync without a backend', async () => {
      const proxy = await start({ maxBackends: 1 });
      const [holder, client] = [await connect(proxy), await connect(proxy)];
      await holder.query('begin');
      const { connection } = client as unknown as { connection: NodeJS.EventEmitter & { sync(): void } };
      const ready = new Promise<{ status: string }>((resolve) => void connection.once('readyForQuery', resolve));
      connection.sync();
      expect((await ready).status).toBe('I');
      expect(proxy.stats()).toMatchObject({ syncsAnswered: 1, borrows: 1 });
      await holder.query('commit');
    });

    it('hands out the backend that has rested longest', async () => {
      const proxy = await start({ maxBackends: 2 });
      let back = 0;
      proxy.on('give-back', () => {
        back += 1;
      });
      const [one, other] = [await connect(proxy), await connect(proxy)];
      await Promise.all([one.query('begin'), other.query('begin')]);
      await Promise.all([one.query('commit'), other.query('commit')]);
      const pids: number[] = [];
      for (let round = 0; round < 4; round += 1) {
        await proxy.until(() => back === 2 + round);
        pids.push(await pidOf(one));
      }
      expect(pids.slice(2)).toEqual(pids.slice(0, 2));
      expect(new Set(pids).size).toBe(2);
    });

    it('keeps databases apart, and makes room for another one', async () => {
      const proxy = await start({ maxBackends: 1 });
      const here = await connect(proxy);
      const there = await connect(proxy, { database: inject('postgres').database });
      const name = 'select current_database() as name';
      for (let round = 0; round < 2; round += 1) {
        expect((await here.query(name)).rows).toEqual([{ name: database.name }]);
        expect((await there.query(name)).rows).toEqual([{ name: inject('postgres').database }]);
      }
      expect(proxy.stats().backends.most).toBe(1);
    });

    it('does not let a client that ends in a transaction commit it, and gives the place free', async () => {
      await database.query('create table if not exists unfinished (i int)');
      const proxy = await start({ maxBackends: 1 });
      const [one, other] = [await connect(proxy), await connect(proxy)];
      await one.query('begin');
      await one.query('insert into unfinished values (1)');
      await one.end();
      expect((await other.query('select * from unfinished')).rows).toEqual([]);
      expect(proxy.stats().backends).toMatchObject({ ever: 2, most: 1 });
    });

    it('does not hand on a backend whose client left before its answer came', async () => {
      const proxy = await start({ maxBackends: 1 });
      const [leaver, other] = [await connect(proxy), await connect(proxy)];
      await database.query('select pg_advisory_lock(815)');
      leaver.query('select pg_advisory_xact_lock(815)').catch(() => {});
      await proxy.until(() => proxy.stats().borrows === 1);
      const left = new Promise((resolve) => void proxy.on('session-end', resolve));
      (leaver as unknown as { connection: { stream: { destroy(): void } } }).connection.stream.destroy();
      await left;
      const answer = other.query('select 7 as a');
      await database.query('select pg_advisory_unlock(815)');
      expect((await answer).rows).toEqual([{ a: 7 }]);
      expect(proxy.stats().backends).toMatchObject({ ever: 2, most: 1 });
    });

    it('forgets a client that left while it waited', async () => {
      const proxy = await start({ maxBackends: 1 });
      const [holder, leaver, other] = [await connect(proxy), await connect(proxy), await connect(proxy)];
      await holder.query('begin');
      leaver.query('select 1').catch(() => {});
      await proxy.until(() => proxy.stats().waiting.now === 1);
      (leaver as unknown as { connection: { stream: { destroy(): void } } }).connection.stream.destroy();
      await proxy.until(() => proxy.stats().waiting.now === 0);
      await holder.query('commit');
      expect(await pidOf(other)).toBeGreaterThan(0);
    });
  });

  describe('a pinned client', () => {
    it('keeps its backend until it goes, which comes back without what it left there', async () => {
      const proxy = await start({ maxBackends: 1 });
      const one = await connect(proxy);
      await one.query('create temp table hidden (i int)');
      expect(proxy.pins).toEqual([
        { client: 1, reason: 'temporary-object', statement: 'create temp table hidden (i int)' },
      ]);
      expect(() => proxy.assertRulesKept()).toThrow(/pinned by temporary-object: 'create temp table hidden/);
      await one.query("set work_mem = '1234kB'; select pg_advisory_lock(7); listen it");
      const pid = await pidOf(one);
      const other = await connect(proxy);
      const waiting = other.query(
        `select pg_backend_pid() as pid, to_regclass('hidden') as hidden, current_setting('work_mem') as work_mem,
           (select count(*)::int from pg_locks where locktype = 'advisory' and pid = pg_backend_pid()) as locks,
           (select count(*)::int from pg_listening_channels()) as channels`,
      );
      await proxy.until(() => proxy.stats().waiting.now === 1);
      expect((await one.query('select count(*)::int as n from hidden')).rows).toEqual([{ n: 0 }]);
      expect(proxy.stats()).toMatchObject({ borrows: 1, pinnedClients: { now: 1, ever: 1 } });
      await one.end();
      const [row] = (await waiting).rows;
      expect(row).toEqual({ pid, hidden: null, work_mem: expect.not.stringMatching('1234kB'), locks: 0, channels: 0 });
      expect(proxy.stats()).toMatchObject({ pinnedClients: { now: 0 }, backends: { ever: 1 } });
      expect(proxy.pins.map((pin) => pin.reason)).toEqual(['temporary-object', 'set', 'advisory-lock', 'listen']);
    });

    it('is one that uses a named statement, or state by a parameterised one', async () => {
      const proxy = await start();
      const client = await connect(proxy);
      await client.query({ name: 'mine', text: 'select 1' });
      expect(proxy.pins).toMatchObject([{ reason: 'named-statement', statement: 'select 1' }]);
      expect(proxy.stats().pinnedClients.now).toBe(1);
      const other = await connect(proxy);
      await other.query('select set_config($1, $2, false)', ['a.b', 'c']);
      expect(proxy.pins.at(-1)).toMatchObject({ client: 2, reason: 'set-config' });
    });

    it('hears notifications, and is told of changed parameters', async () => {
      const proxy = await start();
      const client = await connect(proxy);
      const heard = new Promise((resolve) => void client.once('notification', ({ payload }) => resolve(payload)));
      await client.query('listen news');
      await database.query(`notify news, 'hello'`);
      expect(await heard).toBe('hello');
    });

    it('is not one that sets something hidden in a function: that is gone with the next borrow', async () => {
      const proxy = await start({ maxBackends: 1 });
      const client = await connect(proxy);
      await client.query(`do $$ begin create temp table sneaky (i int); end $$`);
      expect(await failure(client.query('select * from sneaky'))).toMatchObject({ code: '42P01' });
      expect(proxy.stats()).toMatchObject({ borrows: 2, pinnedClients: { ever: 0 } });
    });

    it('may be suspicious only', async () => {
      const proxy = await start({ maxBackends: 1 });
      const client = await connect(proxy);
      await client.query("begin; set local work_mem = '1MB'");
      await client.query('commit');
      expect(proxy.pins).toEqual([]);
      expect(proxy.suspicions).toMatchObject([{ client: 1, reason: 'set-local' }]);
      proxy.assertRulesKept();
    });
  });

  describe('a backend', () => {
    it('that is lost while nobody has it is replaced', async () => {
      const proxy = await start({ maxBackends: 1 });
      const client = await connect(proxy);
      const pid = await pidOf(client);
      await database.terminate(pid);
      await proxy.until(() => proxy.stats().backends.now === 0);
      expect(await pidOf(client)).not.toBe(pid);
      expect(proxy.stats()).toMatchObject({ clients: { now: 1 }, backends: { now: 1, ever: 2 } });
    });

    it('that is lost in a transaction takes its client with it', async () => {
      const proxy = await start({ maxBackends: 1 });
      const [one, other] = [await connect(proxy), await connect(proxy)];
      await one.query('begin');
      const pid = await pidOf(one);
      const gone = ended(one);
      await database.terminate(pid);
      expect(await gone).toMatchObject({ code: '57P01' });
      expect(await pidOf(other)).not.toBe(pid);
    });

    it('that is lost without a word in a statement is reported by the proxy', async () => {
      // Behind a first proxy, which drops its clients without a word.
      const behind = await startRdsProxy({ target, auth: PASSWORDS, requireTls: false });
      proxies.push(behind);
      const front = await start({
        target: { host: '127.0.0.1', port: behind.port, user: 'app', password: 'proxy password' },
      });
      const client = await connect(front);
      const gone = ended(client);
      const asleep = failure(client.query('select pg_sleep(60)'));
      await behind.until(() => behind.stats().borrows === 1);
      behind.killClients();
      expect(await asleep).toMatchObject({ code: '08006' });
      await gone;
      await front.until(() => front.stats().clients.now === 0);
      // Other files have sleepers of their own on this server.
      await database.query(
        "select pg_terminate_backend(pid) from pg_stat_activity where datname = current_database() and query like '%sleep(60)'",
      );
    });

    it('that cannot be had in two minutes answers the statement with an error, and the client goes on', async () => {
      holdTime();
      const proxy = await start({ maxBackends: 1 });
      const [holder, client] = [await connect(proxy), await connect(proxy)];
      await holder.query('begin');
      for (const [round, values] of [undefined, [1]].entries()) {
        const outcome = failure(client.query(values ? 'select $1::int' : 'select 1', values));
        await proxy.until(() => proxy.stats().waiting.now === 1);
        vi.advanceTimersByTime(119_999);
        expect(proxy.stats().waiting.now).toBe(1);
        vi.advanceTimersByTime(1);
        const message = 'Timed-out waiting to acquire database connection';
        expect(await outcome).toMatchObject({ code: '08000', severity: 'ERROR', message });
        expect(proxy.stats()).toMatchObject({ borrowTimeouts: round + 1, waiting: { now: 0 } });
      }
      await holder.query('commit');
      expect((await client.query('select $1::int as a', [1])).rows).toEqual([{ a: 1 }]);
      expect(proxy.stats().clients.now).toBe(2);
    });

    it('that cannot be had for a login ends it after the same time', async () => {
      holdTime();
      const proxy = await start({ target: { ...target, port: await freePort() }, borrowTimeoutMillis: 500 });
      const outcome = failure(connect(proxy));
      await proxy.until(() => proxy.stats().waiting.now === 1);
      vi.advanceTimersByTime(500);
      expect(await outcome).toMatchObject({ code: '08000', severity: 'FATAL' });
      expect(proxy.stats()).toMatchObject({ borrowTimeouts: 1, logins: 0 });
    });
  });

  describe.skipIf(process.env['DATABASE_URL'])('while the server is down (a server of our own is needed)', () => {
    // A server that is made, stopped and started: seconds on a busy machine.
    it('takes clients, lets them wait, and serves them when it is back', { timeout: 60_000 }, async () => {
      await using server = await startPostgres();
      const proxy = await start({ target: server, maxBackends: 2 });
      const at = { database: server.database };
      const early = await connect(proxy, at);
      await early.query('select 1');
      await server.stop();
      await proxy.until(() => proxy.stats().backends.now === 0);
      const late = await connect(proxy, at);
      const answers = [early.query('select 1 as a'), late.query('select 1 as a')];
      await proxy.until(() => proxy.stats().waiting.now === 2);
      await server.start();
      for (const answer of answers) expect((await answer).rows).toEqual([{ a: 1 }]);
      expect(proxy.stats().clients).toMatchObject({ now: 2, ever: 2 });
    });
  });

  describe('the endpoint', () => {
    it('is down and up again on the same port', async () => {
      const proxy = await start();
      const client = await connect(proxy);
      const gone = ended(client);
      await proxy.stop();
      await gone;
      expect(await failure(connect(proxy))).toMatchObject({ code: 'ECONNREFUSED' });
      const before = proxy.port;
      await proxy.start();
      expect(proxy.port).toBe(before);
      expect(await pidOf(await connect(proxy))).toBeGreaterThan(0);
      expect(proxy.stats().clients).toMatchObject({ now: 1, ever: 2 });
    });

    it('hangs for new clients only, until it does no more', async () => {
      const proxy = await start();
      const client = await connect(proxy);
      proxy.hang();
      let settled = false;
      const hangs = connect(proxy).finally(() => {
        settled = true;
      });
      const outcome = failure(hangs);
      await proxy.until(() => proxy.stats().hung === 1);
      expect(await pidOf(client)).toBeGreaterThan(0);
      proxy.unhang();
      expect(await pidOf(await connect(proxy))).toBeGreaterThan(0);
      expect(settled).toBe(false);
      await proxy.close();
      await outcome;
    });

    it('drops its clients without a word and takes new ones', async () => {
      const proxy = await start({ maxBackends: 1 });
      const client = await connect(proxy);
      await client.query('begin');
      const gone = ended(client);
      proxy.killClients();
      expect(await gone).toEqual({ message: 'nothing was said' });
      expect(await pidOf(await connect(proxy))).toBeGreaterThan(0);
    });

    it('tells of its events in their order', async () => {
      const proxy = await start({ maxBackends: 1 });
      const seen: string[] = [];
      const names = ['client', 'backend', 'login', 'borrow', 'give-back', 'pin', 'client-gone'] as const;
      const offs = names.map((name) => proxy.on(name, () => seen.push(name)));
      const client = await connect(proxy);
      await client.query('select 1');
      await proxy.until(() => seen.includes('give-back'));
      await client.query('listen x');
      await client.end();
      await proxy.until(() => seen.filter((name) => name === 'give-back').length === 2);
      expect(seen.filter((name) => name !== 'client-gone')).toEqual([
        'client',
        'backend',
        'login',
        'borrow',
        'give-back',
        'borrow',
        'pin',
        'give-back',
      ]);
      for (const off of offs) off();
      await connect(proxy);
      expect(seen.filter((name) => name === 'client')).toHaveLength(1);
    });
  });

  describe('time', () => {
    it('ends a client that was idle for half an hour', async () => {
      holdTime();
      const proxy = await start();
      const client = await connect(proxy);
      const gone = ended(client);
      vi.advanceTimersByTime(1_799_999);
      await client.query('begin');
      vi.advanceTimersByTime(1_799_999);
      expect(proxy.stats().clients.now).toBe(1);
      vi.advanceTimersByTime(1);
      expect(await gone).toMatchObject({ code: '57P01', message: expect.stringContaining('idle limit of 1800000 ms') });
      await proxy.until(() => proxy.stats().clients.now === 0);
      expect(proxy.stats().backends.now).toBeLessThanOrEqual(1);
    });

    it('does not end a client that waits for an answer', async () => {
      holdTime();
      const proxy = await start({ idleClientTimeoutMillis: 50 });
      const client = await connect(proxy);
      const over: string[] = [];
      proxy.on('client-timeout', (_client, which) => over.push(which));
      await client.query('begin; select pg_advisory_xact_lock(4711)');
      const second = await connect(proxy);
      const gone = ended(second);
      const waits = second.query('select pg_advisory_xact_lock(4711)');
      await proxy.until(() => proxy.stats().borrows === 2);
      for (let round = 0; round < 2; round += 1) {
        vi.advanceTimersByTime(49);
        await client.query('select 1'); // It is not idle either.
      }
      await client.query('commit');
      await waits;
      expect(over).toEqual([]);
      vi.advanceTimersByTime(50);
      await gone;
      expect(over).toContain('idle');
    });

    it('ends a client after a day, and after its transaction', async () => {
      holdTime();
      const proxy = await start({ idleClientTimeoutMillis: 2 ** 31 - 1 });
      const [idle, client] = [await connect(proxy), await connect(proxy)];
      await client.query('begin');
      const [idleGone, gone] = [ended(idle), ended(client)];
      vi.advanceTimersByTime(86_399_999);
      expect((await idle.query('select 1 as a')).rows).toEqual([{ a: 1 }]);
      vi.advanceTimersByTime(1);
      const message = expect.stringContaining('lifetime limit of 86400000 ms');
      expect(await idleGone).toMatchObject({ code: '57P01', message });
      expect((await client.query('select 1 as a')).rows).toEqual([{ a: 1 }]);
      await client.query('commit');
      expect(await gone).toMatchObject({ code: '57P01', message });
    });
  });
});
