// A pool of connections to Redis over the generic core. It must not know of Lambda or Middy: an invocation is an owner with
// a deadline to it.

import type { AcquireOptions, Lease, Pool, PoolObserver, PoolStats } from '../pool/index.ts';
import { PoolError } from '../pool/index.ts';
import { followed } from '../pool/running-work.ts';
import type { RedisClient, RedisSession } from './session.ts';

/** Whose work this is: what is acquired for an owner is reclaimed from it, and not waited for beyond its deadline. */
export interface RedisOwner {
  /** Wall clock, milliseconds since 1970, beyond which nothing is waited for. */
  readonly deadline: number | undefined;
}

/** How an acquire may be limited. */
export type RedisAcquireOptions = Pick<AcquireOptions, 'signal' | 'timeoutMillis' | 'deadline'>;

export const core: unique symbol = Symbol('thawpool.redis.core');

/**
 * A pool of connections to Redis that knows that its process is frozen between invocations. Each is a client of
 * node-redis. Make one with `getRedis()` or `createRedisPool()`.
 */
export class RedisPool {
  /** @internal */
  declare readonly [core]: Pool<RedisSession>;
  readonly #owner: RedisOwner | undefined;

  /** @internal */
  constructor(pool: Pool<RedisSession>, whose?: RedisOwner) {
    Object.defineProperty(this, core, { value: pool });
    this.#owner = whose;
  }

  /** The name it has in warnings and in metrics. */
  get name(): string {
    return this[core].options.name;
  }

  /** Whether it was ended: it hands nothing out any more. */
  get ended(): boolean {
    return this[core].closed;
  }

  /**
   * Lends a connection to `fn` for as long as it runs: `redis.use((client) => client.get('key'))`. Commands that are
   * sent together in one `fn` go to the server together.
   *
   * @throws what `fn` throws; AcquireError when no connection can be had; PoolError `ERR_POOL_DEADLINE` when the
   * invocation was nearly over.
   */
  use<R>(fn: (client: RedisClient) => Promise<R> | R, options?: RedisAcquireOptions): Promise<R> {
    return followed(this.#owner, this.#use(fn, options, this.#originOf(this.use)));
  }

  /**
   * Lends a connection: `await using lease = await redis.acquire()`, then `lease.client`.
   *
   * @throws AcquireError when no connection can be had.
   */
  acquire(options?: RedisAcquireOptions): Promise<RedisLease> {
    return followed(this.#owner, this.#lend(options, this.#originOf(this.acquire)));
  }

  /**
   * Makes sure that `count` connections are there and alive; optional, for INIT.
   *
   * @param count - @default `maxIdle`, at least 1
   * @throws AcquireError when they cannot be had
   */
  warm(count?: number): Promise<void> {
    return this[core].warm(count, this.#limits(undefined));
  }

  /** The pool's numbers at this moment. */
  stats(): PoolStats {
    return this[core].stats();
  }

  /** Hears every event of the pool from now on. @returns stops hearing */
  observe(observer: PoolObserver): () => void {
    return this[core].observe(observer);
  }

  /** Refuses new work, waits for what is under way, closes every connection. */
  end(): Promise<void> {
    return this[core].close();
  }

  /** The same as `end()`. */
  [Symbol.asyncDispose](): Promise<void> {
    return this.end();
  }

  async #use<R>(
    fn: (client: RedisClient) => Promise<R> | R,
    options: RedisAcquireOptions | undefined,
    origin: unknown,
  ): Promise<R> {
    const lease = await this.#lend(options, origin);
    try {
      return await fn(lease.client);
    } catch (error) {
      throw lease.explain(error);
    } finally {
      lease[Symbol.dispose]();
    }
  }

  async #lend(options: RedisAcquireOptions | undefined, origin: unknown): Promise<RedisLease> {
    const lease = await this[core].acquire({ ...this.#limits(options), origin });
    const session = lease.resource;
    session.lease = lease;
    session.answered = false;
    return new RedisLease(lease, session);
  }

  #limits(options: RedisAcquireOptions | undefined): AcquireOptions {
    const { signal, timeoutMillis, deadline: given } = options ?? {};
    const owner = this.#owner;
    if (owner === undefined) return { signal, timeoutMillis, deadline: given };
    const deadline = given === undefined ? owner.deadline : Math.min(given, owner.deadline ?? given);
    return { signal, timeoutMillis, deadline, owner };
  }

  /** Where somebody acquires, for the message about a lease that is left behind: a stack without frames of ours. */
  #originOf(from: (...args: never[]) => unknown): unknown {
    if (this.#owner === undefined) return undefined;
    const origin = Object.create(Error.prototype) as Error;
    Error.captureStackTrace(origin, from);
    return origin;
  }
}

/** A connection on loan. */
export class RedisLease {
  readonly #lease: Lease<RedisSession>;
  readonly #session: RedisSession;

  /** @internal */
  constructor(lease: Lease<RedisSession>, session: RedisSession) {
    this.#lease = lease;
    this.#session = session;
  }

  /**
   * The client.
   *
   * @throws PoolError `ERR_POOL_USE_AFTER_RELEASE` once it was released, `ERR_POOL_RECLAIMED` once its invocation ended.
   */
  get client(): RedisClient {
    return this.#lease.resource.client;
  }

  /**
   * Gives it back. What the commands left behind in the connection is taken back; where that cannot be done it is closed.
   *
   * @throws PoolError `ERR_POOL_DOUBLE_RELEASE`
   */
  release(): void {
    const { answered, quiet } = this.#session;
    this.#lease.release({ proven: answered && quiet });
  }

  /** Has the connection closed instead of used again. @throws PoolError `ERR_POOL_DOUBLE_RELEASE` */
  destroy(error?: unknown): void {
    this.#lease.destroy(error);
  }

  /** Releases unless that was done. */
  [Symbol.dispose](): void {
    if (this.#lease.held) this.release();
  }

  /** Releases unless that was done. */
  async [Symbol.asyncDispose](): Promise<void> {
    this[Symbol.dispose]();
  }

  /** @internal What an error of a command means that was stopped because the invocation is nearly over. */
  explain(error: unknown): unknown {
    if (!this.#session.expired) return error;
    return new PoolError(
      'ERR_POOL_DEADLINE',
      'Stopped because the invocation is nearly over: the connection to Redis was closed while a command ran, which may or may not have run there. Give the function more time, or the command less to do. See ERR_POOL_DEADLINE.',
      { cause: error },
    );
  }
}
