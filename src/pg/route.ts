// What stands between a pool and its server, and what that lets through. Pure: facts in, facts out.

/** Names of the ways to a server. */
export type RouteName = 'direct' | 'rds-proxy' | 'pgbouncer';

/** What holds on one way to a server. */
export interface Route {
  readonly name: RouteName;
  /**
   * A session belongs to one client for as long as that is connected. Elsewhere each transaction may run on another
   * backend: nothing can be left in the session, neither by us nor by name.
   */
  readonly ownsSession: boolean;
  /** The parameters of a startup packet that are let through, in lower case. @default all */
  readonly startup?: ReadonlySet<string>;
}

/** What both poolers keep apart for each client. */
const tracked = ['user', 'database', 'application_name', 'client_encoding', 'datestyle', 'timezone'];

/** The ways to a server, by name. */
export const routes: Readonly<Record<RouteName, Route>> = {
  direct: { name: 'direct', ownsSession: true },
  // Amazon RDS User Guide, "Limitations and considerations for RDS Proxy with RDS for PostgreSQL": anything else ends the
  // connection with 0A000.
  'rds-proxy': {
    name: 'rds-proxy',
    ownsSession: false,
    startup: new Set([...tracked, 'extra_float_digits', 'search_path']),
  },
  // PgBouncer, "ignore_startup_parameters": anything else ends the connection, unless it is told to pass over it.
  pgbouncer: { name: 'pgbouncer', ownsSession: false, startup: new Set([...tracked, 'standard_conforming_strings']) },
};

/**
 * Tells which parameters of a startup packet the way does not let through.
 *
 * @returns their names, as they were given
 */
export function refusedParameters({ startup }: Route, names: readonly string[]): string[] {
  return startup === undefined ? [] : names.filter((name) => !startup.has(name.toLowerCase()));
}
