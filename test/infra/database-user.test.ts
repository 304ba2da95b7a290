// DatabaseUser: what it writes into the template, and what it refuses. What its function does: test/integration/database-user.test.ts.
import { mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Annotations, App, Aws, type CfnElement, CfnParameter, Stack } from 'aws-cdk-lib';
import { Match, Template } from 'aws-cdk-lib/assertions';
import * as ec2 from 'aws-cdk-lib/aws-ec2';
import * as kms from 'aws-cdk-lib/aws-kms';
import { RetentionDays } from 'aws-cdk-lib/aws-logs';
import * as rds from 'aws-cdk-lib/aws-rds';
import * as secretsmanager from 'aws-cdk-lib/aws-secretsmanager';
import { describe, expect, onTestFinished, test, vi } from 'vitest';
import { DatabaseUser, type DatabaseUserProps } from '../../infra/constructs/index.ts';
import {
  idOf,
  makeCluster,
  makeInstance,
  makeStack,
  resources,
  statements,
  warnings,
  wildcards,
} from './support/app.ts';

type Given = Partial<DatabaseUserProps>;

/** A stack with a cluster and a user of it. */
function withUser(given: Given = {}, network: Partial<ec2.VpcProps> = {}) {
  const app = new App();
  const stack = new Stack(app, 'Test');
  const vpc = new ec2.Vpc(stack, 'Vpc', { natGateways: 0, maxAzs: 2, ...network }) as ec2.IVpc;
  const cluster = makeCluster(stack, vpc);
  const adminSecret = (cluster.secret ?? new secretsmanager.Secret(stack, 'Unused')) as secretsmanager.ISecret;
  const make = (more: Given = {}) =>
    new DatabaseUser(stack, 'User', { database: cluster, adminSecret, vpc, databaseName: 'orders', ...given, ...more });
  return { app, stack, vpc, cluster, make };
}

const properties = (template: Template) =>
  Object.values(template.findResources('Custom::ThawpoolDatabaseUser'))[0]?.['Properties'] as Record<string, unknown>;

describe('the custom resource', () => {
  test('says who is to be made, where, and by whose login, and holds no secret', () => {
    const { stack, cluster, make } = withUser();
    make();
    const template = Template.fromStack(stack);
    expect(properties(template)).toEqual({
      ServiceToken: expect.anything(),
      SecretArn: { Ref: 'ClusterSecretAttachment769E6258' },
      Host: { 'Fn::GetAtt': [idOf(stack, cluster), 'Endpoint.Address'] },
      Port: { 'Fn::GetAtt': [idOf(stack, cluster), 'Endpoint.Port'] },
      Database: 'orders',
      User: 'app',
      Iam: 'true',
      Grants: '[{"schema":"public","privileges":["SELECT","INSERT","UPDATE","DELETE"],"create":false,"owners":[]}]',
      Settings: '{}',
    });
  });

  test('hands on grants and settings with everything said', () => {
    const { stack, make } = withUser();
    make({
      user: 'Käthe "x"',
      grants: [
        { schema: 'orders', privileges: 'read-only', owners: ['migrator'] },
        { schema: 'jobs', privileges: ['TRUNCATE'], create: true },
      ],
      settings: { statement_timeout: '5s', work_mem: 4096, search_path: ['orders', 'public'], 'myapp.on': true },
    });
    const { User, Grants, Settings } = properties(Template.fromStack(stack));
    expect(User).toBe('Käthe "x"');
    expect(JSON.parse(String(Grants))).toEqual([
      { schema: 'orders', privileges: ['SELECT'], create: false, owners: ['migrator'] },
      { schema: 'jobs', privileges: ['TRUNCATE'], create: true, owners: [] },
    ]);
    expect(JSON.parse(String(Settings))).toEqual({
      statement_timeout: ['5s'],
      work_mem: ['4096'],
      search_path: ['orders', 'public'],
      'myapp.on': ['true'],
    });
  });

  test('hands on names that are only known on deployment', () => {
    const { stack, make } = withUser();
    // CDK's own text for it, with a token for each part, is longer than a name may be.
    const late = `app_${Aws.REGION}_${Aws.ACCOUNT_ID}_${Aws.PARTITION}`;
    make({ user: late, databaseName: late });
    const parts = ['app_', { Ref: 'AWS::Region' }, '_', { Ref: 'AWS::AccountId' }, '_', { Ref: 'AWS::Partition' }];
    expect(properties(Template.fromStack(stack))).toMatchObject({
      User: { 'Fn::Join': ['', parts] },
      Database: { 'Fn::Join': ['', parts] },
    });
  });

  test('takes an instance as well', () => {
    const { stack, vpc } = makeStack();
    const instance = makeInstance(stack, vpc);
    const adminSecret = (instance.secret ?? new secretsmanager.Secret(stack, 'Unused')) as secretsmanager.ISecret;
    new DatabaseUser(stack, 'User', {
      database: instance,
      adminSecret,
      vpc,
      databaseName: 'orders',
      grants: 'read-only',
    });
    expect(properties(Template.fromStack(stack))).toMatchObject({
      Host: { 'Fn::GetAtt': [idOf(stack, instance), 'Endpoint.Address'] },
      Grants: expect.stringContaining('"privileges":["SELECT"]'),
    });
  });

  test('outlives the server and the way to it on deletion, and is made after them', () => {
    const { stack, make } = withUser();
    make();
    const template = Template.fromStack(stack);
    const [resource] = Object.values(template.findResources('Custom::ThawpoolDatabaseUser'));
    const rules = [
      ...Object.keys(template.findResources('AWS::EC2::SecurityGroupIngress')),
      ...Object.keys(template.findResources('AWS::EC2::SecurityGroupEgress')),
    ];
    expect(rules).toHaveLength(2);
    for (const needed of [...rules, ...Object.keys(template.findResources('AWS::RDS::DBInstance'))]) {
      expect(resource?.['DependsOn']).toContain(needed);
    }
  });

  test.each([
    [undefined, 'Delete'],
    ['retain', 'Retain'],
  ])('with removalPolicy %s it is left to CloudFormation as %s', (removalPolicy, policy) => {
    const { stack, make } = withUser();
    make(removalPolicy === undefined ? {} : { removalPolicy: removalPolicy as never });
    Template.fromStack(stack).hasResource('Custom::ThawpoolDatabaseUser', { DeletionPolicy: policy });
  });
});

describe('the function', () => {
  test('runs in the VPC with the newest Node, and its log does not stay for ever', () => {
    const { stack, make } = withUser();
    const user = make();
    const template = Template.fromStack(stack);
    template.hasResourceProperties('AWS::Lambda::Function', {
      Runtime: 'nodejs24.x',
      Architectures: ['arm64'],
      Handler: 'index.handler',
      VpcConfig: { SubnetIds: Match.anyValue() },
      LoggingConfig: { LogGroup: Match.anyValue() },
    });
    template.allResourcesProperties('AWS::Logs::LogGroup', { RetentionInDays: 30 });
    // The framework that answers CloudFormation is outside of it, where it needs no way out.
    const framework = Object.entries(template.findResources('AWS::Lambda::Function')).filter(
      ([id]) => id !== idOf(stack, user.function),
    );
    expect(framework).toHaveLength(1);
    expect(framework[0]?.[1]?.['Properties']).not.toHaveProperty('VpcConfig');
    // At INFO it would log every event.
    expect(framework[0]?.[1]?.['Properties']).toMatchObject({
      LoggingConfig: { LogGroup: expect.anything(), ApplicationLogLevel: 'WARN' },
    });
  });

  test('has five minutes for a cluster that starts, the subnets that it is told and a log that goes with it', () => {
    const { stack, vpc, make } = withUser();
    const [subnet = expect.fail('no subnet')] = vpc.isolatedSubnets;
    const user = make({ vpcSubnets: { subnets: [subnet] }, logRetention: RetentionDays.ONE_WEEK });
    const template = Template.fromStack(stack);
    expect(resources(stack, 'AWS::Lambda::Function')[idOf(stack, user.function)]?.Properties).toMatchObject({
      Timeout: 300,
      VpcConfig: { SubnetIds: [stack.resolve(subnet.subnetId)] },
    });
    template.hasResource('AWS::Logs::LogGroup', { Properties: { RetentionInDays: 7 }, DeletionPolicy: 'Delete' });
  });

  test('may read the secret of the administrator and call nothing else', () => {
    const { stack, make } = withUser();
    const user = make();
    const own = statements(stack).filter(({ Resource }) =>
      JSON.stringify(Resource).includes('ClusterSecretAttachment'),
    );
    expect(own).toEqual([
      {
        Action: ['secretsmanager:GetSecretValue', 'secretsmanager:DescribeSecret'],
        Effect: 'Allow',
        Resource: { Ref: 'ClusterSecretAttachment769E6258' },
      },
    ]);
    // Its versions, for the framework: `<arn>:*`.
    expect(wildcards(stack)).toEqual([':*']);
    const { Policies } =
      Template.fromStack(stack).findResources('AWS::IAM::Role')[roleOf(stack, user)]?.['Properties'] ?? {};
    expect(Policies).toBeUndefined();
  });

  describe('goes', () => {
    const peer = (stack: Stack, side: ec2.IConnectable) =>
      stack.resolve(side.connections.securityGroups[0]?.securityGroupId) as unknown;
    const rules = (stack: Stack, way: 'Ingress' | 'Egress') =>
      Object.values(resources(stack, `AWS::EC2::SecurityGroup${way}`)).map(({ Properties }) => Properties);
    const groupOf = (stack: Stack, user: DatabaseUser) =>
      resources(stack, 'AWS::EC2::SecurityGroup')[
        stack.getLogicalId(user.connections.securityGroups[0]?.node.defaultChild as CfnElement)
      ]?.Properties;

    test('to the database on its port, by rules between the two groups, and to port 443 for the secret', () => {
      const { stack, cluster, make } = withUser();
      const user = make();
      const [own, database] = [peer(stack, user), peer(stack, cluster)];
      const port = { 'Fn::GetAtt': [idOf(stack, cluster), 'Endpoint.Port'] };
      expect(rules(stack, 'Ingress')).toEqual([
        expect.objectContaining({
          GroupId: database,
          SourceSecurityGroupId: own,
          IpProtocol: 'tcp',
          FromPort: port,
          ToPort: port,
        }),
      ]);
      expect(rules(stack, 'Egress')).toEqual([
        expect.objectContaining({
          GroupId: own,
          DestinationSecurityGroupId: database,
          IpProtocol: 'tcp',
          FromPort: port,
          ToPort: port,
        }),
      ]);
      expect(groupOf(stack, user)?.['SecurityGroupEgress']).toEqual([
        { CidrIp: '0.0.0.0/0', Description: 'Secrets Manager', IpProtocol: 'tcp', FromPort: 443, ToPort: 443 },
      ]);
      const fn = resources(stack, 'AWS::Lambda::Function')[idOf(stack, user.function)];
      expect(fn?.Properties['VpcConfig']).toMatchObject({ SecurityGroupIds: [own] });
    });

    test('to the endpoint that it is told and to no address, and is let in to it', () => {
      const { stack, vpc, make } = withUser();
      const secretsEndpoint = vpc.addInterfaceEndpoint('Secrets', {
        service: ec2.InterfaceVpcEndpointAwsService.SECRETS_MANAGER,
        open: false,
      });
      const user = make({ secretsEndpoint });
      const [own, endpoint] = [peer(stack, user), peer(stack, secretsEndpoint)];
      const https = { IpProtocol: 'tcp', FromPort: 443, ToPort: 443 };
      expect(rules(stack, 'Ingress')).toContainEqual(
        expect.objectContaining({ GroupId: endpoint, SourceSecurityGroupId: own, ...https }),
      );
      expect(rules(stack, 'Egress')).toContainEqual(
        expect.objectContaining({ GroupId: own, DestinationSecurityGroupId: endpoint, ...https }),
      );
      expect(rules(stack, 'Egress')).toHaveLength(2);
      expect(JSON.stringify(groupOf(stack, user))).not.toContain('0.0.0.0/0');
      expect(warnings(stack)).toEqual([]);
    });

    test('to the port alone where the groups of the database are not known', () => {
      const { stack, make } = withUser();
      const database = rds.DatabaseCluster.fromDatabaseClusterAttributes(stack, 'Imported', {
        clusterIdentifier: 'orders',
        clusterEndpointAddress: 'orders.example.com',
        port: 5433,
      });
      const user = make({ database });
      expect(rules(stack, 'Ingress')).toEqual([]);
      expect(groupOf(stack, user)?.['SecurityGroupEgress']).toEqual([
        expect.objectContaining({ CidrIp: '0.0.0.0/0', FromPort: 5433, ToPort: 5433 }),
        expect.objectContaining({ CidrIp: '0.0.0.0/0', FromPort: 443, ToPort: 443 }),
      ]);
    });

    test('by rules whose words EC2 takes, whatever the user is called', () => {
      const { stack, make } = withUser();
      make({ user: 'Käthe "x"' });
      for (const { Description } of [...rules(stack, 'Ingress'), ...rules(stack, 'Egress')]) {
        expect(Description).toMatch(/^[\w .:/()#,@[\]+=&;{}!$*-]{1,255}$/);
      }
    });
  });

  test('is bundled once, however many users there are', () => {
    withUser().make();
    const folder = mkdtempSync(join(tmpdir(), 'thawpool-test-'));
    vi.stubEnv('TMPDIR', folder);
    onTestFinished(() => {
      vi.unstubAllEnvs();
      rmSync(folder, { recursive: true });
    });
    withUser().make();
    expect(readdirSync(folder).filter((name) => name.startsWith('thawpool-'))).toEqual([]);
  });

  test('is one file', () => {
    const { app, stack, make } = withUser();
    const user = make();
    const { directory } = app.synth();
    const fn = resources(stack, 'AWS::Lambda::Function')[idOf(stack, user.function)];
    const { S3Key = '' } = (fn?.Properties['Code'] ?? {}) as { S3Key?: string };
    expect(readdirSync(join(directory, `asset.${S3Key.replace('.zip', '')}`))).toEqual(['index.mjs']);
  });
});

describe('Secrets Manager', () => {
  const warning = expect.stringContaining('this app has no endpoint for Secrets Manager in their VPC');

  test('warns where the function has no way to it', () => {
    const { stack, make } = withUser();
    make();
    expect(warnings(stack)).toEqual([warning]);
  });

  test('is reached by an endpoint', () => {
    const { stack, vpc, make } = withUser();
    vpc.addInterfaceEndpoint('Secrets', { service: ec2.InterfaceVpcEndpointAwsService.SECRETS_MANAGER });
    make();
    expect(warnings(stack)).toEqual([]);
  });

  test('is reached by an endpoint of elsewhere that it is told', () => {
    const { stack, make } = withUser();
    make({
      secretsEndpoint: ec2.InterfaceVpcEndpoint.fromInterfaceVpcEndpointAttributes(stack, 'Elsewhere', {
        vpcEndpointId: 'vpce-0123456789abcdef0',
        port: 443,
      }),
    });
    expect(warnings(stack)).toEqual([]);
  });

  test('warns where one of several isolated subnets is chosen, until that is acknowledged', () => {
    const { stack, vpc, make } = withUser();
    const user = make({ vpcSubnets: { subnets: vpc.isolatedSubnets.slice(0, 1) } });
    expect(warnings(stack)).toEqual([warning]);
    Annotations.of(user).acknowledgeWarning('thawpool:databaseUserSecretsManager');
    expect(warnings(stack)).toEqual([]);
  });

  test('is not reached by the endpoint of something else', () => {
    const { stack, vpc, make } = withUser();
    vpc.addInterfaceEndpoint('Queue', { service: ec2.InterfaceVpcEndpointAwsService.SQS });
    make();
    expect(warnings(stack)).toEqual([warning]);
  });

  test('is not reached by the endpoint of another VPC of the app', () => {
    const { stack, make } = withUser();
    const elsewhere = new ec2.Vpc(stack, 'Elsewhere', { natGateways: 0 });
    elsewhere.addInterfaceEndpoint('Secrets', { service: ec2.InterfaceVpcEndpointAwsService.SECRETS_MANAGER });
    make();
    expect(warnings(stack)).toEqual([warning]);
  });

  test('is reached by an endpoint of which nobody knows the VPC', () => {
    const { stack, make } = withUser();
    const vpcId = new CfnParameter(stack, 'VpcId').valueAsString;
    new ec2.CfnVPCEndpoint(stack, 'Secrets', { serviceName: 'com.amazonaws.eu-west-1.secretsmanager', vpcId });
    make();
    expect(warnings(stack)).toEqual([]);
  });

  test('is reached by a NAT gateway, unless isolated subnets are asked for', () => {
    const subnetConfiguration = [
      { name: 'public', subnetType: ec2.SubnetType.PUBLIC },
      { name: 'private', subnetType: ec2.SubnetType.PRIVATE_WITH_EGRESS },
      { name: 'isolated', subnetType: ec2.SubnetType.PRIVATE_ISOLATED },
    ];
    const first = withUser({}, { natGateways: 1, subnetConfiguration });
    first.make();
    expect(warnings(first.stack)).toEqual([]);
    const second = withUser({}, { natGateways: 1, subnetConfiguration });
    second.make({ vpcSubnets: { subnetType: ec2.SubnetType.PRIVATE_ISOLATED } });
    expect(warnings(second.stack)).toEqual([warning]);
  });
});

test('a secret of half an ARN is refused, because the right to read it would have a wildcard', () => {
  const { stack, make } = withUser();
  const adminSecret = secretsmanager.Secret.fromSecretNameV2(stack, 'ByName', 'admin');
  expect(() => make({ adminSecret })).toThrow('Test/User: the complete ARN of the secret Test/ByName is not known');
});

test('a secret with a key in another stack is read by a right of the function’s alone', () => {
  const { app, stack, make } = withUser();
  const other = new Stack(app, 'Secrets');
  const adminSecret = new secretsmanager.Secret(other, 'Admin', {
    encryptionKey: new kms.Key(other, 'Key'),
  }) as secretsmanager.ISecret;
  make({ adminSecret });
  app.synth();
  expect(other.dependencies).toEqual([]);
  expect(statements(stack)).toContainEqual(
    expect.objectContaining({
      Action: 'kms:Decrypt',
      Resource: { 'Fn::ImportValue': expect.stringMatching(/^Secrets:.*Key.*Arn/) },
    }),
  );
});

describe('a password', () => {
  test('is read by the function from its secret', () => {
    const { stack, make } = withUser();
    const passwordSecret = new secretsmanager.Secret(stack, 'Password') as secretsmanager.ISecret;
    make({ iam: false, passwordSecret });
    expect(properties(Template.fromStack(stack))).toMatchObject({
      Iam: 'false',
      PasswordSecretArn: { Ref: idOf(stack, passwordSecret) },
    });
    expect(JSON.stringify(statements(stack))).toContain(idOf(stack, passwordSecret));
  });

  test('is asked for without IAM, and refused with it', () => {
    const { make } = withUser();
    expect(() => make({ iam: false })).toThrow(
      'Test/User: without IAM the user "app" needs a password to log in. Give passwordSecret, or leave iam out.',
    );
    const { stack: other, make: makeOther } = withUser();
    const passwordSecret = new secretsmanager.Secret(other, 'Password') as secretsmanager.ISecret;
    expect(() => makeOther({ passwordSecret })).toThrow(
      'Test/User: passwordSecret is given, but with IAM a user has no password. Leave it out, or say iam: false.',
    );
  });
});

test.each<[string, Given, string]>([
  ['an empty name', { user: '' }, 'The user "" has 0 bytes: PostgreSQL\'s names have 1 to 63, without a zero byte.'],
  ['a name that would be cut off', { user: 'ä'.repeat(32) }, 'has 64 bytes'],
  ['a zero byte', { databaseName: 'a\0b' }, 'The database "a\\u0000b" has 3 bytes'],
  [
    'a name of PostgreSQL’s',
    { user: 'pg_reader' },
    'The user "pg_reader" cannot be made: PostgreSQL and RDS keep that name',
  ],
  ['a name of RDS’s', { user: 'rds_iam' }, 'PostgreSQL and RDS keep that name'],
  ['a keyword for roles', { user: 'public' }, 'PostgreSQL and RDS keep that name'],
  [
    'a privilege that there is not',
    { grants: [{ schema: 'public', privileges: JSON.parse('["EXECUTE"]') }] },
    '"EXECUTE" is no privilege on tables (schema "public"): use read-only, read-write, or some of SELECT, INSERT,',
  ],
  [
    'a schema twice',
    { grants: ['a', 'a'].map((schema) => ({ schema, privileges: 'read-only' as const })) },
    'Schema "a" is in grants twice: say all in one place.',
  ],
  ['a setting that cannot be one', { settings: { 'a; drop': 1 } }, '"a; drop" is no name of a PostgreSQL setting'],
])('refuses %s', (_, given, message) => {
  const { make } = withUser();
  expect(() => make(given)).toThrow(message);
});

function roleOf(stack: Stack, user: DatabaseUser): string {
  const { role } = user.function;
  return role ? idOf(stack, role) : '';
}
