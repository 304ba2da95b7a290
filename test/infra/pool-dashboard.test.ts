// PoolDashboard: its widgets, its alarms, and that no metric in it is one that nobody writes.
import { Annotations, Duration } from 'aws-cdk-lib';
import { Template } from 'aws-cdk-lib/assertions';
import * as lambda from 'aws-cdk-lib/aws-lambda';
import * as sns from 'aws-cdk-lib/aws-sns';
import { Construct } from 'constructs';
import { describe, expect, test } from 'vitest';
import { PoolDashboard, type PoolDashboardProps } from '../../infra/constructs/index.ts';
import { dimensions, metrics } from '../../src/telemetry/metric-names.ts';
import { idOf, makeCluster, makeFunction, makeSecret, makeStack, warnings } from './support/app.ts';

const emf = { environment: { THAWPOOL_METRICS: 'emf' } };

function withDashboard(given: (all: ReturnType<typeof parts>) => Partial<PoolDashboardProps> = () => ({})) {
  const all = parts();
  const dashboard = new PoolDashboard(all.stack, 'Pools', { functions: [all.create, all.get], ...given(all) });
  return { ...all, dashboard };
}

function parts() {
  const { app, stack, vpc } = makeStack();
  const fn = (id: string) => makeFunction(stack, undefined, emf, id);
  return { app, stack, vpc, create: fn('CreateOrder'), get: fn('GetOrder') };
}

function withProxy() {
  return withDashboard(({ stack, vpc }) => {
    const database = makeCluster(stack, vpc);
    const proxy = database.addProxy('Proxy', { vpc, secrets: database.secret ? [database.secret] : [] });
    return { proxy, database, maxConnections: 400 };
  });
}

interface Shown {
  readonly namespace: string;
  readonly name: string;
  readonly dimensions: Readonly<Record<string, string>>;
}

interface Widget {
  readonly type: string;
  readonly properties: {
    readonly title?: string;
    readonly markdown?: string;
    readonly metrics?: unknown[][];
    readonly annotations?: { readonly horizontal?: unknown[] };
    readonly yAxis?: {
      readonly left?: { readonly label?: string; readonly min?: number; readonly showUnits?: boolean };
    };
  };
}

interface Body {
  readonly DashboardBody: string | { readonly 'Fn::Join': [string, unknown[]] };
}

/** The dashboard as CloudWatch gets it, with logical ids for references. */
function widgetsOf(template: Template): Widget[] {
  const [found] = Object.values(template.findResources('AWS::CloudWatch::Dashboard'));
  const body = (found?.['Properties'] as Body | undefined)?.DashboardBody ?? '';
  const text =
    typeof body === 'string'
      ? body
      : body['Fn::Join'][1]
          .map((part) => (typeof part === 'string' ? part : `<${Object.values(part as object).flat()[0]}>`))
          .join('');
  return (JSON.parse(text) as { widgets: Widget[] }).widgets;
}

const shown = (widgets: readonly Widget[]): Shown[] =>
  widgets.flatMap(({ properties }) =>
    (properties.metrics ?? []).map((line) => {
      const texts = line.filter((part): part is string => typeof part === 'string');
      const [namespace = '', name = '', ...rest] = texts;
      const pairs = rest.flatMap((key, index) => (index % 2 === 0 ? [[key, rest[index + 1] ?? '']] : []));
      return { namespace, name, dimensions: Object.fromEntries(pairs) as Record<string, string> };
    }),
  );

/** How each line of a graph is made: `metric statistic period`, for one function. */
const lines = ({ properties }: Widget): string[] => {
  const all = (properties.metrics ?? []).map((line) => {
    const { stat, period } = line.at(-1) as { stat?: string; period?: number };
    return `${String(line[1])} ${stat ?? 'Average'} ${period ?? 300}`;
  });
  return [...new Set(all)];
};

const linesAcross = (template: Template) =>
  widgetsOf(template).flatMap(({ properties }) => properties.annotations?.horizontal ?? []);

interface Alarm {
  readonly AlarmDescription: string;
  readonly Threshold: number;
  readonly TreatMissingData: string;
  readonly ComparisonOperator: string;
  readonly EvaluationPeriods: number;
  readonly AlarmActions?: unknown[];
  readonly OKActions?: unknown[];
  readonly Metrics?: readonly {
    readonly Expression?: string;
    readonly Id: string;
    readonly MetricStat?: {
      readonly Metric: { readonly MetricName: string; readonly Namespace: string; readonly Dimensions: unknown };
      readonly Stat: string;
      readonly Period: number;
    };
  }[];
}

const alarmsOf = (template: Template): Readonly<Record<string, Alarm>> =>
  Object.fromEntries(
    Object.entries(template.findResources('AWS::CloudWatch::Alarm')).map(([id, { Properties }]) => [
      id.replace(/^Pools|[0-9A-F]{8}$/g, ''),
      Properties as Alarm,
    ]),
  );

describe('the dashboard', () => {
  test('asks four questions, each with what to do, and answers every one', () => {
    const { stack } = withProxy();
    const widgets = widgetsOf(Template.fromStack(stack));
    const headings = widgets.flatMap(({ properties: { markdown } }) => (markdown === undefined ? [] : [markdown]));
    expect(headings.map((text) => text.split('\n')[0])).toEqual([
      '## Is somebody waiting?',
      '## Is a connection dying?',
      '## What does the freeze cost?',
      '## Is the server full?',
    ]);
    for (const text of headings) expect(text.split('\n\n')[1]?.length ?? 0).toBeGreaterThan(60);
    const graphs = widgets.filter(({ type }) => type === 'metric');
    for (const { properties } of graphs) {
      expect(properties.title).toMatch(/\w/);
      expect(properties.metrics?.length, properties.title).toBeGreaterThan(0);
    }
    expect(new Set(graphs.map(({ properties }) => properties.title)).size).toBe(graphs.length);
  });

  test('shows metrics that the pool writes, by the dimensions that it writes, of each function', () => {
    const { stack, create, get } = withProxy();
    const own = shown(widgetsOf(Template.fromStack(stack))).filter(({ namespace }) => namespace === 'thawpool');
    expect(own.length).toBeGreaterThan(0);
    for (const one of own) {
      expect(Object.keys(metrics)).toContain(one.name);
      expect(Object.keys(one.dimensions)).toEqual(dimensions[0]);
      expect(one.dimensions['PoolName']).toBe('default');
    }
    for (const fn of [create, get]) {
      expect(own.filter((one) => one.dimensions['FunctionName'] === `<${idOf(stack, fn)}>`)).toHaveLength(
        own.length / 2,
      );
    }
    const names = new Set(own.map(({ name }) => name));
    for (const name of [
      'AcquireWaitTime',
      'AcquireTimeouts',
      'FailedProofsOfLife',
      'FrozenTime',
      'PingTime',
      'ConnectionsOpen',
      'Pins',
    ]) {
      expect(names).toContain(name);
    }
  });

  test('answers each with these graphs, by these statistics', () => {
    const { stack } = withProxy();
    const graphs = widgetsOf(Template.fromStack(stack)).filter(({ type }) => type === 'metric');
    expect(graphs.map((graph) => [graph.properties.yAxis?.left?.label, ...lines(graph)])).toEqual([
      ['ms', 'AcquireWaitTime p50 300', 'AcquireWaitTime p99 300'],
      ['count', 'ConnectionsWaiting Maximum 300'],
      ['count', 'AcquireTimeouts Sum 300', 'AcquireFailures Sum 300'],
      ['count', 'FailedProofsOfLife Sum 300', 'EvictedInvalid Sum 300'],
      ['count', 'EvictedBroken Sum 300', 'LeaksReclaimed Sum 300'],
      ['count', 'ConnectFailures Sum 300', 'Retries Sum 300', 'Fallbacks Sum 300'],
      ['ms', 'FrozenTime p50 300', 'FrozenTime p99 300'],
      ['ms', 'PingTime p50 300', 'PingTime p99 300'],
      ['ms', 'ConnectTime p50 300', 'ConnectTime p99 300'],
      ['count', 'ConnectCount Sum 300', 'ColdStarts Sum 300'],
      ['count', 'ConnectionsOpen Maximum 300', 'ConnectionsLeased Maximum 300'],
      ['count', 'DatabaseConnections Maximum 60'],
      [
        'count',
        'ClientConnections Sum 60',
        'DatabaseConnections Sum 60',
        'DatabaseConnectionsCurrentlyBorrowed Sum 60',
        'MaxDatabaseConnectionsAllowed Sum 60',
      ],
      ['count', 'DatabaseConnectionsCurrentlySessionPinned Sum 60', 'Pins Sum 300'],
      ['µs', 'DatabaseConnectionsBorrowLatency Average 60', 'QueryDatabaseResponseLatency Average 60'],
    ]);
    for (const { properties } of graphs) expect(properties.yAxis?.left).toMatchObject({ min: 0, showUnits: false });
  });

  test('shows the last three hours at first', () => {
    const { stack } = withDashboard();
    expect(JSON.stringify(Template.fromStack(stack).findResources('AWS::CloudWatch::Dashboard'))).toContain(
      String.raw`\"start\":\"-PT3H\"`,
    );
  });

  test.each<[string[] | undefined, string[]]>([
    [undefined, ['CreateOrder Pins Sum', 'GetOrder Pins Sum']],
    [
      ['main', 'main:reader'],
      [
        'CreateOrder main Pins Sum',
        'CreateOrder main:reader Pins Sum',
        'GetOrder main Pins Sum',
        'GetOrder main:reader Pins Sum',
      ],
    ],
  ])('with the pools %s names each line by what it is of', (poolNames, labels) => {
    const { stack } = withDashboard(({ stack: scope, vpc }) => {
      const proxy = makeCluster(scope, vpc).addProxy('Proxy', { vpc, secrets: [makeSecret(scope)] });
      return { proxy, ...(poolNames && { poolNames }) };
    });
    const all = widgetsOf(Template.fromStack(stack)).flatMap(({ properties }) => properties.metrics ?? []);
    const ofPins = all.filter((line) => line.includes('Pins')).map((line) => line.at(-1));
    expect(ofPins).toEqual(labels.map((label) => expect.objectContaining({ label })));
  });

  test('takes functions of one name in several scopes', () => {
    const { stack } = withDashboard(({ stack: scope }) => ({
      functions: ['Create', 'Get'].map((id) => makeFunction(new Construct(scope, id), undefined, emf)),
    }));
    const template = Template.fromStack(stack);
    expect(Object.values(alarmsOf(template)).map(({ AlarmDescription }) => AlarmDescription.split(':')[0])).toEqual([
      'Test/Create/Function',
      'Test/Create/Function',
      'Test/Get/Function',
      'Test/Get/Function',
    ]);
    expect(JSON.stringify(widgetsOf(template))).toContain('"label":"Test/Get/Function ConnectCount Sum"');
  });

  test('takes the namespace and the pools that it is told', () => {
    const { stack } = withDashboard(() => ({ namespace: 'orders', poolNames: ['main', 'main:reader'] }));
    const all = shown(widgetsOf(Template.fromStack(stack)));
    expect(new Set(all.map(({ namespace }) => namespace))).toEqual(new Set(['orders']));
    expect(new Set(all.map((one) => one.dimensions['PoolName']))).toEqual(new Set(['main', 'main:reader']));
  });

  test('has the name that it is told, and a line where the server is full', () => {
    const { stack } = withDashboard(({ stack: scope, vpc }) => ({
      dashboardName: 'orders',
      database: makeCluster(scope, vpc),
      maxConnections: 400,
    }));
    const template = Template.fromStack(stack);
    template.hasResourceProperties('AWS::CloudWatch::Dashboard', { DashboardName: 'orders' });
    expect(linesAcross(template)).toEqual([expect.objectContaining({ value: 400, label: 'max_connections' })]);
    const { stack: unlimited } = withDashboard(({ stack: scope, vpc }) => ({ database: makeCluster(scope, vpc) }));
    expect(linesAcross(Template.fromStack(unlimited))).toEqual([]);
    const { stack: other } = withDashboard();
    expect(JSON.stringify(Template.fromStack(other).findResources('AWS::CloudWatch::Dashboard'))).not.toContain(
      'orders',
    );
  });

  test('shows the proxy by its name, and the server, where there are such', () => {
    const { stack } = withProxy();
    const all = shown(widgetsOf(Template.fromStack(stack))).filter(({ namespace }) => namespace === 'AWS/RDS');
    const ofProxy = all.filter((one) => 'ProxyName' in one.dimensions);
    expect(new Set(ofProxy.map(({ name }) => name))).toEqual(
      new Set([
        'ClientConnections',
        'DatabaseConnections',
        'DatabaseConnectionsCurrentlyBorrowed',
        'MaxDatabaseConnectionsAllowed',
        'DatabaseConnectionsCurrentlySessionPinned',
        'DatabaseConnectionsBorrowLatency',
        'QueryDatabaseResponseLatency',
      ]),
    );
    expect(all.filter((one) => 'DBClusterIdentifier' in one.dimensions).map(({ name }) => name)).toEqual([
      'DatabaseConnections',
    ]);
    const { stack: without } = withDashboard();
    expect(shown(widgetsOf(Template.fromStack(without))).filter(({ namespace }) => namespace === 'AWS/RDS')).toEqual(
      [],
    );
  });
});

describe('the alarms', () => {
  test('are those of each function, of the server and of the proxy', () => {
    const { stack, dashboard } = withProxy();
    const alarms = alarmsOf(Template.fromStack(stack));
    expect(Object.keys(alarms).toSorted()).toEqual([
      'CreateOrderAcquireTimeouts',
      'CreateOrderFailedProofsOfLife',
      'GetOrderAcquireTimeouts',
      'GetOrderFailedProofsOfLife',
      'ProxyBorrowLatency',
      'ProxyFull',
      'ProxyPinnedSessions',
      'ServerFull',
    ]);
    expect(dashboard.alarms).toHaveLength(8);
    const { stack: without } = withDashboard();
    expect(Object.keys(alarmsOf(Template.fromStack(without)))).toHaveLength(4);
  });

  test('say what to do, and are silent where there is no data', () => {
    const { stack } = withProxy();
    for (const [name, alarm] of Object.entries(alarmsOf(Template.fromStack(stack)))) {
      expect(alarm.TreatMissingData, name).toBe('notBreaching');
      expect(alarm.AlarmDescription.length, name).toBeGreaterThan(80);
      expect(alarm.AlarmDescription, name).toMatch(/Look|Lower|Find/);
    }
  });

  test('go off at the first acquire that timed out, in any pool', () => {
    const { stack, create } = withDashboard(() => ({ poolNames: ['default', 'default:reader'] }));
    const alarm = alarmsOf(Template.fromStack(stack))['CreateOrderAcquireTimeouts'];
    expect(alarm).toMatchObject({ Threshold: 0, ComparisonOperator: 'GreaterThanThreshold', EvaluationPeriods: 1 });
    expect(alarm?.Metrics?.map(({ Expression }) => Expression).filter(Boolean)).toEqual(['timeouts0 + timeouts1']);
    for (const { MetricStat } of alarm?.Metrics ?? []) {
      if (MetricStat) expect(MetricStat).toMatchObject({ Stat: 'Sum', Period: 300 });
    }
    expect(alarm?.Metrics?.flatMap(({ MetricStat }) => (MetricStat ? [MetricStat.Metric] : []))).toEqual(
      ['default', 'default:reader'].map((Value) => ({
        Namespace: 'thawpool',
        MetricName: 'AcquireTimeouts',
        Dimensions: [
          { Name: 'FunctionName', Value: { Ref: idOf(stack, create) } },
          { Name: 'PoolName', Value },
        ],
      })),
    );
  });

  test('go off when too many proofs of life fail, if there were enough of them', () => {
    const { stack } = withDashboard(() => ({ failedProofsPercent: 40 }));
    const alarm = alarmsOf(Template.fromStack(stack))['GetOrderFailedProofsOfLife'];
    expect(alarm).toMatchObject({ Threshold: 40, ComparisonOperator: 'GreaterThanThreshold', EvaluationPeriods: 1 });
    expect(alarm?.Metrics?.[0]?.Expression).toBe('IF(asked >= 20, 100 * failed / asked, 0)');
    const names = alarm?.Metrics?.map(({ MetricStat }) => MetricStat?.Metric.MetricName).filter(Boolean);
    expect(names?.toSorted()).toEqual(['FailedProofsOfLife', 'PingCount']);
    // A quarter of an hour, so that there are enough of them.
    for (const { MetricStat } of alarm?.Metrics ?? []) {
      if (MetricStat) expect(MetricStat).toMatchObject({ Stat: 'Sum', Period: 900 });
    }
    const { stack: plain } = withDashboard();
    expect(alarmsOf(Template.fromStack(plain))['GetOrderFailedProofsOfLife']).toMatchObject({ Threshold: 25 });
  });

  test('go off at 80 % of the connections, of the server and of the proxy', () => {
    const { stack } = withProxy();
    const alarms = alarmsOf(Template.fromStack(stack));
    const full = {
      Threshold: 80,
      ComparisonOperator: 'GreaterThanOrEqualToThreshold',
      EvaluationPeriods: 5,
      DatapointsToAlarm: 3,
    };
    expect(alarms['ServerFull']).toMatchObject(full);
    expect(alarms['ServerFull']?.Metrics?.[0]?.Expression).toBe('100 * used / 400');
    expect(alarms['ServerFull']?.Metrics?.[1]?.MetricStat).toMatchObject({
      Stat: 'Maximum',
      Period: 60,
      Metric: { MetricName: 'DatabaseConnections' },
    });
    expect(
      alarms['ProxyFull']?.Metrics?.slice(1).map(({ Id, MetricStat }) => [Id, MetricStat?.Metric.MetricName]),
    ).toEqual([
      ['used', 'DatabaseConnections'],
      ['allowed', 'MaxDatabaseConnectionsAllowed'],
    ]);
    expect(alarms['ProxyFull']).toMatchObject(full);
    expect(alarms['ProxyFull']?.Metrics?.[0]?.Expression).toBe('100 * used / allowed');
    // Over longer periods the sum of what each minute has would be a multiple.
    for (const { MetricStat } of alarms['ProxyFull']?.Metrics?.slice(1) ?? []) {
      expect(MetricStat).toMatchObject({ Stat: 'Sum', Period: 60 });
    }
  });

  test('go off when sessions stay pinned, and when borrowing takes long', () => {
    const { stack } = withProxy();
    const alarms = alarmsOf(Template.fromStack(stack));
    expect(alarms['ProxyPinnedSessions']).toMatchObject({
      Threshold: 0,
      ComparisonOperator: 'GreaterThanThreshold',
      EvaluationPeriods: 5,
    });
    const [pinned] = alarms['ProxyPinnedSessions']?.Metrics ?? [];
    expect(pinned?.MetricStat).toMatchObject({
      Stat: 'Sum',
      Period: 60,
      Metric: { MetricName: 'DatabaseConnectionsCurrentlySessionPinned' },
    });
    // 100 ms, in the microseconds of the metric.
    expect(alarms['ProxyBorrowLatency']).toMatchObject({
      Threshold: 100_000,
      ComparisonOperator: 'GreaterThanThreshold',
      EvaluationPeriods: 5,
      DatapointsToAlarm: 3,
    });
    const [borrowed] = alarms['ProxyBorrowLatency']?.Metrics ?? [];
    expect(borrowed?.MetricStat).toMatchObject({
      Stat: 'Average',
      Metric: { MetricName: 'DatabaseConnectionsBorrowLatency' },
    });
  });

  test('take other thresholds', () => {
    const { stack } = withDashboard(({ stack: scope, vpc }) => {
      const database = makeCluster(scope, vpc);
      const proxy = database.addProxy('Proxy', { vpc, secrets: database.secret ? [database.secret] : [] });
      return { proxy: { proxy }, fullPercent: 60, borrowLatency: Duration.millis(20) };
    });
    const alarms = alarmsOf(Template.fromStack(stack));
    expect(alarms['ProxyFull']?.Threshold).toBe(60);
    expect(alarms['ProxyBorrowLatency']?.Threshold).toBe(20_000);
    expect(alarms['ServerFull']).toBeUndefined();
  });

  test('are silent of a server of which the connections or the limit are not known', () => {
    const { stack } = withDashboard(({ stack: scope, vpc }) => ({ database: makeCluster(scope, vpc) }));
    expect(Object.keys(alarmsOf(Template.fromStack(stack)))).not.toContain('ServerFull');
    const { stack: other } = withDashboard(() => ({ maxConnections: 400 }));
    expect(Object.keys(alarmsOf(Template.fromStack(other)))).not.toContain('ServerFull');
  });

  test('tell a topic of their beginning and their end', () => {
    const { stack } = withDashboard(({ stack: scope }) => ({ alarmTopic: new sns.Topic(scope, 'Topic') }));
    for (const alarm of Object.values(alarmsOf(Template.fromStack(stack)))) {
      expect(alarm.AlarmActions).toHaveLength(1);
      expect(alarm.OKActions).toEqual(alarm.AlarmActions);
    }
    const { stack: quiet } = withDashboard();
    for (const alarm of Object.values(alarmsOf(Template.fromStack(quiet)))) expect(alarm.AlarmActions).toBeUndefined();
  });
});

test('warns of a function that writes no metrics', () => {
  const { stack, vpc } = makeStack();
  const silent = makeFunction(stack, vpc, {}, 'Silent');
  const late = makeFunction(stack, vpc, {}, 'Late');
  new PoolDashboard(stack, 'Pools', { functions: [silent, late, makeFunction(stack, vpc, emf, 'Speaking')] });
  late.addEnvironment('THAWPOOL_METRICS', 'emf');
  // Of what is imported nothing is known.
  const elsewhere = lambda.Function.fromFunctionName(stack, 'Elsewhere', 'orders');
  new PoolDashboard(stack, 'More', { functions: [elsewhere] });
  expect(warnings(stack)).toEqual([
    expect.stringContaining(
      'Silent is on a PoolDashboard, but its environment does not switch metrics on: set THAWPOOL_METRICS=emf.',
    ),
  ]);
  Annotations.of(silent).acknowledgeWarning('thawpool:poolDashboardMetrics');
  expect(warnings(stack)).toEqual([]);
});

test('refuses to show nobody', () => {
  const { stack } = makeStack();
  expect(() => new PoolDashboard(stack, 'Pools', { functions: [] })).toThrow(
    'Test/Pools: name at least one function whose pools to show.',
  );
});
