/** Counts of connections and protocol messages, and the difference between two of them. */

/** How often each message was seen, by its name in PostgreSQL's documentation. */
export type MessageCounts = Record<string, number>;

/** Who can end a connection. */
export type Side = 'client' | 'server' | 'proxy';

/** One connection's counts. */
export interface ConnectionCounts {
  readonly id: number;
  open: boolean;
  /** Who was first to end it, gracefully or not; absent while nobody has. */
  endedBy?: Side;
  /** TLS has begun: messages behind it are not counted. */
  encrypted: boolean;
  readonly frontend: MessageCounts;
  readonly backend: MessageCounts;
}

/** The counts of a proxy. In a difference `open` may be negative. */
export interface ProxyCounts {
  /** Connections ever opened. */
  readonly opened: number;
  /** Connections open now. */
  readonly open: number;
  /** Messages of all clients, those that a black hole swallowed included. */
  readonly frontend: MessageCounts;
  /** Messages of the server. */
  readonly backend: MessageCounts;
  readonly connections: readonly ConnectionCounts[];
}

function add(into: MessageCounts, from: MessageCounts, sign: 1 | -1): MessageCounts {
  for (const [name, count] of Object.entries(from)) {
    const sum = (into[name] ?? 0) + sign * count;
    if (sum === 0) delete into[name];
    else into[name] = sum;
  }
  return into;
}

/** Adds up the messages of several connections. */
export function sumOf(connections: readonly ConnectionCounts[]): Pick<ProxyCounts, 'frontend' | 'backend'> {
  const frontend: MessageCounts = {};
  const backend: MessageCounts = {};
  for (const one of connections) {
    add(frontend, one.frontend, 1);
    add(backend, one.backend, 1);
  }
  return { frontend, backend };
}

/** Returns `later` minus `earlier`, without the connections on which nothing has happened in between. */
export function countsSince(later: ProxyCounts, earlier: ProxyCounts): ProxyCounts {
  const before = new Map(earlier.connections.map((one) => [one.id, one]));
  const connections: ConnectionCounts[] = [];
  for (const one of later.connections) {
    const then = before.get(one.id);
    const frontend = add({ ...one.frontend }, then?.frontend ?? {}, -1);
    const backend = add({ ...one.backend }, then?.backend ?? {}, -1);
    const changed = then === undefined || then.open !== one.open || then.endedBy !== one.endedBy;
    if (changed || Object.keys(frontend).length > 0 || Object.keys(backend).length > 0) {
      connections.push({ ...one, frontend, backend });
    }
  }
  return {
    opened: later.opened - earlier.opened,
    open: later.open - earlier.open,
    frontend: add({ ...later.frontend }, earlier.frontend, -1),
    backend: add({ ...later.backend }, earlier.backend, -1),
    connections,
  };
}
