// Opens connections: chooses the place, brings the credentials, and tries again what another attempt can mend.

import pg from 'pg';
import type { CredentialSource, Credentials, CredentialTarget } from '../auth/credentials.ts';
import type { CreateContext, EvictReason } from '../pool/index.ts';
import { attempt } from './attempt.ts';
import type { Timers } from './cancel.ts';
import { refusesDirectTls } from './direct-tls.ts';
import type { Endpoint } from './endpoint.ts';
import { explained, prepareToExplain } from './explaining.ts';
import { isRefusedLogin, Login } from './login.ts';
import type { PinLinter } from './pin-linter.ts';
import type { PoolHooks } from './pool-hooks.ts';
import type { Route } from './route.ts';
import type { Session } from './session.ts';
import { codeOf, judgeConnectError, refusesParameters } from './sqlstate.ts';
import { StatementWatch } from './statement-cache.ts';
import type { ClientConfig, ClientConstructor } from './types.ts';
import { type Choice, Ways } from './ways.ts';

/** What is needed to open connections. */
export interface OpenerOptions {
  /**
   * The places to connect to, the one that is wanted most first. Called for each connection.
   *
   * @param located - what the credentials say of it, where they do
   */
  readonly endpoints: (located: Credentials | undefined) => readonly [Endpoint, ...Endpoint[]];
  /** @default what the endpoints' own configuration has */
  readonly credentials?: CredentialSource | undefined;
  /** Accepts a server that cannot be written to. */
  readonly readOnly: boolean;
  /** Looks at the statements of sessions on this way. */
  readonly linterFor?: ((route: Route) => Promise<PinLinter> | undefined) | undefined;
  /** How many statements are kept prepared on each connection that is a session of its own. @default none */
  readonly statementCache?: number | undefined;
  /** @default pg's */
  readonly Client?: ClientConstructor | undefined;
  /** What pg's `Pool` would call besides. */
  readonly hooks?: PoolHooks | undefined;
  /** What bounds the wait for a statement that is cancelled. @default the system's */
  readonly timers?: Timers | undefined;
  /** The wall clock, milliseconds. */
  readonly now: () => number;
  /** Hears what should be looked at but fails nothing. */
  readonly onWarning: (message: string) => void;
  /** Hears what happens to clients. */
  readonly onClient: (what: 'connect' | 'error' | 'remove', client: pg.PoolClient, error?: Error) => void;
  /** Hears what should be counted. */
  readonly onNote: (what: PgNote, detail?: string) => void;
  /** Gives up those that are meant, each as soon as nobody has it. */
  readonly evict: (reason: EvictReason, which: (session: Session) => boolean) => void;
}

/** What the connector has counted, as `noted` events of the pool. */
export type PgNote =
  /** An attempt to connect failed and was made again. */
  | 'connect-retried'
  /** The server refused credentials, and others were tried. */
  | 'credentials-renewed'
  /** A statement of `pool.query()` had not run, or may run twice, and was sent again. */
  | 'statement-retried'
  /** A transaction was begun again. */
  | 'transaction-retried'
  /** A prepared statement was not good any more, and its text was prepared again. The detail is the server's code. */
  | 'statement-reprepared'
  /** A place did not answer, and another one was gone to. */
  | 'fallback'
  /** A statement was sent that would keep a pooler from sharing the connection. The detail is its kind. */
  | 'pin';

/** Delays between attempts grow at random from the first to the second: decorrelated jitter (AWS Architecture Blog, 2015). */
const firstDelayMillis = 20;
const longestDelayMillis = 500;
/** Kept of the budget, so that whoever waits hears why there is no connection, and not only that time is up. */
const marginMillis = 25;
/** How long a host name that does not exist is asked for again. */
const brieflyMillis = 500;
/** How long a place may take where there is another one to go to: at most this part of the budget, and this long. */
const answerShare = 0.4;
const answerMillis = 2000;

/** How a session was made. */
export interface Made {
  readonly route: Route;
  /** Of its place, in the order of what is wanted. */
  readonly index: number;
  /** Of the credentials it was made with. */
  readonly version: string | undefined;
}

/** A connection that is being opened. */
interface Opening {
  readonly context: CreateContext;
  readonly login: Login | undefined;
  /** Places that did not answer. */
  readonly silent: Set<number>;
  /** What these said. */
  readonly before: string[];
  /** TLS that begins at once has failed: whether that was the reason is known when the usual way succeeds. */
  usualTls: boolean;
}

/** An attempt that failed. */
interface Failed {
  readonly error: unknown;
  readonly endpoint: Endpoint | undefined;
  readonly choice: Choice | undefined;
}

/** Opens the connections of one pool, and remembers what has shown itself on the way. */
export class Opener {
  readonly #options: OpenerOptions;
  readonly #ways: Ways;
  readonly #statements: StatementWatch;
  /** Whether the server takes our parameters in the startup packet; some poolers and old servers do not. */
  #guarded = true;
  /** Whether TLS may begin at once, where that is asked for. */
  #directTls = true;
  #toldOfParameters = false;
  /** Of the credentials that a session was last made with. */
  #version: string | undefined;

  constructor(options: OpenerOptions) {
    this.#options = options;
    this.#ways = new Ways(options.now);
    this.#statements = new StatementWatch(options.statementCache ?? 0, {
      onRenewed: (code) => options.onNote('statement-reprepared', code),
      onLost: () => options.onWarning(lostStatements),
    });
  }

  /** Whether a session goes to a place that only stood in for another, which may answer by now. */
  isStandIn(session: Session): boolean {
    const { index = 0 } = session.made ?? {};
    return index > 0 && this.#ways.isDueBefore(index);
  }

  /**
   * Connects; while nothing but patience is missing, again and again within the budget. Nothing has been sent that could
   * run twice.
   */
  async open(context: CreateContext): Promise<Session> {
    const { credentials, onNote } = this.#options;
    const login = credentials && new Login(credentials, context.signal);
    const opening: Opening = { context, login, silent: new Set(), before: [], usualTls: false };
    const began = performance.now();
    let delay = firstDelayMillis;
    for (let count = 1; ; count += 1) {
      const result = await this.#try(opening);
      if (!('error' in result)) return result;
      const { error } = result;
      prepareToExplain(error, result.endpoint);
      if (!context.signal.aborted && (await this.#hasOtherWay(result, opening))) continue;
      const spent = performance.now() - began;
      const verdict = judgeConnectError(error);
      const limit = verdict === 'retry-briefly' ? Math.min(brieflyMillis, context.budgetMillis) : context.budgetMillis;
      delay = Math.min(longestDelayMillis, firstDelayMillis + Math.random() * (delay * 3 - firstDelayMillis));
      if (verdict === 'fail' || context.signal.aborted || spent + delay + marginMillis >= limit) {
        throw await this.#explain(result, opening, { count, millis: spent });
      }
      context.phase('retry', error);
      onNote('connect-retried', codeOf(error));
      // What did not answer may do so now, when nothing else has either.
      opening.silent.clear();
      await pause(delay, context.signal);
    }
  }

  /** Makes one attempt at the place that is wanted most of those that answer. */
  async #try(opening: Opening): Promise<Session | Failed> {
    const { context, login } = opening;
    const { endpoints, credentials: source, timers } = this.#options;
    let endpoint: Endpoint | undefined;
    let choice: Choice | undefined;
    try {
      if (source?.locates) context.phase('credentials');
      const located = source?.locates ? await login?.for(targetOf(endpoints(undefined)[0])) : undefined;
      const places = endpoints(located);
      choice = this.#ways.choose(places.length, opening.silent);
      endpoint = places[choice.index] ?? places[0];
      context.phase('connect', undefined, nameOf(endpoint));
      // First: what may not go without TLS is not asked for where there is none.
      const config = endpoint.clientConfig(this.#guarded);
      const credentials = located ?? login?.for(targetOf(endpoint));
      const linter = await this.#options.linterFor?.(endpoint.route);
      context.signal.throwIfAborted();
      const session = await this.#connect(endpoint, withPassword(config, credentials), choice, opening, linter);
      const version = credentials && (await credentials).version;
      session.made = { route: endpoint.route, index: choice.index, version };
      if (timers) session.timers = timers;
      this.#answered(choice, context);
      this.#noteVersion(version);
      if (opening.usualTls) this.#forgetDirectTls(endpoint);
      return session;
    } catch (error) {
      if (context.signal.aborted || this.#mayWantUsualTls(error, endpoint, opening)) choice?.settled();
      else if (isSilence(error)) choice?.silent();
      else if (choice) this.#answered(choice, context);
      return { error, endpoint, choice };
    }
  }

  #connect(
    endpoint: Endpoint,
    config: ClientConfig,
    { last }: Choice,
    { context, usualTls }: Opening,
    linter: PinLinter | undefined,
  ): Promise<Session> {
    const { readOnly, onClient, hooks, Client = pg.Client } = this.#options;
    const { route } = endpoint;
    const patience = Math.min(answerMillis, context.budgetMillis * answerShare);
    if (usualTls || !this.#directTls) config.sslnegotiation = 'postgres';
    return attempt(new Client(config), {
      context,
      signal: last ? context.signal : AbortSignal.any([context.signal, silentAfter(patience)]),
      readOnly,
      route,
      rules: {
        dropNames: !route.ownsSession,
        setLocal: route.name === 'rds-proxy',
        linter,
        statements: route.ownsSession ? this.#statements : undefined,
      },
      hooks,
      onClient,
      onRefused: (names) => this.#tellOfParameters(endpoint, names),
    });
  }

  /** Whether there is something else to try at once: nothing that was tried is wrong for lack of time. */
  async #hasOtherWay({ error, endpoint, choice }: Failed, opening: Opening): Promise<boolean> {
    const { context, login, silent, before } = opening;
    if (this.#guarded && endpoint?.route.ownsSession && refusesParameters(error)) {
      this.#guarded = false;
      return true;
    }
    if (this.#mayWantUsualTls(error, endpoint, opening)) {
      opening.usualTls = true;
      return true;
    }
    if (login && isRefusedLogin(error) && (await login.renew().catch(() => false))) {
      context.phase('retry', error);
      this.#options.onNote('credentials-renewed', codeOf(error));
      return true;
    }
    if (!choice || choice.last || !isSilence(error)) return false;
    silent.add(choice.index);
    before.push(`${endpoint?.host}: ${error instanceof Error ? error.message : String(error)}`);
    context.phase('retry', error);
    this.#options.onNote('fallback', endpoint?.host);
    return true;
  }

  #mayWantUsualTls(error: unknown, endpoint: Endpoint | undefined, { usualTls }: Opening): boolean {
    return this.#directTls && !usualTls && endpoint?.directTls === true && refusesDirectTls(error);
  }

  #forgetDirectTls({ host }: Endpoint): void {
    if (!this.#directTls) return;
    this.#directTls = false;
    this.#options.onWarning(
      `${host} does not take TLS that begins at once (sslnegotiation=direct, PostgreSQL 17 and later): it was connected to in the usual way, and will be. Leave PGSSLNEGOTIATION out.`,
    );
  }

  #explain(
    { error, endpoint = this.#options.endpoints(undefined)[0] }: Failed,
    { before }: Opening,
    attempts: { readonly count: number; readonly millis: number },
  ): Promise<unknown> {
    const credentials = this.#options.credentials?.name;
    return explained(error, { endpoint, credentials, before, ...attempts });
  }

  /** A place answers. Where it had not, what was made elsewhere in the meantime is given up as it comes back. */
  #answered(choice: Choice, { signal }: CreateContext): void {
    if (!choice.answered() || signal.aborted) return;
    this.#options.evict('expired', (session) => (session.made?.index ?? 0) > choice.index);
  }

  /** Credentials have been replaced: what was made with others is given up as it comes back. */
  #noteVersion(version: string | undefined): void {
    if (version === undefined || version === this.#version) return;
    const first = this.#version === undefined;
    this.#version = version;
    if (!first) this.#options.evict('stale-credentials', (session) => session.made?.version !== version);
  }

  #tellOfParameters({ host, route, user }: Endpoint, names: readonly string[]): void {
    if (this.#toldOfParameters) return;
    this.#toldOfParameters = true;
    const what = names.join(', ');
    this.#options.onWarning(
      `${host} is connected to by way of ${route.name}, which ends a connection that asks for ${what} as it begins: left out. Set it for the role instead, once, at the server: ALTER ROLE ${user ?? '…'} SET … TO …`,
    );
  }
}

const lostStatements =
  'Prepared statements are not found where they were prepared, so that nothing is prepared any more (statementCache): either a pooler stands between, for which there is route "pgbouncer", or a function runs DEALLOCATE ALL. Set statementCache to 0 (THAWPOOL_STATEMENT_CACHE) to have it so from the start.';

/** Errors after which a place is tried again and that are none of its silence: it has no slots left, for example. */
const answers: ReadonlySet<string> = new Set(['53300', 'ERR_POOL_CONNECT_READ_ONLY', 'ERR_POOL_CONNECT_CREDENTIALS']);

/** Whether nobody was there to answer, or not yet: another place may. */
function isSilence(error: unknown): boolean {
  return !answers.has(codeOf(error) ?? '') && judgeConnectError(error) !== 'fail';
}

/** Fires when a place has not answered in time; never keeps the process alive. */
function silentAfter(millis: number): AbortSignal {
  const controller = new AbortController();
  const error = Object.assign(new Error(`no answer within ${Math.round(millis)} ms`), { code: 'ETIMEDOUT' });
  // Looked at after one more turn: what lies in the kernel already is an answer.
  setTimeout(() => setImmediate(() => controller.abort(error)), millis).unref();
  return controller.signal;
}

/** Adds the password, which the driver asks for when the server does: until then it may still be on its way. */
function withPassword(config: ClientConfig, credentials: Credentials | Promise<Credentials> | undefined): ClientConfig {
  return credentials ? { ...config, password: async () => (await credentials).password } : config;
}

function nameOf({ host, port }: Endpoint): string {
  return host.startsWith('/') ? host : `${host}:${port}`;
}

function targetOf({ host, port, user, database }: Endpoint): CredentialTarget {
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
