// ConnectionBudget: what it adds up, against what, and the words in which it refuses.
import { type App, Stack } from 'aws-cdk-lib';
import * as ec2 from 'aws-cdk-lib/aws-ec2';
import * as lambda from 'aws-cdk-lib/aws-lambda';
import * as rds from 'aws-cdk-lib/aws-rds';
import type { Construct } from 'constructs';
import { describe, expect, test } from 'vitest';
import { ConnectionBudget, type ConnectionBudgetProps, PooledDatabaseAccess } from '../../infra/constructs/index.ts';
import { connectionsFor, connectionsOfServerless, limitOf, memoryOf } from '../../infra/constructs/max-connections.ts';
import { makeCluster, makeFunction, makeInstance, makeStack, warnings } from './support/app.ts';

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
      .register(plain(stack, 'Wide'), { max: 3 })
      .register(plain(stack, 'Slim'), { max: 1 });
    expect(budget.connections).toBe(100 + 400 * 3);
    expect(warnings(stack)).toEqual([
      expect.stringContaining(
        'Wide has no reserved concurrency: it counts with all 500 invocations that the account runs',
      ),
      expect.stringContaining('Slim has no reserved concurrency'),
    ]);
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
    expect(budget.connections).toBe(80 + 2 * 7 * 4);
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

describe('the server’s limit', () => {
  test.each([
    ['db.t4g.micro', 1, 83],
    ['db.t3.medium', 4, 400],
    ['db.t4g.large', 8, 823],
    ['db.m7g.large', 8, 823],
    ['db.r8g.large', 16, 1669],
    ['db.r6gd.xlarge', 32, 3360],
    ['db.r7i.48xlarge', 1536, 5000],
  ])('estimates %s by its %i GiB at %i', (name, memory, connections) => {
    expect(memoryOf(name)).toBe(memory);
    expect(connectionsFor(memory)).toBe(connections);
  });

  test.each(['db.r4.large', 'db.x2g.large', 'db.m7g.medium', 'db.r7g.gigantic', 'db.serverless', 'r7g.large'])(
    'does not guess at %s',
    (name) => expect(memoryOf(name)).toBeUndefined(),
  );

  test.each([
    [0.5, 1, 189],
    [0.5, 16, 2000],
    [0, 16, 2000],
    [0.5, 8, 1669],
    [1, 16, 3360],
    [1, 256, 5000],
    [1, 2, 400],
  ])('estimates %f to %f ACU at %i', (min, max, connections) => {
    expect(connectionsOfServerless(min, max)).toBe(connections);
  });

  test('takes the smallest instance of a cluster, since each may become the writer', () => {
    const { stack, vpc } = makeStack();
    const cluster = makeCluster(stack, vpc, {
      writer: rds.ClusterInstance.provisioned('Writer', { instanceType: instanceType('r7g.xlarge') }),
      readers: [rds.ClusterInstance.provisioned('Reader', { instanceType: instanceType('r7g.large') })],
    });
    expect(limitOf(cluster)).toEqual({ maxConnections: 1669, source: 'estimated for db.r7g.large, 16 GiB' });
  });

  test('takes the range of a Serverless v2', () => {
    const { stack, vpc } = makeStack();
    const cluster = makeCluster(stack, vpc, { serverlessV2MinCapacity: 0, serverlessV2MaxCapacity: 32 });
    expect(limitOf(cluster)).toEqual({ maxConnections: 2000, source: 'estimated for 0 to 32 ACU' });
  });

  test('believes a parameter group before anything else', () => {
    const { stack, vpc } = makeStack();
    const parameterGroup = new rds.ParameterGroup(stack, 'Parameters', {
      engine: rds.DatabaseInstanceEngine.postgres({ version: rds.PostgresEngineVersion.VER_16 }),
      parameters: { max_connections: '250' },
    });
    const instance = makeInstance(stack, vpc, { instanceType: instanceType('r7g.large'), parameterGroup });
    expect(limitOf(instance)).toEqual({ maxConnections: 250, source: 'max_connections of its parameter group' });
    const { stack: second, vpc: secondVpc } = makeStack();
    const cluster = makeCluster(second, secondVpc, { parameters: { max_connections: '300' } });
    expect(limitOf(cluster).maxConnections).toBe(300);
    const { stack: third, vpc: thirdVpc } = makeStack();
    expect(limitOf(makeCluster(third, thirdVpc, { parameters: { log_statement: 'ddl' } })).source).toMatch(/ACU$/);
  });

  test('asks for the number where it cannot tell', () => {
    const { stack, vpc } = makeStack();
    const unknown = (id: string, database: rds.IDatabaseInstance, why: string) => {
      const budget = new ConnectionBudget(stack, id, { database });
      expect(() => budget.room).toThrow(
        `How many connections ${database.node.path} takes cannot be told: ${why}. Ask the server (SHOW max_connections) and ` +
          'give the number: new ConnectionBudget(scope, id, { maxConnections: … }).',
      );
    };
    const imported = rds.DatabaseInstance.fromDatabaseInstanceAttributes(stack, 'Imported', {
      instanceIdentifier: 'orders',
      instanceEndpointAddress: 'orders.example',
      port: 5432,
      securityGroups: [],
    });
    unknown('One', imported, 'it is not declared in this app, so that its class is not known');
    const odd = makeInstance(stack, vpc, { instanceType: instanceType('x2g.large') });
    unknown('Two', odd, 'the memory of the class db.x2g.large is not in the table (families r, m and t)');
    const formula = makeInstance(new Stack(stack, 'Inner'), vpc, {
      instanceType: instanceType('r7g.large'),
      parameters: { max_connections: 'LEAST({DBInstanceClassMemory/9531392},900)' },
    });
    unknown(
      'Three',
      formula,
      'max_connections of its parameter group is no number but "LEAST({DBInstanceClassMemory/9531392},900)"',
    );
  });
});

describe('what is not known or wrong', () => {
  test('refuses a budget without a limit, and numbers that are none', () => {
    const { stack } = makeStack();
    expect(() => new ConnectionBudget(stack, 'A', {})).toThrow(
      'Test/A: give maxConnections (SHOW max_connections), or the database to take it from.',
    );
    expect(() => new ConnectionBudget(stack, 'B', { maxConnections: 1.5 })).toThrow(
      'Test/B: maxConnections must be a whole number from 0, got 1.5.',
    );
    const budget = new ConnectionBudget(stack, 'C', { maxConnections: 1 });
    expect(() => budget.register(plain(stack, 'D'), { workers: 0 })).toThrow(
      'Test/D: workers must be a whole number from 1, got 0.',
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
  });

  test('asks for environments and workers on Managed Instances', () => {
    const { app, stack, budget } = withBudget();
    const fn = plain(stack, 'A');
    (fn.node.defaultChild as lambda.CfnFunction).capacityProviderConfig = {
      lambdaManagedInstancesCapacityProviderConfig: {
        capacityProviderArn: 'arn:aws:lambda:eu-west-1:1:capacity-provider:a',
      },
    };
    budget.register(fn, { concurrency: 2 });
    expect(refusal(app)).toBe(
      `${heading}Test/A runs on Lambda Managed Instances: pass concurrency (environments) and workers (threads in each) to register().`,
    );
  });
});

function instanceType(name: string): ec2.InstanceType {
  return new ec2.InstanceType(name);
}
