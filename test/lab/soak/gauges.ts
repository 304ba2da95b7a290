/** What a process holds, and what of it is too much. */
import type { PoolStats } from 'thawpool';

/** Readings of a sandbox, taken in an invocation that does nothing else. */
export interface Gauges {
  readonly stats: PoolStats;
  /** Sockets, pipes and servers that are open: Node's active handles. */
  readonly handles: number;
  /** What keeps the event loop going, by kind, timers included. */
  readonly resources: Readonly<Record<string, number>>;
  /** Bytes, after a garbage collection. */
  readonly heapUsed: number;
  /** Bytes. */
  readonly rss: number;
}

/** What is seen of a sandbox from outside, while it holds what its gauges say. */
export interface Outside {
  /** Sockets that it has open to the proxy, each described by what has passed over it. */
  readonly sockets: readonly string[];
  /** Its sessions at the server. */
  readonly sessions: number;
}

/** The heap of one and the same process after a collection is the same to about 1 MB (seen); a leak grows with time. */
const heapGrowthBytes = 4 * 2 ** 20;

/** Compares the end with the beginning, and the inside with the outside: one sentence for each leak. */
export function leaksOf(start: Gauges, end: Gauges, outside: Outside): string[] {
  const leaks: string[] = [];
  const { total, idle, leased, waiting, creating, closing, maxIdle } = end.stats;
  const { sockets } = outside;
  if (sockets.length !== total) {
    leaks.push(`${sockets.length} sockets are open, and the pool knows of ${total}: ${sockets.join('; ')}`);
  }
  if (outside.sessions !== total)
    leaks.push(`the server has ${outside.sessions} sessions, the pool ${total} connections`);
  const busy = leased + waiting + creating + closing;
  if (busy > 0)
    leaks.push(`nothing is asked of the pool, and it counts ${busy} as leased, waiting, creating or closing`);
  if (idle > maxIdle) leaks.push(`${idle} connections stay open, maxIdle is ${maxIdle}`);
  const others = (gauges: Gauges) => gauges.handles - gauges.stats.total;
  if (others(end) > others(start))
    leaks.push(`${others(end)} handles beside the pool's, ${others(start)} at the start`);
  const timers = (gauges: Gauges) => gauges.resources['Timeout'] ?? 0;
  if (timers(end) > timers(start)) leaks.push(`${timers(end)} timers, ${timers(start)} at the start`);
  const growth = end.heapUsed - start.heapUsed;
  if (growth > heapGrowthBytes) leaks.push(`the heap has grown by ${(growth / 2 ** 20).toFixed(1)} MB`);
  return leaks;
}
