/** What each metric tells, in the words of the documentation. Kept apart from the table, so that no bundle has to carry it. */

import type { MetricName } from './metric-names.ts';

/** Explains each metric, in one phrase. */
export const metricDescriptions: Readonly<Record<MetricName, string>> = {
  AcquireCount: 'Connections handed out',
  AcquireWaitTime: 'How long whoever got a connection had waited for it; 0 for an idle one that needed no proof',
  AcquireFailures: 'Acquires that ended without a connection, whatever the reason',
  AcquireTimeouts: 'Those among them whose time was up',
  ConnectCount: 'Connections made',
  ConnectTime: 'How long it took to make one: DNS, TCP, TLS and authentication, with the attempts that it needed',
  ConnectFailures: 'Connections that could not be made, all attempts together',
  Retries: 'Attempts to connect, statements and transactions that were made again',
  Fallbacks: 'Hosts that did not answer, so that another one was gone to',
  CredentialsRenewed: 'Credentials that the server refused and that were replaced by fresh ones',
  FrozenTime: 'Time between the last invocation and this one, in which the process may have been frozen',
  PingCount: 'Proofs of life that were asked for and have ended, well or badly',
  PingTime: 'How long a proof of life took that was answered',
  FailedProofsOfLife: 'Those among them that failed: the connection was dead, and was replaced',
  EvictedExpired: 'Connections closed because they were older than their lifetime',
  EvictedIdle: 'Connections closed because they had been idle for longer than `idleTimeoutMillis`',
  EvictedBroken: 'Connections closed because they had ended or broke, or were destroyed by their user',
  EvictedInvalid: 'Connections closed because a proof of life or a reset failed, or the server is no writer',
  EvictedStaleCredentials: 'Connections closed because their credentials have been replaced',
  EvictedSurplus: 'Connections closed at the end of an invocation because there were more than `maxIdle`',
  EvictedClosed: 'Connections closed with the pool',
  LeaksReclaimed: 'Connections that an invocation had not released, and that were taken back',
  Pins: 'Statements that keep a pooler from sharing the connection',
  ConnectionsOpen: 'The most connections there were at one time, with those being made or closed',
  ConnectionsIdle: 'Connections that stay open when the invocation is over',
  ConnectionsLeased: 'The most connections that were in use at one time',
  ConnectionsWaiting: 'The most acquires that waited at one time, be it for a connection that was being made',
  ColdStarts: '1 in the first line of a process',
};
