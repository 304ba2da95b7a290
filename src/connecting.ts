// Where a pool connects to, over which way, and as whom: settings in, what the connector needs out.

import type { CredentialSource, Credentials } from './auth/credentials.ts';
import { isRdsProxyHost } from './auth/rds-proxy-host.ts';
import { type TlsOptions, tlsFor } from './auth/tls.ts';
import type { CreatePoolOptions } from './create-pool-options.ts';
import type { Endpoint } from './pg/endpoint.ts';
import { type RouteName, routes } from './pg/route.ts';
import type { ClientConfig } from './pg/types.ts';
import { defaultOf, ours, type Settings } from './settings.ts';

/** All that decides where a pool connects to. */
export interface Facts {
  readonly options: CreatePoolOptions;
  readonly settings: Settings;
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly credentials: CredentialSource | undefined;
  /** After how long the pool discards an idle connection. 0 is never. */
  readonly idleTimeoutMillis: number;
  readonly onWarning: (message: string) => void;
}

/** First probe of TCP keepalive; without a delay it comes after 7200 s, when every NAT has forgotten the flow. */
const keepAliveDelayMillis = 30_000;

/** A host, its port, and what stands between. */
export interface Place {
  readonly host: string;
  readonly port: number;
  readonly route: RouteName;
}

/** RDS Proxy listens here for PostgreSQL, whatever port the server has. */
const proxyPort = 5432;

/**
 * The places to connect to for writing, the one that is wanted most first.
 *
 * @param located - what the credentials say; what was set wins
 */
export function writerPlaces(settings: Settings, located?: Credentials): [Place, ...Place[]] {
  const { proxyHost, proxyFallback } = settings;
  const route = settings.route as RouteName | undefined;
  const host = settings.host ?? located?.host ?? 'localhost';
  const port = settings.port ?? located?.port ?? defaultOf('port');
  if (proxyHost === undefined) return [{ host, port, route: routeTo(host, route) }];
  // Naming a proxy is asking for one, also where the code says `direct`.
  const between = route === undefined || route === 'direct' ? 'rds-proxy' : route;
  const proxy: Place = { ...splitPort(proxyHost, proxyPort), route: between };
  return proxyFallback === 'direct' ? [proxy, { host, port, route: routeTo(host, undefined) }] : [proxy];
}

/** The places for reading: the reader, and while none answers the writer's. */
export function readerPlaces(settings: Settings, located?: Credentials): [Place, ...Place[]] {
  const [writer, ...others] = writerPlaces(settings, located);
  const { readerHost } = settings;
  if (readerHost === undefined) return [writer, ...others];
  const { host, port } = splitPort(readerHost, settings.port ?? located?.port ?? defaultOf('port'));
  const route = settings.route as RouteName | undefined;
  return [{ host, port, route: routeTo(host, route === 'direct' ? undefined : route) }, writer, ...others];
}

/** Tells the way to a host: the one that was asked for, else the one that its name shows. */
export function routeTo(host: string, asked: RouteName | undefined): RouteName {
  return asked ?? (isRdsProxyHost(host) ? 'rds-proxy' : 'direct');
}

/** Takes `host:port`, `[::1]:port` or a host alone apart. */
function splitPort(host: string, otherwise: number): { host: string; port: number } {
  const [, name = host, port] = /^(\[[^\]]*\]|[^:]*):(\d+)$/.exec(host) ?? [];
  return { host: name.replace(/^\[(.*)\]$/, '$1'), port: port === undefined ? otherwise : Number(port) };
}

/** Makes of places what the connector connects to. Each is made once, because TLS reads files. */
export function endpointsOf(
  facts: Facts,
  places: (located: Credentials | undefined) => readonly [Place, ...Place[]],
  reader: boolean,
): (located: Credentials | undefined) => readonly [Endpoint, ...Endpoint[]] {
  const known = new Map<string, Endpoint>();
  const base = clientOptions(facts);
  let told = false;
  const tellOfUser = (located: Credentials | undefined): void => {
    const { user } = facts.settings;
    if (told || user === undefined || located?.user === undefined || located.user === user) return;
    told = true;
    facts.onWarning(
      `The user is set to "${user}" (option user, environment PGUSER), but ${facts.credentials?.name} is for "${located.user}", which is the one that logs in. Leave the user out.`,
    );
  };
  const endpoint = (place: Place, located: Credentials | undefined): Endpoint => {
    const { host, port, route } = place;
    const user = located?.user ?? facts.settings.user;
    const database = facts.settings.database ?? located?.database;
    const key = JSON.stringify([host, port, route, user, database]);
    const there = known.get(key) ?? makeEndpoint(facts, { ...place, user, database }, base, reader);
    known.set(key, there);
    return there;
  };
  return (located) => {
    tellOfUser(located);
    const [first, ...others] = places(located);
    return [endpoint(first, located), ...others.map((place) => endpoint(place, located))];
  };
}

function makeEndpoint(
  facts: Facts,
  { host, port, route: name, user, database }: Place & Pick<Endpoint, 'user' | 'database'>,
  base: ClientConfig,
  reader: boolean,
): Endpoint {
  const { options, settings, credentials } = facts;
  const route = routes[name];
  const directTls = settings.sslNegotiation === 'direct' && route.ownsSession;
  let decided: boolean | TlsOptions | undefined;
  const tls = (): boolean | TlsOptions => {
    const { sslMode, sslRootCert } = settings;
    decided ??= tlsFor({
      host,
      sslMode,
      sslRootCert,
      ssl: options.ssl,
      required: credentials?.requiresTls,
      sslNegotiation: directTls ? 'direct' : undefined,
    });
    return decided;
  };
  const time = settings.statementTimeoutMillis || undefined;
  return {
    host,
    port,
    user,
    database,
    route,
    directTls,
    async explainTls(error) {
      // Without its words, from a bundle that lacks a file, the driver's own stand.
      const words = await import('./auth/tls-errors.ts').catch(() => undefined);
      return words?.explainTlsError(error, { host, tls: tls() });
    },
    clientConfig(guarded) {
      const ssl = tls();
      return defined<ClientConfig>({
        // No parameter of a startup packet is let through for it: then the driver stops waiting, and the connection goes.
        ...(route.ownsSession ? { statement_timeout: time } : { query_timeout: time }),
        options: facts.env['PGOPTIONS'],
        ...base,
        ...(guarded && route.ownsSession ? guards(facts, base, reader) : {}),
        // All said, nothing left to pg: it would look into the environment of the process for what is missing.
        host,
        port,
        user,
        database,
        ssl,
        // Not said without need: libpq before 17, behind pg-native, does not know it.
        sslnegotiation: directTls ? 'direct' : process.env['PGSSLNEGOTIATION'] ? 'postgres' : undefined,
      });
    },
  };
}

/** What every client is made with, wherever it connects to. */
function clientOptions({ options, settings, credentials }: Facts): ClientConfig {
  const passedOn: Record<string, unknown> = { ...options, ...settings };
  for (const name of ours) delete passedOn[name];
  if (credentials) delete passedOn['password'];
  return defined<ClientConfig>({ keepAlive: true, keepAliveInitialDelayMillis: keepAliveDelayMillis, ...passedOn });
}

/** A server ends the sessions of sandboxes that never woke up this much later than we would have discarded them. */
const idleSessionMarginMillis = 30_000;
/** What a sandbox that was killed in a transaction has locked is free again after this; no handler idles for so long. */
const idleInTransactionMillis = 60_000;

/**
 * Our own rules, told to the server in the startup packet, where they cost no round trip (PostgreSQL documentation,
 * 19.11.1; `idle_session_timeout` since 14). What the user has set wins.
 */
function guards({ env, idleTimeoutMillis }: Facts, client: ClientConfig, reader: boolean): ClientConfig {
  const own = [
    ...(idleTimeoutMillis > 0 ? [`-c idle_session_timeout=${idleTimeoutMillis + idleSessionMarginMillis}`] : []),
    // What goes to the writer for want of a reader must not write there.
    ...(reader ? ['-c default_transaction_read_only=on'] : []),
  ];
  return {
    options: [...own, client.options ?? env['PGOPTIONS'] ?? ''].join(' ').trim(),
    idle_in_transaction_session_timeout: client.idle_in_transaction_session_timeout ?? idleInTransactionMillis,
  };
}

/** Leaves out what is undefined, so that it does not stand in the way of a default. */
export function defined<T extends object>(values: { readonly [K in keyof T]?: T[K] | undefined }): T {
  return Object.fromEntries(Object.entries(values).filter(([, value]) => value !== undefined)) as T;
}
