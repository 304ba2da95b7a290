/** Shows what pools do, in order of the questions that people have, and says so when something is wrong. */
import { Annotations, Duration, Stack } from 'aws-cdk-lib';
import * as cloudwatch from 'aws-cdk-lib/aws-cloudwatch';
import { SnsAction } from 'aws-cdk-lib/aws-cloudwatch-actions';
import * as lambda from 'aws-cdk-lib/aws-lambda';
import type * as rds from 'aws-cdk-lib/aws-rds';
import type * as sns from 'aws-cdk-lib/aws-sns';
import { Construct } from 'constructs';
import { defaultNamespace, type MetricName, metrics, metricsSwitch } from '../../src/telemetry/metric-names.ts';
import { borrowAlarm, fullAlarm, type PoolAlarm, pinnedAlarm, proofsAlarm, timeoutsAlarm } from './pool-alarms.ts';
import { type ProxyMetricName, proxyMetric } from './proxy-metrics.ts';
import { nameAmong } from './resources.ts';

/** Says whose pools {@link PoolDashboard} shows. */
export interface PoolDashboardProps {
  /** The functions. Each must write metrics: THAWPOOL_METRICS=emf. */
  readonly functions: readonly lambda.IFunction[];

  /**
   * The names of their pools. A pool with a reader has a second one, whose name ends in `:reader`.
   *
   * @default ['default']
   */
  readonly poolNames?: readonly string[];

  /**
   * The namespace of their metrics (THAWPOOL_METRICS_NAMESPACE).
   *
   * @default 'thawpool'
   */
  readonly namespace?: string;

  /**
   * The proxy between them and the server.
   *
   * @default - none
   */
  readonly proxy?: rds.DatabaseProxy | { readonly proxy: rds.DatabaseProxy };

  /**
   * The server, whose connections are counted.
   *
   * @default - not shown
   */
  readonly database?: rds.IDatabaseCluster | rds.IDatabaseInstance;

  /**
   * The server's `max_connections`, for the line and the alarm of `database`.
   *
   * @default - neither
   */
  readonly maxConnections?: number;

  /**
   * Hears of alarms and of their end.
   *
   * @default - nobody
   */
  readonly alarmTopic?: sns.ITopic;

  /**
   * The dashboard's name.
   *
   * @default - made by CloudFormation
   */
  readonly dashboardName?: string;

  /**
   * Percent of the connections, at the server or of the proxy, at which there is an alarm.
   *
   * @default 80
   */
  readonly fullPercent?: number;

  /**
   * Percent of failed proofs of life above which there is an alarm.
   *
   * @default 25: now and then a connection dies in the freeze; one in four is somebody's doing
   */
  readonly failedProofsPercent?: number;

  /**
   * Time for borrowing a connection at the proxy above which there is an alarm.
   *
   * @default Duration.millis(100), when a query that takes a millisecond takes a hundred
   */
  readonly borrowLatency?: Duration;
}

/** Makes a CloudWatch dashboard of pools and the alarms that go with it. Missing data never sets off an alarm. */
export class PoolDashboard extends Construct {
  readonly dashboard: cloudwatch.Dashboard;
  readonly alarms: readonly cloudwatch.Alarm[];
  readonly #props: PoolDashboardProps;

  constructor(scope: Construct, id: string, props: PoolDashboardProps) {
    super(scope, id);
    this.#props = props;
    if (props.functions.length === 0)
      throw new Error(`${this.node.path}: name at least one function whose pools to show.`);
    const action = props.alarmTopic && new SnsAction(props.alarmTopic);
    this.alarms = this.#alarms().map(({ id: name, metric, options }) => {
      const alarm = metric.createAlarm(this, name, {
        ...options,
        treatMissingData: cloudwatch.TreatMissingData.NOT_BREACHING,
      });
      if (action) {
        alarm.addAlarmAction(action);
        alarm.addOkAction(action);
      }
      return alarm;
    });
    this.dashboard = new cloudwatch.Dashboard(this, 'Dashboard', {
      ...(props.dashboardName !== undefined && { dashboardName: props.dashboardName }),
      defaultInterval: Duration.hours(3),
    });
    for (const row of this.#rows()) this.dashboard.addWidgets(...row);
    this.node.addValidation({ validate: () => this.#warnSilent() });
  }

  get #proxyName(): string | undefined {
    const { proxy } = this.#props;
    if (proxy === undefined) return undefined;
    return ('proxy' in proxy ? proxy.proxy : proxy).dbProxyName;
  }

  #alarms(): PoolAlarm[] {
    const { functions, fullPercent = 80, failedProofsPercent = 25, borrowLatency = Duration.millis(100) } = this.#props;
    const ofFunctions = functions.flatMap((fn) => [
      timeoutsAlarm(nameAmong(fn, this.#props.functions), this.#metricsOf(fn, 'AcquireTimeouts', 'Sum')),
      proofsAlarm(
        nameAmong(fn, this.#props.functions),
        this.#metricsOf(fn, 'FailedProofsOfLife', 'Sum'),
        this.#metricsOf(fn, 'PingCount', 'Sum'),
        failedProofsPercent,
      ),
    ]);
    const server = this.#usedOfServer();
    const proxyName = this.#proxyName;
    return [
      ...ofFunctions,
      ...(server === undefined ? [] : [fullAlarm('Server', server, fullPercent)]),
      ...(proxyName === undefined
        ? []
        : [
            fullAlarm('Proxy', usedOfProxy(proxyName), fullPercent),
            pinnedAlarm(proxyName),
            borrowAlarm(proxyName, borrowLatency.toMilliseconds()),
          ]),
    ];
  }

  /** One metric of one function, of each of its pools. */
  #metricsOf(fn: lambda.IFunction, metricName: MetricName, statistic: string): cloudwatch.Metric[] {
    const { namespace = defaultNamespace, poolNames = ['default'] } = this.#props;
    return poolNames.map((PoolName) => {
      const pool = poolNames.length > 1 ? ` ${PoolName}` : '';
      return new cloudwatch.Metric({
        namespace,
        metricName,
        statistic,
        dimensionsMap: { FunctionName: fn.functionName, PoolName },
        label: `${nameAmong(fn, this.#props.functions)}${pool} ${metricName} ${statistic}`,
        period: Duration.minutes(5),
      });
    });
  }

  #graph(title: string, ...shown: readonly (readonly [MetricName, string])[]): cloudwatch.IWidget {
    const left = shown.flatMap(([name, statistic]) =>
      this.#props.functions.flatMap((fn) => this.#metricsOf(fn, name, statistic)),
    );
    const label = shown.every(([name]) => metrics[name].unit === 'Milliseconds') ? 'ms' : 'count';
    return graph(title, label, left);
  }

  #rows(): cloudwatch.IWidget[][] {
    return [
      [
        text(
          'Is somebody waiting?',
          'Waiting times that grow with load: raise THAWPOOL_MAX, or release connections sooner. Timeouts: see ERR_POOL_ACQUIRE_TIMEOUT; the error has the numbers of the moment.',
        ),
      ],
      [
        this.#graph('Waiting for a connection', ['AcquireWaitTime', 'p50'], ['AcquireWaitTime', 'p99']),
        this.#graph('Waiting at the same time', ['ConnectionsWaiting', 'Maximum']),
        this.#graph('Got none', ['AcquireTimeouts', 'Sum'], ['AcquireFailures', 'Sum']),
      ],
      [
        text(
          'Is a connection dying?',
          'Proofs that fail now and then are what they are for. Broken in use: look at the server’s log, failovers and timeouts. Not made: the error names the host and what it said.',
        ),
      ],
      [
        this.#graph('Dead after a freeze', ['FailedProofsOfLife', 'Sum'], ['EvictedInvalid', 'Sum']),
        this.#graph('Broken in use, or kept too long', ['EvictedBroken', 'Sum'], ['LeaksReclaimed', 'Sum']),
        this.#graph('Could not be made', ['ConnectFailures', 'Sum'], ['Retries', 'Sum'], ['Fallbacks', 'Sum']),
      ],
      [
        text(
          'What does the freeze cost?',
          'The proof of life is a round trip, a new connection several. Many new connections after long freezes: raise THAWPOOL_IDLE_TIMEOUT_MS, if the network keeps flows that long.',
        ),
      ],
      [
        this.#graph('Time between two invocations', ['FrozenTime', 'p50'], ['FrozenTime', 'p99']),
        this.#graph('Proof of life', ['PingTime', 'p50'], ['PingTime', 'p99']),
        this.#graph('Making a connection', ['ConnectTime', 'p50'], ['ConnectTime', 'p99']),
        this.#graph('How many were made', ['ConnectCount', 'Sum'], ['ColdStarts', 'Sum']),
      ],
      [
        text(
          'Is the server full?',
          'Near the line: lower THAWPOOL_MAX or the reserved concurrency, or put a proxy between. Behind a proxy look for pinned sessions first: they take a connection each.',
        ),
      ],
      [
        this.#graph('Connections of one sandbox', ['ConnectionsOpen', 'Maximum'], ['ConnectionsLeased', 'Maximum']),
        ...this.#serverGraph(),
      ],
      ...this.#proxyRows(),
    ];
  }

  #serverGraph(): cloudwatch.IWidget[] {
    const { maxConnections } = this.#props;
    const metric = this.#serverMetric();
    if (metric === undefined) return [];
    const line = maxConnections === undefined ? [] : [{ value: maxConnections, label: 'max_connections' }];
    return [graph('Connections at the server', 'count', [metric], line)];
  }

  #serverMetric(): cloudwatch.Metric | undefined {
    // The fullest instance: a cluster's metric has a value of each.
    return this.#props.database?.metricDatabaseConnections({
      statistic: 'Maximum',
      period: Duration.minutes(1),
      label: 'connections',
    });
  }

  #usedOfServer(): cloudwatch.MathExpression | undefined {
    const { maxConnections } = this.#props;
    const metric = this.#serverMetric();
    if (metric === undefined || maxConnections === undefined) return undefined;
    return percentOf('connections of the server (%)', { used: metric }, String(maxConnections));
  }

  #proxyRows(): cloudwatch.IWidget[][] {
    const name = this.#proxyName;
    if (name === undefined) return [];
    const shown = (...names: ProxyMetricName[]) => names.map((metric) => proxyMetric(name, metric));
    return [
      [
        graph(
          'Proxy: connections',
          'count',
          shown(
            'ClientConnections',
            'DatabaseConnections',
            'DatabaseConnectionsCurrentlyBorrowed',
            'MaxDatabaseConnectionsAllowed',
          ),
        ),
        graph('Proxy: pinned sessions', 'count', [
          ...shown('DatabaseConnectionsCurrentlySessionPinned'),
          ...this.#props.functions.flatMap((fn) => this.#metricsOf(fn, 'Pins', 'Sum')),
        ]),
        graph(
          'Proxy: time to borrow, and of the database',
          'µs',
          shown('DatabaseConnectionsBorrowLatency', 'QueryDatabaseResponseLatency'),
        ),
      ],
    ];
  }

  /** A dashboard of functions that write no metrics stays empty. */
  #warnSilent(): string[] {
    for (const fn of this.#props.functions) {
      const { defaultChild } = fn.node;
      if (!(defaultChild instanceof lambda.CfnFunction)) continue;
      const env = Stack.of(fn).resolve(defaultChild.environment) as { variables?: Record<string, unknown> } | undefined;
      if (env?.variables?.[metricsSwitch.name] === metricsSwitch.value) continue;
      Annotations.of(fn).addWarningV2(
        'thawpool:poolDashboardMetrics',
        `${nameAmong(fn, this.#props.functions)} is on a PoolDashboard, but its environment does not switch metrics on: set ${metricsSwitch.name}=${metricsSwitch.value}. ` +
          'Where its code does, acknowledge this warning.',
      );
    }
    return [];
  }
}

function usedOfProxy(name: string): cloudwatch.MathExpression {
  const [used, allowed] = [
    proxyMetric(name, 'DatabaseConnections'),
    proxyMetric(name, 'MaxDatabaseConnectionsAllowed'),
  ];
  return percentOf('connections of the proxy (%)', { used, allowed }, 'allowed');
}

function percentOf(
  label: string,
  usingMetrics: Record<string, cloudwatch.IMetric>,
  whole: string,
): cloudwatch.MathExpression {
  return new cloudwatch.MathExpression({
    expression: `100 * used / ${whole}`,
    usingMetrics,
    label,
    period: Duration.minutes(1),
  });
}

function text(title: string, whatToDo: string): cloudwatch.IWidget {
  return new cloudwatch.TextWidget({ markdown: `## ${title}\n\n${whatToDo}`, width: 24, height: 2 });
}

function graph(
  title: string,
  label: string,
  left: cloudwatch.IMetric[],
  leftAnnotations: cloudwatch.HorizontalAnnotation[] = [],
): cloudwatch.IWidget {
  return new cloudwatch.GraphWidget({
    title,
    left,
    leftAnnotations,
    leftYAxis: { min: 0, label, showUnits: false },
    width: 6,
    height: 6,
  });
}
