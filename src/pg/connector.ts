// Makes PostgreSQL connections, proves them alive, cleans them and puts them out: the factory behind `PgPool`.

import pg from 'pg';
import {
  type CreateContext,
  type EvictReason,
  PoolError,
  type ResourceFactory,
  type StepContext,
} from '../pool/index.ts';
import { type ConnectTarget, connectError, readOnlyServerError, type TlsExplainer } from './connect-error.ts';
import { Session } from './session.ts';
import { cleaningStatements, sessionState } from './session-state.ts';
import { judgeConnectError, refusesParameters } from './sqlstate.ts';

/** Leave to be connected, where something beyond this pool limits how many may be. */
export interface Permits {
  /** Waits for leave to open one more connection. @returns gives it back; called again, it does nothing */
  take(context: CreateContext): Promise<() => void>;
  /** Whether a connection that comes back is to be closed, for somebody else to open one. Asked, it counts as done. */
  wanted(): boolean;
  /** How long connecting may take once there is leave to: the pool itself sets no limit to the wait for it. */
  readonly connectTimeoutMillis: number;
}

/** What the connector needs to know. */
export interface ConnectorOptions {
  /**
   * Called for each connection, so that what it holds (TLS material, hosts) is looked at when it is needed.
   *
   * @param guarded - whether to ask the server, in the startup packet, to end what a sandbox leaves behind
   */
  readonly clientConfig: (guarded: boolean) => pg.ClientConfig;
  /** Accepts a server that cannot be written to. */
  readonly readOnly: boolean;
  /** When a session is cleaned before its next user: when a statement left something behind, each time, or never. */
  readonly reset: 'auto' | 'always' | 'never';
  /** @default pg's */
  readonly Client?: (new (config: pg.ClientConfig) => pg.Client) | undefined;
  readonly explainTls: TlsExplainer;
  /** @default every connection that the pool wants may be opened */
  readonly permits?: Permits | undefined;
  /** Hears what should be looked at but fails nothing. */
  readonly onWarning: (message: string) => void;
  /** Hears what happens to clients. */
  readonly onClient: (what: 'connect' | 'error' | 'remove', client: pg.PoolClient, error?: Error) => void;
}

/** Reasons for which the peer is taken to be there still, and is told goodbye. */
const graceful: ReadonlySet<EvictReason> = new Set(['surplus', 'closed', 'expired', 'idle', 'stale-credentials']);

/** Delays between attempts grow at random from the first to the second: decorrelated jitter (AWS Architecture Blog, 2015). */
const firstDelayMillis = 20;
const longestDelayMillis = 500;
/** Kept of the budget, so that whoever waits hears why there is no connection, and not only that time is up. */
const marginMillis = 25;
/** How long a host name that does not exist is asked for again. */
const brieflyMillis = 500;

/** The factory of PostgreSQL connections. */
export class PgConnector implements ResourceFactory<Session> {
  readonly #options: ConnectorOptions;
  /** Whether the server takes our parameters in the startup packet; some poolers and old servers do not. */
  #guarded = true;
  /** What gives the permit of a connection back, once its socket is gone. */
  readonly #permits = new WeakMap<Session, () => void>();
  /** Closed because somebody else waits: nothing is wrong with them, so that the server is told. */
  readonly #surrendered = new WeakSet<Session>();

  constructor(options: ConnectorOptions) {
    this.#options = options;
  }

  /** Connects, as soon as there is leave to. */
  async create(context: CreateContext): Promise<Session> {
    const { permits } = this.#options;
    if (permits === undefined) return this.#open(context);
    const giveBack = await permits.take(context);
    const open = async (limited: CreateContext): Promise<Session> => {
      try {
        limited.signal.throwIfAborted();
        const session = await this.#open(limited);
        this.#permits.set(session, giveBack);
        return session;
      } catch (error) {
        giveBack();
        throw error;
      }
    };
    return inTime(context, permits.connectTimeoutMillis, open, (session) => void this.destroy(session, 'surplus'));
  }

  /**
   * Connects; while nothing but patience is missing, again and again within the budget. Nothing has been sent that could
   * run twice.
   */
  async #open(context: CreateContext): Promise<Session> {
    const began = performance.now();
    let delay = firstDelayMillis;
    for (let count = 1; ; count += 1) {
      context.phase('connect');
      const client = this.#makeClient();
      try {
        return await this.#connect(client, context);
      } catch (error) {
        if (this.#guarded && refusesParameters(error)) {
          this.#guarded = false;
          continue;
        }
        const spent = performance.now() - began;
        const verdict = judgeConnectError(error);
        const limit =
          verdict === 'retry-briefly' ? Math.min(brieflyMillis, context.budgetMillis) : context.budgetMillis;
        delay = Math.min(longestDelayMillis, firstDelayMillis + Math.random() * (delay * 3 - firstDelayMillis));
        if (verdict === 'fail' || context.signal.aborted || spent + delay + marginMillis >= limit) {
          throw connectError(error, targetOf(client), { count, millis: spent }, this.#options.explainTls);
        }
        context.phase('retry', error);
        await pause(delay, context.signal);
      }
    }
  }

  async validate(session: Session, { signal }: StepContext): Promise<boolean> {
    if (!session.usable) return false;
    await session.ping(signal);
    return true;
  }

  reset(session: Session): boolean | Promise<boolean> {
    if (!session.usable || this.#surrenders(session)) return false;
    const status = session.transactionStatus;
    const untouched =
      this.#options.reset === 'auto' ? session.state === sessionState.clean : this.#options.reset === 'never';
    if (untouched && session.quiet && (status === 'I' || status === null)) return true;
    return this.#clean(session);
  }

  async destroy(session: Session, reason: EvictReason): Promise<void> {
    const giveBack = this.#permits.get(session);
    const goodbye = (graceful.has(reason) || this.#surrendered.has(session)) && session.quiet;
    try {
      if (goodbye && giveBack) await endedByServer(session);
      await session.close(goodbye);
    } finally {
      giveBack?.();
    }
    this.#options.onClient('remove', session.client);
  }

  /** Not in the middle of something: that is cleaned up first, and its holder told. */
  #surrenders(session: Session): boolean {
    const { permits } = this.#options;
    if (permits === undefined || !session.quiet || (session.transactionStatus ?? 'I') !== 'I') return false;
    if (!permits.wanted()) return false;
    this.#surrendered.add(session);
    return true;
  }

  /** Waits for what is still running, then rolls back what was left open and clears away what was left behind. */
  async #clean(session: Session): Promise<boolean> {
    await session.ready();
    if (!session.usable) return false;
    const status = session.transactionStatus;
    if (status === 'T' || status === 'E') {
      this.#options.onWarning(
        'A connection was released with an open transaction, which was rolled back: end it with COMMIT or ROLLBACK, or use transaction(fn), which does.',
      );
      await session.query('ROLLBACK');
    }
    const { reset } = this.#options;
    const state = reset === 'always' ? sessionState.unknown : session.state;
    if (reset !== 'never' && state !== sessionState.clean) {
      // What a listener of `connect` has set up would be cleared away too; only a new connection brings it back.
      if (session.customised) return false;
      await session.query(cleaningStatements(state));
    }
    session.state = sessionState.clean;
    return session.usable && session.transactionStatus !== 'T' && session.transactionStatus !== 'E';
  }

  #makeClient(): pg.Client {
    const { Client = pg.Client, clientConfig } = this.#options;
    return new Client(clientConfig(this.#guarded));
  }

  #connect(client: pg.Client, context: CreateContext): Promise<Session> {
    const connection = client.connection as pg.Connection | undefined;
    const abort = (): void => void connection?.stream.destroy();
    const role = connection ? watchRole(connection) : undefined;
    if (connection) tellPhases(client, connection, context);
    return new Promise((resolve, reject) => {
      let session: Session | undefined;
      // Stays for good: an error that nobody hears ends the process, and between two invocations the next event with it.
      client.on('error', (error) => {
        // What the driver says of a socket that we have closed is no news.
        if (session === undefined || session.closing) return;
        context.broken(error);
        this.#options.onClient('error', session.client, error);
      });
      // Not of an attempt that has failed: the next one may succeed.
      client.on('end', () => {
        if (session !== undefined) context.broken(new Error('Connection terminated unexpectedly'));
      });
      context.signal.addEventListener('abort', abort, { once: true });
      client.connect((error: Error | null | undefined) => {
        context.signal.removeEventListener('abort', abort);
        const refused = error ?? (this.#options.readOnly ? undefined : role?.refusal());
        if (refused) {
          abort();
          return reject(refused);
        }
        session = new Session(client);
        // pg acts on `close`, some turns later; after a thaw the end itself must count, before anybody gets the client.
        connection?.stream.once('end', () => context.broken(new Error('Connection terminated unexpectedly')));
        this.#options.onClient('connect', session.client);
        resolve(session);
      });
    });
  }
}

/** Gives up after so long, as the pool would: the signal fires, and what comes after that is `late`. */
function inTime(
  context: CreateContext,
  millis: number,
  open: (context: CreateContext) => Promise<Session>,
  late: (session: Session) => void,
): Promise<Session> {
  const controller = new AbortController();
  let phase = 'the start';
  let settled = false;
  return new Promise((resolve, reject) => {
    const giveUp = (): void => {
      if (settled) return;
      const message = `Gave up making a connection after ${millis} ms, at ${phase}. See ERR_POOL_CREATE_TIMEOUT.`;
      controller.abort();
      reject(new PoolError('ERR_POOL_CREATE_TIMEOUT', message));
    };
    // Looked at after one more turn: what lies in the kernel already is no timeout.
    const timer = setTimeout(() => setImmediate(giveUp), millis).unref();
    open({
      ...context,
      budgetMillis: millis,
      signal: AbortSignal.any([context.signal, controller.signal]),
      phase: (name, error) => {
        phase = name;
        context.phase(name, error);
      },
    })
      .then((session) => {
        if (controller.signal.aborted) late(session);
        else resolve(session);
      }, reject)
      .finally(() => {
        settled = true;
        clearTimeout(timer);
      });
  });
}

/** Half of what the pool itself waits for a resource that is being destroyed. */
const goodbyeMillis = 250;

/** Says goodbye and waits, but not for long, until the server has ended the session: until then it counts there. */
async function endedByServer(session: Session): Promise<void> {
  session.closing = true;
  let timer: NodeJS.Timeout | undefined;
  const outOfTime = new Promise((resolve) => {
    timer = setTimeout(resolve, goodbyeMillis);
  });
  await Promise.race([session.client.end().catch(() => {}), outOfTime]);
  clearTimeout(timer);
}

/**
 * Listens to what the server reports of itself at startup, at no cost: since PostgreSQL 14 whether it is a standby and
 * whether it is read-only (PostgreSQL documentation, 54.2.7).
 */
function watchRole(connection: pg.Connection): { refusal(): PoolError | undefined } {
  const reported = new Map<string, string>();
  connection.on('parameterStatus', ({ parameterName, parameterValue }: ParameterStatus) => {
    reported.set(parameterName, parameterValue);
  });
  return {
    refusal: () => {
      const standby = reported.get('in_hot_standby') === 'on';
      if (!standby && reported.get('default_transaction_read_only') !== 'on') return undefined;
      return readOnlyServerError(standby);
    },
  };
}

/** pg-protocol's message (pg-protocol 1.16, messages.ts). */
interface ParameterStatus {
  readonly parameterName: string;
  readonly parameterValue: string;
}

/** Notes how far a connection has come, each phase when it begins. */
function tellPhases(client: pg.Client, connection: pg.Connection, context: CreateContext): void {
  const { stream } = connection;
  let sentAt = performance.now();
  stream.once('lookup', (error: unknown) => {
    if (error !== null) return;
    sentAt = performance.now();
    context.phase('tcp');
  });
  stream.once('connect', () => {
    // SYN and SYN-ACK: the purest round trip there is.
    context.roundTrip(performance.now() - sentAt);
    context.phase(client.ssl ? 'tls' : 'startup');
  });
  connection.once('sslconnect', () => connection.stream.once('secureConnect', () => context.phase('startup')));
  for (const event of ['authenticationCleartextPassword', 'authenticationMD5Password', 'authenticationSASL']) {
    connection.once(event, () => context.phase('auth'));
  }
  connection.once('authenticationOk', () => context.phase('session'));
}

function targetOf(client: pg.Client): ConnectTarget {
  // A client of the user's own need not have what pg's has.
  const { host = 'localhost', port = 5432, user, database } = client as Partial<pg.Client> & { database?: string };
  return { host, port, user, database };
}

function pause(millis: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    // Keeps the process alive, as a connect that takes as long would: somebody waits for this.
    const timer = setTimeout(resolve, millis);
    signal.addEventListener(
      'abort',
      () => {
        clearTimeout(timer);
        resolve();
      },
      { once: true },
    );
  });
}
