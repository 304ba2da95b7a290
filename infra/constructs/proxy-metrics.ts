/** The metrics of RDS Proxy that a pool's users look at (Amazon RDS User Guide, "Monitoring RDS Proxy metrics with Amazon CloudWatch"). */
import { Duration } from 'aws-cdk-lib';
import { Metric, Stats } from 'aws-cdk-lib/aws-cloudwatch';

/** A proxy has a value of each of its nodes every minute, so that the sum over one minute is the number, and over five is five times it. */
const period = Duration.minutes(1);

/** Names of the metrics, each with the statistic that the guide recommends for it. */
const statistics: Readonly<Record<ProxyMetricName, string>> = {
  ClientConnections: Stats.SUM,
  DatabaseConnections: Stats.SUM,
  DatabaseConnectionsCurrentlyBorrowed: Stats.SUM,
  DatabaseConnectionsCurrentlySessionPinned: Stats.SUM,
  MaxDatabaseConnectionsAllowed: Stats.SUM,
  /** In microseconds. */
  DatabaseConnectionsBorrowLatency: Stats.AVERAGE,
  /** In microseconds. */
  QueryDatabaseResponseLatency: Stats.AVERAGE,
};

/** Names a metric of RDS Proxy. */
export type ProxyMetricName =
  | 'ClientConnections'
  | 'DatabaseConnections'
  | 'DatabaseConnectionsCurrentlyBorrowed'
  | 'DatabaseConnectionsCurrentlySessionPinned'
  | 'MaxDatabaseConnectionsAllowed'
  | 'DatabaseConnectionsBorrowLatency'
  | 'QueryDatabaseResponseLatency';

/** A metric of one proxy, all its endpoints together. */
export function proxyMetric(proxyName: string, metricName: ProxyMetricName): Metric {
  return new Metric({
    namespace: 'AWS/RDS',
    metricName,
    dimensionsMap: { ProxyName: proxyName },
    statistic: statistics[metricName],
    label: metricName,
    period,
  });
}
