// ConnectionBudget: what it adds up, against what, and the words in which it refuses.
import { Annotations, type App, CfnParameter, Stack } from 'aws-cdk-lib';
import * as lambda from 'aws-cdk-lib/aws-lambda';
import * as rds from 'aws-cdk-lib/aws-rds';
import { Construct } from 'constructs';
import { describe, expect, test } from 'vitest';
import {
  ConnectionBudget,
  type ConnectionBudgetProps,
  PooledDatabaseAccess,
  type RegisterOptions,
} from '../../infra/constructs/index.ts';
import { makeCluster, makeFunction, makeSecret, makeStack, warnings } from './support/app.ts';

function plain(scope: Construct, id: string, props: Partial<lambda.FunctionProps> = {}): lambda.Function {
  return makeFunction(scope, undefined, props, id);
}

/** A stack with a budget of 100 connections, 90 of which are for functions. */
function withBudget(props: ConnectionBudgetProps = { maxConnections: 100 }) {
  const { app, stack, vpc } = makeStack();
  return { app, stack, vpc, budget: new ConnectionBudget(stack, 'Budget', props) };
}

/** What the synth says of the budget; nothing when it goes through. */
function refusal(app: App): string | undefined {
  try {
    app.synth();
    return undefined;
  } catch (error) {
    return (error as Error).message;
  }
}

const heading = 'Validation failed with the following errors:\n  [Test/Budget] ';

describe('adding up', () => {
  test('lets through what exactly fits', () => {
    const { app, stack, budget } = withBudget();
    budget.register(plain(stack, 'A', { reservedConcurrentExecutions: 45, environment: { THAWPOOL_MAX: '2' } }));
    expect([budget.connections, budget.room, budget.maxConnections]).toEqual([90, 90, 100]);
    expect(refusal(app)).toBeUndefined();
    expect(warnings(stack)).toEqual([]);
  });

  test('calls proxies of one id by their paths', () => {
    const { app, stack, vpc, budget } = withBudget();
    for (const part of ['Orders', 'Reports']) {
      const cluster = makeCluster(new Construct(stack, part), vpc);
      budget.registerProxy(cluster.addProxy('Proxy', { vpc, secrets: cluster.secret ? [cluster.secret] : [] }));
    }
    expect(refusal(app)).toMatch(/Test\/Orders\/Cluster\/Proxy .*\n.*Test\/Reports\/Cluster\/Proxy /);
  });

  test('calls functions of one id by their paths', () => {
    const { app, stack, budget } = withBudget();
    for (const part of ['Orders', 'Reports']) {
      const scope = new Construct(stack, part);
      budget.register(
        plain(scope, 'Handler', { reservedConcurrentExecutions: 40, environment: { THAWPOOL_MAX: '1' } }),
      );
    }
    budget.register(plain(stack, 'Import', { reservedConcurrentExecutions: 20, environment: { THAWPOOL_MAX: '1' } }));
    const names = refusal(app)
      ?.split('\n')
      .filter((line) => line.includes('THAWPOOL_MAX 1 '))
      .map((line) => line.trim().split(' ')[0]);
    expect(names).toEqual(['Test/Orders/Handler', 'Test/Reports/Handler', 'Import']);
  });

  test('refuses one too many, with the sum and three ways out', () => {
    const { app, stack, budget } = withBudget();
    budget
      .register(plain(stack, 'CreateOrder', { reservedConcurrentExecutions: 30, environment: { THAWPOOL_MAX: '2' } }))
      .register(plain(stack, 'GetOrder', { reservedConcurrentExecutions: 31, environment: { THAWPOOL_MAX: '1' } }));
    expect(refusal(app)).toBe(
      `${heading}Together these can open 91 connections, and the server has room for 90: 1 too many.

  CreateOrder      30 × THAWPOOL_MAX 2   60
  GetOrder         31 × THAWPOOL_MAX 1   31
  together                               91
  max_connections  as given             100
  kept free        reserve               10

Ways out:
- reservedConcurrentExecutions: 29 for CreateOrder, 30 for GetOrder.
- THAWPOOL_MAX=1: that makes 61.
- The functions behind a PooledDatabaseProxy, registered with registerProxy(): they do not count then. It may have maxConnectionsPercent: 90.`,
    );
  });

  test('says when a way out is none', () => {
    const { app, stack, budget } = withBudget({ maxConnections: 12 });
    budget
      .register(plain(stack, 'A', { reservedConcurrentExecutions: 5 }), { max: 1 })
      .register(plain(stack, 'B', { reservedConcurrentExecutions: 1 }), { max: 1 })
      .register(plain(stack, 'C', { reservedConcurrentExecutions: 1 }), { max: 1 });
    const text = refusal(app);
    expect(text).toContain('- Fewer sandboxes alone are not enough: there would not be one for each function.\n');
    expect(text).toContain('- THAWPOOL_MAX=1 is not enough by itself: that makes 7.\n');
  });

  test.each<[string, ConnectionBudgetProps, Record<string, [sandboxes: number, max: number]>, string]>([
    ['the greatest max that fits', { maxConnections: 100 }, { A: [40, 4] }, '- THAWPOOL_MAX=2: that makes 80.\n'],
    ['a max that fits exactly', { maxConnections: 100 }, { A: [30, 4] }, '- THAWPOOL_MAX=3: that makes 90.\n'],
    [
      'a max for all that leaves alone who has less',
      { maxConnections: 100 },
      { A: [20, 4], B: [20, 1] },
      '- THAWPOOL_MAX=3: that makes 80.\n',
    ],
    [
      'one sandbox for each function',
      { maxConnections: 12 },
      { A: [2, 1], B: [2, 1] },
      '- reservedConcurrentExecutions: 1 for A, 1 for B.\n',
    ],
    [
      'no sandbox for a function that has none',
      { maxConnections: 14 },
      { A: [8, 1], Off: [0, 1] },
      '- reservedConcurrentExecutions: 4 for A.\n',
    ],
  ])('names %s', (_, props, functions, way) => {
    const { app, stack, budget } = withBudget(props);
    for (const [id, [concurrency, max]] of Object.entries(functions))
      budget.register(plain(stack, id), { concurrency, max });
    expect(refusal(app)).toContain(way);
  });

  test('keeps free what it is told to, and counts 1000 for an account', () => {
    const { stack, budget } = withBudget({ maxConnections: 100, reserve: 30 });
    expect(budget.room).toBe(70);
    expect(budget.register(plain(stack, 'Wide'), { max: 2 }).connections).toBe(1000 * 2);
  });

  test('knows no way out but a bigger server where the reserve is all there is', () => {
    const { app, stack, budget } = withBudget({ maxConnections: 10 });
    budget.register(plain(stack, 'A', { reservedConcurrentExecutions: 1 }), { max: 1 });
    expect(refusal(app)).toMatch(/Ways out:\n- A bigger server, or a smaller reserve than 10\.$/);
  });

  test('counts workers, and what they may have together', () => {
    const { app, stack, budget } = withBudget();
    const together = { THAWPOOL_MAX: '2', THAWPOOL_MAX_PER_ENVIRONMENT: '10' };
    budget.register(plain(stack, 'Threads'), { concurrency: 3, workers: 16, max: 2 });
    budget.register(plain(stack, 'Limited', { environment: together }), { concurrency: 3, workers: 16 });
    expect(budget.connections).toBe(3 * 16 * 2 + 3 * 10);
    const text = refusal(app);
    expect(text).toContain('  Threads          3 × THAWPOOL_MAX 2 × 16 workers   96\n');
    expect(text).toContain('  Limited          3 × 10 per sandbox                30\n');
  });

  test('takes thawpool’s own max where none is set, and reads the environment last', () => {
    const { stack, budget } = withBudget();
    const fn = plain(stack, 'A', { reservedConcurrentExecutions: 2 });
    budget.register(fn);
    expect(budget.connections).toBe(2 * 4);
    fn.addEnvironment('THAWPOOL_MAX', '3');
    expect(budget.connections).toBe(2 * 3);
  });

  test('counts the account’s concurrency once, at the widest of those that share it, and warns', () => {
    const { stack, budget } = withBudget({ maxConnections: 5000, accountConcurrency: 500 });
    budget
      .register(plain(stack, 'Own', { reservedConcurrentExecutions: 100 }), { max: 1 })
      .register(plain(stack, 'Slim'), { max: 1 })
      .register(plain(stack, 'Wide'), { max: 3 })
      .register(plain(stack, 'Broad'), { max: 2 });
    expect(budget.connections).toBe(100 + 400 * 3);
    expect(warnings(stack)).toEqual([
      expect.stringContaining(
        'Slim has no reserved concurrency: it counts with all 500 invocations that the account runs',
      ),
      expect.stringContaining('Wide has no reserved concurrency'),
      expect.stringContaining('Broad has no reserved concurrency'),
    ]);
  });

  test('has those that share the account’s concurrency in one line', () => {
    const { app, stack, budget } = withBudget();
    budget.register(plain(stack, 'Slim'), { max: 1 }).register(plain(stack, 'Wide'), { max: 3 });
    expect(refusal(app)).toContain('\n  Slim + Wide      1000 × THAWPOOL_MAX 3  3000\n');
  });

  test('is silent of a shared concurrency that somebody has acknowledged', () => {
    const { stack, budget } = withBudget({ maxConnections: 5000 });
    const fn = plain(stack, 'Shared');
    Annotations.of(fn).acknowledgeWarning('thawpool:connectionBudgetConcurrency');
    budget.register(fn);
    expect(warnings(stack)).toEqual([]);
  });

  test('does not count provisioned concurrency on top', () => {
    const { stack, budget } = withBudget();
    const fn = plain(stack, 'A', { reservedConcurrentExecutions: 10 });
    new lambda.Alias(stack, 'Live', {
      aliasName: 'live',
      version: fn.currentVersion as lambda.IVersion,
      provisionedConcurrentExecutions: 10,
    });
    budget.register(fn, { max: 1 });
    expect(budget.connections).toBe(10);
  });
});

describe('proxies', () => {
  test('does not count functions behind one, and counts what it may open', () => {
    const { stack, vpc, budget } = withBudget({ maxConnections: 200 });
    const cluster = makeCluster(stack, vpc);
    const secrets = cluster.secret ? [cluster.secret] : [];
    const proxy = cluster.addProxy('Proxy', { vpc, secrets, maxConnectionsPercent: 40 });
    const given = (id: string, environment: Record<string, string>) =>
      plain(stack, id, { reservedConcurrentExecutions: 7, environment });
    budget.register(given('ByName', { PGHOST: 'orders.proxy-abc.eu-west-1.rds.amazonaws.com' }));
    budget.register(given('ByReference', { PGHOST: proxy.endpoint }));
    budget.register(given('ByProxyHost', { PGHOST: 'db', THAWPOOL_PROXY_HOST: proxy.endpoint }));
    budget.register(given('ByRoute', { PGHOST: 'pool.internal', THAWPOOL_ROUTE: 'rds-proxy' }));
    budget.register(given('AsSaid', { PGHOST: 'db' }), { proxied: true });
    expect(budget.connections).toBe(0);
    expect(budget.registerProxy(proxy).connections).toBe(80);
    budget.register(given('FallsBack', { PGHOST: 'db', THAWPOOL_PROXY_HOST: 'p', THAWPOOL_PROXY_FALLBACK: 'direct' }));
    budget.register(given('Direct', { PGHOST: cluster.clusterEndpoint.hostname }));
    budget.register(given('DirectByName', { PGHOST: 'orders.cluster-abc.eu-west-1.rds.amazonaws.com' }));
    budget.register(given('Nowhere', { PGHOST: '' }));
    expect(budget.connections).toBe(80 + 4 * 7 * 4);
  });

  test('knows a proxy of another stack', () => {
    const { app, stack, vpc } = makeStack();
    const cluster = makeCluster(stack, vpc);
    const proxy = cluster.addProxy('Proxy', { vpc, secrets: cluster.secret ? [cluster.secret] : [] });
    const other = new Stack(app, 'Other');
    const budget = new ConnectionBudget(other, 'Budget', { maxConnections: 100 });
    budget.register(plain(other, 'A', { environment: { PGHOST: proxy.endpoint } }));
    app.synth();
    expect(budget.connections).toBe(0);
  });

  test('counts as PooledDatabaseAccess connects', () => {
    const { stack, vpc, budget } = withBudget();
    const cluster = makeCluster(stack, vpc);
    const fn = makeFunction(stack, vpc, { reservedConcurrentExecutions: 5 });
    new PooledDatabaseAccess(stack, 'Access', { functions: [fn], database: cluster, databaseName: 'orders', max: 2 });
    expect(budget.register(fn).connections).toBe(10);
  });

  test('refuses a proxy that leaves nothing free, with the percentage that fits', () => {
    const { app, stack, vpc, budget } = withBudget();
    const cluster = makeCluster(stack, vpc);
    const proxy = cluster.addProxy('Proxy', { vpc, secrets: cluster.secret ? [cluster.secret] : [] });
    budget.registerProxy({ proxy });
    expect(refusal(app)).toBe(
      `${heading}Together these can open 100 connections, and the server has room for 90: 10 too many.

  Proxy            100 % of 100  100
  together                       100
  max_connections  as given      100
  kept free        reserve        10

Ways out:
- maxConnectionsPercent: 90 for Proxy.`,
    );
  });

  test('leaves to several proxies what functions do not need, in equal parts', () => {
    const { app, stack, vpc, budget } = withBudget();
    const cluster = makeCluster(stack, vpc);
    const secrets = cluster.secret ? [cluster.secret] : [];
    budget.registerProxy(cluster.addProxy('One', { vpc, secrets }));
    budget.registerProxy(cluster.addProxy('Two', { vpc, secrets }));
    budget.register(plain(stack, 'A', { reservedConcurrentExecutions: 10 }), { max: 1 });
    // Of 100 the reserve takes 10, the function 10.
    expect(refusal(app)).toMatch(/Ways out:\n- maxConnectionsPercent: 40 for One and Two\.$/);
  });

  test.each<[string, number, string]>([
    ['one percent', 89, 'maxConnectionsPercent: 1 for Proxy.'],
    ['nothing', 90, 'A bigger server, or a smaller reserve than 10.'],
  ])('says what to do where functions leave %s to a proxy', (_, concurrency, way) => {
    const { app, stack, vpc, budget } = withBudget();
    const cluster = makeCluster(stack, vpc);
    const proxy = cluster.addProxy('Proxy', { vpc, secrets: cluster.secret ? [cluster.secret] : [] });
    budget.registerProxy(proxy).register(plain(stack, 'A'), { concurrency, max: 1 });
    expect(refusal(app)?.split('Ways out:\n')[1]).toBe(`- ${way}`);
  });

  test('counts 100 % for a target group that says nothing, as RDS does', () => {
    const { stack, vpc, budget } = withBudget();
    const cluster = makeCluster(stack, vpc);
    const proxy = cluster.addProxy('Proxy', {
      vpc,
      secrets: cluster.secret ? [cluster.secret] : [],
      maxConnectionsPercent: 40,
    });
    const group = proxy.node.findAll().find((one) => one instanceof rds.CfnDBProxyTargetGroup);
    if (group) group.connectionPoolConfigurationInfo = undefined;
    expect(budget.registerProxy(proxy).connections).toBe(100);
  });

  test('leaves to a second proxy what it has, when it sends the functions behind the first', () => {
    const { app, stack, vpc, budget } = withBudget();
    const cluster = makeCluster(stack, vpc);
    const secrets = cluster.secret ? [cluster.secret] : [];
    budget.registerProxy(cluster.addProxy('One', { vpc, secrets }), 30);
    budget.registerProxy(cluster.addProxy('Two', { vpc, secrets }), 20);
    budget.register(plain(stack, 'A'), { concurrency: 60, max: 1 });
    expect(refusal(app)).toContain(
      '- The functions behind One: they do not count then. It may have maxConnectionsPercent: 70.',
    );
  });

  test('has functions and proxy in one table, and sends the functions behind the proxy', () => {
    const { app, stack, vpc, budget } = withBudget();
    const cluster = makeCluster(stack, vpc);
    const proxy = cluster.addProxy('Proxy', { vpc, secrets: cluster.secret ? [cluster.secret] : [] });
    budget.registerProxy(proxy, 50).register(plain(stack, 'A', { reservedConcurrentExecutions: 60 }), { max: 1 });
    const text = refusal(app);
    expect(text).toContain('- reservedConcurrentExecutions: 40 for A.\n');
    expect(text).toContain(
      '- The functions behind Proxy: they do not count then. It may have maxConnectionsPercent: 90.',
    );
  });
});

test('takes the limit of the database that it is told, or says why it cannot', () => {
  const { stack, vpc } = makeStack();
  const cluster = makeCluster(stack, vpc, { parameters: { max_connections: '300' } });
  const known = new ConnectionBudget(stack, 'Known', { database: cluster });
  expect([known.maxConnections, known.room]).toEqual([300, 290]);
  const database = rds.DatabaseCluster.fromDatabaseClusterAttributes(stack, 'Imported', {
    clusterIdentifier: 'orders',
  });
  const unknown = new ConnectionBudget(stack, 'Unknown', { database });
  expect(() => unknown.room).toThrow('How many connections Test/Imported takes cannot be told');
});

describe('what is not known or wrong', () => {
  test('refuses a budget without a limit, and numbers that are none', () => {
    const { stack, vpc } = makeStack();
    expect(() => new ConnectionBudget(stack, 'A', {})).toThrow(
      'Test/A: give maxConnections (SHOW max_connections), or the database to take it from.',
    );
    expect(() => new ConnectionBudget(stack, 'B', { maxConnections: 1.5 })).toThrow(
      'Test/B: maxConnections must be a whole number from 0, got 1.5.',
    );
    const budget = new ConnectionBudget(stack, 'C', { maxConnections: 1 });
    const fn = plain(stack, 'D');
    for (const name of ['max', 'workers'])
      expect(() => budget.register(fn, { [name]: 0 })).toThrow(`Test/D: ${name} must be a whole number from 1, got 0.`);
    expect(() => budget.register(fn, { concurrency: -1 })).toThrow(
      'Test/D: concurrency must be a whole number from 0, got -1.',
    );
    expect(budget.register(fn, { concurrency: 0 }).connections).toBe(0);
    const proxy = makeCluster(stack, vpc).addProxy('Proxy', { vpc, secrets: [makeSecret(stack)] });
    for (const percent of [0, 101])
      expect(() => budget.registerProxy(proxy, percent)).toThrow(
        `Test/C: maxConnectionsPercent must be a whole number from 1 to 100, got ${percent}.`,
      );
    expect(budget.registerProxy(proxy, 100).connections).toBe(1);
  });

  test('refuses a function that is not of this app', () => {
    const { app, stack, budget } = withBudget();
    const arn = 'arn:aws:lambda:eu-west-1:111122223333:function:orders';
    budget.register(lambda.Function.fromFunctionArn(stack, 'Imported', arn) as lambda.Function);
    expect(refusal(app)).toBe(`${heading}Test/Imported is no function of this app: it cannot be counted.`);
  });

  test('asks for a concurrency that is only known on deployment', () => {
    const { app, stack, budget } = withBudget();
    const { valueAsNumber } = new CfnParameter(stack, 'Concurrency', { type: 'Number' });
    const fn = plain(stack, 'A', { reservedConcurrentExecutions: valueAsNumber });
    budget.register(fn, { max: 1 });
    expect(refusal(app)).toBe(
      `${heading}Test/A: reservedConcurrentExecutions is only known on deployment. Pass concurrency to register().`,
    );
  });

  test('refuses a THAWPOOL_MAX that is only known on deployment, or is no number', () => {
    const { app, stack, budget } = withBudget();
    const late = plain(stack, 'Late', {
      reservedConcurrentExecutions: 1,
      environment: { THAWPOOL_MAX: stack.account },
    });
    budget.register(late);
    expect(refusal(app)).toBe(`${heading}Test/Late: THAWPOOL_MAX is only known on deployment. Pass max to register().`);
    const { app: second, stack: other, budget: another } = withBudget();
    another.register(plain(other, 'Bad', { environment: { THAWPOOL_MAX: 'many' } }));
    expect(refusal(second)).toMatch(/THAWPOOL_MAX must be a whole number from 1 to 10000/);
    const { app: third, stack: last, budget: whole } = withBudget();
    whole.register(plain(last, 'Late', { environment: { THAWPOOL_MAX_PER_ENVIRONMENT: last.account } }), { max: 1 });
    expect(refusal(third)).toBe(
      `${heading}Test/Late: THAWPOOL_MAX_PER_ENVIRONMENT is only known on deployment. Write the number itself.`,
    );
  });

  test.each<[string, RegisterOptions]>([
    ['environments', { workers: 16 }],
    ['workers', { concurrency: 2 }],
  ])('asks for %s on Managed Instances', (_, options) => {
    const { app, stack, budget } = withBudget();
    budget.register(managed(stack), options);
    expect(refusal(app)).toBe(
      `${heading}Test/Managed runs on Lambda Managed Instances: pass concurrency (environments) and workers (threads in each) to register().`,
    );
  });

  test('counts a function on Managed Instances of which both are known', () => {
    const { stack, budget } = withBudget();
    expect(budget.register(managed(stack), { concurrency: 2, workers: 16, max: 1 }).connections).toBe(32);
  });
});

function managed(stack: Stack): lambda.Function {
  const fn = plain(stack, 'Managed');
  (fn.node.defaultChild as lambda.CfnFunction).capacityProviderConfig = {
    lambdaManagedInstancesCapacityProviderConfig: {
      capacityProviderArn: 'arn:aws:lambda:eu-west-1:1:capacity-provider:a',
    },
  };
  return fn;
}
