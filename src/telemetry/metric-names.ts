/**
 * Every metric that thawpool writes, in one table: the writer, the documentation and the infrastructure code all take it
 * from here. This file imports nothing, so that anything may import it.
 */

/** Names a metric, as CloudWatch has it. */
export type MetricName =
  | 'AcquireCount'
  | 'AcquireWaitTime'
  | 'AcquireFailures'
  | 'AcquireTimeouts'
  | 'ConnectCount'
  | 'ConnectTime'
  | 'ConnectFailures'
  | 'Retries'
  | 'Fallbacks'
  | 'CredentialsRenewed'
  | 'FrozenTime'
  | 'PingCount'
  | 'PingTime'
  | 'FailedProofsOfLife'
  | 'EvictedExpired'
  | 'EvictedIdle'
  | 'EvictedBroken'
  | 'EvictedInvalid'
  | 'EvictedStaleCredentials'
  | 'EvictedSurplus'
  | 'EvictedClosed'
  | 'LeaksReclaimed'
  | 'Pins'
  | 'ConnectionsOpen'
  | 'ConnectionsIdle'
  | 'ConnectionsLeased'
  | 'ConnectionsWaiting'
  | 'ColdStarts';

/** States the facts of one metric. */
export interface MetricFacts {
  /** One of CloudWatch's own units. */
  readonly unit: 'Count' | 'Milliseconds';
  /** A `count` is the sum over a line; a `time` brings a value for each event; a `gauge` is one number for the line. */
  readonly kind: 'count' | 'time' | 'gauge';
}

const count: MetricFacts = { unit: 'Count', kind: 'count' };
const time: MetricFacts = { unit: 'Milliseconds', kind: 'time' };
const gauge: MetricFacts = { unit: 'Count', kind: 'gauge' };

/** Lists every metric, in the order of the documentation; `metric-descriptions.ts` explains them. */
export const metrics: Readonly<Record<MetricName, MetricFacts>> = {
  AcquireCount: count,
  AcquireWaitTime: time,
  AcquireFailures: count,
  AcquireTimeouts: count,

  ConnectCount: count,
  ConnectTime: time,
  ConnectFailures: count,
  Retries: count,
  Fallbacks: count,
  CredentialsRenewed: count,

  FrozenTime: time,
  PingCount: count,
  PingTime: time,
  FailedProofsOfLife: count,

  EvictedExpired: count,
  EvictedIdle: count,
  EvictedBroken: count,
  EvictedInvalid: count,
  EvictedStaleCredentials: count,
  EvictedSurplus: count,
  EvictedClosed: count,

  LeaksReclaimed: count,
  Pins: count,

  ConnectionsOpen: gauge,
  ConnectionsIdle: gauge,
  ConnectionsLeased: gauge,
  ConnectionsWaiting: gauge,

  ColdStarts: count,
};

/** CloudWatch's limit of a namespace (CloudWatch API reference, PutMetricData): 1 to 255 of these characters. */
export const namespacePattern: RegExp = /^(?!AWS\/)[\w.\-/#: ]{1,255}$/;

/** Where the metrics are found in CloudWatch unless told otherwise. */
export const defaultNamespace = 'thawpool';

/** What each metric is told apart by: as many as there are functions × pools, and nothing that grows with time. */
export const dimensions: readonly (readonly string[])[] = [['FunctionName', 'PoolName']];

/** The environment variable that switches the metrics on, and its word for that. */
export const metricsSwitch: { readonly name: string; readonly value: string } = {
  name: 'THAWPOOL_METRICS',
  value: 'emf',
};
