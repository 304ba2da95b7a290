// Makes PostgreSQL connections, proves them alive, cleans them and puts them out: the factory behind `PgPool`.

import type { CreateContext, EvictReason, ResourceFactory, StepContext } from '../pool/index.ts';
import { Opener, type OpenerOptions } from './opener.ts';
import { endedByServer, inTime, type Permits } from './permits.ts';
import { contextOfHere, keepAlive, letExitOnIdle, Uses } from './pool-hooks.ts';
import type { Session } from './session.ts';
import { cleaningStatements, sessionState } from './session-state.ts';

/** What the connector needs to know. */
export interface ConnectorOptions extends OpenerOptions {
  /** When a session is cleaned before its next user: when a statement left something behind, each time, or never. */
  readonly reset: 'auto' | 'always' | 'never';
  /** @default every connection that the pool wants may be opened */
  readonly permits?: Permits | undefined;
}

/** Reasons for which the peer is taken to be there still, and is told goodbye. */
const graceful: ReadonlySet<EvictReason> = new Set(['surplus', 'closed', 'expired', 'idle', 'stale-credentials']);

/** The factory of PostgreSQL connections. */
export class PgConnector implements ResourceFactory<Session> {
  readonly #options: ConnectorOptions;
  readonly #opener: Opener;
  /** What gives the permit of a connection back, once its socket is gone. */
  readonly #permits = new WeakMap<Session, () => void>();
  /** Closed because somebody else waits, or for a better place: nothing is wrong with them, so that the server is told. */
  readonly #surrendered = new WeakSet<Session>();

  /** Connections outlive whoever happens to need one first: what they do is done in nobody's async context. */
  readonly #inContext = contextOfHere();
  readonly #uses: Uses | undefined;

  constructor(options: ConnectorOptions) {
    const { maxUses = 0 } = options.hooks ?? {};
    this.#options = options;
    this.#opener = new Opener(options);
    this.#uses = maxUses > 0 && maxUses < Number.POSITIVE_INFINITY ? new Uses(maxUses) : undefined;
  }

  /** Connects, as soon as there is leave to. */
  async create(context: CreateContext): Promise<Session> {
    const session = await this.#inContext(() => this.#create(context));
    if (this.#options.hooks?.allowExitOnIdle === true) letExitOnIdle(session);
    return session;
  }

  async #create(context: CreateContext): Promise<Session> {
    const { permits } = this.#options;
    if (permits === undefined) return this.#opener.open(context);
    const giveBack = await permits.take(context);
    const open = async (limited: CreateContext): Promise<Session> => {
      try {
        limited.signal.throwIfAborted();
        const session = await this.#opener.open(limited);
        this.#permits.set(session, giveBack);
        return session;
      } catch (error) {
        giveBack();
        throw error;
      }
    };
    return inTime(context, permits.connectTimeoutMillis, open, (session) => void this.destroy(session, 'surplus'));
  }

  async validate(session: Session, { signal }: StepContext): Promise<boolean> {
    if (!session.usable) return false;
    if (this.#options.hooks?.allowExitOnIdle !== true) {
      await session.ping(signal);
      return true;
    }
    // Somebody may wait for the answer, who has no connection yet to keep the process alive by.
    keepAlive(session, true);
    try {
      await session.ping(signal);
      return true;
    } finally {
      keepAlive(session, session.lease?.held === true);
    }
  }

  reset(session: Session): boolean | Promise<boolean> {
    if (this.#uses?.note(session) === true) this.#options.evict('expired', (other) => other === session);
    if (this.#options.hooks?.allowExitOnIdle === true) keepAlive(session, false);
    if (!session.usable || this.#surrenders(session)) return false;
    const status = session.transactionStatus;
    const reset = this.#resetOf(session);
    const untouched = reset === 'auto' ? session.state === sessionState.clean : reset === 'never';
    if (untouched && session.quiet && (status === 'I' || status === null)) return true;
    return this.#clean(session, reset);
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

  /** Behind a pooler there is no session of ours to clean, and cleaning would pin it. */
  #resetOf(session: Session): ConnectorOptions['reset'] {
    return session.made?.route.ownsSession === false ? 'never' : this.#options.reset;
  }

  /** Not in the middle of something: that is cleaned up first, and its holder told. */
  #surrenders(session: Session): boolean {
    if (!session.quiet || (session.transactionStatus ?? 'I') !== 'I') return false;
    // Else what has fallen back would stay there for as long as it lives.
    if (!this.#options.permits?.wanted() && !this.#opener.isStandIn(session)) return false;
    this.#surrendered.add(session);
    return true;
  }

  /** Waits for what is still running, then rolls back what was left open and clears away what was left behind. */
  async #clean(session: Session, reset: ConnectorOptions['reset']): Promise<boolean> {
    await session.ready();
    if (!session.usable) return false;
    const status = session.transactionStatus;
    if (status === 'T' || status === 'E') {
      this.#options.onWarning(
        'A connection was released with an open transaction, which was rolled back: end it with COMMIT or ROLLBACK, or use transaction(fn), which does.',
      );
      await session.query('ROLLBACK');
    }
    const state = reset === 'always' ? sessionState.unknown : session.state;
    if (reset !== 'never' && state !== sessionState.clean) {
      // What a listener of `connect` has set up would be cleared away too; only a new connection brings it back.
      if (session.customised) return false;
      await session.query(cleaningStatements(state));
    }
    session.state = sessionState.clean;
    return session.usable && session.transactionStatus !== 'T' && session.transactionStatus !== 'E';
  }
}
