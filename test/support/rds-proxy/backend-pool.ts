/** At most so many backends, handed out in the order in which clients ask, the one that rested longest first. */
import { type Backend, connectBackend, type Target } from './backend.ts';
import type { Ledger } from './ledger.ts';

/** Nobody gave a backend back in time. */
export class BorrowTimeout extends Error {}

/** The server will not let the proxy in, and trying again does not help. */
export class BackendRefused extends Error {
  readonly code: string;

  constructor(code: string, message: string) {
    super(message);
    this.code = code;
  }
}

/** The client that waited is gone. */
export class BorrowAborted extends Error {}

interface Waiter {
  readonly client: number;
  readonly database: string;
  readonly settle: (outcome: Backend | Error) => void;
}

/** A server that is down or starting is asked again after this; milliseconds. */
const RETRY_MILLIS = 50;
/** SQLSTATE classes that no second try changes: authorization, no such database, access rules. */
const HOPELESS = /^(?:28|3D|42)/;

/** The backends of one proxy. */
export class BackendPool {
  readonly #target: Target;
  readonly #max: number;
  readonly #borrowTimeoutMillis: number;
  readonly #ledger: Ledger;
  readonly #all = new Set<Backend>();
  /** Those that rest, the one that has rested longest first. */
  readonly #idle: Backend[] = [];
  readonly #waiters: Waiter[] = [];
  /** One entry for each connection being made. */
  readonly #opening: string[] = [];
  /** What the newest backend of a database has reported. */
  readonly #parameters = new Map<string, ReadonlyMap<string, string>>();
  #retry: NodeJS.Timeout | undefined;
  #lastId = 0;
  #closed = false;

  constructor(target: Target, max: number, borrowTimeoutMillis: number, ledger: Ledger) {
    this.#target = target;
    this.#max = max;
    this.#borrowTimeoutMillis = borrowTimeoutMillis;
    this.#ledger = ledger;
  }

  /** @throws BorrowTimeout, BackendRefused, BorrowAborted */
  async borrow(client: number, database: string, signal: AbortSignal): Promise<Backend> {
    if (signal.aborted) throw new BorrowAborted();
    const outcome = await new Promise<Backend | Error>((resolve) => {
      const settle = (result: Backend | Error): void => {
        clearTimeout(timer);
        signal.removeEventListener('abort', abort);
        const at = this.#waiters.indexOf(waiter);
        if (at >= 0) this.#waiters.splice(at, 1);
        resolve(result);
        if (waits) {
          this.#ledger.waiting.down();
          this.#ledger.emit('waited', client);
        }
        if (result instanceof Error) this.#serve();
      };
      const abort = (): void => settle(new BorrowAborted());
      const timer = setTimeout(() => settle(new BorrowTimeout()), this.#borrowTimeoutMillis);
      const waiter: Waiter = { client, database, settle };
      signal.addEventListener('abort', abort);
      let waits = false;
      this.#waiters.push(waiter);
      this.#serve();
      if (!this.#waiters.includes(waiter)) return;
      waits = true;
      this.#ledger.waiting.up();
      this.#ledger.emit('waiting', client);
    });
    if (outcome instanceof Error) throw outcome;
    return outcome;
  }

  /** Takes a backend back that is outside of a transaction, and wipes it. */
  async giveBack(client: number, backend: Backend): Promise<void> {
    backend.tenant = undefined;
    try {
      await backend.discardAll();
    } catch {
      backend.destroy();
      return;
    }
    this.#rest(backend);
    this.#ledger.emit('give-back', client, backend.id);
  }

  /** Returns what a server reports at login; asks a backend when none has told yet. @throws as `borrow` does. */
  async parametersOf(client: number, database: string, signal: AbortSignal): Promise<ReadonlyMap<string, string>> {
    const known = this.#parameters.get(database);
    if (known !== undefined) return known;
    const backend = await this.borrow(client, database, signal);
    this.#rest(backend);
    return backend.parameters;
  }

  close(): void {
    this.#closed = true;
    clearTimeout(this.#retry);
    for (const waiter of this.#waiters.slice()) waiter.settle(new BorrowAborted());
    for (const backend of this.#all) backend.destroy();
  }

  #rest(backend: Backend): void {
    if (!backend.gone) this.#idle.push(backend);
    this.#serve();
  }

  /** Gives everybody who waits a backend or has one made, the first first. */
  #serve(): void {
    if (this.#closed) return;
    const opening = this.#opening.slice();
    for (const waiter of this.#waiters.slice()) {
      const at = this.#idle.findIndex((backend) => backend.database === waiter.database && !backend.gone);
      const [backend] = at < 0 ? [] : this.#idle.splice(at, 1);
      if (backend !== undefined) {
        waiter.settle(backend);
        continue;
      }
      const coming = opening.indexOf(waiter.database);
      if (coming >= 0) opening.splice(coming, 1);
      else if (this.#retry === undefined && this.#makeRoom()) void this.#open(waiter.database);
    }
  }

  #makeRoom(): boolean {
    if (this.#all.size + this.#opening.length < this.#max) return true;
    // Idle ones of this database were looked at before: this one is of another.
    const stranger = this.#idle.shift();
    stranger?.destroy();
    if (stranger !== undefined) this.#forget(stranger);
    return stranger !== undefined;
  }

  async #open(database: string): Promise<void> {
    this.#opening.push(database);
    let backend: Backend | undefined;
    let failure: unknown;
    try {
      this.#lastId += 1;
      backend = await connectBackend(this.#lastId, this.#target, database);
    } catch (error) {
      failure = error;
    }
    this.#opening.splice(this.#opening.indexOf(database), 1);
    if (backend === undefined) this.#failed(database, failure);
    else if (this.#closed) backend.destroy();
    else this.#opened(backend);
  }

  #opened(backend: Backend): void {
    this.#all.add(backend);
    this.#ledger.backends.up();
    backend.onGone = () => {
      this.#forget(backend);
      this.#serve();
    };
    this.#parameters.set(backend.database, backend.parameters);
    this.#ledger.emit('backend', backend.id, backend.processId);
    this.#rest(backend);
  }

  #failed(database: string, error: unknown): void {
    const { code = '', message } = error as Error & { code?: string };
    if (HOPELESS.test(code)) {
      const refused = new BackendRefused(code, `Request returned an error: ${message}`);
      for (const waiter of this.#waiters.filter((one) => one.database === database)) waiter.settle(refused);
      return;
    }
    if (this.#closed) return;
    this.#retry ??= setTimeout(() => {
      this.#retry = undefined;
      this.#serve();
    }, RETRY_MILLIS);
  }

  #forget(backend: Backend): void {
    if (!this.#all.delete(backend)) return;
    const at = this.#idle.indexOf(backend);
    if (at >= 0) this.#idle.splice(at, 1);
    this.#ledger.backends.down();
    this.#ledger.emit('backend-gone', backend.id);
  }
}
