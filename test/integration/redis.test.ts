// `thawpool/redis` on a real server: what the pool does for Redis is what it does for PostgreSQL.
import { once } from 'node:events';
import { createServer } from 'node:net';
import { inspect } from 'node:util';
import { createRedisPool, getRedis, type RedisPool } from 'thawpool/redis';
import { FakeClock } from 'thawpool/testing';
import { afterEach, describe, expect, it } from 'vitest';
import { freePort, LOOPBACK, listenAnywhere } from '../support/free-port.ts';
import { reason, untilRedis, useRedis, useRedisPools, useRedisProxy } from './redis-support.ts';
import { failure } from './support.ts';

describe.skipIf(reason)(`a pool of Redis connections${reason ? ` (${reason})` : ''}`, () => {
  const server = useRedis();
  const proxy = useRedisProxy(server);
  const makePool = useRedisPools(() => `redis://${LOOPBACK}:${proxy().port}`);
  const idOf = (pool: RedisPool): Promise<number> => pool.use((client) => client.clientId());
  const gone = (pool: RedisPool): Promise<void> => untilRedis(pool, () => pool.stats().total === 0);

  describe('lending', () => {
    it('connects when somebody needs it, and keeps the connection', async () => {
      const { pool } = makePool();
      expect(pool.stats().total).toBe(0);
      expect(await pool.use((client) => client.set('a', '1'))).toBe('OK');
      expect(await pool.use((client) => client.get('a'))).toBe('1');
      expect(pool.stats()).toMatchObject({ created: 1, acquired: 2, released: 2, idle: 1, total: 1 });
    });

    it('gives each user a connection of its own, up to max', async () => {
      const { pool } = makePool({ max: 3 });
      const ids = await Promise.all(
        Array.from({ length: 9 }, () =>
          pool.use(async (client) => {
            await client.ping();
            return client.clientId();
          }),
        ),
      );
      expect(new Set(ids).size).toBe(3);
      expect(pool.stats().total).toBe(3);
    });

    it('lends until the lease is disposed of', async () => {
      const { pool } = makePool();
      {
        await using lease = await pool.acquire();
        expect(await lease.client.ping()).toBe('PONG');
        expect(pool.stats().leased).toBe(1);
      }
      expect(pool.stats()).toMatchObject({ leased: 0, idle: 1 });
    });

    it('refuses the client of a lease that is over, and a second release', async () => {
      const { pool } = makePool();
      const lease = await pool.acquire();
      const { client } = lease;
      lease.release();
      await expect(client.get('a')).rejects.toMatchObject({ code: 'ERR_POOL_USE_AFTER_RELEASE' });
      await expect(client.multi().get('a').exec()).rejects.toMatchObject({ code: 'ERR_POOL_USE_AFTER_RELEASE' });
      expect(() => lease.client).toThrow(expect.objectContaining({ code: 'ERR_POOL_USE_AFTER_RELEASE' }));
      expect(() => lease.release()).toThrow(expect.objectContaining({ code: 'ERR_POOL_DOUBLE_RELEASE' }));
      expect(await pool.use((again) => again.ping())).toBe('PONG');
    });

    it('closes a connection whose lease is destroyed', async () => {
      const { pool } = makePool();
      const first = await idOf(pool);
      const lease = await pool.acquire();
      lease.destroy();
      expect(await idOf(pool)).not.toBe(first);
      expect(pool.stats().destroyed.broken).toBe(1);
    });

    it('ends a wait by its signal and by its time', async () => {
      const { pool } = makePool({ max: 1 });
      await using held = await pool.acquire();
      const controller = new AbortController();
      const waiting = failure(pool.use((client) => client.ping(), { signal: controller.signal }));
      controller.abort();
      expect((await waiting).code).toBe('ERR_POOL_ACQUIRE_ABORTED');
      const late = await failure(pool.acquire({ timeoutMillis: 1 }));
      expect(late.message).toMatch(
        /^Timed out after 1 ms waiting for a Redis connection \(max 1, leased 1, waiting \d\)/,
      );
      expect(held.client.isReady).toBe(true);
    });

    it('warms, and refuses work once it is ended', async () => {
      const { pool } = makePool({ max: 2, maxIdle: 2 });
      await pool.warm();
      expect(pool.stats()).toMatchObject({ idle: 2, created: 2 });
      expect(await server().clients()).toHaveLength(2);
      await pool.end();
      expect(pool.stats().total).toBe(0);
      expect((await failure(pool.use((client) => client.ping()))).code).toBe('ERR_POOL_CLOSED');
      await expect.poll(() => server().clients()).toEqual([]);
    });
  });

  describe('a connection that died', () => {
    it('while it was idle is replaced before the next command, and ends no process', async () => {
      const { pool } = makePool();
      const first = await idOf(pool);
      await server().killClients([first]);
      await gone(pool);
      expect(await idOf(pool)).not.toBe(first);
      expect(pool.stats().destroyed.broken).toBe(1);
    });

    it.each(['closeAll', 'resetAll'] as const)('by %s is replaced', async (loss) => {
      const { pool } = makePool();
      await idOf(pool);
      proxy()[loss]();
      await gone(pool);
      expect(await pool.use((client) => client.ping())).toBe('PONG');
    });

    it('in a black hole is found out by a ping, and replaced within the same acquire', async () => {
      const clock = new FakeClock();
      const { pool, events } = makePool({ clock });
      const first = await idOf(pool);
      proxy().blackhole();
      clock.freeze(60_000, { monotonicRuns: false });
      const asking = idOf(pool);
      await untilRedis(pool, () => pool.stats().validating === 1);
      await clock.advance(250);
      expect(await asking).not.toBe(first);
      expect(events).toContainEqual(expect.objectContaining({ type: 'validated', alive: false }));
      expect(pool.stats()).toMatchObject({ created: 2, destroyed: { invalid: 1 } });
    });

    it('is told from one that only slept long, which costs a ping', async () => {
      const clock = new FakeClock();
      const { pool } = makePool({ clock });
      const first = await idOf(pool);
      clock.freeze(60_000, { monotonicRuns: true });
      expect(await idOf(pool)).toBe(first);
      expect(pool.stats()).toMatchObject({ created: 1, validated: 1 });
    });

    it('with its server is replaced once the server is back, however long that takes within the budget', async () => {
      const { pool } = makePool();
      await idOf(pool);
      await server().stop();
      await gone(pool);
      const asking = pool.use((client) => client.ping());
      await untilRedis(pool, () => pool.stats().creating === 1);
      await server().start();
      expect(await asking).toBe('PONG');
    });

    it('fails the command that was running, and is not lent again', async () => {
      const { pool } = makePool();
      const blocked = failure(
        pool.use(async (client) => {
          const id = await client.clientId();
          const popping = client.blPop('nothing', 0);
          await expect.poll(() => server().command('CLIENT', 'LIST')).toMatch(new RegExp(`id=${id} .*cmd=blpop`));
          await server().killClients([id]);
          return popping;
        }),
      );
      expect((await blocked).message).toBe('Socket closed unexpectedly');
      expect(await pool.use((client) => client.ping())).toBe('PONG');
    });

    it('by the hand of its user is not lent again', async () => {
      const { pool } = makePool();
      await pool.use((client) => client.destroy());
      expect(await pool.use((client) => client.ping())).toBe('PONG');
      expect(pool.stats()).toMatchObject({ created: 2, total: 1 });
    });
  });

  describe('the next user of a connection', () => {
    it('does not inherit WATCH', async () => {
      const { pool } = makePool({ max: 1 });
      const first = await pool.use(async (client) => {
        await client.watch('balance');
        return client.clientId();
      });
      await server().command('SET', 'balance', '7');
      const done = await pool.use(async (client) => {
        expect(await client.clientId()).toBe(first);
        return client.multi().incr('balance').exec();
      });
      expect(done).toEqual([8]);
    });

    it('does not inherit a MULTI that was sent by hand', async () => {
      const { pool } = makePool({ max: 1 });
      const first = await pool.use(async (client) => {
        await client.sendCommand(['MULTI']);
        await client.sendCommand(['SET', 'a', 'lost']);
      });
      expect(first).toBeUndefined();
      expect(await pool.use((client) => client.get('a'))).toBeNull();
      expect(pool.stats().created).toBe(1);
    });

    it.each<[string, (client: Parameters<Parameters<RedisPool['use']>[0]>[0]) => Promise<unknown>]>([
      ['select()', (client) => client.select(3)],
      ['SELECT by hand', (client) => client.sendCommand(['SELECT', '3'])],
      ['multi().select()', (client) => client.multi().select(3).set('a', '1').exec()],
    ])('is in the database that was asked for, after %s', async (_, leave) => {
      const { pool } = makePool({ max: 1, database: 1 });
      await pool.use(leave);
      const info = await pool.use((client) => client.clientInfo());
      expect(info.db).toBe(1);
      expect(pool.stats().created).toBe(1);
    });

    it.each<[string, (client: Parameters<Parameters<RedisPool['use']>[0]>[0]) => Promise<unknown>]>([
      ['a subscription', (client) => client.subscribe('news', () => {})],
      ['MONITOR', (client) => client.monitor(() => {})],
      ['a name', (client) => client.clientSetName('me')],
      ['CLIENT NO-EVICT', (client) => client.clientNoEvict(true)],
      ['CLIENT REPLY', (client) => void client.sendCommand(['CLIENT', 'REPLY', 'OFF']).catch(() => {}) as never],
    ])('gets another one after %s', async (_, leave) => {
      const { pool } = makePool({ max: 1, validateAfterIdleMillis: 60_000 });
      const first = await idOf(pool);
      await pool.use(leave);
      expect(await idOf(pool)).not.toBe(first);
      expect(pool.stats()).toMatchObject({ created: 2, destroyed: { invalid: 1 } });
    });

    it('gets the same one, without a word to the server, where nothing was left', async () => {
      const { pool } = makePool({ max: 1 });
      await server().command('CONFIG', 'RESETSTAT');
      const first = await pool.use(async (client) => {
        await client.watch('a');
        await client.multi().set('a', '1').exec();
        return client.clientId();
      });
      expect(await idOf(pool)).toBe(first);
      const sent = await server().command<string>('INFO', 'commandstats');
      expect(sent).toMatch(/cmdstat_watch:calls=1,/);
      expect(sent).not.toMatch(/cmdstat_(unwatch|discard|reset|ping)/);
    });

    it('waits for what the last one did not await', async () => {
      const { pool } = makePool({ max: 1 });
      const answers: unknown[] = [];
      await pool.use((client) => {
        void client.set('a', 'late').then((answer) => answers.push(answer));
      });
      expect(await pool.use((client) => client.get('a'))).toBe('late');
      expect(answers).toEqual(['OK']);
      expect(pool.stats().created).toBe(1);
    });
  });

  describe('connecting', () => {
    it('says where nothing answers, without the password', async () => {
      const port = await freePort();
      const { pool } = makePool({ url: `redis://app:geheim@${LOOPBACK}:${port}`, acquireTimeoutMillis: 20 });
      const error = await failure(pool.use((client) => client.ping()));
      expect(error.code).toBe('ERR_POOL_CONNECT_REFUSED');
      expect(error.message).toContain(`Nothing answers at ${LOOPBACK}:${port} (ECONNREFUSED).`);
      expect(inspect(error, { depth: 10 }) + inspect(pool, { depth: 10, showHidden: true })).not.toContain('geheim');
    });

    it('gives up at a server that accepts and says nothing, and leaves no socket behind', async () => {
      const mute = createServer();
      const port = await listenAnywhere(mute);
      const accepted = once(mute, 'connection');
      const { pool } = makePool({ url: `redis://${LOOPBACK}:${port}`, acquireTimeoutMillis: 10 });
      const failing = failure(pool.use((client) => client.ping()));
      const [socket] = (await accepted) as [import('node:net').Socket];
      const closed = once(socket, 'close');
      socket.resume().on('error', () => {});
      expect((await failing).code).toMatch(/^ERR_POOL_(ACQUIRE|CREATE)_TIMEOUT$/);
      await closed;
      mute.close();
      await once(mute, 'close');
    });

    it('names the database that does not exist', async () => {
      const { pool } = makePool({ database: 99 });
      const error = await failure(pool.use((client) => client.ping()));
      expect(error.code).toBe('ERR_POOL_CONNECT_DATABASE');
    });
  });

  describe('getRedis', () => {
    const made: RedisPool[] = [];
    const get = (options: Parameters<typeof getRedis>[0]): RedisPool => {
      const pool = getRedis(options);
      made.push(pool);
      return pool;
    };
    afterEach(async () => {
      for (const pool of made.splice(0)) await pool.end();
    });

    it('is one pool for each name, made on the first call', () => {
      const options = { name: 'one', env: {}, url: server().url, max: 2 };
      const first = get(options);
      expect(get(options)).toBe(first);
      expect(get({ name: 'one' })).toBe(first);
      expect(get({ ...options, name: 'two' })).not.toBe(first);
      expect([first.name, first.stats().max]).toEqual(['one', 2]);
    });

    it('refuses other options under the same name, and shows no url', () => {
      get({ name: 'one', env: {}, url: 'redis://:geheim@a', max: 2 });
      expect(() => getRedis({ name: 'one', url: 'redis://:anderes@b', max: 3 })).toThrow(
        expect.objectContaining({
          code: 'ERR_POOL_NAME_CONFLICT',
          message:
            'The Redis pool "one" was made with other options: env (given then, not given now), url (given then, given now), max (2 then, 3 now). Give the same options, none at all, or another name. See ERR_POOL_NAME_CONFLICT.',
        }),
      );
    });

    it('makes another once the pool was ended', async () => {
      const first = get({ name: 'ended', env: {}, url: server().url });
      await first.end();
      const second = get({ name: 'ended', env: {}, url: server().url });
      expect(second).not.toBe(first);
      expect(await second.use((client) => client.ping())).toBe('PONG');
    });

    it('reads REDIS_URL', async () => {
      const pool = get({ name: 'from the environment', env: { REDIS_URL: `${server().url}/2` } });
      expect((await pool.use((client) => client.clientInfo())).db).toBe(2);
    });
  });
});

describe.skipIf(reason)(`a Redis server with a password${reason ? ` (${reason})` : ''}`, () => {
  const server = useRedis({ password: 'geheim' });

  it('lets in by url, by option, and by a function that is asked for each connection', async () => {
    const asked: string[] = [];
    const password = async (): Promise<string> => {
      asked.push('x');
      return 'geheim';
    };
    const url = `redis://${LOOPBACK}:${server().port}`;
    for (const options of [{ url: server().url }, { url, password: 'geheim' }, { url, password, max: 2 }]) {
      await using pool = createRedisPool({ env: {}, ...options });
      await pool.warm(2);
    }
    expect(asked).toHaveLength(2);
  });

  it.each(['falsch', undefined])('refuses %s with a code, and the error shows no password', async (password) => {
    await using pool = createRedisPool({
      env: {},
      url: `redis://${LOOPBACK}:${server().port}`,
      ...(password !== undefined && { password }),
    });
    const error = await failure(pool.use((client) => client.ping()));
    expect(error.code).toBe('ERR_POOL_CONNECT_AUTH');
    expect(error.message).toContain(`The server at ${LOOPBACK}:${server().port} refused user "default"`);
    expect(inspect(error, { depth: 10 })).not.toContain('falsch');
    expect(pool.stats()).toMatchObject({ createFailed: 1, total: 0 });
  });
});
