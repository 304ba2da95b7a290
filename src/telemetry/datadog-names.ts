/** What each metric is called in Datadog. The documentation is checked against it. */

import type { MetricName } from './metric-names.ts';

/** A metric of Datadog. */
export interface DatadogMetric {
  readonly name: string;
  /** What it is told apart by. */
  readonly tag?: string;
}

/** Every metric of CloudWatch's but the first line's, which Datadog's own cold starts stand for. Times are milliseconds. */
export const datadogNames: Readonly<Record<Exclude<MetricName, 'ColdStarts'>, DatadogMetric>> = {
  AcquireCount: { name: 'thawpool.acquire.count' },
  AcquireWaitTime: { name: 'thawpool.acquire.wait_time' },
  AcquireFailures: { name: 'thawpool.acquire.failures' },
  AcquireTimeouts: { name: 'thawpool.acquire.timeouts' },

  ConnectCount: { name: 'thawpool.connect.count' },
  ConnectTime: { name: 'thawpool.connect.time' },
  ConnectFailures: { name: 'thawpool.connect.failures' },
  Retries: { name: 'thawpool.retries' },
  Fallbacks: { name: 'thawpool.fallbacks' },
  CredentialsRenewed: { name: 'thawpool.credentials_renewed' },

  FrozenTime: { name: 'thawpool.frozen_time' },
  PingCount: { name: 'thawpool.validate.count' },
  PingTime: { name: 'thawpool.validate.time' },
  FailedProofsOfLife: { name: 'thawpool.validate.failures' },

  EvictedExpired: { name: 'thawpool.evictions', tag: 'reason:expired' },
  EvictedIdle: { name: 'thawpool.evictions', tag: 'reason:idle' },
  EvictedBroken: { name: 'thawpool.evictions', tag: 'reason:broken' },
  EvictedInvalid: { name: 'thawpool.evictions', tag: 'reason:invalid' },
  EvictedStaleCredentials: { name: 'thawpool.evictions', tag: 'reason:stale-credentials' },
  EvictedSurplus: { name: 'thawpool.evictions', tag: 'reason:surplus' },
  EvictedClosed: { name: 'thawpool.evictions', tag: 'reason:closed' },

  LeaksReclaimed: { name: 'thawpool.leaks_reclaimed' },
  Pins: { name: 'thawpool.pins' },

  ConnectionsOpen: { name: 'thawpool.connections.open' },
  ConnectionsIdle: { name: 'thawpool.connections.idle' },
  ConnectionsLeased: { name: 'thawpool.connections.leased' },
  ConnectionsWaiting: { name: 'thawpool.connections.waiting' },
};

/** The most connections there may be: `max`. */
export const limitName = 'thawpool.connections.max';
