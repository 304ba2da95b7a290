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
  /** Says what it counts. */
  readonly doc: string;
}

const count = (doc: string): MetricFacts => ({ unit: 'Count', kind: 'count', doc });
const time = (doc: string): MetricFacts => ({ unit: 'Milliseconds', kind: 'time', doc });
const gauge = (doc: string): MetricFacts => ({ unit: 'Count', kind: 'gauge', doc });

/** Lists every metric, in the order of the documentation. */
export const metrics: Readonly<Record<MetricName, MetricFacts>> = {
  AcquireCount: count('Connections handed out'),
  AcquireWaitTime: time('How long whoever got a connection had waited for it; 0 for an idle one that needed no proof'),
  AcquireFailures: count('Acquires that ended without a connection, whatever the reason'),
  AcquireTimeouts: count('Those among them whose time was up'),

  ConnectCount: count('Connections made'),
  ConnectTime: time('How long it took to make one: DNS, TCP, TLS and authentication, with the attempts that it needed'),
  ConnectFailures: count('Connections that could not be made, all attempts together'),
  Retries: count('Attempts to connect, statements and transactions that were made again'),
  Fallbacks: count('Hosts that did not answer, so that another one was gone to'),
  CredentialsRenewed: count('Credentials that the server refused and that were replaced by fresh ones'),

  FrozenTime: time('Time between the last invocation and this one, in which the process may have been frozen'),
  PingCount: count('Proofs of life that were asked for and have ended, well or badly'),
  PingTime: time('How long a proof of life took that was answered'),
  FailedProofsOfLife: count('Connections that did not survive a freeze or an idle time, and were replaced'),

  EvictedExpired: count('Connections closed because they were older than their lifetime'),
  EvictedIdle: count('Connections closed because they had been idle for longer than `idleTimeoutMillis`'),
  EvictedBroken: count('Connections closed because they broke, or were destroyed by their user'),
  EvictedInvalid: count('Connections closed because a proof of life or a reset failed, or the server is no writer'),
  EvictedStaleCredentials: count('Connections closed because their credentials have been replaced'),
  EvictedSurplus: count('Connections closed at the end of an invocation because there were more than `maxIdle`'),
  EvictedClosed: count('Connections closed with the pool'),

  LeaksReclaimed: count('Connections that an invocation had not released, and that were taken back'),
  Pins: count('Statements that keep a pooler from sharing the connection'),

  ConnectionsOpen: gauge('The most connections there were at one time, with those being made or closed'),
  ConnectionsIdle: gauge('Connections that stay open when the invocation is over'),
  ConnectionsLeased: gauge('The most connections that were in use at one time'),
  ConnectionsWaiting: gauge('The most acquires that waited at one time'),

  ColdStarts: count('1 in the first line of a process, else missing'),
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
