// Names of which each has one holder at a time, among all threads of a process and without any of them having to help:
// abstract Unix sockets, which Linux has. The kernel decides who is first and frees what a thread held that has died.
// It must not know what the names stand for.

import type { Server, Socket } from 'node:net';

/** What a holder says to a caller: that a name is about to be free, or not. */
export type Reply = 'soon' | 'no';

/**
 * What travels over a line, if anything: once a ticket, by which callers are put in order; then single bytes, which are
 * a question, a reply, or the farewell of a holder: the caller's place among those who wait.
 */
const ticketBytes = 8;
const replies: Readonly<Record<Reply, number>> = { no: 255, soon: 254 };
const lastPlace = 253;

/** What becomes of those who wait for a name. */
export interface Callers {
  /** @param question - what it means is between them */
  asked(question: number, answer: (reply: Reply) => void): void;
  /** Somebody waits for this name, has shown a ticket, or waits no more. */
  changed(): void;
}

/** Of a caller that has not shown its own. */
const latest = 2n ** 64n - 1n;

/** A name that is held. */
export class HeldName {
  readonly #server: Server;
  /** Each with its ticket. */
  readonly #callers = new Map<Socket, bigint>();
  /** How often somebody called, or showed a ticket. */
  #heard = 0;
  #said: Uint8Array | undefined;

  constructor(server: Server, callers: Callers | undefined) {
    this.#server = server;
    server.on('connection', (caller) => {
      this.#heard += 1;
      this.#callers.set(caller, latest);
      caller.unref();
      caller.on('error', ignore);
      if (this.#said) caller.write(this.#said);
      caller.on('close', () => {
        this.#callers.delete(caller);
        callers?.changed();
      });
      caller.on('data', (bytes) => {
        if (bytes.length >= ticketBytes) {
          this.#heard += 1;
          this.#callers.set(caller, bytes.readBigUInt64BE());
          return callers?.changed();
        }
        callers?.asked(bytes.at(-1) ?? 0, (reply) => void caller.write(Uint8Array.of(replies[reply])));
      });
      callers?.changed();
    });
  }

  /** How many wait for it. */
  get callers(): number {
    return this.#callers.size;
  }

  /** The ticket of whoever is first among those who wait. */
  get first(): bigint {
    return [...this.#callers.values()].reduce((first, ticket) => (ticket < first ? ticket : first), latest);
  }

  /** Says something unasked to those who wait, and to those who will. */
  tell(reply: Reply): void {
    this.#said = Uint8Array.of(replies[reply]);
    for (const caller of this.#callers.keys()) caller.write(this.#said);
  }

  /** Hears those who are calling just now, and their tickets. */
  async hear(): Promise<void> {
    // libuv accepts one call in each turn of the event loop, and reads its ticket in the next.
    for (let silence = 0; silence < 2; ) {
      const before = this.#heard;
      await new Promise((resolve) => setImmediate(resolve));
      silence = this.#heard === before ? silence + 1 : 0;
    }
  }

  /**
   * Lets go of the name, in this turn, and tells those who wait.
   *
   * @param inOrder - each learns its place in the order of their tickets; otherwise all are the first
   */
  release(inOrder = false): void {
    // The name first: whoever is told finds it free.
    this.#server.close();
    const callers = [...this.#callers].toSorted(([, a], [, b]) => Number(a - b));
    for (const [place, [caller]] of callers.entries()) {
      caller.end(Uint8Array.of(inOrder ? Math.min(place, lastPlace) : 0));
    }
  }
}

/**
 * Takes a name, unless somebody has it.
 *
 * @param name - 100 bytes at most: of a longer one Node.js 22 would take the beginning (sockaddr_un has room for 107)
 * @returns nothing when it is taken
 * @throws what the system says when it has no such names, or no file descriptor left
 */
export function holdName(name: string, callers?: Callers): Promise<HeldName | undefined> {
  return new Promise((resolve, reject) => {
    const server = process.getBuiltinModule('node:net').createServer();
    server.once('error', (error: NodeJS.ErrnoException) =>
      error.code === 'EADDRINUSE' ? resolve(undefined) : reject(error),
    );
    const held = new HeldName(server, callers);
    // Exclusive: in a worker of node:cluster the primary would hold it for all of them.
    server.listen({ path: `\0${name}`, exclusive: true }, () => {
      server.on('error', ignore);
      resolve(held);
    });
    server.unref();
  });
}

/** What a caller says with its call, and hears unasked. */
export interface LineOptions {
  /** Lower ones are first. Less than 2 to the power of 64. */
  readonly ticket?: bigint;
  /** The holder has something to tell to all who wait. */
  readonly told?: () => void;
}

/** A line to whoever holds a name. It ends when the name is let go of, by its holder or by the holder's death. */
export class Line {
  /** Resolves when the name may be free. */
  readonly ended: Promise<void>;
  /** How many had waited longer; nothing when there was no holder, or it went without a word. */
  place: number | undefined;
  readonly #socket: Socket;
  #answered: ((reply: Reply) => void) | undefined;

  constructor(name: string, options: LineOptions = {}) {
    this.#socket = process.getBuiltinModule('node:net').createConnection({ path: `\0${name}` });
    this.#socket.on('error', ignore);
    this.#socket.on('data', (bytes) => {
      const last = bytes.at(-1) ?? 0;
      if (last <= lastPlace) this.place = last;
      if (this.#answered) this.#answered(last === replies.no ? 'no' : 'soon');
      else if (last > lastPlace) options.told?.();
    });
    if (options.ticket !== undefined) {
      const ticket = Buffer.alloc(ticketBytes);
      ticket.writeBigUInt64BE(options.ticket);
      this.#socket.write(ticket);
    }
    this.ended = new Promise((resolve) => {
      this.#socket.once('close', () => {
        this.#answered?.('soon');
        resolve();
      });
    });
  }

  /**
   * Asks the holder to let go of a name, this one or another. Silence counts as a no, and the end of the line as a yes.
   *
   * @param question - 0 to 255
   */
  ask(question: number, patienceMillis: number): Promise<Reply> {
    return new Promise((resolve) => {
      if (this.#socket.destroyed) return resolve('soon');
      const timer = setTimeout(resolve, patienceMillis, 'no');
      this.#answered = (reply) => {
        clearTimeout(timer);
        resolve(reply);
      };
      this.#socket.write(Uint8Array.of(question));
    });
  }

  hangUp(): void {
    this.#socket.destroy();
  }
}

function ignore(): void {}
