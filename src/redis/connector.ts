// Makes connections to Redis, proves them alive, cleans them and puts them out: the second connector over the generic pool.
// `redis` is an optional peer, loaded with the first connection.

import type { createClient, RedisClientOptions } from 'redis';
import type { CreateContext, ResourceFactory, StepContext } from '../pool/index.ts';
import { PoolError } from '../pool/index.ts';
import { mayPass, redisConnectError } from './connect-error.ts';
import type { RedisPlace, RedisPoolOptions } from './options.ts';
import { type RedisClient, RedisSession } from './session.ts';

type Settings = Pick<RedisPoolOptions, 'client' | 'tls'>;

/** The first pause between two attempts, and the longest: a server that restarts is back within a second or so. */
const pauseMillis = { first: 25, longest: 500 };

/** The factory of connections to Redis. */
export class RedisConnector implements ResourceFactory<RedisSession> {
  readonly #place: RedisPlace;
  readonly #settings: Settings;

  constructor(place: RedisPlace, settings: Settings) {
    this.#place = place;
    this.#settings = settings;
  }

  /** Connects; tries again while nothing but patience is missing, within the budget. */
  async create(context: CreateContext): Promise<RedisSession> {
    const make = await loadRedis();
    const since = performance.now();
    for (let tries = 1; ; tries += 1) {
      try {
        return await this.#open(make, context);
      } catch (error) {
        const spent = performance.now() - since;
        const pause = Math.min(pauseMillis.longest, pauseMillis.first * 2 ** tries) * Math.random();
        const hopeless = context.signal.aborted || !mayPass(error) || spent + pause >= context.budgetMillis;
        if (hopeless) throw redisConnectError(error, this.#place, tries, spent);
        context.phase('retry', error, this.#place.peer);
        await pauseFor(pause, context.signal);
      }
    }
  }

  async validate(session: RedisSession, _context: StepContext): Promise<boolean> {
    if (!session.usable) return false;
    await session.ping();
    return true;
  }

  reset(session: RedisSession, context: StepContext): boolean | Promise<boolean> {
    if (!session.usable || session.spoilt) return false;
    return session.clean || session.cleanUp(context.signal);
  }

  /** There is no goodbye in Redis's protocol: closing the socket is one. */
  destroy(session: RedisSession): void {
    session.close();
  }

  async #open(make: typeof createClient, context: CreateContext): Promise<RedisSession> {
    const { tls, peer, database } = this.#place;
    // Ends the socket at any stage: a client that is destroyed while it connects leaves its socket open (6.3, lib/client/socket.js).
    const cutter = new AbortController();
    const cut = (): void => cutter.abort();
    const client = make(this.#clientOptions(cutter.signal)) as unknown as RedisClient;
    let session: RedisSession | undefined;
    // Not in this turn of the client's: it has yet to fail what still runs with the error itself.
    const dead = (error: unknown): void => queueMicrotask(() => context.broken(error));
    // An 'error' that nobody hears would end the process. Before it is connected, connect() tells it.
    client.on('error', (error) => session && dead(error));
    client.on('end', () => session && dead(new Error('The client was closed by its user.')));
    let handshakeAt: number | undefined;
    client.on('connect', () => {
      context.phase('auth');
      handshakeAt = performance.now();
    });
    context.signal.throwIfAborted();
    context.phase(tls ? 'tls' : 'tcp', undefined, peer);
    context.signal.addEventListener('abort', cut, { once: true });
    try {
      await client.connect();
      context.signal.throwIfAborted();
      if (!client.isReady) throw new Error('Socket closed unexpectedly');
      // The whole handshake is sent at once: one round trip.
      if (handshakeAt !== undefined) context.roundTrip(performance.now() - handshakeAt);
      session = new RedisSession(client, database);
      return session;
    } catch (error) {
      cut();
      throw error;
    } finally {
      context.signal.removeEventListener('abort', cut);
    }
  }

  /** Made anew for each client: node-redis writes into what it is given. */
  #clientOptions(signal: AbortSignal): RedisClientOptions {
    const { tls, host, port, path, username, password, database } = this.#place;
    const socket = {
      ...(path === undefined ? { host, port } : { path }),
      ...(tls && {
        ...(process.getBuiltinModule('node:net').isIP(host) === 0 && { servername: host }),
        ...this.#settings.tls,
        tls: true,
      }),
      // The pool's budget holds, by the signal: a limit of the client's own would end the wait with less to say.
      connectTimeout: 0,
      // A dead client is replaced by the pool, which knows what was frozen meanwhile.
      reconnectStrategy: false,
      signal,
    };
    const login = password !== undefined && {
      credentialsProvider: {
        type: 'async-credentials-provider',
        credentials: async () => ({
          ...(username !== undefined && { username }),
          password: typeof password === 'function' ? await password() : password,
        }),
      },
    };
    // Maintenance notifications would have the client move to another server by itself.
    const ours = { maintNotifications: 'disabled', database, disableOfflineQueue: true, socket };
    return { ...ours, ...this.#settings.client, ...login } as RedisClientOptions;
  }
}

let loaded: Promise<typeof createClient> | undefined;

function loadRedis(): Promise<typeof createClient> {
  loaded ??= load();
  return loaded;
}

async function load(): Promise<typeof createClient> {
  try {
    // oxlint-disable-next-line no-restricted-imports -- loaded on first use only
    return (await import('redis')).createClient;
  } catch (error) {
    loaded = undefined;
    throw new PoolError(
      'ERR_POOL_CONNECT_FAILED',
      'The package redis could not be loaded: install it (npm install redis), and have the bundler include it. See ERR_POOL_CONNECT_FAILED.',
      { cause: error },
    );
  }
}

function pauseFor(millis: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const done = (): void => {
      clearTimeout(timer);
      signal.removeEventListener('abort', done);
      resolve();
    };
    const timer = setTimeout(done, millis);
    signal.addEventListener('abort', done, { once: true });
  });
}
