// PooledDatabaseAccess: what it writes into the templates, and what it refuses, and in which words. Of functions: function-checks.test.ts.
import { App, Aws, CfnCondition, CfnParameter, CfnResource, Fn, Stack, Token } from 'aws-cdk-lib';
import { Template } from 'aws-cdk-lib/assertions';
import * as ec2 from 'aws-cdk-lib/aws-ec2';
import * as iam from 'aws-cdk-lib/aws-iam';
import * as kms from 'aws-cdk-lib/aws-kms';
import * as lambda from 'aws-cdk-lib/aws-lambda';
import * as rds from 'aws-cdk-lib/aws-rds';
import * as secretsmanager from 'aws-cdk-lib/aws-secretsmanager';
import { describe, expect, test } from 'vitest';
import { PooledDatabaseAccess } from '../../infra/constructs/index.ts';
import { resourceOf } from '../../infra/constructs/resources.ts';
import { type Given, proxyOf, withCluster } from './support/access.ts';
import {
  environmentIn,
  idOf,
  makeFunction,
  makeInstance,
  makeSecret,
  makeVpc,
  resources,
  statements,
  warnings,
  wildcards,
} from './support/app.ts';

/** An imported cluster of which everything is known. */
const importedCluster = (scope: Stack, more: Partial<rds.DatabaseClusterAttributes> = {}) =>
  rds.DatabaseCluster.fromDatabaseClusterAttributes(scope, 'Imported', {
    clusterIdentifier: 'orders',
    clusterResourceIdentifier: 'cluster-ABC123',
    clusterEndpointAddress: 'orders.cluster-abc.eu-west-1.rds.amazonaws.com',
    readerEndpointAddress: 'orders.cluster-ro-abc.eu-west-1.rds.amazonaws.com',
    port: 5433,
    securityGroups: [ec2.SecurityGroup.fromSecurityGroupId(scope, 'ImportedGroup', 'sg-0123456789abcdef0')],
    ...more,
  });

const arn = (id: unknown, user: string) => ({
  'Fn::Join': [
    '',
    [
      'arn:',
      { Ref: 'AWS::Partition' },
      ':rds-db:',
      { Ref: 'AWS::Region' },
      ':',
      { Ref: 'AWS::AccountId' },
      ':dbuser:',
      id,
      `/${user}`,
    ],
  ],
});

/** Who may log in as what: the resources of every `rds-db:connect`. */
const connects = (stack: Stack) =>
  statements(stack)
    .filter(({ Action }) => Action === 'rds-db:connect')
    .map(({ Resource }) => Resource);

describe('a function and a cluster of the same stack', () => {
  test('get an environment that names host, port, database, user and IAM, and nothing else', () => {
    const { stack, cluster, fn, connect } = withCluster();
    connect();
    const id = idOf(stack, cluster);
    expect(environmentIn(stack, fn)).toEqual({
      PGHOST: { 'Fn::GetAtt': [id, 'Endpoint.Address'] },
      PGPORT: { 'Fn::GetAtt': [id, 'Endpoint.Port'] },
      PGDATABASE: 'orders',
      PGUSER: 'app',
      THAWPOOL_AUTH: 'iam',
    });
  });

  test('get the right to connect as that user to that cluster, and no other right', () => {
    const { stack, cluster, connect } = withCluster();
    const access = connect({ user: 'reporting' });
    const expected = arn({ 'Fn::GetAtt': [idOf(stack, cluster), 'DBClusterResourceId'] }, 'reporting');
    expect(statements(stack)).toEqual([{ Effect: 'Allow', Action: 'rds-db:connect', Resource: expected }]);
    expect(stack.resolve(access.connectArns)).toEqual([expected]);
    expect(wildcards(stack)).toEqual([]);
  });

  test('get one rule into the cluster where the function lets everything out', () => {
    const { stack, cluster, fn, connect } = withCluster();
    connect();
    const [from, to] = [fn, cluster].map((side) => groupId(stack, side));
    const port = { 'Fn::GetAtt': [idOf(stack, cluster), 'Endpoint.Port'] };
    expect(rules(stack, 'Ingress')).toEqual([
      expect.objectContaining({
        Description: 'PostgreSQL from a function, in',
        GroupId: to,
        SourceSecurityGroupId: from,
        IpProtocol: 'tcp',
        FromPort: port,
        ToPort: port,
      }),
    ]);
    expect(rules(stack, 'Egress')).toEqual([]);
    expect(warnings(stack)).toEqual([]);
  });

  test('get a rule out of the function as well where it does not', () => {
    const { stack, vpc, cluster, connect } = withCluster();
    const group = new ec2.SecurityGroup(stack, 'Own', { vpc, allowAllOutbound: false });
    const fn = makeFunction(stack, vpc, { securityGroups: [group] }, 'Closed');
    connect({ functions: [fn] });
    expect(rules(stack, 'Egress')).toEqual([
      expect.objectContaining({
        Description: 'PostgreSQL from a function, out',
        GroupId: groupId(stack, fn),
        DestinationSecurityGroupId: groupId(stack, cluster),
        FromPort: { 'Fn::GetAtt': [idOf(stack, cluster), 'Endpoint.Port'] },
      }),
    ]);
    expect(rules(stack, 'Ingress')).toHaveLength(1);
  });

  test('get a rule for each pair of their security groups', () => {
    const { stack, vpc, connect } = withCluster();
    const group = (id: string) => new ec2.SecurityGroup(stack, id, { vpc });
    const fn = makeFunction(stack, vpc, { securityGroups: [group('A'), group('B')] }, 'Both');
    connect({ functions: [fn], securityGroups: [group('C'), group('D')] });
    const text = JSON.stringify(
      rules(stack, 'Ingress').map((rule) => [rule['SourceSecurityGroupId'], rule['GroupId']]),
    );
    const letters = [...text.matchAll(/"([A-D])[0-9A-F]{8}"/g)].map(([, letter = '']) => letter).join('');
    expect(letters.match(/../g)).toHaveLength(4);
    expect(letters.match(/../g)).toEqual(expect.arrayContaining(['AC', 'AD', 'BC', 'BD']));
  });

  test('may be several functions, each with its own rights, rules and environment', () => {
    const { stack, vpc, fn, connect } = withCluster();
    const other = makeFunction(stack, vpc, {}, 'Other');
    const access = connect({ functions: [fn, other, fn] });
    expect(access.functions).toEqual([fn, other]);
    expect(connects(stack)).toHaveLength(2);
    expect(rules(stack, 'Ingress')).toHaveLength(2);
    expect(environmentIn(stack, other)).toEqual(environmentIn(stack, fn));
  });
});

const groupId = (stack: Stack, side: ec2.IConnectable) =>
  stack.resolve(side.connections.securityGroups[0]?.securityGroupId);
const rules = (stack: Stack, way: 'Ingress' | 'Egress') =>
  Object.values(resources(stack, `AWS::EC2::SecurityGroup${way}`)).map(({ Properties }) => Properties);

describe('the database', () => {
  test('is an instance: its endpoint, its resource id', () => {
    const { stack, vpc, fn, connect } = withCluster();
    const instance = makeInstance(stack, vpc);
    connect({ database: instance });
    const id = idOf(stack, instance);
    expect(environmentIn(stack, fn)).toMatchObject({ PGHOST: { 'Fn::GetAtt': [id, 'Endpoint.Address'] } });
    expect(connects(stack)).toEqual([arn({ 'Fn::GetAtt': [id, 'DbiResourceId'] }, 'app')]);
  });

  test('is an imported cluster: what it says of itself, and a rule in its security group', () => {
    const { stack, fn, connect } = withCluster();
    connect({ database: importedCluster(stack), reader: true });
    expect(environmentIn(stack, fn)).toMatchObject({
      PGHOST: 'orders.cluster-abc.eu-west-1.rds.amazonaws.com',
      PGPORT: '5433',
      THAWPOOL_READER_HOST: 'orders.cluster-ro-abc.eu-west-1.rds.amazonaws.com',
    });
    expect(JSON.stringify(connects(stack))).toContain(':dbuser:cluster-ABC123/app');
    expect(rules(stack, 'Ingress')).toEqual([
      expect.objectContaining({ GroupId: 'sg-0123456789abcdef0', FromPort: 5433, ToPort: 5433 }),
    ]);
  });

  test('is an imported cluster without a resource id: the given one', () => {
    const { stack, connect } = withCluster();
    const database = rds.DatabaseCluster.fromDatabaseClusterAttributes(stack, 'Bare', {
      clusterIdentifier: 'orders',
      clusterEndpointAddress: 'orders.example.com',
      port: 5432,
    });
    const group = new ec2.SecurityGroup(stack, 'G', { vpc: makeVpc(stack, 'V2') });
    connect({ database, resourceId: 'cluster-GIVEN', securityGroups: [group], peered: true });
    expect(JSON.stringify(connects(stack))).toContain(':dbuser:cluster-GIVEN/app');
    expect(rules(stack, 'Ingress')).toEqual([
      expect.objectContaining({ GroupId: stack.resolve(group.securityGroupId) as unknown, FromPort: 5432 }),
    ]);
  });

  test('is an imported instance: what it says of itself, and the given resource id', () => {
    const { stack, fn, connect } = withCluster();
    connect({ database: importedInstance(stack), resourceId: 'db-GIVEN', securityGroups: [] });
    expect(environmentIn(stack, fn)).toMatchObject({ PGHOST: 'orders.example.com', PGPORT: '5432' });
    expect(JSON.stringify(connects(stack))).toContain(':dbuser:db-GIVEN/app');
  });

  test('is an imported proxy: the end of its ARN, and the given security groups', () => {
    const { stack, fn, connect } = withCluster();
    connect({
      database: importedProxy(stack),
      securityGroups: [ec2.SecurityGroup.fromSecurityGroupId(stack, 'G', 'sg-0999999999abcdef0')],
    });
    expect(environmentIn(stack, fn)).toMatchObject({
      PGHOST: 'orders.proxy-abc.eu-west-1.rds.amazonaws.com',
      PGPORT: '5432',
    });
    expect(JSON.stringify(connects(stack))).toContain(':dbuser:prx-0abc/app');
    expect(rules(stack, 'Ingress')).toEqual([
      expect.objectContaining({ GroupId: 'sg-0999999999abcdef0', FromPort: 5432 }),
    ]);
  });

  test('is an imported proxy with a resource id of its own: the given one', () => {
    const { stack, connect } = withCluster();
    connect({ database: importedProxy(stack, 'elsewhere'), securityGroups: [], resourceId: 'prx-GIVEN' });
    expect(JSON.stringify(connects(stack))).toContain(':dbuser:prx-GIVEN/app');
  });

  test('is a proxy made by CDK alone: the end of an ARN that only the deployment knows', () => {
    const { stack, cluster, connect } = withCluster();
    connect({ database: cdkProxy(stack, cluster, { defaultAuthScheme: rds.DefaultAuthScheme.IAM_AUTH }) });
    expect(connects(stack)).toEqual([
      arn({ 'Fn::Select': [6, { 'Fn::Split': [':', { 'Fn::GetAtt': [expect.any(String), 'DBProxyArn'] }] }] }, 'app'),
    ]);
    expect(rules(stack, 'Ingress')).toContainEqual(expect.objectContaining({ FromPort: 5432, ToPort: 5432 }));
  });

  test('is in another region and account: the right is for those', () => {
    const app = new App();
    const there = new Stack(app, 'There', { env: { region: 'eu-west-1', account: '111111111111' } });
    const here = new Stack(app, 'Here', { env: { region: 'us-east-1', account: '222222222222' } });
    const functions = [makeFunction(here, makeVpc(here))];
    // CDK has a word for a stack without resources.
    makeVpc(there);
    const database = importedCluster(there);
    new PooledDatabaseAccess(here, 'Access', { functions, database, databaseName: 'orders' });
    expect(connects(here)).toEqual([
      {
        'Fn::Join': [
          '',
          ['arn:', { Ref: 'AWS::Partition' }, ':rds-db:eu-west-1:111111111111:dbuser:cluster-ABC123/app'],
        ],
      },
    ]);
  });

  test('may be imported with a port that is known at deployment only: the given one is believed', () => {
    const { stack, fn, connect } = withCluster();
    const port = Token.asNumber(Fn.importValue('port'));
    connect({ database: importedCluster(stack, { port }), port: 6543 });
    expect(environmentIn(stack, fn)).toMatchObject({ PGPORT: '6543' });
  });
});

const importedInstance = (stack: Stack) =>
  rds.DatabaseInstance.fromDatabaseInstanceAttributes(stack, 'ImportedInstance', {
    instanceIdentifier: 'orders',
    instanceEndpointAddress: 'orders.example.com',
    port: 5432,
    securityGroups: [],
  });

const importedProxy = (stack: Stack, id = 'prx-0abc') =>
  rds.DatabaseProxy.fromDatabaseProxyAttributes(stack, 'ImportedProxy', {
    dbProxyName: 'orders',
    dbProxyArn: `arn:aws:rds:eu-west-1:111111111111:db-proxy:${id}`,
    endpoint: 'orders.proxy-abc.eu-west-1.rds.amazonaws.com',
    securityGroups: [],
  });

const cdkProxy = (stack: Stack, cluster: rds.DatabaseCluster, props: Partial<rds.DatabaseProxyProps>) =>
  new rds.DatabaseProxy(stack, 'Plain', {
    proxyTarget: rds.ProxyTarget.fromCluster(cluster),
    vpc: cluster.vpc,
    vpcSubnets: { subnetType: ec2.SubnetType.PRIVATE_ISOLATED },
    ...props,
  });

describe('a PooledDatabaseProxy', () => {
  test('is what the function may reach, and the cluster behind it is not', () => {
    const { stack, cluster, fn, connect } = withCluster();
    const proxy = proxyOf(stack, cluster);
    connect({ database: proxy });
    expect(environmentIn(stack, fn)).toEqual({
      PGHOST: stack.resolve(proxy.endpoint),
      PGPORT: '5432',
      PGDATABASE: 'orders',
      PGUSER: 'app',
      THAWPOOL_AUTH: 'iam',
    });
    const mine = policyOf(stack, fn);
    expect(JSON.stringify(mine)).toContain('DBProxyArn');
    expect(JSON.stringify(mine)).not.toContain('DBClusterResourceId');
    const from = groupId(stack, fn);
    expect(rules(stack, 'Ingress').filter(({ SourceSecurityGroupId }) => isEqual(SourceSecurityGroupId, from))).toEqual(
      [expect.objectContaining({ GroupId: groupId(stack, proxy), FromPort: 5432 })],
    );
    expect(wildcards(stack)).toEqual([]);
  });

  test('with fallback: the function may reach both, and the environment names both', () => {
    const { stack, cluster, fn, connect } = withCluster();
    const proxy = proxyOf(stack, cluster, { reader: true });
    connect({ database: proxy, fallback: 'direct', reader: true });
    const id = idOf(stack, cluster);
    expect(environmentIn(stack, fn)).toEqual({
      PGHOST: { 'Fn::GetAtt': [id, 'Endpoint.Address'] },
      PGPORT: { 'Fn::GetAtt': [id, 'Endpoint.Port'] },
      PGDATABASE: 'orders',
      PGUSER: 'app',
      THAWPOOL_AUTH: 'iam',
      THAWPOOL_PROXY_HOST: stack.resolve(proxy.endpoint),
      THAWPOOL_PROXY_FALLBACK: 'direct',
      THAWPOOL_READER_HOST: { 'Fn::Join': ['', [stack.resolve(proxy.readerEndpoint), ':5432']] },
    });
    const from = groupId(stack, fn);
    const reached = rules(stack, 'Ingress').filter(({ SourceSecurityGroupId }) => isEqual(SourceSecurityGroupId, from));
    expect(reached.map(({ GroupId }) => GroupId)).toEqual(
      expect.arrayContaining([groupId(stack, proxy), groupId(stack, cluster)]),
    );
    expect(JSON.stringify(policyOf(stack, fn))).toMatch(/DBProxyArn.*DBClusterResourceId/);
  });

  test.each<[string, Given, object, string]>([
    [
      'a user that it does not know',
      { user: 'other' },
      {},
      'the user is "other", but the proxy Test/Proxy may log in as app only: add it to the proxy\'s users.',
    ],
    [
      'a reader that it does not have',
      { reader: true },
      {},
      'reader is true, but the proxy Test/Proxy has no reader endpoint: give it reader: true.',
    ],
    [
      'a port that it does not have',
      { port: 5433 },
      {},
      'port is 5433, but the proxy Test/Proxy/Proxy listens on 5432: leave port out, or correct it.',
    ],
  ])('refuses %s', (_, given, props, message) => {
    const { stack, cluster, connect } = withCluster();
    const proxy = proxyOf(stack, cluster, props);
    expect(() => connect({ database: proxy, ...given })).toThrow(`Test/Access: ${message}`);
  });

  test('fits its wait for a connection to the functions', () => {
    const { stack, cluster, connect } = withCluster();
    connect({ database: proxyOf(stack, cluster) });
    Template.fromStack(stack).hasResourceProperties('AWS::RDS::DBProxyTargetGroup', {
      ConnectionPoolConfigurationInfo: { ConnectionBorrowTimeout: 29 },
    });
  });

  test('with fallback: IAM authentication that is off behind it is refused at synth', () => {
    const { stack, cluster, connect } = withCluster();
    (cluster.node.defaultChild as rds.CfnDBCluster).enableIamDatabaseAuthentication = false;
    const database = proxyOf(stack, cluster, { auth: 'secret', clientAuth: 'iam', secrets: [makeSecret(stack)] });
    connect({ database, fallback: 'direct' });
    expect(() => Template.fromStack(stack)).toThrow('is not switched on for the cluster Test/Cluster');
  });

  test('that logs in by secrets takes every user', () => {
    const { stack, cluster, fn, connect } = withCluster();
    const database = proxyOf(stack, cluster, { auth: 'secret', clientAuth: 'iam', secrets: [makeSecret(stack)] });
    connect({ database, user: 'other' });
    expect(environmentIn(stack, fn)).toMatchObject({ PGUSER: 'other', THAWPOOL_AUTH: 'iam' });
  });

  test.each(['ours', 'CDK’s'])('of %s refuses a cache of statements, which has no effect behind it', (whose) => {
    const { stack, cluster, connect } = withCluster();
    const database =
      whose === 'ours' ? proxyOf(stack, cluster) : cdkProxy(stack, cluster, { secrets: [makeSecret(stack)] });
    const given = (statements: string): Given => ({ database, environment: { THAWPOOL_STATEMENT_CACHE: statements } });
    expect(() => connect(given('50'))).toThrow(
      'Test/Access: environment has THAWPOOL_STATEMENT_CACHE, but nothing is prepared behind a proxy: a prepared statement is not found by the next transaction, or pins the connection. Leave it out.',
    );
  });

  test('takes a cache of statements on an instance', () => {
    const { stack, vpc, fn, connect } = withCluster();
    connect({ database: makeInstance(stack, vpc), environment: { THAWPOOL_STATEMENT_CACHE: '50' } });
    expect(environmentIn(stack, fn)).toMatchObject({ THAWPOOL_STATEMENT_CACHE: '50' });
  });

  test('takes a cache of statements that is switched off, and with fallback any', () => {
    const { stack, cluster, fn, connect } = withCluster();
    connect({ database: proxyOf(stack, cluster), environment: { THAWPOOL_STATEMENT_CACHE: '0' } });
    expect(environmentIn(stack, fn)).toMatchObject({ THAWPOOL_STATEMENT_CACHE: '0' });
    const second = withCluster();
    const database = proxyOf(second.stack, second.cluster);
    second.connect({ database, fallback: 'direct', environment: { THAWPOOL_STATEMENT_CACHE: '50' } });
    expect(environmentIn(second.stack, second.fn)).toMatchObject({ THAWPOOL_STATEMENT_CACHE: '50' });
  });

  test('refuses a secret where it takes IAM logins', () => {
    const { stack, cluster, connect } = withCluster();
    const proxy = proxyOf(stack, cluster);
    expect(() => connect({ database: proxy, auth: 'secret', secret: makeSecret(stack) })).toThrow(
      'auth is "secret", but functions log in to the proxy Test/Proxy by "iam".',
    );
  });
});

const isEqual = (a: unknown, b: unknown) => JSON.stringify(a) === JSON.stringify(b);
const policyOf = (stack: Stack, fn: lambda.Function) => {
  const role = stack.resolve((fn.role as iam.Role).roleName) as unknown;
  return Object.values(resources(stack, 'AWS::IAM::Policy')).filter(({ Properties }) =>
    isEqual(Properties['Roles'], [role]),
  );
};

describe('with a secret', () => {
  test('the function may read that secret and no other, and nobody names a user', () => {
    const { stack, fn, connect } = withCluster();
    const secret = makeSecret(stack);
    const access = connect({ auth: 'secret', secret });
    const { Ref } = stack.resolve(secret.secretArn) as { Ref: string };
    expect(statements(stack)).toEqual([
      {
        Effect: 'Allow',
        Action: ['secretsmanager:GetSecretValue', 'secretsmanager:DescribeSecret'],
        Resource: { Ref },
      },
    ]);
    expect(access.connectArns).toEqual([]);
    expect(environmentIn(stack, fn)).toMatchObject({ THAWPOOL_AUTH: 'secret', THAWPOOL_SECRET_ARN: { Ref } });
    expect(environmentIn(stack, fn)).not.toHaveProperty('PGUSER');
    expect(wildcards(stack)).toEqual([]);
  });

  test('the function may use its key, and no wildcard appears', () => {
    const { stack, fn, connect } = withCluster();
    const key = new kms.Key(stack, 'Key');
    connect({ auth: 'secret', secret: makeSecret(stack, key) });
    const [{ Properties } = expect.fail('no key')] = Object.values(resources(stack, 'AWS::KMS::Key'));
    const { Statement } = Properties['KeyPolicy'] as { Statement: Record<string, unknown>[] };
    expect(Statement).toContainEqual(
      expect.objectContaining({ Action: 'kms:Decrypt', Principal: { AWS: stack.resolve(fn.role?.roleArn) } }),
    );
    expect(wildcards(stack)).toEqual([]);
  });

  test('IAM authentication need not be switched on', () => {
    const { stack, vpc, fn } = withCluster();
    const database = makeInstance(stack, vpc, { iamAuthentication: false });
    new PooledDatabaseAccess(stack, 'A', {
      functions: [fn],
      database,
      databaseName: 'orders',
      auth: 'secret',
      secret: makeSecret(stack),
    });
    expect(environmentIn(stack, fn)).toMatchObject({ THAWPOOL_AUTH: 'secret' });
  });

  test('is refused where the complete ARN is not known', () => {
    const { stack, connect } = withCluster();
    const secret = secretsmanager.Secret.fromSecretNameV2(stack, 'ByName', 'orders');
    expect(() => connect({ auth: 'secret', secret })).toThrow(
      'Test/Access: the complete ARN of the secret Test/ByName is not known, and a right to read it would need a wildcard: import it by Secret.fromSecretCompleteArn.',
    );
  });

  test.each<[string, Given, string]>([
    ['without one', { auth: 'secret' }, 'auth is "secret", but no secret is given.'],
    [
      'with IAM',
      { auth: 'iam' },
      'a secret is given, but auth is "iam" and needs none: leave it out, or set auth: \'secret\'.',
    ],
  ])('is refused %s', (title, given, message) => {
    const { stack, connect } = withCluster();
    const secret = title === 'with IAM' ? { secret: makeSecret(stack) } : {};
    expect(() => connect({ ...given, ...secret })).toThrow(`Test/Access: ${message}`);
  });
});

describe('the environment', () => {
  test('takes further variables, tokens too', () => {
    const { stack, fn, connect } = withCluster();
    const idle = new CfnParameter(stack, 'Idle', { type: 'Number' });
    const access = connect({
      max: 2,
      caBundle: '/var/task/rds.pem',
      environment: {
        THAWPOOL_PINNING: 'warn',
        THAWPOOL_STATEMENT_CACHE: '50',
        THAWPOOL_MAX_IDLE: idle.valueAsString,
        THAWPOOL_ROUTE: undefined as never,
      },
    });
    expect(access.environment).not.toHaveProperty('THAWPOOL_ROUTE');
    expect(environmentIn(stack, fn)).toMatchObject({
      THAWPOOL_MAX: '2',
      PGSSLROOTCERT: '/var/task/rds.pem',
      THAWPOOL_PINNING: 'warn',
      THAWPOOL_STATEMENT_CACHE: '50',
      THAWPOOL_MAX_IDLE: { Ref: 'Idle' },
    });
  });

  test.each<[string, Given, string]>([
    [
      'a bad value',
      { environment: { THAWPOOL_ACQUIRE_TIMEOUT_MS: '5s' } },
      'THAWPOOL_ACQUIRE_TIMEOUT_MS must be a whole number from 1 to 900000 (milliseconds), got "5s"',
    ],
    ['a bad max', { max: 0 }, 'THAWPOOL_MAX must be a whole number from 1 to 10000, got "0"'],
    [
      'a name that thawpool does not have',
      { environment: { THAWPOOL_MAXIDLE: '1' } as never },
      'environment: THAWPOOL_MAXIDLE is set, but thawpool has no such variable and ignores it; the nearest known name is THAWPOOL_MAX_IDLE.',
    ],
    ...['thawpool_maxidle', 'THAWPOOL_MAXIDLE'].map((name): [string, Given, string] => [
      `the name ${name} without a value`,
      { environment: { [name]: '' } },
      `environment: ${name} is set, but thawpool has no such variable and ignores it; the nearest known name is THAWPOOL_MAX_IDLE.`,
    ]),
    [
      'a name that is none of its business',
      { environment: { LOG_LEVEL: 'x' } as never },
      'environment has LOG_LEVEL, which thawpool does not read: give it to the function itself.',
    ],
    [
      'what it sets itself',
      { environment: { PGHOST: 'x' } },
      'environment has PGHOST, but PooledDatabaseAccess sets it.',
    ],
    [
      'a password',
      { environment: { PGPASSWORD: 'hush' } },
      "environment has PGPASSWORD, but everybody who may read the function would see the password; use auth: 'iam' or 'secret'.",
    ],
    [
      'a connection string',
      { environment: { DATABASE_URL: 'postgres://x' } },
      'environment has DATABASE_URL, but it would win over what PooledDatabaseAccess sets.',
    ],
    [
      'an empty database name',
      { databaseName: 'orders', user: '' },
      'the database user "" cannot stand in an IAM policy',
    ],
    ...['app?', 'app/x', 'my app', 'a\n'].map((user): [string, Given, string] => [
      `a user called ${JSON.stringify(user)}`,
      { user },
      `the database user ${JSON.stringify(user)} cannot stand in an IAM policy`,
    ]),
    [
      'a user that stands for every user',
      { user: '*' },
      'the database user "*" cannot stand in an IAM policy: it needs one name without *, ?, / and spaces.',
    ],
  ])('refuses %s', (_, given, message) => {
    expect(() => withCluster().connect(given)).toThrow(`Test/Access: ${message}`);
  });

  test('refuses a user of which a part is known at deployment only and the rest stands for every user', () => {
    const { stack, connect } = withCluster();
    const prefix = new CfnParameter(stack, 'Prefix').valueAsString;
    expect(() => connect({ user: `${prefix}*` })).toThrow('cannot stand in an IAM policy');
  });

  test('never shows a password in an error', () => {
    expect(() => withCluster().connect({ environment: { PGPASSWORD: 'hush' } })).toThrow(
      expect.not.stringContaining('hush') as never,
    );
  });

  test.each<[string, string]>([
    ['PGHOST', 'PooledDatabaseAccess sets it'],
    ['DATABASE_URL', 'it would win over what PooledDatabaseAccess sets'],
    ['THAWPOOL_PROXY_HOST', 'PooledDatabaseAccess decides it by database and fallback'],
    ['THAWPOOL_PROXY_FALLBACK', 'PooledDatabaseAccess decides it by fallback'],
    ['THAWPOOL_SECRET_ARN', 'PooledDatabaseAccess decides it by auth and secret'],
  ])('refuses a function that has a %s of its own', (name, reason) => {
    const { connect } = withCluster({}, { environment: { [name]: 'elsewhere' } });
    expect(() => connect()).toThrow(
      `Test/Access: The function Test/Function has ${name} in its environment, but ${reason}: remove it there.`,
    );
  });

  test('refuses a function that has another value of a further variable', () => {
    const { connect } = withCluster({}, { environment: { THAWPOOL_PINNING: 'off' } });
    expect(() => connect({ environment: { THAWPOOL_PINNING: 'warn' } })).toThrow(
      'Test/Access: The function Test/Function has THAWPOOL_PINNING in its environment, but PooledDatabaseAccess sets another value: remove it there.',
    );
  });

  test('refuses the second function for the same reasons, now and at synth', () => {
    const { stack, vpc, fn, connect } = withCluster();
    const other = makeFunction(stack, vpc, {}, 'Other');
    connect({ functions: [fn, other] });
    other.addEnvironment('PGHOST', 'elsewhere');
    expect(() => Template.fromStack(stack)).toThrow('The function Test/Other has PGHOST in its environment');
    const second = withCluster();
    const taken = makeFunction(second.stack, second.vpc, { environment: { PGHOST: 'elsewhere' } }, 'Other');
    expect(() => second.connect({ functions: [second.fn, taken] })).toThrow(
      'The function Test/Other has PGHOST in its environment',
    );
  });

  test('names itself where it names the user, though there is a secret', () => {
    const { stack, connect } = withCluster({}, { environment: { PGUSER: 'elsewhere' } });
    expect(() => connect({ auth: 'secret', secret: makeSecret(stack), user: 'app' })).toThrow(
      'has PGUSER in its environment, but PooledDatabaseAccess sets it',
    );
  });

  test('refuses a function that names a user where the secret does', () => {
    const { stack, connect } = withCluster({}, { environment: { PGUSER: 'elsewhere' } });
    expect(() => connect({ auth: 'secret', secret: makeSecret(stack) })).toThrow(
      'Test/Access: The function Test/Function has PGUSER in its environment, but the secret names the user: remove it there.',
    );
  });

  test('lets a function have the same value already', () => {
    const { stack, fn, connect } = withCluster({}, { environment: { PGDATABASE: 'orders', LOG_LEVEL: 'debug' } });
    connect();
    expect(environmentIn(stack, fn)).toMatchObject({ PGDATABASE: 'orders', LOG_LEVEL: 'debug' });
  });

  test('refuses at synth what was changed afterwards', () => {
    const { stack, fn, connect } = withCluster();
    connect();
    fn.addEnvironment('PGHOST', 'elsewhere');
    fn.addEnvironment('PGPASSWORD', 'hush');
    expect(() => Template.fromStack(stack)).toThrow(
      /has PGHOST in its environment[^]*has PGPASSWORD in its environment/,
    );
  });

  test('refuses a second access with another database for the same function', () => {
    const { stack, vpc, fn, connect } = withCluster();
    connect();
    const database = makeInstance(stack, vpc);
    expect(
      () => new PooledDatabaseAccess(stack, 'Second', { functions: [fn], database, databaseName: 'orders' }),
    ).toThrow('The function Test/Function has PGHOST in its environment, but PooledDatabaseAccess sets it');
  });
});

describe('VPCs', () => {
  test('of one app that differ are refused, unless peered', () => {
    const { stack, fn: near, connect } = withCluster();
    const fn = makeFunction(stack, makeVpc(stack, 'Other'), {}, 'Far');
    expect(() => connect({ functions: [near, fn] })).toThrow(
      "Test/Access: the function Test/Far and the cluster Test/Cluster are in different VPCs. Put the function into the database's VPC, or set peered: true if the two are peered.",
    );
    const peered = withCluster({ peered: true });
    const far = makeFunction(peered.stack, makeVpc(peered.stack, 'Other'), {}, 'Far');
    peered.connect({ functions: [far] });
    expect(environmentIn(peered.stack, far)).toHaveProperty('PGHOST');
  });

  test('that differ are refused where only the way past the proxy goes from one to the other', () => {
    const { stack, cluster, connect } = withCluster({ fallback: 'direct' });
    const vpc = makeVpc(stack, 'Other');
    const functions = [makeFunction(stack, vpc, {}, 'Far')];
    expect(() => connect({ functions, database: proxyOf(stack, cluster, { vpc }) })).toThrow(
      'the function Test/Far and the cluster Test/Cluster are in different VPCs',
    );
  });

  test('that are imported are told apart by their ids', () => {
    const { stack, connect } = withCluster();
    const vpcOf = (id: string, vpcId: string) =>
      ec2.Vpc.fromVpcAttributes(stack, id, {
        vpcId,
        availabilityZones: ['a', 'b'],
        isolatedSubnetIds: ['subnet-0123456789abcdef1', 'subnet-0123456789abcdef2'],
      });
    const fn = makeFunction(stack, vpcOf('A', 'vpc-0123456789abcdef1'), {}, 'Here');
    const database = importedCluster(stack);
    expect(() => connect({ functions: [fn], database, vpc: vpcOf('B', 'vpc-0123456789abcdef2') })).toThrow(
      'are in different VPCs',
    );
  });

  test('are not judged where one is imported and the other made', () => {
    const { stack, fn, connect } = withCluster();
    const attributes = { vpcId: 'vpc-0123456789abcdef1', availabilityZones: ['a'] };
    connect({ database: importedCluster(stack), vpc: ec2.Vpc.fromVpcAttributes(stack, 'A', attributes) });
    expect(environmentIn(stack, fn)).toHaveProperty('PGHOST');
  });

  test('of a cluster are known although its security groups are imported', () => {
    const { stack, connect } = withCluster();
    const own = makeVpc(stack, 'Own');
    const database = new rds.DatabaseCluster(stack, 'Guarded', {
      engine: rds.DatabaseClusterEngine.auroraPostgres({ version: rds.AuroraPostgresEngineVersion.VER_16_6 }),
      vpc: own,
      vpcSubnets: { subnetType: ec2.SubnetType.PRIVATE_ISOLATED },
      iamAuthentication: true,
      writer: rds.ClusterInstance.serverlessV2('Writer'),
      securityGroups: [ec2.SecurityGroup.fromSecurityGroupId(stack, 'G', 'sg-0123456789abcdef0')],
    });
    expect(() => connect({ database })).toThrow('are in different VPCs');
  });

  test('of an imported cluster are those of its security groups, where these are made here', () => {
    const { stack, connect } = withCluster();
    const group = new ec2.SecurityGroup(stack, 'Known', { vpc: makeVpc(stack, 'Own') });
    expect(() => connect({ database: importedCluster(stack), securityGroups: [group] })).toThrow(
      'are in different VPCs',
    );
  });

  test('of an imported proxy are as given', () => {
    const { stack, connect } = withCluster();
    const vpc = makeVpc(stack, 'Own');
    expect(() => connect({ database: importedProxy(stack), securityGroups: [], vpc })).toThrow('are in different VPCs');
  });

  test('of which both ids are known at deployment only are not judged', () => {
    const { stack, connect } = withCluster();
    const vpcOf = (id: string) =>
      ec2.Vpc.fromVpcAttributes(stack, id, {
        vpcId: Fn.importValue(id),
        availabilityZones: ['a', 'b'],
        isolatedSubnetIds: ['subnet-0123456789abcdef1', 'subnet-0123456789abcdef2'],
      });
    const fn = makeFunction(stack, vpcOf('A'), {}, 'Here');
    connect({ functions: [fn], database: importedCluster(stack), vpc: vpcOf('B') });
    expect(environmentIn(stack, fn)).toHaveProperty('PGHOST');
  });

  test('of which something else tells the ids are not judged', () => {
    const { stack, connect } = withCluster();
    const vpcOf = (id: string) =>
      ec2.Vpc.fromVpcAttributes(stack, id, {
        vpcId: new CfnResource(stack, `${id}Finder`, { type: 'Custom::Network' }).getAtt('VpcId').toString(),
        availabilityZones: ['a', 'b'],
        isolatedSubnetIds: ['subnet-0123456789abcdef1', 'subnet-0123456789abcdef2'],
      });
    const fn = makeFunction(stack, vpcOf('A'), {}, 'Here');
    connect({ functions: [fn], database: importedCluster(stack), vpc: vpcOf('B') });
    expect(environmentIn(stack, fn)).toHaveProperty('PGHOST');
  });

  test('of which an id is known at deployment only are not judged', () => {
    const { stack, fn, connect } = withCluster();
    const vpc = ec2.Vpc.fromVpcAttributes(stack, 'B', { vpcId: Fn.importValue('network'), availabilityZones: ['a'] });
    connect({ database: importedCluster(stack), vpc });
    expect(environmentIn(stack, fn)).toHaveProperty('PGHOST');
  });
});

describe('wrong use', () => {
  test('IAM authentication that is off is refused at synth, and may be switched on until then', () => {
    const { stack, vpc, connect } = withCluster();
    const database = new rds.DatabaseCluster(stack, 'Off', {
      engine: rds.DatabaseClusterEngine.auroraPostgres({ version: rds.AuroraPostgresEngineVersion.VER_16_6 }),
      vpc,
      vpcSubnets: { subnetType: ec2.SubnetType.PRIVATE_ISOLATED },
      writer: rds.ClusterInstance.serverlessV2('Writer'),
    });
    connect({ database });
    expect(() => Template.fromStack(stack)).toThrow(
      'auth is "iam", but IAM authentication is not switched on for the cluster Test/Off: give it iamAuthentication: true, or use auth: \'secret\'.',
    );
    (database.node.defaultChild as rds.CfnDBCluster).enableIamDatabaseAuthentication = true;
    expect(() => Template.fromStack(stack)).not.toThrow();
  });

  test('IAM authentication is off where it says so in a word, and not judged where only the deployment knows', () => {
    const { stack, vpc, connect } = withCluster();
    const database = makeInstance(stack, vpc);
    const resource = database.node.defaultChild as rds.CfnDBInstance;
    connect({ database });
    resource.enableIamDatabaseAuthentication = 'false' as never;
    expect(() => Template.fromStack(stack)).toThrow('is not switched on for the instance Test/Instance');
    const production = new CfnCondition(stack, 'Production', {
      expression: Fn.conditionEquals(Aws.REGION, 'eu-west-1'),
    });
    resource.enableIamDatabaseAuthentication = Fn.conditionIf(production.logicalId, true, false) as never;
    expect(() => Template.fromStack(stack)).not.toThrow();
  });

  test('IAM authentication that is off on an instance is refused at synth', () => {
    const { stack, vpc, connect } = withCluster();
    connect({ database: makeInstance(stack, vpc, { iamAuthentication: false }) });
    expect(() => Template.fromStack(stack)).toThrow('is not switched on for the instance Test/Instance');
  });

  test.each<[string, Partial<rds.DatabaseProxyProps>, string]>([
    [
      'does not require TLS',
      { defaultAuthScheme: rds.DefaultAuthScheme.IAM_AUTH, requireTLS: false },
      'auth is "iam", but the proxy Test/Plain does not require TLS: give it requireTLS: true.',
    ],
    ['takes passwords only', { secrets: [] }, 'auth is "iam", but the proxy Test/Plain takes passwords only'],
    [
      'is told so for its secrets',
      { secrets: [], iamAuth: false },
      'auth is "iam", but the proxy Test/Plain takes passwords only',
    ],
  ])('a proxy that %s is refused at synth with IAM', (_, props, message) => {
    const { stack, cluster, connect } = withCluster();
    const secrets = props.secrets ? { secrets: [makeSecret(stack)] } : {};
    connect({ database: cdkProxy(stack, cluster, { ...props, ...secrets }) });
    expect(() => Template.fromStack(stack)).toThrow(message);
  });

  test('a proxy with secrets of which nothing is said about tokens is refused at synth with IAM', () => {
    const { stack, cluster, connect } = withCluster();
    const secret = makeSecret(stack);
    const database = cdkProxy(stack, cluster, { secrets: [secret], iamAuth: true });
    (database.node.defaultChild as rds.CfnDBProxy).auth = [{ authScheme: 'SECRETS', secretArn: secret.secretArn }];
    connect({ database });
    expect(() => Template.fromStack(stack)).toThrow('takes passwords only');
  });

  test('a proxy with secrets that asks clients for tokens is taken, and one of which only the deployment knows it', () => {
    const { stack, cluster, connect } = withCluster();
    connect({ database: cdkProxy(stack, cluster, { secrets: [makeSecret(stack)], iamAuth: true }) });
    expect(() => Template.fromStack(stack)).not.toThrow();
    const second = withCluster();
    const database = cdkProxy(second.stack, second.cluster, { secrets: [makeSecret(second.stack)] });
    const scheme = new CfnParameter(second.stack, 'Scheme');
    (database.node.defaultChild as rds.CfnDBProxy).defaultAuthScheme = scheme.valueAsString;
    second.connect({ database });
    expect(() => Template.fromStack(second.stack)).not.toThrow();
  });

  test.each<[string, (stack: Stack) => Given, string]>([
    ['no functions', () => ({ functions: [] }), 'functions is empty: name the functions that get access.'],
    [
      'another port',
      () => ({ port: 6543 }),
      'port is 6543, but the cluster Test/Cluster listens on 5432: leave port out, or correct it.',
    ],
    [
      'another port than an imported one',
      (stack) => ({ port: 5432, database: importedCluster(stack) }),
      'port is 5432, but the cluster Test/Imported listens on 5433: leave port out, or correct it.',
    ],
    [
      'another port than an instance’s',
      (stack) => ({ port: 5432, database: makeInstance(stack, makeVpc(stack, 'V2'), { port: 6000 }) }),
      'port is 5432, but the instance Test/Instance listens on 6000: leave port out, or correct it.',
    ],
    [
      'an imported instance without a resource id',
      (stack) => ({ database: importedInstance(stack), securityGroups: [] }),
      'The resource id of the instance Test/ImportedInstance is not known, and rds-db:connect needs it. Pass resourceId ("db-…", from aws rds describe-db-instances), or give it where the database is imported.',
    ],
    [
      'a cluster’s resource id for an instance',
      (stack) => ({ database: importedInstance(stack), securityGroups: [], resourceId: 'cluster-ABC' }),
      'The resource id of the instance Test/ImportedInstance is "cluster-ABC", and should be "db-" and letters and digits. It is neither the name nor the ARN: see DbiResourceId in aws rds describe-db-instances.',
    ],
    [
      'an imported cluster without a resource id',
      (stack) => ({ database: importedCluster(stack, { clusterResourceIdentifier: undefined as never }) }),
      'The resource id of the cluster Test/Imported is not known, and rds-db:connect needs it. Pass resourceId ("cluster-…", from aws rds describe-db-clusters), or give it where the database is imported.',
    ],
    [
      'a name as resource id',
      (stack) => ({ database: importedCluster(stack), resourceId: 'orders' }),
      'The resource id of the cluster Test/Imported is "orders", and should be "cluster-" and letters and digits. It is neither the name nor the ARN: see DbClusterResourceId in aws rds describe-db-clusters.',
    ],
    ...['cluster-ABC*', 'cluster-*', 'my-cluster-ABC', 'db-ABC'].map(
      (resourceId): [string, (stack: Stack) => Given, string] => [
        `${resourceId} as resource id of a cluster`,
        (stack) => ({ database: importedCluster(stack), resourceId }),
        `The resource id of the cluster Test/Imported is "${resourceId}", and should be "cluster-" and letters and digits.`,
      ],
    ),
    ...['prx-ABC*', 'prx-*', 'my-prx-ABC'].map((resourceId): [string, (stack: Stack) => Given, string] => [
      `${resourceId} as resource id of a proxy`,
      (stack) => ({ database: importedProxy(stack), securityGroups: [], resourceId }),
      `The resource id of the proxy Test/ImportedProxy is "${resourceId}", and should be "prx-" and letters and digits`,
    ]),
    [
      'an imported cluster without security groups',
      (stack) => ({ database: importedCluster(stack, { securityGroups: [] }) }),
      'the security groups of the cluster Test/Imported are not known, so no way to it can be opened. Pass securityGroups, or [] if something else opens it.',
    ],
    [
      'an imported proxy without security groups',
      (stack) => ({ database: importedProxy(stack) }),
      'the security groups of the proxy Test/ImportedProxy are not known',
    ],
    [
      'an ARN that is no proxy’s',
      (stack) => ({ database: importedProxy(stack, 'orders'), securityGroups: [] }),
      'The resource id of the proxy Test/ImportedProxy is "orders", and should be "prx-" and letters and digits: the end of its ARN in aws rds describe-db-proxies.',
    ],
    [
      'a reader of an instance',
      (stack) => ({ reader: true, database: importedInstance(stack) }),
      'reader is true, but an instance has no reader endpoint: name a read replica in environment.THAWPOOL_READER_HOST.',
    ],
    [
      'a reader of a foreign proxy',
      (stack) => ({ reader: true, database: importedProxy(stack) }),
      'reader is true, but the reader endpoint of this proxy is not known',
    ],
    [
      'a reader that an imported cluster does not name',
      (stack) => ({ reader: true, database: importedCluster(stack, { readerEndpointAddress: undefined as never }) }),
      'reader is true, but the cluster Test/Imported names no reader endpoint',
    ],
    [
      'a fallback without a PooledDatabaseProxy',
      () => ({ fallback: 'direct' }),
      'fallback is "direct", for which the database behind the proxy must be known: make the proxy by PooledDatabaseProxy.',
    ],
    [
      'another engine',
      (stack) => ({ database: importedCluster(stack, { engine: rds.DatabaseClusterEngine.AURORA_MYSQL }) }),
      'The cluster Test/Imported is of the engine family MYSQL; thawpool connects to PostgreSQL only.',
    ],
    ['something else', (stack) => ({ database: stack as never }), 'database is no cluster, no instance and no proxy.'],
  ])('%s is refused', (_, given, message) => {
    const { stack, connect } = withCluster();
    expect(() => connect(given(stack))).toThrow(`Test/Access: ${message}`);
  });

  test('a proxy with the certificates of RDS is warned of', () => {
    const { stack, cluster, connect } = withCluster();
    connect({ database: proxyOf(stack, cluster), caBundle: '/var/task/global-bundle.pem' });
    expect(warnings(stack)).toEqual([expect.stringContaining('comes from Amazon Trust Services')]);
  });
});

test('a resource is looked at as what it is, and as nothing else', () => {
  const { cluster } = withCluster();
  expect(resourceOf(cluster, 'AWS::RDS::DBCluster')).toBe(cluster.node.defaultChild);
  expect(resourceOf(cluster, 'AWS::RDS::DBInstance')).toBeUndefined();
});

test('no token is ever read as if it were the value', () => {
  const { stack, fn, connect } = withCluster();
  const parameter = new CfnParameter(stack, 'P', { default: '5432' });
  const port = Token.asNumber(parameter.value);
  const user = Token.asString(parameter.value);
  connect({
    port,
    user,
    resourceId: parameter.valueAsString,
    databaseName: user,
  });
  expect(environmentIn(stack, fn)).toMatchObject({
    PGPORT: { Ref: 'P' },
    PGUSER: { Ref: 'P' },
    PGDATABASE: { Ref: 'P' },
  });
  expect(rules(stack, 'Ingress')).toEqual([expect.objectContaining({ FromPort: { Ref: 'P' } })]);
});
