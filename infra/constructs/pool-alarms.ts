/** The alarms of `PoolDashboard`: what each looks at, and what to do when it goes off. They need no state but their metrics. */
import { Duration } from 'aws-cdk-lib';
import { ComparisonOperator, type CreateAlarmOptions, type IMetric, MathExpression } from 'aws-cdk-lib/aws-cloudwatch';
import { proxyMetric } from './proxy-metrics.ts';

/** One alarm, before it is one. */
export interface PoolAlarm {
  readonly id: string;
  readonly metric: IMetric & { createAlarm: MathExpression['createAlarm'] };
  readonly options: CreateAlarmOptions;
}

const everyFive = Duration.minutes(5);
/** Fewer proofs of life than this in a quarter of an hour say nothing about a rate. */
const fewProofs = 20;
const above = ComparisonOperator.GREATER_THAN_THRESHOLD;

/** Somebody waited for a connection until the time was up. */
export function timeoutsAlarm(name: string, timeouts: readonly IMetric[]): PoolAlarm {
  return {
    id: `${name}AcquireTimeouts`,
    metric: total('acquire timeouts', 'timeouts', timeouts, everyFive),
    options: {
      threshold: 0,
      comparisonOperator: above,
      evaluationPeriods: 1,
      alarmDescription:
        `${name}: an invocation got no connection in time (ERR_POOL_ACQUIRE_TIMEOUT). Look whether statements have become ` +
        'slow, whether connections are held too long, and whether the server is full; then raise THAWPOOL_MAX or ' +
        'THAWPOOL_ACQUIRE_TIMEOUT_MS.',
    },
  };
}

/** Connections do not survive the time between two invocations. */
export function proofsAlarm(
  name: string,
  failed: readonly IMetric[],
  asked: readonly IMetric[],
  percent: number,
): PoolAlarm {
  const period = Duration.minutes(15);
  const usingMetrics = {
    failed: total('failed', 'failed', failed, period),
    asked: total('asked', 'asked', asked, period),
  };
  return {
    id: `${name}FailedProofsOfLife`,
    metric: new MathExpression({
      expression: `IF(asked >= ${fewProofs}, 100 * failed / asked, 0)`,
      usingMetrics,
      label: 'failed proofs of life (%)',
      period,
    }),
    options: {
      threshold: percent,
      comparisonOperator: above,
      evaluationPeriods: 1,
      alarmDescription:
        `${name}: more than ${percent} % of its connections were dead after a freeze. No invocation has failed for it, but each ` +
        'pays for a new connection. Look for what ends them: a failover, idle_session_timeout, a NAT gateway that forgets ' +
        'flows after 350 s; lower THAWPOOL_IDLE_TIMEOUT_MS below that.',
    },
  };
}

/** The server, or the proxy's share of it, is nearly used up. */
export function fullAlarm(name: string, used: MathExpression, percent: number): PoolAlarm {
  return {
    id: `${name}Full`,
    metric: used,
    options: {
      threshold: percent,
      comparisonOperator: ComparisonOperator.GREATER_THAN_OR_EQUAL_TO_THRESHOLD,
      // Three minutes out of five: a deployment has old and new sandboxes side by side for a moment.
      evaluationPeriods: 5,
      datapointsToAlarm: 3,
      alarmDescription:
        `${name}: ${percent} % of the connections are used. At 100 % connecting fails (53300), or waits at a proxy. Lower ` +
        'THAWPOOL_MAX or the reserved concurrency of the functions, put a proxy between, or raise max_connections.',
    },
  };
}

/** Connections of the proxy are shared with nobody. */
export function pinnedAlarm(proxyName: string): PoolAlarm {
  return {
    id: 'ProxyPinnedSessions',
    metric: proxyMetric(proxyName, 'DatabaseConnectionsCurrentlySessionPinned'),
    options: {
      threshold: 0,
      comparisonOperator: above,
      evaluationPeriods: 5,
      alarmDescription:
        'Sessions have been pinned for five minutes: the proxy cannot share their connections. Find the statement with ' +
        "THAWPOOL_PINNING=warn or in the proxy's log (SET, session advisory locks, temporary tables, PREPARE), and set for " +
        'the role what was set in the session.',
    },
  };
}

/** Whoever asks the proxy for a connection to the server waits. */
export function borrowAlarm(proxyName: string, millis: number): PoolAlarm {
  return {
    id: 'ProxyBorrowLatency',
    metric: proxyMetric(proxyName, 'DatabaseConnectionsBorrowLatency'),
    options: {
      // The metric is in microseconds.
      threshold: millis * 1000,
      comparisonOperator: above,
      evaluationPeriods: 5,
      datapointsToAlarm: 3,
      alarmDescription:
        `The proxy needs more than ${millis} ms to find a connection to the server: all are busy. Look for long transactions ` +
        'and pinned sessions, then raise MaxConnectionsPercent, or the size of the server.',
    },
  };
}

/** Adds metrics up; where there is but one, it is the sum. An alarm knows them by `prefix` and a number. */
function total(label: string, prefix: string, metrics: readonly IMetric[], period: Duration): MathExpression {
  const usingMetrics = Object.fromEntries(metrics.map((metric, index) => [`${prefix}${index}`, metric]));
  return new MathExpression({ expression: Object.keys(usingMetrics).join(' + '), usingMetrics, label, period });
}
