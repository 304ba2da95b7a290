/**
 * A TCP proxy between a sandbox and PostgreSQL that breaks connections in all the ways networks do, and counts the
 * protocol messages that pass. It knows the wire protocol's framing and nothing about pools or Lambda.
 */
import { once } from 'node:events';
import { createServer, type Server } from 'node:net';
import { LOOPBACK, listenAnywhere, listenOn } from '../support/free-port.ts';
import { type ConnectionHost, ProxyConnection, type ProxyMessage, type Verdict } from './proxy-connection.ts';
import { type ConnectionCounts, countsSince, type ProxyCounts, type Side, sumOf } from './proxy-counts.ts';
import type { Direction } from './wire.ts';

export type { ProxyMessage, Verdict } from './proxy-connection.ts';
export type { ProxyCounts } from './proxy-counts.ts';

/** Where the proxy leads, and whether it writes down what passes. */
export interface ChaosProxyOptions {
  readonly targetHost: string;
  readonly targetPort: number;
  /** Keeps a protocol trace from the start. @default false */
  readonly trace?: boolean;
}

/** One line of the protocol trace. */
export interface TraceLine {
  /** Milliseconds since the epoch. */
  readonly at: number;
  readonly connection: number;
  /** `→ Query "select 1"`, `← ReadyForQuery I`, or `· ended by the server (FIN)`. */
  readonly text: string;
}

/** Looks at a message before its last bytes are forwarded and decides; `undefined` forwards. */
export type MessageHook = (message: ProxyMessage) => Verdict | undefined;

/** Far longer than anything in the lab takes that happens at all. */
const UNTIL_LIMIT_MILLIS = 60_000;

/** A running proxy. `await using` closes it. */
export class ChaosProxy implements AsyncDisposable {
  readonly host = LOOPBACK;
  readonly port: number;
  /** What was traced so far; empty unless the option `trace` is set. */
  readonly trace: TraceLine[] = [];
  readonly #connections = new Map<number, ProxyConnection>();
  /** Every socket pair that still exists, also those whose client has left a black hole. */
  readonly #all = new Set<ProxyConnection>();
  readonly #counts = new Map<number, ConnectionCounts>();
  readonly #watchers = new Set<() => void>();
  readonly #traces: boolean;
  #server: Server;
  #target: { host: string; port: number };
  #delayMillis = 0;
  #held: Direction | undefined;
  #silentExits = false;
  #peak = 0;
  #hook: MessageHook | undefined;
  #opened = 0;

  private constructor(server: Server, port: number, options: ChaosProxyOptions) {
    this.#server = server;
    this.port = port;
    this.#target = { host: options.targetHost, port: options.targetPort };
    this.#traces = options.trace ?? false;
    this.#accept(server);
  }

  /** Listens on a free port of the loopback address. */
  static async start(options: ChaosProxyOptions): Promise<ChaosProxy> {
    const server = newServer();
    return new ChaosProxy(server, await listenAnywhere(server), options);
  }

  /** Closes every open connection with FIN on both sides. */
  closeAll(): void {
    for (const connection of [...this.#connections.values()]) connection.close();
  }

  /** Resets every open connection with RST on both sides. */
  resetAll(): void {
    for (const connection of [...this.#connections.values()]) connection.reset();
  }

  /** Swallows all bytes of the connections that are open now; neither side learns of it, and new ones work. */
  blackhole(options: { readonly direction?: Direction } = {}): void {
    for (const connection of this.#connections.values()) connection.blackhole(options.direction);
  }

  /** Stops listening, so that connecting gives ECONNREFUSED, or listens again on the same port. */
  async refuse(on: boolean): Promise<void> {
    if (on === !this.#server.listening) return;
    if (on) {
      this.#server.close();
      return;
    }
    const server = newServer();
    await listenOn(server, this.port);
    this.#server = server;
    this.#accept(server);
  }

  /** Delays every byte by `millis` in each direction, for open connections too. */
  delay(millis: number): void {
    this.#delayMillis = millis;
  }

  /** Keeps back all bytes and ends that go in one direction, those of new connections too, until `letGo()`. */
  hold(direction: Direction): void {
    this.#held = direction;
  }

  /** Delivers what `hold()` has kept back, in order. */
  letGo(): void {
    this.#held = undefined;
    for (const connection of this.#all) connection.letGo();
  }

  /** Has clients vanish without a goodbye: the server is not told that their connections have ended. */
  silenceExits(on: boolean): void {
    this.#silentExits = on;
  }

  /** Tells every client whose connection nobody has ended `bytes` in the server's name, and ends the connections. */
  answerAll(bytes: Uint8Array): void {
    for (const connection of [...this.#connections.values()]) {
      if (this.#counts.get(connection.id)?.endedBy === undefined) connection.answer(bytes);
    }
  }

  /** The most connections at one time on which something was said and that nobody had ended. */
  get peak(): number {
    return this.#peak;
  }

  /** Sends new connections to another server. Open ones stay where they are. */
  retarget(host: string, port: number): void {
    this.#target = { host, port };
  }

  /**
   * Undoes `refuse`, `delay`, `hold`, `silenceExits` and the hook, and resets connections that a black hole took bytes
   * from or whose client has vanished.
   */
  async healed(): Promise<void> {
    this.#delayMillis = 0;
    this.#hook = undefined;
    this.#silentExits = false;
    this.letGo();
    for (const connection of [...this.#all]) {
      if (connection.swallows || connection.lingers) this.#discard(connection);
    }
    await this.refuse(false);
  }

  /** Sets the hook that sees every message, or takes it away. */
  onMessage(hook: MessageHook | undefined): void {
    this.#hook = hook;
  }

  /** Returns the counts up to now. */
  snapshot(): ProxyCounts {
    const connections = [...this.#counts.values()].map((one) => structuredClone(one));
    return { opened: this.#opened, open: this.#connections.size, ...sumOf(connections), connections };
  }

  /** Returns what has happened since `earlier`; connections on which nothing has are left out. */
  since(earlier: ProxyCounts): ProxyCounts {
    return countsSince(this.snapshot(), earlier);
  }

  /**
   * Resolves as soon as the counts meet the condition.
   *
   * @throws When they have not after `limitMillis`.
   */
  until(condition: (counts: ProxyCounts) => boolean, limitMillis = UNTIL_LIMIT_MILLIS): Promise<ProxyCounts> {
    return new Promise((resolve, reject) => {
      const look = () => {
        const counts = this.snapshot();
        if (!condition(counts)) return;
        stop();
        resolve(counts);
      };
      const timer = setTimeout(() => {
        stop();
        reject(new Error(`The proxy waited ${limitMillis} ms in vain: ${JSON.stringify(this.snapshot())}`));
      }, limitMillis);
      const stop = () => {
        clearTimeout(timer);
        this.#watchers.delete(look);
      };
      this.#watchers.add(look);
      look();
    });
  }

  /** Stops listening and drops every connection. */
  async close(): Promise<void> {
    const closed = this.#server.listening ? once(this.#server, 'close') : undefined;
    if (closed) this.#server.close();
    for (const connection of [...this.#all]) connection.destroy();
    this.#all.clear();
    await closed;
  }

  /** The same as `close()`. */
  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  #accept(server: Server): void {
    server.on('connection', (client) => {
      this.#opened += 1;
      const id = this.#opened;
      this.#counts.set(id, { id, open: true, encrypted: false, frontend: {}, backend: {} });
      const connection = new ProxyConnection(id, client, this.#connectionHost());
      this.#connections.set(id, connection);
      this.#all.add(connection);
      this.#changed();
    });
  }

  #connectionHost(): ConnectionHost {
    const proxy = this;
    return {
      target: this.#target,
      get delayMillis() {
        return proxy.#delayMillis;
      },
      get silentExits() {
        return proxy.#silentExits;
      },
      holds: (direction) => direction === this.#held,
      message: (message) => this.#message(message),
      encrypted: (connection) => this.#encrypted(connection),
      note: (connection, text) => this.#note(connection.id, `· ${text}`),
      ended: (connection, by, how) => this.#ended(connection, by, how),
      closed: (connection) => this.#closed(connection),
    };
  }

  #message(message: ProxyMessage): Verdict {
    const counts = this.#counts.get(message.connection);
    const side = message.direction === 'toServer' ? counts?.frontend : counts?.backend;
    if (side) side[message.name] = (side[message.name] ?? 0) + 1;
    if (message.name === 'Startup') this.#notePeak();
    const arrow = message.direction === 'toServer' ? '→' : '←';
    this.#note(
      message.connection,
      `${arrow} ${message.name} ${message.text}`.trimEnd() + (message.swallowed ? ' (swallowed)' : ''),
    );
    const verdict = this.#hook?.(message) ?? 'forward';
    this.#changed();
    return verdict;
  }

  /** Not when a connection is accepted: the end of one that made room for it may still lie in the kernel then. */
  #notePeak(): void {
    const living = [...this.#counts.values()].filter((each) => each.frontend['Startup'] && each.endedBy === undefined);
    this.#peak = Math.max(this.#peak, living.length);
  }

  #encrypted(connection: ProxyConnection): void {
    const counts = this.#counts.get(connection.id);
    if (counts) counts.encrypted = true;
    this.#note(connection.id, '· encrypted');
    this.#changed();
  }

  #ended(connection: ProxyConnection, by: Side, how: string): void {
    const counts = this.#counts.get(connection.id);
    if (counts) counts.endedBy ??= by;
    this.#note(connection.id, `· ended by the ${by} (${how})`);
    this.#changed();
  }

  #closed(connection: ProxyConnection): void {
    const counts = this.#counts.get(connection.id);
    if (counts) counts.open = false;
    this.#connections.delete(connection.id);
    if (!connection.lingers) this.#all.delete(connection);
    this.#changed();
  }

  #discard(connection: ProxyConnection): void {
    connection.reset();
    this.#all.delete(connection);
  }

  #note(connection: number, text: string): void {
    if (this.#traces) this.trace.push({ at: Date.now(), connection, text });
  }

  #changed(): void {
    for (const watcher of [...this.#watchers]) watcher();
  }
}

function newServer(): Server {
  return createServer({ allowHalfOpen: true, noDelay: true });
}

/** Starts a {@link ChaosProxy}. */
export function startChaosProxy(options: ChaosProxyOptions): Promise<ChaosProxy> {
  return ChaosProxy.start(options);
}
