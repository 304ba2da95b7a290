// One connection to Redis as the pool sees it. The only file that looks into a client beyond its documented surface.

import type { RedisClientType } from 'redis';
import type { Lease } from '../pool/index.ts';
import { type Leftover, leftBy } from './session-state.ts';

/** A client of node-redis, as `createClient()` makes it. */
export type RedisClient = RedisClientType;

type Send = (args: readonly unknown[], options?: unknown) => Promise<unknown>;

type SendAll = (
  this: unknown,
  commands: readonly { readonly args: readonly unknown[] }[],
  ...rest: unknown[]
) => Promise<unknown>;

/** What node-redis keeps on a client and its types do not name (5.0 to 6.3). All of it may be missing. */
interface ClientInternals {
  /** The client behind what `createClient()` returns and `withTypeMapping()` and its like derive: commands go through it. */
  _self?: ClientInternals;
  monitor: RedisClient['monitor'];
  sendCommand: Send;
  _executeMulti?: SendAll;
  _executePipeline?: SendAll;
}

/** A connection and who has it. */
export class RedisSession {
  readonly client: RedisClient;
  /** The lease it is out on, or was out on last. */
  lease: Lease<RedisSession> | undefined;
  /** Its invocation's time was up, and it was closed for that. */
  expired = false;
  /** Whether a command was answered in this lease: proof of life. */
  answered = false;
  readonly #send: Send;
  readonly #left = new Set<Leftover>();
  readonly #database: number;
  #running = 0;
  /** The pool itself is sending, in this turn. */
  #ours = false;
  #idle: (() => void)[] = [];

  /** @param database - the one that it is connected to */
  constructor(client: RedisClient, database: number) {
    this.client = client;
    this.#database = database;
    const given = client as unknown as ClientInternals;
    const internals = given._self ?? given;
    this.#send = internals.sendCommand.bind(client);
    this.#follow(internals);
  }

  /** Whether another command can be sent at all. */
  get usable(): boolean {
    return this.client.isReady && !this.expired;
  }

  /** Whether every command is answered. */
  get quiet(): boolean {
    return this.#running === 0;
  }

  /** Whether the next user would find nothing of this one's. Free. */
  get clean(): boolean {
    const { client } = this;
    return this.#running === 0 && this.#left.size === 0 && !client.isPubSubActive && !client.isWatching;
  }

  /** Whether something was left that cannot be taken back: it need not be waited for. */
  get spoilt(): boolean {
    return this.#left.has('beyond-repair') || this.client.isPubSubActive;
  }

  /** One round trip that runs nothing. */
  async ping(): Promise<void> {
    await this.#send(['PING']);
  }

  /**
   * Waits for what is still running, then takes back what was left behind.
   *
   * @returns whether that could be done
   */
  async cleanUp(signal: AbortSignal): Promise<boolean> {
    if (!this.quiet) await this.#untilQuiet(signal);
    const left = this.#left;
    if (this.spoilt || !this.usable) return false;
    if (left.has('multi')) await this.#send(['DISCARD']);
    // By the methods, which correct what a client keeps for itself.
    if (left.has('watch') || this.client.isWatching) await this.#own(() => this.client.unwatch());
    if (left.has('select')) await this.#own(() => this.client.select(this.#database));
    left.clear();
    return this.clean;
  }

  /** Sends a command of the pool's: nobody holds a lease on it. */
  #own<R>(command: () => Promise<R>): Promise<R> {
    this.#ours = true;
    try {
      return command();
    } finally {
      this.#ours = false;
    }
  }

  /** Ends the connection. Whatever still runs fails. */
  close(): void {
    try {
      this.client.destroy();
    } catch {
      // node-redis 5 throws where there is nothing left to end.
    }
  }

  /** Keeps count of commands and of what they leave behind, and refuses those of somebody whose lease is over. */
  #follow(internals: ClientInternals): void {
    const session = this;
    const { sendCommand, _executeMulti: multi, _executePipeline: pipeline } = internals;
    internals.sendCommand = function follow(this: unknown, args, options) {
      return session.#run(() => {
        session.#note(args);
        return sendCommand.call(this, args, options);
      });
    };
    // `multi()` binds these when it is called; what they send does not go through sendCommand.
    if (multi) internals._executeMulti = this.#followAll(multi, () => this.#left.delete('watch'));
    if (pipeline) internals._executePipeline = this.#followAll(pipeline, () => {});
    const monitor = internals.monitor.bind(internals);
    const listens: RedisClient['monitor'] = (callback) => {
      this.#left.add('beyond-repair');
      return monitor(callback);
    };
    Object.assign(internals, { monitor: listens, MONITOR: listens });
  }

  #followAll(send: SendAll, done: () => void): SendAll {
    const session = this;
    return function followAll(this: unknown, commands, ...rest) {
      return session.#run(async () => {
        for (const { args } of commands) session.#note(args);
        const answers = await send.call(this, commands, ...rest);
        done();
        return answers;
      });
    };
  }

  async #run(command: () => Promise<unknown>): Promise<unknown> {
    this.#admit();
    this.#running += 1;
    try {
      const answer = await command();
      this.answered = true;
      return answer;
    } finally {
      this.#running -= 1;
      if (this.#running === 0) for (const resume of this.#idle.splice(0)) resume();
    }
  }

  /** Throws what the lease says of itself where it was given back or taken back; one whose connection broke fails by itself. */
  #admit(): void {
    const { lease } = this;
    if (lease !== undefined && !lease.held && !this.#ours && lease.resource !== this) throw lease.refusal();
  }

  #note(args: readonly unknown[]): void {
    const left = leftBy(args);
    if (typeof left === 'string') this.#left.add(left);
    else for (const ended of left?.ends ?? []) this.#left.delete(ended);
  }

  #untilQuiet(signal: AbortSignal): Promise<void> {
    return new Promise((resolve, reject) => {
      signal.addEventListener('abort', () => reject(signal.reason), { once: true });
      this.#idle.push(resolve);
    });
  }
}
