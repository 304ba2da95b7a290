/** One connection through the chaos proxy: two sockets, both directions parsed, and the verbs that break it. */
import { connect, type Socket } from 'node:net';
import type { Side } from './proxy-counts.ts';
import { type Direction, newWireState, type ParsedMessage, WireParser } from './wire.ts';

/** A protocol message on its way through the proxy. */
export interface ProxyMessage {
  /** Number of the connection, from 1 in the order of opening. */
  readonly connection: number;
  readonly direction: Direction;
  /** The message's name in PostgreSQL's documentation, for example `Query` or `ReadyForQuery`. */
  readonly name: string;
  /** Bytes as the message's length field counts them: without the type byte. */
  readonly length: number;
  /** A few words about the content, for example `"select 1"` or `I`. */
  readonly text: string;
  /** Place among the messages of its direction on this connection, from 1. */
  readonly index: number;
  /** Whether a black hole takes it, so that the other side never sees it. */
  readonly swallowed: boolean;
}

/**
 * What becomes of a message. `close`, `reset` and `blackhole` act in its place; the `forward-…` verdicts let it pass and
 * act right after it, and the server then sees an orderly end, so that it still runs what it was sent. `answer` sends
 * those bytes to the client in the server's place and ends the connection.
 */
export type Verdict =
  | 'forward'
  | 'close'
  | 'reset'
  | 'blackhole'
  | 'forward-close'
  | 'forward-reset'
  | 'forward-blackhole'
  | { readonly answer: Uint8Array };

/** What a connection asks of and tells to the proxy it belongs to. */
export interface ConnectionHost {
  readonly target: { readonly host: string; readonly port: number };
  readonly delayMillis: number;
  /** Whether a client that goes is not announced to the server. */
  readonly silentExits: boolean;
  /** Whether what goes in that direction is held back. */
  holds(direction: Direction): boolean;
  message(message: ProxyMessage): Verdict;
  encrypted(connection: ProxyConnection): void;
  note(connection: ProxyConnection, text: string): void;
  ended(connection: ProxyConnection, by: Side, how: string): void;
  closed(connection: ProxyConnection): void;
}

interface Lane {
  readonly direction: Direction;
  readonly from: Socket;
  readonly to: Socket;
  readonly parser: WireParser;
  messages: number;
  swallows: boolean;
  /** When the last delayed delivery is due, so that nothing overtakes it. */
  dueAt: number;
  waiting: number;
  /** Deliveries that are held back, in order. */
  held: (() => void)[];
}

/** Ends a socket with RST. One whose own end is just being sent libuv refuses to reset (EINVAL), and Node leaves it open for good. */
function resetSocket(socket: Socket): void {
  if (socket.writableEnded && !socket.writableFinished) socket.destroy();
  else socket.resetAndDestroy();
}

/** A client's connection and its counterpart to the server. */
export class ProxyConnection {
  readonly id: number;
  readonly openedAt = Date.now();
  encrypted = false;
  open = true;
  /** Its client has gone and its server was not told: the session there stays. */
  lingers = false;
  readonly #host: ConnectionHost;
  readonly #client: Socket;
  readonly #server: Socket;
  readonly #lanes: readonly Lane[];
  readonly #timers = new Set<NodeJS.Timeout>();

  constructor(id: number, client: Socket, host: ConnectionHost) {
    this.id = id;
    this.#host = host;
    this.#client = client;
    this.#server = connect({ ...host.target, allowHalfOpen: true, noDelay: true });
    const state = newWireState();
    const lane = (direction: Direction, from: Socket, to: Socket): Lane => ({
      direction,
      from,
      to,
      parser: new WireParser(direction, state),
      messages: 0,
      swallows: false,
      dueAt: 0,
      waiting: 0,
      held: [],
    });
    this.#lanes = [lane('toServer', client, this.#server), lane('toClient', this.#server, client)];
    for (const each of this.#lanes) this.#connect(each, state);
    client.on('close', () => this.#clientGone());
    this.#server.on('error', (error) => this.#serverFailed(error));
    client.on('error', (error: NodeJS.ErrnoException) => this.#clientFailed(error));
    host.note(this, 'opened');
  }

  /** Ends both sides with FIN. */
  close(): void {
    this.#host.ended(this, 'proxy', 'FIN');
    this.#client.destroySoon();
    this.#server.destroySoon();
  }

  /** Tells the client `bytes` in the server's name, and ends both sides with FIN. */
  answer(bytes: Uint8Array): void {
    this.#host.ended(this, 'proxy', 'FIN');
    this.#server.destroySoon();
    for (const lane of this.#lanes) if (lane.to === this.#client) this.#later(lane, () => this.#client.end(bytes));
  }

  /** Delivers what was held back, unless a black hole has come in its way. */
  letGo(): void {
    for (const lane of this.#lanes) {
      const held = lane.held.splice(0);
      if (!lane.swallows) for (const deliver of held) this.#later(lane, deliver);
    }
  }

  /** Ends the client's side with RST; the server's too, unless it must still read what it was sent. */
  reset(server: 'reset' | 'end' = 'reset'): void {
    this.#host.ended(this, 'proxy', 'RST');
    resetSocket(this.#client);
    if (server === 'reset') resetSocket(this.#server);
    else this.#server.destroySoon();
  }

  /** Swallows all bytes from now on, in one direction or in both; neither side is told. */
  blackhole(direction?: Direction): void {
    this.#host.note(this, `black-holed${direction ? ` ${direction}` : ''}`);
    for (const lane of this.#lanes) if (direction === undefined || lane.direction === direction) lane.swallows = true;
  }

  /** Whether bytes of it are being swallowed. */
  get swallows(): boolean {
    return this.#lanes.some((lane) => lane.swallows);
  }

  /** Drops both sockets at once. */
  destroy(): void {
    this.#client.destroy();
    this.#server.destroy();
  }

  #connect(lane: Lane, state: { readonly encrypted: boolean }): void {
    lane.from.on('data', (chunk: Buffer) => {
      this.#receive(lane, chunk);
      if (state.encrypted && !this.encrypted) {
        this.encrypted = true;
        this.#host.encrypted(this);
      }
    });
    lane.from.on('end', () => {
      this.#host.ended(this, lane.direction === 'toServer' ? 'client' : 'server', 'FIN');
      const silent = lane.swallows || (lane.from === this.#client && this.#host.silentExits);
      if (!silent) this.#later(lane, () => lane.to.end());
      else if (lane.from === this.#client) this.#clientGone();
    });
    lane.to.on('drain', () => lane.from.resume());
  }

  #receive(lane: Lane, chunk: Buffer): void {
    let sent = 0;
    for (const parsed of lane.parser.push(chunk)) {
      const verdict = this.#announce(lane, parsed);
      if (verdict === 'forward') continue;
      if (typeof verdict === 'object') return this.answer(verdict.answer);
      const passes = verdict.startsWith('forward-');
      this.#forward(lane, chunk.subarray(sent, passes ? parsed.end : this.#startOf(parsed, sent)));
      sent = parsed.end;
      this.#break(verdict, passes);
      if (!verdict.endsWith('blackhole')) return;
    }
    if (sent < chunk.length) this.#forward(lane, sent === 0 ? chunk : chunk.subarray(sent));
  }

  /** A message's first byte, as far as it is in the chunk that completed it: what came before it still passes. */
  #startOf(parsed: ParsedMessage, sent: number): number {
    return Math.max(sent, parsed.end - parsed.length - 1);
  }

  #announce(lane: Lane, parsed: ParsedMessage): Verdict {
    lane.messages += 1;
    const { name, length, text } = parsed;
    const { direction, swallows: swallowed } = lane;
    return this.#host.message({ connection: this.id, direction, name, length, text, index: lane.messages, swallowed });
  }

  #break(verdict: Exclude<Verdict, object>, passed: boolean): void {
    if (verdict.endsWith('blackhole')) this.blackhole();
    else if (verdict.endsWith('reset')) this.reset(passed ? 'end' : 'reset');
    else this.close();
  }

  #forward(lane: Lane, bytes: Buffer): void {
    if (lane.swallows || bytes.length === 0) return;
    this.#later(lane, () => {
      if (!lane.to.destroyed && lane.to.writable && !lane.to.write(bytes)) lane.from.pause();
    });
  }

  #later(lane: Lane, deliver: () => void): void {
    if (lane.held.length > 0 || this.#host.holds(lane.direction)) return void lane.held.push(deliver);
    const now = performance.now();
    if (this.#host.delayMillis === 0 && lane.waiting === 0) return deliver();
    lane.dueAt = Math.max(lane.dueAt, now + this.#host.delayMillis);
    lane.waiting += 1;
    const timer = setTimeout(() => {
      this.#timers.delete(timer);
      lane.waiting -= 1;
      deliver();
    }, lane.dueAt - now);
    this.#timers.add(timer);
  }

  /** Behind a black hole a client's FIN gets no answer, so its socket here stays until the proxy closes. */
  #clientGone(): void {
    if (!this.open) return;
    this.open = false;
    for (const timer of this.#timers) clearTimeout(timer);
    this.#host.note(this, 'closed');
    // Behind a black hole the server is not told that its client is gone: its session stays, as it would in production.
    this.lingers = this.swallows || this.#host.silentExits;
    if (!this.lingers) this.#server.destroySoon();
    this.#host.closed(this);
  }

  #clientFailed(error: NodeJS.ErrnoException): void {
    this.#host.ended(this, 'client', error.code ?? error.message);
    if (!this.swallows && !this.#host.silentExits) resetSocket(this.#server);
  }

  #serverFailed(error: NodeJS.ErrnoException): void {
    this.#host.ended(this, 'server', error.code ?? error.message);
    if (!this.swallows) resetSocket(this.#client);
  }
}
