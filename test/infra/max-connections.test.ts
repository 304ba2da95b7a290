// How many connections a server takes, by what is declared of it.
import { CfnParameter, Lazy, type Stack } from 'aws-cdk-lib';
import * as ec2 from 'aws-cdk-lib/aws-ec2';
import * as rds from 'aws-cdk-lib/aws-rds';
import { describe, expect, test } from 'vitest';
import { connectionsFor, connectionsOfServerless, limitOf, memoryOf } from '../../infra/constructs/max-connections.ts';
import { makeCluster, makeInstance, makeStack } from './support/app.ts';

const instanceType = (name: string) => new ec2.InstanceType(name);

const provisioned = (id: string, name: string) =>
  rds.ClusterInstance.provisioned(id, { instanceType: instanceType(name) });

/** An instance of 16 GiB, and the resource behind it, which takes what the construct does not. */
function withInstance(props: Partial<rds.DatabaseInstanceProps> = {}) {
  const { stack, vpc } = makeStack();
  const instance = makeInstance(stack, vpc, { instanceType: instanceType('r7g.large'), ...props });
  return { stack, instance, resource: instance.node.defaultChild as rds.CfnDBInstance };
}

/** A serverless cluster, and the resource behind it. */
function withCluster(props: Partial<rds.DatabaseClusterProps> = {}) {
  const { stack, vpc } = makeStack();
  const cluster = makeCluster(stack, vpc, props);
  return { stack, cluster, resource: cluster.node.defaultChild as rds.CfnDBCluster };
}

/** A group as CloudFormation has it: the parameters may be of any type, or left out. */
const groupOf = (stack: Stack, parameters?: Record<string, unknown>) =>
  new rds.CfnDBParameterGroup(stack, 'Group', {
    family: 'postgres16',
    description: 'Orders',
    ...(parameters && { parameters }),
  });

/** In what words the database is refused. */
function refusal(database: rds.IDatabaseCluster | rds.IDatabaseInstance): unknown {
  try {
    return limitOf(database);
  } catch (error) {
    return error instanceof Error ? error.message : error;
  }
}

const because = (path: string, why: string) =>
  `How many connections ${path} takes cannot be told: ${why}. Ask the server (SHOW max_connections) and give the number: ` +
  'new ConnectionBudget(scope, id, { maxConnections: … }).';

describe('by memory', () => {
  test.each([
    ['db.t2.micro', 1, 83],
    ['db.t4g.micro', 1, 83],
    ['db.t3.small', 2, 189],
    ['db.t3.medium', 4, 400],
    ['db.t4g.large', 8, 823],
    ['db.m5.large', 8, 823],
    ['db.m7g.large', 8, 823],
    ['db.r5.large', 16, 1669],
    ['db.r8g.large', 16, 1669],
    ['db.r10g.large', 16, 1669],
    ['db.r6gd.xlarge', 32, 3360],
    ['db.r7g.2xlarge', 64, 5000],
    ['db.r7i.48xlarge', 1536, 5000],
  ])('estimates %s by its %i GiB at %i', (name, memory, connections) => {
    expect(memoryOf(name)).toBe(memory);
    expect(connectionsFor(memory)).toBe(connections);
  });

  test.each([
    'db.r4.large',
    'db.t1.micro',
    'db.x2g.large',
    'db.m7g.medium',
    'db.r7g.gigantic',
    'db.r6i.xlarge.tpc2.mem4x',
    'db.serverless',
    'r7g.large',
    'docdb.r7g.large',
  ])('does not guess at %s', (name) => expect(memoryOf(name)).toBeUndefined());

  test.each([
    [0.5, 1, 189],
    [0.5, 16, 2000],
    [0, 16, 2000],
    [0.5, 8, 1669],
    [1, 16, 3360],
    [1, 24, 4180],
    [1, 256, 5000],
    [1, 2, 400],
  ])('estimates %f to %f ACU at %i', (min, max, connections) => {
    expect(connectionsOfServerless(min, max)).toBe(connections);
  });

  test.each([
    ['r7g.xlarge', 'r7g.large'],
    ['r7g.large', 'r7g.xlarge'],
  ])('takes the smallest instance of a cluster of %s and %s, since each may become the writer', (writer, reader) => {
    const { cluster } = withCluster({
      writer: provisioned('Writer', writer),
      readers: [provisioned('Reader', reader)],
    });
    expect(limitOf(cluster)).toEqual({ maxConnections: 1669, source: 'estimated for db.r7g.large, 16 GiB' });
  });

  test('takes the range of a Serverless v2', () => {
    const { cluster } = withCluster({ serverlessV2MinCapacity: 0, serverlessV2MaxCapacity: 32 });
    expect(limitOf(cluster)).toEqual({ maxConnections: 2000, source: 'estimated for 0 to 32 ACU' });
  });

  test('takes the class of a Multi-AZ cluster, whose instances are not declared', () => {
    const { stack } = makeStack();
    const multiAz = new rds.CfnDBCluster(stack, 'MultiAz', {
      engine: 'postgres',
      dbClusterInstanceClass: 'db.r6gd.large',
    });
    expect(limitOf(multiAz)).toEqual({ maxConnections: 1669, source: 'estimated for db.r6gd.large, 16 GiB' });
    const group = new rds.CfnDBClusterParameterGroup(stack, 'Group', {
      family: 'postgres16',
      description: 'Orders',
      parameters: { max_connections: '700' },
    });
    multiAz.dbClusterParameterGroupName = group.ref;
    expect(limitOf(multiAz).maxConnections).toBe(700);
  });
});

describe('by a parameter group', () => {
  test('believes it before anything else', () => {
    const { stack } = makeStack();
    const parameterGroup = new rds.ParameterGroup(stack, 'Parameters', {
      engine: rds.DatabaseInstanceEngine.postgres({ version: rds.PostgresEngineVersion.VER_16 }),
      parameters: { max_connections: '250' },
    });
    expect(limitOf(withInstance({ parameterGroup }).instance)).toEqual({
      maxConnections: 250,
      source: 'max_connections of its parameter group',
    });
    const { cluster } = withCluster({ parameters: { max_connections: '300' } });
    expect(limitOf(cluster).maxConnections).toBe(300);
  });

  test('reads a number that is no text', () => {
    const { stack, instance, resource } = withInstance();
    resource.dbParameterGroupName = groupOf(stack, { max_connections: 250 }).ref;
    expect(limitOf(instance).maxConnections).toBe(250);
  });

  test('goes by the class where the group leaves it out', () => {
    const { cluster } = withCluster({ parameters: { log_statement: 'ddl' } });
    expect(limitOf(cluster).source).toBe('estimated for 0.5 to 2 ACU');
    const { stack, instance, resource } = withInstance();
    resource.dbParameterGroupName = groupOf(stack).ref;
    expect(limitOf(instance).source).toBe('estimated for db.r7g.large, 16 GiB');
  });

  test.each<[string, (stack: Stack) => string]>([
    ['is of another app', () => 'orders-16'],
    ['is named on deployment', (stack) => new CfnParameter(stack, 'Name').valueAsString],
    ['is named in part on deployment', (stack) => `orders-${stack.region}`],
    ['is named at the last moment', () => Lazy.string({ produce: () => 'orders-16' })],
  ])('goes by the class where the group %s', (_, name) => {
    const { stack, instance, resource } = withInstance();
    resource.dbParameterGroupName = name(stack);
    expect(limitOf(instance).source).toBe('estimated for db.r7g.large, 16 GiB');
  });

  test.each(['LEAST({DBInstanceClassMemory/9531392},900)', '{DBInstanceClassMemory}/9531392', '100*2'])(
    'asks for the number where the group has the formula %s',
    (max_connections) => {
      const { instance } = withInstance({ parameters: { max_connections } });
      expect(refusal(instance)).toBe(
        because('Test/Instance', `max_connections of its parameter group is no number but "${max_connections}"`),
      );
    },
  );
});

describe('asks for the number', () => {
  test('where the database is not of this app', () => {
    const { stack } = makeStack();
    const imported = rds.DatabaseInstance.fromDatabaseInstanceAttributes(stack, 'Imported', {
      instanceIdentifier: 'orders',
      instanceEndpointAddress: 'orders.example',
      port: 5432,
      securityGroups: [],
    });
    expect(refusal(imported)).toBe(
      because('Test/Imported', 'it is not declared in this app, so that its class is not known'),
    );
  });

  test('where the memory of the class is not in the table', () => {
    const { instance } = withInstance({ instanceType: instanceType('x2g.large') });
    expect(refusal(instance)).toBe(
      because('Test/Instance', 'the memory of the class db.x2g.large is not in the table (families r, m and t)'),
    );
  });

  test('where the class is only known on deployment', () => {
    const { stack, instance, resource } = withInstance();
    resource.dbInstanceClass = new CfnParameter(stack, 'Class').valueAsString;
    expect(refusal(instance)).toBe(because('Test/Instance', 'its instance class is only known on deployment'));
  });

  test.each<[string, (stack: Stack) => rds.CfnDBCluster.ServerlessV2ScalingConfigurationProperty | undefined]>([
    ['is not there', () => undefined],
    ['begins at a capacity of the deployment', (stack) => ({ minCapacity: numberOf(stack), maxCapacity: 4 })],
    ['ends at a capacity of the deployment', (stack) => ({ minCapacity: 1, maxCapacity: numberOf(stack) })],
  ])('where the range of a Serverless v2 %s', (_, range) => {
    const { stack, cluster, resource } = withCluster();
    resource.serverlessV2ScalingConfiguration = range(stack);
    expect(refusal(cluster)).toBe(because('Test/Cluster', 'the range of its ACUs is not known'));
  });

  test('where a serverless instance is in no cluster', () => {
    const { instance, resource } = withInstance();
    resource.dbInstanceClass = 'db.serverless';
    expect(refusal(instance)).toBe(because('Test/Instance', 'the range of its ACUs is not known'));
  });
});

const numberOf = (stack: Stack) => new CfnParameter(stack, 'Capacity', { type: 'Number' }).valueAsNumber;
