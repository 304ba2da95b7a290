// One attempt to open a connection, from the first packet to the server's word that it is ready.

import type pg from 'pg';
import type { CreateContext, PoolError } from '../pool/index.ts';
import { type PoolHooks, prepare, verify } from './pool-hooks.ts';
import { readOnlyServerError } from './read-only-error.ts';
import { type Route, refusedParameters } from './route.ts';
import { Session, type StatementRules } from './session.ts';
import { showCertificate } from './shown-certificate.ts';

/** How an attempt is made, and who hears of it. */
export interface AttemptOptions {
  readonly context: CreateContext;
  /** Fires when the attempt is given up, with the reason for it. */
  readonly signal: AbortSignal;
  /** Accepts a server that cannot be written to. */
  readonly readOnly: boolean;
  readonly route: Route;
  readonly rules: StatementRules;
  /** What is asked of the user about it before anybody has it. */
  readonly hooks?: PoolHooks | undefined;
  /** Hears what happens to the client. */
  readonly onClient: (what: 'connect' | 'error', client: pg.PoolClient, error?: Error) => void;
  /** Hears which parameters were left out of the startup packet. */
  readonly onRefused: (names: readonly string[]) => void;
}

/**
 * Connects a client. An error that comes later, at any time, is reported as `context.broken`.
 *
 * @throws whatever the driver says of why it cannot, or the signal's reason
 */
export function attempt(client: pg.Client, options: AttemptOptions): Promise<Session> {
  const { context, signal, onClient } = options;
  const connection = client.connection as pg.Connection | undefined;
  const abort = (): void => void connection?.stream.destroy();
  const role = connection ? watchRole(connection) : undefined;
  if (connection) tellPhases(client, connection, context);
  leaveOut(client, options);
  return new Promise((resolve, reject) => {
    let session: Session | undefined;
    let asked = false;
    // Stays for good: an error that nobody hears ends the process, and between two invocations the next event with it.
    client.on('error', (error) => {
      // What the driver says of a socket that we have closed is no news.
      if (session === undefined || session.closing) return;
      context.broken(error);
      onClient('error', session.client, error);
    });
    // Not of an attempt that has failed: the next one may succeed.
    client.on('end', () => {
      if (session !== undefined) context.broken(new Error('Connection terminated unexpectedly'));
    });
    // Hooks that never come to an end hear of nothing.
    const giveUp = (): void => (asked ? fail(signal.reason) : abort());
    signal.addEventListener('abort', giveUp, { once: true });
    const fail = (error: unknown): void => {
      signal.removeEventListener('abort', giveUp);
      abort();
      reject(signal.aborted ? signal.reason : error);
    };
    const succeed = (made: Session): void => {
      signal.removeEventListener('abort', giveUp);
      session = made;
      // pg acts on `close`, some turns later; after a thaw the end itself must count, before anybody gets the client.
      connection?.stream.once('end', () => context.broken(new Error('Connection terminated unexpectedly')));
      onClient('connect', made.client);
      resolve(made);
    };
    client.connect((error: Error | null | undefined) => {
      const refused = error ?? (options.readOnly ? undefined : role?.refusal());
      if (refused) return fail(refused);
      const made = new Session(client, options.rules);
      if (options.hooks === undefined) return succeed(made);
      asked = true;
      askedOf(made, options.hooks).then(() => succeed(made), fail);
    });
  });
}

/** Asks the user's hooks about a connection. What they send belongs to the session for good. */
async function askedOf(session: Session, hooks: PoolHooks): Promise<void> {
  await prepare(session, hooks);
  await verify(session, hooks);
  // They may have taken their time.
  if (!session.usable) throw new Error('Connection terminated unexpectedly');
}

/** What pg's client has and its types do not name (pg 8.23, lib/client.js); missing in clients of other makes. */
interface StartupInternals {
  getStartupConf?: () => Record<string, string>;
}

/** Takes what the way does not let through out of the startup packet, wherever it came from: pg reads PGOPTIONS too. */
function leaveOut(client: pg.Client & StartupInternals, { route, onRefused }: AttemptOptions): void {
  const all = client.getStartupConf?.bind(client);
  if (route.startup === undefined || all === undefined) return;
  client.getStartupConf = () => {
    const parameters = all();
    const refused = refusedParameters(route, Object.keys(parameters));
    if (refused.length > 0) onRefused(refused);
    return Object.fromEntries(Object.entries(parameters).filter(([name]) => !refused.includes(name)));
  };
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
  connection.once('sslconnect', () => showCertificate(connection.stream));
  connection.once('sslconnect', () => connection.stream.once('secureConnect', () => context.phase('startup')));
  for (const event of ['authenticationCleartextPassword', 'authenticationMD5Password', 'authenticationSASL']) {
    connection.once(event, () => context.phase('auth'));
  }
  connection.once('authenticationOk', () => context.phase('session'));
}
