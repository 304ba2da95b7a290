/** What the proxy has seen: counts, broken rules and pins. Everybody writes here, and tests read and wait here. */
import { EventEmitter } from 'node:events';
import { inspect } from 'node:util';
import type { PinReason, SuspicionReason } from './pinning.ts';

/** Which rule of RDS Proxy a client has broken. */
export type Rule =
  | 'tls'
  | 'direct-tls'
  | 'protocol'
  | 'protocol-version'
  | 'startup-parameter'
  | 'user'
  | 'token'
  | 'password'
  | 'cancel-request';

/** A client that was turned away, or a request that was ignored. It holds no password and no token. */
export interface Refusal {
  readonly rule: Rule;
  /** SQLSTATE of the answer; of a rule without answer, the one that would fit. */
  readonly code: string;
  /** What the client was told; empty when it was told nothing. */
  readonly message: string;
  /** What was wrong, precisely; the client is not told this. */
  readonly reason: string;
}

/** A statement that tied a client to its backend. */
export interface Pin {
  readonly client: number;
  readonly reason: PinReason;
  /** Its first 120 characters. */
  readonly statement: string;
}

/** A statement of which the documentation does not say whether it pins, or which works only while nobody multiplexes. */
export interface Suspicion {
  readonly client: number;
  readonly reason: SuspicionReason;
  readonly statement: string;
}

/** How many there are now, were ever, and were at once. */
export interface Gauge {
  readonly now: number;
  readonly ever: number;
  readonly most: number;
}

/** A copy of the counts at one moment. */
export interface RdsProxyStats {
  /** Client connections (TCP), those that never logged in included; not those that hang. */
  readonly clients: Gauge;
  /** Connections to the real server. */
  readonly backends: Gauge;
  /** Clients tied to a backend for the rest of their lives. */
  readonly pinnedClients: Gauge;
  /** Clients that wait for a backend, those for whom one is being made included. */
  readonly waiting: Gauge;
  /** How often a backend was borrowed; pinned clients borrow once. */
  readonly borrows: number;
  readonly borrowTimeouts: number;
  readonly logins: number;
  /** Different tokens among those logins that succeeded. */
  readonly distinctTokens: number;
  readonly cancelRequests: number;
  /** Connections accepted while hanging, never answered. */
  readonly hung: number;
  /** Bare Sync messages that the proxy answered by itself. */
  readonly syncsAnswered: number;
}

/** What happens, in the order in which it happens. `client` is the client's number, from 1. */
export interface RdsProxyEvents {
  client: [client: number];
  /** Its socket is closed. */
  'client-gone': [client: number];
  /** It is pinned no more and waits for nothing; its backend, if it had one, is on its way back. */
  'session-end': [client: number];
  login: [client: number, user: string];
  waiting: [client: number];
  /** It waits no more, with or without a backend. */
  waited: [client: number];
  borrow: [client: number, backend: number];
  'give-back': [client: number, backend: number];
  'borrow-timeout': [client: number];
  'client-timeout': [client: number, which: 'idle' | 'lifetime'];
  backend: [backend: number, processId: number];
  'backend-gone': [backend: number];
  sync: [client: number];
  hung: [];
  refusal: [Refusal];
  pin: [Pin];
  suspicion: [Suspicion];
}

class Counter implements Gauge {
  now = 0;
  ever = 0;
  most = 0;

  up(): void {
    this.now += 1;
    this.ever += 1;
    this.most = Math.max(this.most, this.now);
  }

  down(): void {
    this.now -= 1;
  }

  copy(): Gauge {
    return { now: this.now, ever: this.ever, most: this.most };
  }
}

/** Keeps the counts of one proxy and tells its listeners. */
export class Ledger {
  readonly events = new EventEmitter<RdsProxyEvents>();
  readonly refusals: Refusal[] = [];
  readonly pins: Pin[] = [];
  readonly suspicions: Suspicion[] = [];
  readonly clients = new Counter();
  readonly backends = new Counter();
  readonly pinnedClients = new Counter();
  readonly waiting = new Counter();
  readonly tokens = new Set<string>();
  borrows = 0;
  borrowTimeouts = 0;
  logins = 0;
  cancelRequests = 0;
  hung = 0;
  syncsAnswered = 0;
  readonly #watchers = new Set<() => void>();

  constructor() {
    this.events.setMaxListeners(0); // A test may wait for fifty clients at once.
  }

  /** Tells everybody; those who wait for a condition look at it again. */
  emit<E extends keyof RdsProxyEvents>(event: E, ...args: RdsProxyEvents[E]): void {
    (this.events as EventEmitter).emit(event, ...args);
    for (const look of this.#watchers) look();
  }

  refuse(refusal: Refusal): void {
    this.refusals.push(refusal);
    this.emit('refusal', refusal);
  }

  /** Resolves once the condition holds; it is looked at now and after each event. */
  until(met: () => boolean): Promise<void> {
    if (met()) return Promise.resolve();
    return new Promise((resolve, reject) => {
      const look = (): void => {
        try {
          if (!met()) return;
          resolve();
        } catch (error) {
          reject(error);
        }
        this.#watchers.delete(look);
      };
      this.#watchers.add(look);
    });
  }

  stats(): RdsProxyStats {
    return {
      clients: this.clients.copy(),
      backends: this.backends.copy(),
      pinnedClients: this.pinnedClients.copy(),
      waiting: this.waiting.copy(),
      borrows: this.borrows,
      borrowTimeouts: this.borrowTimeouts,
      logins: this.logins,
      distinctTokens: this.tokens.size,
      cancelRequests: this.cancelRequests,
      hung: this.hung,
      syncsAnswered: this.syncsAnswered,
    };
  }

  /** @throws Error with every refusal and every pin so far. */
  assertRulesKept(): void {
    const broken = [
      ...this.refusals.map(({ rule, code, reason }) => `${rule} (${code}): ${reason}`),
      ...this.pins.map(({ reason, statement }) => `pinned by ${reason}: ${inspect(statement)}`),
    ];
    if (broken.length > 0) throw new Error(`RDS Proxy's rules were broken:\n  ${broken.join('\n  ')}`);
  }
}
