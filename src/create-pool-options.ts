// What a pool can be told. Each option's own meaning and default; what the environment says of them is in `env.ts`.

import type { CredentialSource } from './auth/credentials.ts';
import type { PinMode } from './pg/pin-linter.ts';
import type { PoolHooks } from './pg/pool-hooks.ts';
import type { RouteName } from './pg/route.ts';
import type { ClientConfig, ClientConstructor } from './pg/types.ts';
import type { Clock } from './pool/index.ts';

/**
 * Options of a pool: thawpool's own, and everything that pg's `Client` takes. An option wins over its environment
 * variable, which wins over the default; `docs/options.md` lists them.
 */
export interface CreatePoolOptions extends Omit<ClientConfig, 'connectionTimeoutMillis' | 'password'>, PoolHooks {
  /** Names the pool in the registry, in warnings and in metrics. @default 'default' */
  readonly name?: string;
  readonly max?: number;
  readonly maxIdle?: number;
  /** pg's name for what stays open; the larger of it and `maxIdle` counts. @default 0 */
  readonly min?: number;
  /**
   * Hard limit over the pools of this name in all threads of the process together, where `max` counts in each alone: for
   * Lambda Managed Instances, and for worker threads anywhere on Linux. 1 to 10000.
   *
   * @default none, because elsewhere there is one thread
   */
  readonly maxPerEnvironment?: number;
  /**
   * How many statements with values each connection keeps prepared at the server, from their second use on. 0 to 10000;
   * 0 prepares none. Has no effect behind a pooler.
   *
   * @default 100, because most functions have fewer, and each costs the server memory on each connection
   */
  readonly statementCache?: number;
  readonly acquireTimeoutMillis?: number;
  /** pg's name for `acquireTimeoutMillis`, which wins. 0 is as long as an invocation can last. */
  readonly connectionTimeoutMillis?: number;
  readonly validateAfterIdleMillis?: number;
  readonly validateTimeoutMillis?: number;
  readonly idleTimeoutMillis?: number;
  readonly maxLifetimeMillis?: number;
  /** pg's name for `maxLifetimeMillis`, in seconds; ours wins. 0 is for ever. */
  readonly maxLifetimeSeconds?: number;
  readonly statementTimeoutMillis?: number;
  readonly deadlineReserveMillis?: number;
  /** `PGSSLMODE`'s words. `ssl`, where given, wins. */
  readonly sslMode?: string;
  /** The path of a PEM file, or `system`. */
  readonly sslRootCert?: string;
  /** How TLS begins: `postgres` asks the server first, `direct` starts at once (PostgreSQL 17). @default 'postgres' */
  readonly sslNegotiation?: 'postgres' | 'direct';
  /** pg's name for `sslNegotiation`, which wins. */
  readonly sslnegotiation?: 'postgres' | 'direct';
  /** The password itself; a function that brings it, asked for each connection; or a source of credentials. */
  readonly password?: string | ((target?: unknown) => string | Promise<string>) | CredentialSource;
  /** Where the password comes from. @default 'password', or 'secret' where `secretArn` is given */
  readonly auth?: 'password' | 'iam' | 'secret';
  /** The secret in Secrets Manager that `auth: 'secret'` reads: its ARN or name. */
  readonly secretArn?: string;
  /** What stands between. @default 'direct', or 'rds-proxy' for the endpoint of one, which its name shows */
  readonly route?: RouteName;
  /** The endpoint of an RDS Proxy to go through instead of connecting to `host`; with `:port` where that is not 5432. */
  readonly proxyHost?: string;
  /**
   * `direct` goes to `host` itself while the proxy of `proxyHost` does not answer.
   *
   * @default 'off', because the server must then have room for as many connections as there are sandboxes × `max`
   */
  readonly proxyFallback?: 'off' | 'direct';
  /**
   * What becomes of a statement that would keep a pooler from sharing the connection.
   *
   * @default 'off' on a direct route; elsewhere 'count' on Lambda and 'warn' in development
   */
  readonly pinning?: PinMode;
  /** The endpoint for reads, which makes `reader` a pool of its own; with `:port` where that is not the writer's. */
  readonly readerHost?: string;
  /** Hard limit of connections for reads, beside `max`. @default `max` */
  readonly readerMax?: number;
  /** Writes a line of metrics at the end of each invocation, in CloudWatch's embedded metric format. @default 'off' */
  readonly metrics?: 'off' | 'emf';
  /** The CloudWatch namespace of those metrics. @default 'thawpool' */
  readonly metricsNamespace?: string;
  /**
   * Accepts a server that cannot be written to, such as a standby. A pool without it refuses one and looks for the
   * writer again, because after a failover the name may still lead to the old one.
   *
   * @default false
   */
  readonly readOnly?: boolean;
  /**
   * When a session is cleaned before somebody else gets it: when a statement has left something behind (settings,
   * temporary tables, listeners, advisory locks, prepared statements), each time, or never.
   *
   * @default 'auto'
   */
  readonly reset?: 'auto' | 'always' | 'never';
  /** Makes the clients. @default pg's `Client` */
  readonly Client?: ClientConstructor;
  /** The environment to read. @default process.env */
  readonly env?: Readonly<Record<string, string | undefined>>;
  /** @default the process's own clocks */
  readonly clock?: Clock;
  /** Hears what should be looked at but fails nothing. @default process.emitWarning */
  readonly onWarning?: (message: string) => void;
}
