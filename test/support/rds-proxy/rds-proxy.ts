/**
 * A double of Amazon RDS Proxy for tests: a server on 127.0.0.1, in front of a real PostgreSQL, that keeps to the rules
 * in Amazon's documentation and holds clients to them. Whoever breaks one is refused as there, and is on record here.
 *
 * ```ts
 * await using proxy = await startRdsProxy({
 *   target: { host, port, user, password },          // the proxy's own login; clients name the database
 *   tls: certificates.local,
 *   auth: { kind: 'iam', region: 'eu-west-1', accessKeys: { AKID: { secretAccessKey: 's3cret' } } },
 *   maxBackends: 2,
 * });
 * new pg.Client({ host: proxy.host, port: proxy.port, user: 'app', database, password: () => token, ssl: { ca } });
 * await proxy.until(() => proxy.stats().waiting.now === 1);   // looked at after each event: no clock
 * proxy.assertRulesKept();                                    // throws with every refusal and pin so far
 * ```
 *
 * What it does
 * - TLS: an SSLRequest gets 'S'; a startup packet without is FATAL 28000, `sslnegotiation=direct` is hung up on, GSS is 'N'.
 * - Startup: user, database and the tracked variables (application_name, client_encoding, DateStyle, TimeZone,
 *   extra_float_digits, search_path); anything else, `options` too, is FATAL 0A000. Tracked ones follow the client.
 * - Login: `iam` recomputes the token's signature and checks host, port, user, region, time and session token; `password`
 *   is SCRAM-SHA-256. Both FATAL 28P01. Keys and passwords are looked up at each login: change the objects to rotate.
 * - Clients get no BackendKeyData. A CancelRequest is ignored, and is a refusal.
 * - A backend is borrowed for a transaction, first come first served, the one that rested longest first, and gets DISCARD
 *   ALL each time it comes back. No backend in time: ERROR 08000, the client stays. A bare Sync borrows nothing.
 * - Pins (pinning.ts) tie client and backend until the client goes. SET LOCAL and the like are `suspicions`, not pins.
 * - A backend lost while nobody has it is replaced; its tenant gets FATAL 08006, or the server's own reason, and the end.
 * - While the server is down clients still log in and wait (up to the borrow timeout). An unknown database is FATAL 3D000.
 * - Idle clients and those past their lifetime get FATAL 57P01, the latter after their transaction.
 *
 * What it does not: COPY FROM by the extended protocol (by a simple Query it works), replication, limits on the rate
 * of logins. `host` is only what tokens are signed for: let it resolve to 127.0.0.1.
 */
import { createServer, type Server, type Socket } from 'node:net';
import { createSecureContext } from 'node:tls';
import type { ServerCertificate } from '../certificates.ts';
import { listenAnywhere, listenOn } from '../free-port.ts';
import type { Target } from './backend.ts';
import { BackendPool, BackendRefused, BorrowAborted, BorrowTimeout } from './backend-pool.ts';
import { ClientGone } from './byte-reader.ts';
import { authentication, errorResponse, parameterStatus, readyForQuery } from './frames.ts';
import { type Admitted, type ClientAuth, Handshake, type HandshakeRules } from './handshake.ts';
import { Ledger, type Pin, type RdsProxyEvents, type RdsProxyStats, type Refusal, type Suspicion } from './ledger.ts';
import { Session, type SessionLimits } from './session.ts';
import { Refused } from './startup.ts';

export type { Target } from './backend.ts';
export type { ClientAuth } from './handshake.ts';
export type { AccessKey } from './iam-token.ts';
export type { Pin, RdsProxyEvents, RdsProxyStats, Refusal, Suspicion } from './ledger.ts';

/** How a proxy is set up. The defaults are Amazon's, save `maxBackends`. */
export interface RdsProxyOptions {
  readonly target: Target;
  /** Without it the proxy speaks no TLS, and `requireTls` must be false. */
  readonly tls?: ServerCertificate;
  /** Refuses clients without TLS. @default true */
  readonly requireTls?: boolean;
  readonly auth: ClientAuth;
  /** Connections to the real server, over all databases. @default 10 */
  readonly maxBackends?: number;
  /** @default 120000 (`ConnectionBorrowTimeout`) */
  readonly borrowTimeoutMillis?: number;
  /** @default 1800000 (`IdleClientTimeout`) */
  readonly idleClientTimeoutMillis?: number;
  /** @default 86400000 (24 h, fixed at Amazon's) */
  readonly maxClientLifetimeMillis?: number;
  /** The name that tokens must be signed for, with the port. @default 'localhost' */
  readonly host?: string;
  /** Wall clock for the expiry of tokens, milliseconds since 1970. @default Date.now */
  readonly now?: () => number;
}

/** A running proxy. `await using` closes it. */
export interface RdsProxy extends AsyncDisposable {
  readonly host: string;
  readonly port: number;
  readonly refusals: readonly Refusal[];
  /** Every statement that pins, those of clients that are pinned already included. */
  readonly pins: readonly Pin[];
  readonly suspicions: readonly Suspicion[];
  stats(): RdsProxyStats;
  /** Calls `listener` at each such event, until the function that it returns is called. */
  on<E extends keyof RdsProxyEvents>(event: E, listener: (...args: RdsProxyEvents[E]) => void): () => void;
  /** Resolves once the condition holds; it is looked at now and after each event. */
  until(met: () => boolean): Promise<void>;
  /** @throws Error with every refusal and every pin so far; suspicions are left out. */
  assertRulesKept(): void;
  /** Takes the endpoint down: connections are refused, clients are dropped. Backends stay. */
  stop(): Promise<void>;
  /** Brings it up again on the same port. */
  start(): Promise<void>;
  /** From now on accepts connections and never answers them. Clients that are logged in go on. */
  hang(): void;
  /** Answers new connections again. Those that hang do so until they are closed. */
  unhang(): void;
  /** Drops all clients without a word, as a failover of the proxy does. */
  killClients(): void;
  /** Drops clients and backends, and stops listening. */
  close(): Promise<void>;
}

interface Defaults extends SessionLimits {
  readonly maxBackends: number;
  readonly borrowTimeoutMillis: number;
}

const DEFAULTS: Defaults = {
  maxBackends: 10,
  borrowTimeoutMillis: 120_000,
  idleClientTimeoutMillis: 1_800_000,
  maxClientLifetimeMillis: 86_400_000,
};

class Double implements RdsProxy {
  readonly host: string;
  port = 0;
  readonly #limits: SessionLimits;
  readonly #rules: HandshakeRules;
  readonly #ledger = new Ledger();
  readonly #pool: BackendPool;
  readonly #sockets = new Set<Socket>();
  readonly #hung = new Set<Socket>();
  #server: Server | undefined;
  #hangs = false;
  #lastClient = 0;

  constructor(options: RdsProxyOptions) {
    const { tls, requireTls = true, auth, host = 'localhost', now = Date.now } = options;
    if (tls === undefined && requireTls) throw new Error('Without a certificate nobody can come in: see requireTls.');
    const limits = { ...DEFAULTS, ...options };
    this.host = host;
    this.#limits = limits;
    const secureContext = tls === undefined ? undefined : createSecureContext(tls);
    this.#rules = { secureContext, requireTls, auth, host, now, port: () => this.port };
    this.#pool = new BackendPool(options.target, limits.maxBackends, limits.borrowTimeoutMillis, this.#ledger);
  }

  get refusals(): readonly Refusal[] {
    return this.#ledger.refusals;
  }

  get pins(): readonly Pin[] {
    return this.#ledger.pins;
  }

  get suspicions(): readonly Suspicion[] {
    return this.#ledger.suspicions;
  }

  stats(): RdsProxyStats {
    return this.#ledger.stats();
  }

  on<E extends keyof RdsProxyEvents>(event: E, listener: (...args: RdsProxyEvents[E]) => void): () => void {
    const added = listener as (...args: unknown[]) => void;
    this.#ledger.events.on(event as string as never, added as never);
    return () => void this.#ledger.events.off(event as string as never, added as never);
  }

  until(met: () => boolean): Promise<void> {
    return this.#ledger.until(met);
  }

  assertRulesKept(): void {
    this.#ledger.assertRulesKept();
  }

  async start(): Promise<void> {
    if (this.#server !== undefined) return;
    const server = createServer((socket) => this.#accept(socket));
    this.#server = server;
    if (this.port === 0) this.port = await listenAnywhere(server);
    else await listenOn(server, this.port);
  }

  async stop(): Promise<void> {
    const server = this.#server;
    this.#server = undefined;
    if (server === undefined) return;
    const closed = new Promise<void>((resolve) => void server.close(() => resolve()));
    this.killClients();
    for (const socket of this.#hung) socket.destroy();
    await closed;
    await this.until(() => this.#ledger.clients.now === 0);
  }

  hang(): void {
    this.#hangs = true;
  }

  unhang(): void {
    this.#hangs = false;
  }

  killClients(): void {
    for (const socket of this.#sockets) socket.destroy();
  }

  async close(): Promise<void> {
    await this.stop();
    this.#pool.close();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  #accept(socket: Socket): void {
    socket.setNoDelay(true);
    socket.on('error', () => {}); // Its close follows.
    if (this.#hangs) {
      this.#hung.add(socket);
      socket.on('close', () => this.#hung.delete(socket));
      this.#ledger.hung += 1;
      this.#ledger.emit('hung');
      return;
    }
    this.#lastClient += 1;
    const client = this.#lastClient;
    const gone = new AbortController();
    this.#sockets.add(socket);
    this.#ledger.clients.up();
    socket.on('close', () => {
      this.#sockets.delete(socket);
      this.#ledger.clients.down();
      gone.abort();
      this.#ledger.emit('client-gone', client);
    });
    this.#ledger.emit('client', client);
    void this.#admit(client, socket, gone.signal);
  }

  async #admit(client: number, socket: Socket, gone: AbortSignal): Promise<void> {
    const handshake = new Handshake(socket, this.#rules, this.#ledger);
    try {
      const admitted = await handshake.run();
      await this.#welcome(client, admitted, gone);
    } catch (error) {
      if (error instanceof Refused) {
        const { code, message } = error.refusal;
        this.#ledger.refuse(error.refusal);
        if (message === '') socket.destroy();
        else handshake.socket.end(errorResponse('FATAL', code, message));
      } else if (error instanceof BorrowTimeout) {
        this.#ledger.borrowTimeouts += 1;
        handshake.socket.end(errorResponse('FATAL', '08000', 'Timed-out waiting to acquire database connection'));
        this.#ledger.emit('borrow-timeout', client);
      } else if (error instanceof BackendRefused) {
        handshake.socket.end(errorResponse('FATAL', error.code, error.message));
      } else if (error instanceof ClientGone || error instanceof BorrowAborted) {
        socket.destroy();
      } else {
        throw error;
      }
    }
  }

  /** Says what a server says after a login, without the key for cancelling, and lets the session begin. */
  async #welcome(client: number, { startup, socket, release }: Admitted, gone: AbortSignal): Promise<void> {
    const parameters = await this.#pool.parametersOf(client, startup.database, gone);
    if (gone.aborted || socket.destroyed) throw new ClientGone(); // No close would be heard any more.
    const said = [...parameters].map(([name, value]) =>
      parameterStatus(name, startup.settings.get(name.toLowerCase()) ?? value),
    );
    this.#ledger.logins += 1;
    const session = new Session(client, socket, startup, this.#pool, this.#ledger, this.#limits);
    socket.write(Buffer.concat([authentication(0), ...said, readyForQuery()]));
    this.#ledger.emit('login', client, startup.user);
    session.start(release());
  }
}

/** Starts a proxy. It makes its first backend when the first client has logged in. */
export async function startRdsProxy(options: RdsProxyOptions): Promise<RdsProxy> {
  const proxy = new Double(options);
  await proxy.start();
  return proxy;
}
