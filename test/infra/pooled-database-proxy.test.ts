// PooledDatabaseProxy: the proxy in the template, its rights, its limits, and what it refuses.
import { App, Duration, Stack } from 'aws-cdk-lib';
import { Template } from 'aws-cdk-lib/assertions';
import * as ec2 from 'aws-cdk-lib/aws-ec2';
import type * as lambda from 'aws-cdk-lib/aws-lambda';
import * as rds from 'aws-cdk-lib/aws-rds';
import * as secretsmanager from 'aws-cdk-lib/aws-secretsmanager';
import { describe, expect, test } from 'vitest';
import {
  PooledDatabaseAccess,
  PooledDatabaseProxy,
  type PooledDatabaseProxyProps,
} from '../../infra/constructs/index.ts';
import {
  idOf,
  makeCluster,
  makeFunction,
  makeInstance,
  makeSecret,
  makeStack,
  resources,
  statements,
  warnings,
  wildcards,
} from './support/app.ts';

type Given = Partial<PooledDatabaseProxyProps>;
const vpcSubnets: ec2.SubnetSelection = { subnetType: ec2.SubnetType.PRIVATE_ISOLATED };

function withCluster(props: Partial<rds.DatabaseClusterProps> = {}) {
  const { app, stack, vpc } = makeStack();
  const cluster = makeCluster(stack, vpc, props);
  const make = (given: Given = {}, id = 'Proxy') =>
    new PooledDatabaseProxy(stack, id, { database: cluster, vpc, vpcSubnets, ...given });
  const functionOf = (seconds: number, more: Partial<lambda.FunctionProps> = {}) =>
    makeFunction(stack, vpc, { timeout: Duration.seconds(seconds), ...more }, `Function${seconds}`);
  return { app, stack, vpc, cluster, make, functionOf };
}

const only = (stack: Stack, type: string) => {
  const [found = expect.fail(`no ${type}`), ...others] = Object.values(resources(stack, type));
  expect(others).toEqual([]);
  return found;
};
const pool = (stack: Stack) =>
  only(stack, 'AWS::RDS::DBProxyTargetGroup').Properties['ConnectionPoolConfigurationInfo'];
const rules = (stack: Stack, way: 'Ingress' | 'Egress') =>
  Object.values(resources(stack, `AWS::EC2::SecurityGroup${way}`)).map(({ Properties }) => Properties);
const arn = (id: unknown, user: string) => ({
  'Fn::Join': ['', expect.arrayContaining([':rds-db:', ':dbuser:', id, `/${user}`])],
});

describe('a proxy by default', () => {
  test('takes IAM and TLS, keeps idle clients longer than the pool does, and has a name of its own', () => {
    const { stack, make } = withCluster();
    make();
    const { Properties } = only(stack, 'AWS::RDS::DBProxy');
    expect(Properties).toMatchObject({
      DefaultAuthScheme: 'IAM_AUTH',
      RequireTLS: true,
      EngineFamily: 'POSTGRESQL',
      IdleClientTimeout: 1800,
      DBProxyName: expect.stringMatching(/^TestProxy[0-9A-F]{8}$/),
    });
    expect(Properties).not.toHaveProperty('Auth');
    expect(pool(stack)).toEqual({
      ConnectionBorrowTimeout: 120,
      MaxConnectionsPercent: 90,
      MaxIdleConnectionsPercent: 50,
    });
  });

  test('may log in to the database as each of its users, and do nothing else', () => {
    const { stack, cluster, make } = withCluster();
    make({ users: ['app', 'reporting'] });
    const id = { 'Fn::GetAtt': [idOf(stack, cluster), 'DBClusterResourceId'] };
    expect(statements(stack)).toEqual([
      { Effect: 'Allow', Action: 'rds-db:connect', Resource: [arn(id, 'app'), arn(id, 'reporting')] },
    ]);
    expect(wildcards(stack)).toEqual([]);
    expect(only(stack, 'AWS::IAM::Role').Properties['AssumeRolePolicyDocument']).toMatchObject({
      Statement: [{ Action: 'sts:AssumeRole', Principal: { Service: 'rds.amazonaws.com' } }],
    });
  });

  test('reaches the database’s port and nothing else, and nobody reaches it until asked', () => {
    const { stack, cluster, make } = withCluster();
    const proxy = make();
    const [own, database] = [proxy, cluster].map((side) =>
      stack.resolve(side.connections.securityGroups[0]?.securityGroupId),
    );
    const port = { 'Fn::GetAtt': [idOf(stack, cluster), 'Endpoint.Port'] };
    expect(rules(stack, 'Egress')).toEqual([
      expect.objectContaining({ GroupId: own, DestinationSecurityGroupId: database, FromPort: port, ToPort: port }),
    ]);
    expect(rules(stack, 'Ingress')).toEqual([
      expect.objectContaining({ GroupId: database, SourceSecurityGroupId: own, FromPort: port, ToPort: port }),
    ]);
    expect(only(stack, 'AWS::RDS::DBProxy').Properties['VpcSecurityGroupIds']).toEqual([own]);
  });

  test('lets in whom it is told to, on its own port', () => {
    const { stack, vpc, make } = withCluster();
    const proxy = make();
    proxy.connections.allowDefaultPortFrom(makeFunction(stack, vpc));
    const GroupId = stack.resolve(proxy.connections.securityGroups[0]?.securityGroupId);
    expect(rules(stack, 'Ingress')).toContainEqual(expect.objectContaining({ GroupId, FromPort: 5432, ToPort: 5432 }));
  });

  test('is registered when the cluster and its instances are there', () => {
    const { stack, cluster, make } = withCluster();
    make();
    const group = only(stack, 'AWS::RDS::DBProxyTargetGroup');
    expect(group.Properties['DBClusterIdentifiers']).toEqual([{ Ref: idOf(stack, cluster) }]);
    expect(group.DependsOn).toEqual(
      expect.arrayContaining([idOf(stack, cluster), ...Object.keys(resources(stack, 'AWS::RDS::DBInstance'))]),
    );
  });

  test('stands in the subnets that it is given, with its reader, and writes no statements into its log', () => {
    const { stack, vpc, make } = withCluster();
    const subnets = vpc.isolatedSubnets.toReversed();
    make({ vpcSubnets: { subnets }, reader: true });
    const VpcSubnetIds = subnets.map(({ subnetId }) => stack.resolve(subnetId) as unknown);
    expect(VpcSubnetIds).toHaveLength(2);
    expect(only(stack, 'AWS::RDS::DBProxy').Properties).toMatchObject({ VpcSubnetIds, DebugLogging: false });
    expect(only(stack, 'AWS::RDS::DBProxyEndpoint').Properties).toMatchObject({ VpcSubnetIds });
  });

  test('may stand beside another', () => {
    const { stack, make } = withCluster();
    make();
    make({}, 'Second');
    const names = Object.values(resources(stack, 'AWS::RDS::DBProxy')).map(
      ({ Properties }) => Properties['DBProxyName'],
    );
    expect(new Set(names).size).toBe(2);
  });
});

describe('the database', () => {
  test('is an instance', () => {
    const { stack, vpc, make } = withCluster();
    const database = makeInstance(stack, vpc);
    make({ database });
    const id = idOf(stack, database);
    const group = only(stack, 'AWS::RDS::DBProxyTargetGroup');
    expect(group.Properties).toMatchObject({ DBInstanceIdentifiers: [{ Ref: id }] });
    expect(group.DependsOn).toContain(id);
    expect(statements(stack)).toEqual([
      expect.objectContaining({ Resource: arn({ 'Fn::GetAtt': [id, 'DbiResourceId'] }, 'app') }),
    ]);
  });

  test('is imported, of an engine that is not named', () => {
    const { stack, make } = withCluster();
    make({ database: imported(stack), resourceId: 'cluster-ABC', databaseSecurityGroups: [groupOf(stack)] });
    expect(only(stack, 'AWS::RDS::DBProxy').Properties['EngineFamily']).toBe('POSTGRESQL');
    expect(JSON.stringify(statements(stack))).toContain(':dbuser:cluster-ABC/app');
    expect(rules(stack, 'Egress')).toEqual([
      expect.objectContaining({ DestinationSecurityGroupId: 'sg-0123456789abcdef0', FromPort: 5433 }),
    ]);
  });

  test('is imported without security groups, to which others open the way', () => {
    const { stack, make } = withCluster();
    make({ database: imported(stack), resourceId: 'cluster-ABC', databaseSecurityGroups: [] });
    expect(rules(stack, 'Egress')).toEqual([]);
    expect(rules(stack, 'Ingress')).toEqual([]);
  });

  test('is in another stack, which does not come to depend on the proxy’s', () => {
    const app = new App();
    const { stack: data, vpc } = makeStack('Data', app);
    const database = makeCluster(data, vpc);
    const own = new Stack(app, 'Own');
    new PooledDatabaseProxy(own, 'Proxy', { database, vpc, vpcSubnets, reader: true });
    app.synth();
    expect(data.dependencies).toEqual([]);
    expect(own.dependencies).toEqual([data]);
    expect(rules(own, 'Ingress')).toHaveLength(1);
  });
});

const imported = (stack: Stack) =>
  rds.DatabaseCluster.fromDatabaseClusterAttributes(stack, 'Imported', {
    clusterIdentifier: 'orders',
    clusterEndpointAddress: 'orders.cluster-abc.eu-west-1.rds.amazonaws.com',
    port: 5433,
  });
const groupOf = (stack: Stack) => ec2.SecurityGroup.fromSecurityGroupId(stack, 'Group', 'sg-0123456789abcdef0');

describe('with secrets', () => {
  test('the proxy may read them, and functions bring the password', () => {
    const { stack, make } = withCluster();
    const secrets = [makeSecret(stack), makeSecret(stack, undefined, 'Other')];
    make({ auth: 'secret', secrets });
    const arns = secrets.map((secret) => stack.resolve(secret.secretArn) as unknown);
    expect(only(stack, 'AWS::RDS::DBProxy').Properties).toMatchObject({
      RequireTLS: true,
      Auth: arns.map((SecretArn) => ({
        AuthScheme: 'SECRETS',
        ClientPasswordAuthType: 'POSTGRES_SCRAM_SHA_256',
        IAMAuth: 'DISABLED',
        SecretArn,
      })),
    });
    expect(only(stack, 'AWS::RDS::DBProxy').Properties).not.toHaveProperty('DefaultAuthScheme');
    const actions = ['secretsmanager:GetSecretValue', 'secretsmanager:DescribeSecret'];
    expect(statements(stack)).toEqual(arns.map((Resource) => ({ Effect: 'Allow', Action: actions, Resource })));
    expect(wildcards(stack)).toEqual([]);
  });

  test('functions may log in with IAM all the same, as any user', () => {
    const { stack, vpc, make } = withCluster();
    const database = make({ auth: 'secret', clientAuth: 'iam', secrets: [makeSecret(stack)] });
    new PooledDatabaseAccess(stack, 'Access', {
      functions: [makeFunction(stack, vpc)],
      database,
      databaseName: 'orders',
      user: 'anybody',
    });
    expect(only(stack, 'AWS::RDS::DBProxy').Properties).toMatchObject({ Auth: [{ IAMAuth: 'REQUIRED' }] });
    expect(JSON.stringify(statements(stack))).toContain('/anybody');
  });
});

describe('a reader endpoint', () => {
  test('is read-only and has the proxy’s security group', () => {
    const { stack, make } = withCluster();
    const proxy = make({ reader: true });
    const { Properties } = only(stack, 'AWS::RDS::DBProxyEndpoint');
    expect(Properties).toMatchObject({
      TargetRole: 'READ_ONLY',
      VpcSecurityGroupIds: only(stack, 'AWS::RDS::DBProxy').Properties['VpcSecurityGroupIds'],
    });
    expect(stack.resolve(proxy.readerEndpoint)).toEqual({
      'Fn::GetAtt': [expect.stringMatching(/Reader/), 'Endpoint'],
    });
  });

  test('is there on request only', () => {
    const { stack, make } = withCluster();
    expect(make().readerEndpoint).toBeUndefined();
    expect(resources(stack, 'AWS::RDS::DBProxyEndpoint')).toEqual({});
  });
});

describe('the wait for a connection', () => {
  test('ends 1 s before the function of the shortest timeout is ended', () => {
    const { stack, make, functionOf } = withCluster();
    make({ functions: [functionOf(30), functionOf(6), functionOf(60)] });
    expect(pool(stack)).toMatchObject({ ConnectionBorrowTimeout: 5 });
  });

  test('fits a function that PooledDatabaseAccess lets in later', () => {
    const { stack, make, functionOf } = withCluster();
    const database = make({ functions: [functionOf(30)] });
    new PooledDatabaseAccess(stack, 'Access', { functions: [functionOf(9)], database, databaseName: 'orders' });
    expect(pool(stack)).toMatchObject({ ConnectionBorrowTimeout: 8 });
  });

  test('counts 3 s, Lambda’s default, for a function without a timeout', () => {
    const { stack, vpc, make } = withCluster();
    make({ functions: [makeFunction(stack, vpc, { timeout: undefined as never })] });
    expect(pool(stack)).toMatchObject({ ConnectionBorrowTimeout: 2 });
  });

  test('is at most 120 s unless told otherwise', () => {
    const { stack, make, functionOf } = withCluster();
    make({ functions: [functionOf(900)] });
    expect(pool(stack)).toMatchObject({ ConnectionBorrowTimeout: 120 });
  });

  test('is refused where it is not shorter than a timeout', () => {
    const { make, functionOf } = withCluster();
    expect(() => make({ borrowTimeout: Duration.seconds(30), functions: [functionOf(30)] })).toThrow(
      'Test/Proxy: borrowTimeout is 30 s, but the function Test/Function30 is ended after 30 s, before it learns that there was none. Raise its timeout above 30 s, or lower borrowTimeout to 29 s or less.',
    );
  });

  test('is refused for a function that lives for a second', () => {
    const { make, functionOf } = withCluster();
    expect(() => make({ functions: [functionOf(1)] })).toThrow(
      'Test/Proxy: RDS Proxy waits for a connection to the database for 1 s at least, but the function Test/Function1 is ended after 1 s',
    );
  });

  test('is refused for a function that comes later, too', () => {
    const { stack, make, functionOf } = withCluster();
    const database = make({ borrowTimeout: Duration.seconds(20) });
    expect(
      () => new PooledDatabaseAccess(stack, 'A', { functions: [functionOf(10)], database, databaseName: 'orders' }),
    ).toThrow('Test/Proxy: borrowTimeout is 20 s, but the function Test/Function10 is ended after 10 s');
  });
});

describe('limits', () => {
  test('are as given', () => {
    const { stack, make } = withCluster();
    make({
      borrowTimeout: Duration.seconds(7),
      idleClientTimeout: Duration.minutes(5),
      maxConnectionsPercent: 40,
      proxyName: 'orders',
      debugLogging: true,
    });
    expect(pool(stack)).toEqual({
      ConnectionBorrowTimeout: 7,
      MaxConnectionsPercent: 40,
      MaxIdleConnectionsPercent: 40,
    });
    expect(only(stack, 'AWS::RDS::DBProxy').Properties).toMatchObject({
      IdleClientTimeout: 300,
      DBProxyName: 'orders',
      DebugLogging: true,
    });
  });

  test('of idle connections are as given, too', () => {
    const { stack, make } = withCluster();
    make({ maxIdleConnectionsPercent: 5 });
    expect(pool(stack)).toMatchObject({ MaxConnectionsPercent: 90, MaxIdleConnectionsPercent: 5 });
  });

  test.each<[string, (stack: Stack) => Given, string]>([
    ['no users', () => ({ users: [] }), 'users is empty: name the database users that connect through the proxy.'],
    ['every user', () => ({ users: ['app', '*'] }), 'the database user "*" cannot stand in an IAM policy'],
    [
      'secrets with IAM',
      (stack) => ({ secrets: [makeSecret(stack)] }),
      'secrets are given, but auth is "iam" and needs none: leave them out, or set auth: \'secret\'.',
    ],
    [
      'passwords of clients with IAM',
      () => ({ clientAuth: 'secret' }),
      'clientAuth is "secret", but auth is "iam": the proxy then takes IAM logins only.',
    ],
    [
      'no secrets without IAM',
      () => ({ auth: 'secret' }),
      'auth is "secret", but no secrets are given: pass one for each database user.',
    ],
    [
      'a secret of half an ARN',
      (stack) => ({ auth: 'secret', secrets: [secretsmanager.Secret.fromSecretNameV2(stack, 'S', 's')] }),
      'the complete ARN of the secret Test/S is not known',
    ],
    [
      'a reader of an instance',
      (stack) => ({
        reader: true,
        database: rds.DatabaseInstance.fromDatabaseInstanceAttributes(stack, 'I', {
          instanceIdentifier: 'i',
          instanceEndpointAddress: 'i',
          port: 5432,
          securityGroups: [],
        }),
      }),
      'reader is true, but only clusters have readers, and the database is an instance.',
    ],
    [
      'a borrowTimeout without end',
      () => ({ borrowTimeout: Duration.seconds(0) }),
      'borrowTimeout is 0 s: it goes from 1 s to 300 s.',
    ],
    [
      'a borrowTimeout of an hour',
      () => ({ borrowTimeout: Duration.hours(1) }),
      'borrowTimeout is 3600 s: it goes from 1 s to 300 s.',
    ],
    [
      'an idleClientTimeout below the pool’s',
      () => ({ idleClientTimeout: Duration.minutes(4) }),
      'idleClientTimeout is 240 s: it goes from 300 s, when the pool itself closes an idle connection (THAWPOOL_IDLE_TIMEOUT_MS), to 28800 s.',
    ],
    [
      'an idleClientTimeout above the proxy’s own limit',
      () => ({ idleClientTimeout: Duration.seconds(28_801) }),
      'idleClientTimeout is 28801 s: it goes from 300 s, when the pool itself closes an idle connection (THAWPOOL_IDLE_TIMEOUT_MS), to 28800 s.',
    ],
    [
      'more connections than there are',
      () => ({ maxConnectionsPercent: 101 }),
      'maxConnectionsPercent is 101: it is a whole number from 1 to 100.',
    ],
    [
      'a part of a percent',
      () => ({ maxConnectionsPercent: 1.5 }),
      'maxConnectionsPercent is 1.5: it is a whole number from 1 to 100.',
    ],
    [
      'fewer idle connections than none',
      () => ({ maxIdleConnectionsPercent: -1 }),
      'maxIdleConnectionsPercent is -1: it is a whole number from 0 to maxConnectionsPercent (90).',
    ],
    [
      'no connections',
      () => ({ maxConnectionsPercent: 0 }),
      'maxConnectionsPercent is 0: it is a whole number from 1 to 100.',
    ],
    [
      'more idle connections than connections',
      () => ({ maxIdleConnectionsPercent: 95 }),
      'maxIdleConnectionsPercent is 95: it is a whole number from 0 to maxConnectionsPercent (90).',
    ],
    [
      'an unknown resource id',
      (stack) => ({ database: imported(stack), databaseSecurityGroups: [groupOf(stack)] }),
      'The resource id of the cluster Test/Imported is not known',
    ],
    [
      'unknown security groups',
      (stack) => ({ database: imported(stack), resourceId: 'cluster-ABC' }),
      'the security groups of the cluster Test/Imported are not known, so no way to it can be opened. Pass databaseSecurityGroups, or [] if something else opens it.',
    ],
  ])('%s are refused', (_, given, message) => {
    const { stack, make } = withCluster();
    expect(() => make(given(stack))).toThrow(`Test/Proxy: ${message}`);
  });
});

test('IAM authentication that is off at the database is refused at synth', () => {
  const { stack, make } = withCluster({ iamAuthentication: false });
  make();
  expect(() => Template.fromStack(stack)).toThrow(
    'auth is "iam", but IAM authentication is not switched on for the cluster Test/Cluster',
  );
});

test.each<[string, number, number]>([
  ['that may pause is warned of: the proxy keeps it awake', 0, 1],
  ['that never pauses is not', 0.5, 0],
])('a cluster %s', (_, serverlessV2MinCapacity, count) => {
  const { stack, make } = withCluster({ serverlessV2MinCapacity });
  make();
  expect(warnings(stack).filter((text) => text.includes('a proxy keeps connections open'))).toHaveLength(count);
});
