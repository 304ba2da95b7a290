/** A client that has logged in: borrows a backend for each transaction, passes messages on, is pinned by what it says. */
import type { Socket } from 'node:net';
import { type Backend, BackendError, BackendLost, type Tenant } from './backend.ts';
import { type BackendPool, BackendRefused, BorrowAborted, BorrowTimeout } from './backend-pool.ts';
import { cString, errorFields, errorResponse, type Frame, FrameReader, readyForQuery } from './frames.ts';
import type { Ledger } from './ledger.ts';
import { findPins } from './pinning.ts';
import { Refused, type Startup, violation } from './startup.ts';

/** How long clients may stay, in milliseconds. */
export interface SessionLimits {
  readonly idleClientTimeoutMillis: number;
  readonly maxClientLifetimeMillis: number;
}

/** Everything a client may send once it is logged in. */
const CLIENT_MESSAGES = 'BCDEFHPQSXcdf';
/** What a statement's record shows of it. */
const SHOWN_CHARACTERS = 120;

/** One client from its login to its end. */
export class Session implements Tenant {
  readonly #id: number;
  readonly #socket: Socket;
  readonly #startup: Startup;
  readonly #pool: BackendPool;
  readonly #ledger: Ledger;
  readonly #limits: SessionLimits;
  readonly #reader = new FrameReader();
  /** Messages for which there is no backend yet. */
  readonly #inbox: Frame[] = [];
  readonly #ending = new AbortController();
  #backend: Backend | undefined;
  #borrowing = false;
  /** ReadyForQuery messages that the backend still owes. */
  #owed = 0;
  /** Messages of the extended protocol were passed on, and no Sync after them. */
  #unsynced = false;
  /** A pipeline was answered with an error by the proxy itself: what is left of it is dropped, as a server does. */
  #skipToSync = false;
  #inTransaction = false;
  #pinned = false;
  /** Its backend has said why it ends. */
  #toldWhy = false;
  #overdue = false;
  #idleTimer: NodeJS.Timeout | undefined;
  #lifetimeTimer: NodeJS.Timeout | undefined;

  constructor(id: number, socket: Socket, startup: Startup, pool: BackendPool, ledger: Ledger, limits: SessionLimits) {
    this.#id = id;
    this.#socket = socket;
    this.#startup = startup;
    this.#pool = pool;
    this.#ledger = ledger;
    this.#limits = limits;
  }

  /** Begins to listen; `rest` is what came along with the login. */
  start(rest: Buffer): void {
    this.#socket.on('close', () => this.#end());
    this.#socket.on('data', (chunk: Buffer) => this.#receive(chunk));
    this.#lifetimeTimer = setTimeout(() => this.#outlived(), this.#limits.maxClientLifetimeMillis);
    this.#watchIdle();
    if (rest.length > 0) this.#receive(rest);
  }

  /** Passes on what the backend says. */
  frames(frames: readonly Frame[]): void {
    this.#socket.cork();
    for (const { type, bytes } of frames) {
      if (type === 'Z') {
        this.#owed -= 1;
        this.#inTransaction = bytes[5] !== 0x49; // I
        this.#watchIdle();
      } else if (type === 'E' && errorFields(bytes).get('V') === 'FATAL') {
        this.#toldWhy = true;
      }
      this.#socket.write(bytes);
    }
    this.#socket.uncork();
    if (this.#socket.writableNeedDrain) {
      const backend = this.#backend;
      backend?.pause();
      this.#socket.once('drain', () => backend?.resume());
    }
    this.#settle();
  }

  /** The backend is gone, and with it what the client had on it. */
  lost(): void {
    this.#backend = undefined;
    if (this.#toldWhy) this.#socket.end();
    else this.#fatal('08006', 'The database connection of this client was lost.');
    this.#end();
  }

  #receive(chunk: Buffer): void {
    if (this.#ending.signal.aborted) return;
    this.#watchIdle();
    try {
      for (const frame of this.#reader.push(chunk)) {
        if (!CLIENT_MESSAGES.includes(frame.type)) throw violation(`message type ${JSON.stringify(frame.type)}`);
        this.#inbox.push(frame);
      }
      this.#pump();
    } catch (error) {
      const refused = error instanceof RangeError ? violation(error.message) : error;
      if (!(refused instanceof Refused)) throw error;
      this.#ledger.refuse(refused.refusal);
      this.#fatal(refused.refusal.code, refused.refusal.message);
      this.#end();
    }
  }

  #pump(): void {
    while (!this.#ending.signal.aborted) {
      const [next] = this.#inbox;
      if (next === undefined) return;
      if (this.#backend === undefined && !this.#answersAlone(next)) {
        if (!this.#borrowing) void this.#borrow();
        return;
      }
      this.#inbox.shift();
      if (this.#backend !== undefined) this.#forward(next, this.#backend);
    }
  }

  /** Handles what needs no backend. */
  #answersAlone({ type }: Frame): boolean {
    if (type === 'X') {
      this.#socket.end();
      this.#end();
      return true;
    }
    if (type === 'S') {
      this.#skipToSync = false;
      this.#ledger.syncsAnswered += 1;
      this.#socket.write(readyForQuery());
      this.#ledger.emit('sync', this.#id);
      return true;
    }
    // A server drops what is left of a COPY that has failed, and has nothing to flush.
    return this.#skipToSync || 'Hcdf'.includes(type);
  }

  #forward({ type, bytes }: Frame, backend: Backend): void {
    if (type === 'X') {
      this.#socket.end();
      this.#end();
      return;
    }
    if (type === 'Q' || type === 'F' || type === 'S') this.#owed += 1;
    if (type === 'S') this.#unsynced = false;
    else if ('PBDECH'.includes(type)) this.#unsynced = true;
    if (type === 'Q') this.#inspect(cString(bytes, 5).text);
    if (type === 'P') {
      const name = cString(bytes, 5);
      const { text } = cString(bytes, name.next);
      this.#inspect(text, name.text !== '');
    }
    if (backend.send(bytes) || this.#socket.isPaused()) return;
    this.#socket.pause();
    backend.onceDrained(() => this.#socket.resume());
  }

  #inspect(text: string, named = false): void {
    const found = findPins(text);
    const record = { client: this.#id, statement: text.slice(0, SHOWN_CHARACTERS) };
    for (const reason of found.suspicions) {
      const suspicion = { ...record, reason };
      this.#ledger.suspicions.push(suspicion);
      this.#ledger.emit('suspicion', suspicion);
    }
    const reasons = named ? [...found.pins, 'named-statement' as const] : found.pins;
    if (reasons.length > 0 && !this.#pinned) {
      this.#pinned = true;
      this.#ledger.pinnedClients.up();
    }
    for (const reason of reasons) {
      const pin = { ...record, reason };
      this.#ledger.pins.push(pin);
      this.#ledger.emit('pin', pin);
    }
  }

  async #borrow(): Promise<void> {
    this.#borrowing = true;
    try {
      const backend = await this.#ready();
      this.#borrowing = false;
      if (this.#ending.signal.aborted) {
        void this.#pool.giveBack(this.#id, backend);
        return;
      }
      backend.tenant = this;
      this.#backend = backend;
      this.#ledger.borrows += 1;
      this.#ledger.emit('borrow', this.#id, backend.id);
    } catch (error) {
      this.#borrowing = false;
      this.#borrowFailed(error);
    }
    this.#pump();
  }

  /** A backend with this client's settings on it. One that breaks meanwhile is replaced. */
  async #ready(): Promise<Backend> {
    for (;;) {
      const backend = await this.#pool.borrow(this.#id, this.#startup.database, this.#ending.signal);
      try {
        await backend.apply(this.#startup.settings);
        if (!backend.gone) return backend;
      } catch (error) {
        backend.destroy();
        if (!(error instanceof BackendLost)) throw error;
      }
    }
  }

  #borrowFailed(error: unknown): void {
    if (error instanceof BorrowAborted) return;
    if (error instanceof BorrowTimeout) {
      this.#ledger.borrowTimeouts += 1;
      this.#socket.write(errorResponse('ERROR', '08000', 'Timed-out waiting to acquire database connection'));
      const type = this.#inbox[0]?.type;
      if (type === 'Q' || type === 'F') {
        this.#inbox.shift();
        this.#socket.write(readyForQuery());
      } else {
        this.#skipToSync = true;
      }
      this.#ledger.emit('borrow-timeout', this.#id);
      return;
    }
    if (!(error instanceof BackendRefused) && !(error instanceof BackendError)) throw error;
    this.#fatal(error.code, error.message);
    this.#end();
  }

  /** Gives the backend back when the client has nothing on it. */
  #settle(): void {
    const backend = this.#backend;
    if (backend === undefined || this.#busy || this.#inTransaction) return;
    if (this.#overdue) this.#timedOut('lifetime');
    if (this.#pinned || this.#ending.signal.aborted) return;
    this.#backend = undefined;
    void this.#pool.giveBack(this.#id, backend);
  }

  /** The client waits for something. */
  get #busy(): boolean {
    return this.#owed > 0 || this.#unsynced || this.#borrowing || this.#inbox.length > 0;
  }

  #watchIdle(): void {
    clearTimeout(this.#idleTimer);
    if (this.#ending.signal.aborted) return;
    this.#idleTimer = setTimeout(() => {
      if (this.#busy) this.#watchIdle();
      else this.#timedOut('idle');
    }, this.#limits.idleClientTimeoutMillis);
  }

  /** Time is up: at once, or after what is under way. */
  #outlived(): void {
    this.#overdue = true;
    if (!this.#busy && !this.#inTransaction) this.#timedOut('lifetime');
  }

  #timedOut(which: 'idle' | 'lifetime'): void {
    const limit = which === 'idle' ? this.#limits.idleClientTimeoutMillis : this.#limits.maxClientLifetimeMillis;
    this.#fatal('57P01', `The client connection was closed: its ${which} limit of ${limit} ms was reached.`);
    this.#ledger.emit('client-timeout', this.#id, which);
    this.#end();
  }

  #fatal(code: string, message: string): void {
    this.#socket.end(errorResponse('FATAL', code, message));
  }

  /** The client is gone, or is being sent away. Its backend is kept only when nothing was on it. */
  #end(): void {
    if (this.#ending.signal.aborted) return;
    const idle = !this.#busy && !this.#inTransaction;
    this.#ending.abort();
    clearTimeout(this.#idleTimer);
    clearTimeout(this.#lifetimeTimer);
    if (this.#pinned) this.#ledger.pinnedClients.down();
    const backend = this.#backend;
    this.#backend = undefined;
    if (idle && backend !== undefined) void this.#pool.giveBack(this.#id, backend);
    else backend?.close();
    this.#ledger.emit('session-end', this.#id);
  }
}
