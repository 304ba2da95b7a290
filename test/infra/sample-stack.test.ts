import type { Template } from 'aws-cdk-lib/assertions';
import { describe, expect, it } from 'vitest';
import type { ConnectionBudget } from '../../infra/constructs/index.ts';
import { readEnv, variables } from '../../src/env.ts';
import { type Resource, ROUTES, resourcesOf, sampleOf, templateOf } from './sample-support.ts';

interface Statement {
  readonly Effect: string;
  readonly Action: string | readonly string[];
  readonly Resource: unknown;
}
interface FunctionProperties {
  readonly Timeout: number;
  readonly Role: { readonly 'Fn::GetAtt': readonly [string, string] };
  readonly Environment?: { readonly Variables: Readonly<Record<string, unknown>> };
  readonly Runtime: string;
  readonly Architectures?: readonly string[];
  readonly MemorySize?: number;
  readonly ReservedConcurrentExecutions?: number;
  readonly VpcConfig?: { readonly SubnetIds: readonly unknown[]; readonly SecurityGroupIds: readonly unknown[] };
}

/** What the sample serves with, and its migration: by the beginnings of their logical ids. */
const SERVING = ['CreateOrder', 'GetOrder', 'ConsumeOrders', 'DailyReport'];
const OURS = [...SERVING, 'Migrate'];

const listOf = <T>(value: T | readonly T[]): readonly T[] =>
  Array.isArray(value) ? (value as readonly T[]) : [value as T];
const textOf = (value: unknown) => JSON.stringify(value);

/** The one resource of a type whose logical id begins so. */
function one(template: Template, type: string, begin: string): Resource & { readonly id: string } {
  const found = Object.entries(resourcesOf(template, type)).filter(([id]) => id.startsWith(begin));
  if (found.length !== 1)
    throw new Error(`${found.length} of ${type} begin with ${begin}: ${found.map(([id]) => id).join(', ')}`);
  const [[id, resource]] = found as [[string, Resource]];
  return { ...resource, id };
}

function functionOf(
  template: Template,
  name: string,
): FunctionProperties & { readonly id: string; readonly dependsOn: readonly string[] } {
  const { id, Properties, DependsOn = [] } = one(template, 'AWS::Lambda::Function', name);
  return { id, dependsOn: DependsOn, ...(Properties as unknown as FunctionProperties) };
}

/** Everything that a role is allowed, in policies of its own and inline. */
function statementsOf(template: Template, role?: string): readonly Statement[] {
  const policies = Object.values(resourcesOf(template, 'AWS::IAM::Policy'))
    .filter(({ Properties }) => role === undefined || textOf(Properties['Roles']).includes(`"${role}"`))
    .map(({ Properties }) => Properties['PolicyDocument']);
  const inline = Object.entries(resourcesOf(template, 'AWS::IAM::Role'))
    .filter(([id]) => role === undefined || id === role)
    .flatMap(([, { Properties }]) => (Properties['Policies'] ?? []) as { PolicyDocument: unknown }[])
    .map(({ PolicyDocument }) => PolicyDocument);
  return [...policies, ...inline].flatMap((policy) => (policy as { Statement: Statement[] }).Statement);
}

/** `from -> to port` for each rule that lets one security group in to another. */
function waysInto(template: Template, group: string): string[] {
  const nameOf = (value: unknown) => (value as { 'Fn::GetAtt': [string] })['Fn::GetAtt'][0].replace(/[0-9A-F]{8}$/, '');
  return Object.values(resourcesOf(template, 'AWS::EC2::SecurityGroupIngress'))
    .filter(({ Properties }) => nameOf(Properties['GroupId']) === group)
    .map(({ Properties }) => nameOf(Properties['SourceSecurityGroupId']))
    .toSorted();
}

describe.each(ROUTES)('the sample, route %s', (route) => {
  const template = templateOf(route);
  const cluster = () => one(template, 'AWS::RDS::DBCluster', 'Database');

  it('grants nothing on everything, and no action wholesale', () => {
    const statements = statementsOf(template).filter(({ Effect }) => Effect === 'Allow');
    expect(statements.length).toBeGreaterThan(8);
    const wild = statements
      .flatMap(({ Resource }) => listOf(Resource).map(textOf))
      .filter((text) => text.includes('*'));
    // The versions of one function each, which are to be invoked: by the trigger, and by the provider framework.
    expect(wild.toSorted()).toEqual([
      expect.stringMatching(/^{"Fn::Join":\["",\[{"Fn::GetAtt":\["Migrate[0-9A-F]{8}","Arn"\]},":\*"\]\]}$/),
      expect.stringMatching(/^{"Fn::Join":\["",\[{"Fn::GetAtt":\["UserFunction[0-9A-F]{8}","Arn"\]},":\*"\]\]}$/),
    ]);
    expect(statements.flatMap(({ Action }) => listOf(Action)).filter((action) => action.includes('*'))).toEqual([]);
  });

  it('uses no managed policy but the two of every function in a VPC', () => {
    const used = Object.values(resourcesOf(template, 'AWS::IAM::Role')).flatMap(
      ({ Properties }) => textOf(Properties['ManagedPolicyArns'] ?? []).match(/policy\/[\w/-]+/g) ?? [],
    );
    expect([...new Set(used)].toSorted()).toEqual([
      'policy/service-role/AWSLambdaBasicExecutionRole',
      'policy/service-role/AWSLambdaVPCAccessExecutionRole',
    ]);
  });

  it('lets the serving functions log in as one user where they connect to, and do nothing else', () => {
    const place = route === 'proxy' ? 'DBProxyArn' : 'DBClusterResourceId';
    for (const name of SERVING) {
      const statements = statementsOf(template, functionOf(template, name).Role['Fn::GetAtt'][0]);
      const connect = statements.filter(({ Action }) => textOf(Action).includes('rds-db:'));
      expect(connect, name).toHaveLength(1);
      expect(connect[0]?.Action).toBe('rds-db:connect');
      expect(textOf(connect[0]?.Resource)).toMatch(new RegExp(`${place}.*"/app"\\]\\]}$`));
      const others = statements.filter((statement) => !connect.includes(statement)).flatMap(({ Action }) => Action);
      // The event source reads the queue with the function's role.
      expect(
        others.filter((action) => !action.startsWith('sqs:')),
        name,
      ).toEqual([]);
      if (name !== 'ConsumeOrders') expect(others, name).toEqual([]);
    }
  });

  it('shows the login of the administrator to the two that need it', () => {
    const readers = Object.values(resourcesOf(template, 'AWS::IAM::Policy'))
      .filter(({ Properties }) => textOf(Properties['PolicyDocument']).includes('secretsmanager:'))
      .map(({ Properties }) => textOf(Properties['Roles']).replace(/.*"(\w+)ServiceRole[0-9A-F]{8}".*/, '$1'));
    expect(readers.toSorted()).toEqual(['Migrate', 'UserFunction']);
    expect(statementsOf(template, functionOf(template, 'Migrate').Role['Fn::GetAtt'][0])).toEqual([
      {
        Effect: 'Allow',
        Action: ['secretsmanager:DescribeSecret', 'secretsmanager:GetSecretValue'],
        Resource: { 'Fn::GetAtt': [cluster().id, 'MasterUserSecret.SecretArn'] },
      },
    ]);
    expect(cluster().Properties).toMatchObject({ ManageMasterUserPassword: true });
    expect(cluster().Properties).not.toHaveProperty('MasterUserPassword');
  });

  it('lets nobody in but who has to be', () => {
    const guards = SERVING.map((name) => `${name}Guard`).toSorted();
    const always = ['MigrateGuard', 'UserSecurityGroup'];
    if (route === 'proxy') {
      expect(waysInto(template, 'DatabaseGuard')).toEqual([...always, 'ProxySecurityGroup'].toSorted());
      expect(waysInto(template, 'ProxySecurityGroup')).toEqual(guards);
    } else {
      expect(waysInto(template, 'DatabaseGuard')).toEqual([...guards, ...always].toSorted());
    }
    expect(waysInto(template, 'NetworkSecretsGuard')).toEqual(always);
    const ways = Object.keys(resourcesOf(template, 'AWS::EC2::SecurityGroupIngress'));
    expect(ways).toHaveLength(route === 'proxy' ? 9 : 8);
  });

  it('has no rule for addresses, only for security groups', () => {
    for (const [id, { Properties }] of Object.entries(resourcesOf(template, 'AWS::EC2::SecurityGroup'))) {
      expect(Properties, id).not.toHaveProperty('SecurityGroupIngress');
      const egress = (Properties['SecurityGroupEgress'] ?? []) as { CidrIp: string }[];
      expect(
        egress.map(({ CidrIp }) => CidrIp).filter((range) => range !== '255.255.255.255/32'),
        id,
      ).toEqual([]);
    }
    for (const type of ['AWS::EC2::SecurityGroupIngress', 'AWS::EC2::SecurityGroupEgress']) {
      expect(textOf(resourcesOf(template, type))).not.toMatch(/"Cidr/);
    }
  });

  it('has two isolated subnets and no way to the internet', () => {
    const types = new Set(
      Object.values(template.toJSON()['Resources'] as Record<string, Resource>).map(({ Type }) => Type),
    );
    for (const type of ['NatGateway', 'InternetGateway', 'EgressOnlyInternetGateway', 'Route', 'EIP']) {
      expect(types, type).not.toContain(`AWS::EC2::${type}`);
    }
    const subnets = Object.values(resourcesOf(template, 'AWS::EC2::Subnet'));
    expect(subnets.map(({ Properties }) => textOf(Properties['AvailabilityZone']))).toEqual([
      '{"Fn::Select":[0,{"Fn::GetAZs":""}]}',
      '{"Fn::Select":[1,{"Fn::GetAZs":""}]}',
    ]);
    expect(subnets.map(({ Properties }) => Properties['MapPublicIpOnLaunch'])).toEqual([false, false]);
    expect(one(template, 'AWS::EC2::FlowLog', 'Network').Properties).toMatchObject({ TrafficType: 'REJECT' });
    const [endpoint, ...others] = Object.values(resourcesOf(template, 'AWS::EC2::VPCEndpoint'));
    expect(others).toEqual([]);
    expect(textOf(endpoint?.Properties['ServiceName'])).toContain('.secretsmanager');
    // It is paid for by the zone.
    expect(endpoint?.Properties['SubnetIds']).toHaveLength(1);
    for (const name of OURS) expect(functionOf(template, name).VpcConfig?.SubnetIds, name).toHaveLength(2);
  });

  it('gives the functions variables that thawpool reads, with values that it takes', () => {
    const known = new Set(variables.map(({ name }) => name));
    for (const name of OURS) {
      const given = functionOf(template, name).Environment?.Variables ?? {};
      const unknown = Object.keys(given).filter((variable) => !known.has(variable));
      // Lambda's own, for stack traces that name the sources.
      expect(unknown, name).toEqual(['NODE_OPTIONS']);
      const literal = Object.entries(given).filter(([, value]) => typeof value === 'string') as [string, string][];
      expect(readEnv(Object.fromEntries(literal)).warnings, name).toEqual([]);
      // What depends on the deployment: where, and whose password.
      const late = Object.keys(given).filter((variable) => typeof given[variable] !== 'string');
      expect(['PGHOST', 'PGPORT', 'THAWPOOL_SECRET_ARN'], name).toEqual(expect.arrayContaining(late));
      expect(given).not.toHaveProperty('PGPASSWORD');
      expect(given).not.toHaveProperty('DATABASE_URL');
    }
  });

  it('tells the functions all they need', () => {
    const host = {
      'Fn::GetAtt':
        route === 'proxy'
          ? [one(template, 'AWS::RDS::DBProxy', 'Proxy').id, 'Endpoint']
          : [cluster().id, 'Endpoint.Address'],
    };
    for (const name of SERVING) {
      expect(functionOf(template, name).Environment?.Variables, name).toMatchObject({
        PGHOST: host,
        PGUSER: 'app',
        PGDATABASE: 'orders',
        THAWPOOL_AUTH: 'iam',
        THAWPOOL_MAX: '2',
        THAWPOOL_METRICS: 'emf',
      });
    }
    expect(functionOf(template, 'Migrate').Environment?.Variables).toMatchObject({
      PGHOST: { 'Fn::GetAtt': [cluster().id, 'Endpoint.Address'] },
      PGUSER: 'postgres',
      PGDATABASE: 'orders',
      THAWPOOL_AUTH: 'secret',
      THAWPOOL_MAX: '1',
    });
  });

  it('lets no connection be made without TLS', () => {
    const group = one(template, 'AWS::RDS::DBClusterParameterGroup', 'Database');
    expect(group.Properties['Parameters']).toMatchObject({ 'rds.force_ssl': '1' });
    expect(cluster().Properties['DBClusterParameterGroupName']).toEqual({ Ref: group.id });
    for (const { Properties } of Object.values(resourcesOf(template, 'AWS::RDS::DBProxy'))) {
      expect(Properties).toMatchObject({ RequireTLS: true });
    }
    // Without a word the pool verifies chain and host name.
    for (const name of OURS) expect(functionOf(template, name).Environment?.Variables).not.toHaveProperty('PGSSLMODE');
  });

  it('lets everybody who logs in with IAM be the one user and no other', () => {
    const users = [...textOf(template.toJSON()).matchAll(/:dbuser:.*?\/(\w+)"/g)].map(([, user]) => user);
    expect(users.length).toBeGreaterThan(0);
    expect(new Set(users)).toEqual(new Set(['app']));
  });

  it('keeps the database: protected, encrypted, backed up, and logged', () => {
    const { Properties, DeletionPolicy, UpdateReplacePolicy } = cluster();
    expect(Properties).toMatchObject({
      DatabaseName: 'orders',
      DeletionProtection: true,
      StorageEncrypted: true,
      BackupRetentionPeriod: 7,
      EnableIAMDatabaseAuthentication: true,
      EnableCloudwatchLogsExports: ['postgresql', 'iam-db-auth-error'],
    });
    expect([DeletionPolicy, UpdateReplacePolicy]).toEqual(['Snapshot', 'Snapshot']);
    expect(Number.parseFloat(Properties['EngineVersion'] as string)).toBeGreaterThanOrEqual(17);
    expect(one(template, 'AWS::RDS::DBInstance', 'Database').Properties).toMatchObject({ PubliclyAccessible: false });
  });

  it('pauses the database where that is possible', () => {
    expect(cluster().Properties['ServerlessV2ScalingConfiguration']).toEqual(
      route === 'proxy'
        ? { MinCapacity: 0.5, MaxCapacity: 4 }
        : { MinCapacity: 0, MaxCapacity: 4, SecondsUntilAutoPause: 300 },
    );
  });

  it('ends what every log keeps, and makes those of the database before the database', () => {
    const groups = resourcesOf(template, 'AWS::Logs::LogGroup');
    for (const [id, { Properties, DeletionPolicy }] of Object.entries(groups)) {
      expect([7, 30], id).toContain(Properties['RetentionInDays']);
      expect(DeletionPolicy, id).toBe('Delete');
    }
    const name = cluster().Properties['DBClusterIdentifier'] as string;
    const exported = Object.entries(groups).filter(([, { Properties }]) => Properties['LogGroupName'] !== undefined);
    expect(exported.map(([, { Properties }]) => Properties['LogGroupName'])).toEqual([
      `/aws/rds/cluster/${name}/postgresql`,
      `/aws/rds/cluster/${name}/iam-db-auth-error`,
    ]);
    expect(cluster().DependsOn).toEqual(expect.arrayContaining(exported.map(([id]) => id)));
    for (const fn of OURS) {
      const { id } = functionOf(template, fn);
      expect(textOf(resourcesOf(template, 'AWS::Lambda::Function')[id]?.Properties['LoggingConfig'])).toContain('Log');
    }
  });

  it('lets every wait end before the next one would cut it off', () => {
    const acquire = (name: string) =>
      Number(functionOf(template, name).Environment?.Variables['THAWPOOL_ACQUIRE_TIMEOUT_MS']);
    for (const name of OURS) {
      expect(acquire(name), name).toBeGreaterThan(0);
      expect(acquire(name), name).toBeLessThan(functionOf(template, name).Timeout * 1000);
    }
    // The limit of an HTTP API (API Gateway quotas).
    for (const name of ['CreateOrder', 'GetOrder']) expect(functionOf(template, name).Timeout, name).toBeLessThan(30);
    for (const { Properties } of Object.values(resourcesOf(template, 'AWS::RDS::DBProxyTargetGroup'))) {
      const { ConnectionBorrowTimeout: borrow } = Properties['ConnectionPoolConfigurationInfo'] as Record<
        string,
        number
      >;
      for (const name of SERVING) {
        expect(borrow, name).toBeLessThan(functionOf(template, name).Timeout);
        expect((borrow ?? 0) * 1000, name).toBeLessThan(acquire(name));
      }
    }
  });

  it('hides a message for six timeouts, hands back what failed, and gives up on it in the end', () => {
    const queue = one(template, 'AWS::SQS::Queue', 'EntrancesQueue');
    const dead = one(template, 'AWS::SQS::Queue', 'EntrancesDeadLetters');
    const { Timeout } = functionOf(template, 'ConsumeOrders');
    expect(queue.Properties['VisibilityTimeout']).toBeGreaterThanOrEqual(6 * Timeout);
    expect(queue.Properties['RedrivePolicy']).toEqual({
      deadLetterTargetArn: { 'Fn::GetAtt': [dead.id, 'Arn'] },
      maxReceiveCount: 5,
    });
    // The longest that SQS keeps a message (SQS quotas).
    expect(dead.Properties['MessageRetentionPeriod']).toBe(14 * 24 * 3600);
    for (const { Properties } of [queue, dead]) expect(Properties).toMatchObject({ SqsManagedSseEnabled: true });
    const denials = Object.values(resourcesOf(template, 'AWS::SQS::QueuePolicy')).map(({ Properties }) =>
      textOf(Properties),
    );
    expect(denials).toHaveLength(2);
    for (const denial of denials) expect(denial).toMatch(/"aws:SecureTransport":"false".*"Effect":"Deny"/);
    const { BatchSize, ScalingConfig, FunctionResponseTypes } = one(
      template,
      'AWS::Lambda::EventSourceMapping',
      'ConsumeOrders',
    ).Properties;
    expect(BatchSize).toBe(10);
    expect(FunctionResponseTypes).toEqual(['ReportBatchItemFailures']);
    // More pollers than sandboxes would be throttled, and their messages delayed.
    expect((ScalingConfig as { MaximumConcurrency: number }).MaximumConcurrency).toBeLessThanOrEqual(
      functionOf(template, 'ConsumeOrders').ReservedConcurrentExecutions ?? 0,
    );
  });

  it('serves only when the user and the tables are there', () => {
    const migration = one(template, 'Custom::Trigger', 'Migration');
    const user = one(template, 'Custom::ThawpoolDatabaseUser', 'User');
    for (const name of SERVING) expect(functionOf(template, name).dependsOn, name).toContain(migration.id);
    expect(migration.DependsOn).toContain(user.id);
    expect(migration.Properties).toMatchObject({ InvocationType: 'RequestResponse', ExecuteOnHandlerChange: true });
    const writer = one(template, 'AWS::RDS::DBInstance', 'Database');
    const rules = (type: string, begin: string) =>
      Object.keys(resourcesOf(template, type)).filter((id) => id.startsWith(begin));
    const ways = [
      ...rules('AWS::EC2::SecurityGroupIngress', 'DatabaseGuard').filter((id) => id.includes('Migrate')),
      ...rules('AWS::EC2::SecurityGroupIngress', 'NetworkSecretsGuard').filter((id) => id.includes('Migrate')),
      ...rules('AWS::EC2::SecurityGroupEgress', 'MigrateGuard'),
    ];
    expect(ways).toHaveLength(4);
    expect(migration.DependsOn).toEqual(expect.arrayContaining([writer.id, ...ways]));
    const userWays = [
      ...rules('AWS::EC2::VPCEndpoint', 'NetworkSecrets'),
      ...rules('AWS::EC2::SecurityGroupIngress', 'NetworkSecretsGuard').filter((id) => id.includes('User')),
    ];
    expect(userWays).toHaveLength(2);
    expect(user.DependsOn).toEqual(expect.arrayContaining([writer.id, ...userWays]));
  });

  it('runs Node.js 24 on arm64, each function with its share of the connections', () => {
    for (const name of OURS) {
      expect(functionOf(template, name), name).toMatchObject({
        Runtime: 'nodejs24.x',
        Architectures: ['arm64'],
        MemorySize: 512,
      });
    }
    expect(SERVING.map((name) => functionOf(template, name).ReservedConcurrentExecutions)).toEqual([10, 10, 2, 1]);
  });

  it('counts every function, or the proxy in their place, against what the server takes', () => {
    const budget = sampleOf(route).stack.node.findChild('Budget') as ConnectionBudget;
    expect(budget.room).toBe(budget.maxConnections - 10);
    const sandboxes = 10 + 10 + 2 + 1;
    expect(budget.connections).toBe(route === 'proxy' ? Math.floor(budget.maxConnections * 0.9) : sandboxes * 2);
  });

  it('has a rate limit and a log at the API', () => {
    const { DefaultRouteSettings, AccessLogSettings, AutoDeploy } = one(
      template,
      'AWS::ApiGatewayV2::Stage',
      'Entrances',
    ).Properties;
    expect(DefaultRouteSettings).toMatchObject({ ThrottlingRateLimit: 50, ThrottlingBurstLimit: 100 });
    expect(AccessLogSettings).toMatchObject({ DestinationArn: expect.anything() as unknown });
    expect(AutoDeploy).toBe(true);
    const routes = Object.values(resourcesOf(template, 'AWS::ApiGatewayV2::Route')).map(
      ({ Properties }) => Properties['RouteKey'],
    );
    expect(routes).toEqual(['POST /orders', 'GET /orders/{id}']);
  });

  it('reports every day, shortly after midnight', () => {
    const { ScheduleExpression, Targets } = one(template, 'AWS::Events::Rule', 'Entrances').Properties;
    expect(ScheduleExpression).toBe('cron(5 0 * * ? *)');
    expect(Targets).toEqual([
      expect.objectContaining({
        Arn: { 'Fn::GetAtt': [functionOf(template, 'DailyReport').id, 'Arn'] },
        RetryPolicy: { MaximumEventAgeInSeconds: 3600, MaximumRetryAttempts: 2 },
      }),
    ]);
  });

  it('shows the pools, and warns of them', () => {
    template.resourceCountIs('AWS::CloudWatch::Dashboard', 1);
    const alarms = Object.values(resourcesOf(template, 'AWS::CloudWatch::Alarm')).map(({ Properties }) =>
      textOf(Properties),
    );
    for (const name of SERVING) {
      const { id } = functionOf(template, name);
      expect(alarms.filter((alarm) => alarm.includes(id)).length, name).toBeGreaterThanOrEqual(2);
    }
    // The server's own limit is known: its alarm needs it.
    const full = textOf(one(template, 'AWS::CloudWatch::Alarm', 'PoolsServerFull').Properties);
    const { maxConnections } = sampleOf(route).stack.node.findChild('Budget') as ConnectionBudget;
    expect(full).toContain(`100 * used / ${maxConnections}"`);
    expect(alarms.some((alarm) => alarm.includes('DBProxy') || alarm.includes('ProxyName'))).toBe(route === 'proxy');
  });

  it('tells where the API and the queue are', () => {
    const api = one(template, 'AWS::ApiGatewayV2::Api', 'Entrances');
    const queue = one(template, 'AWS::SQS::Queue', 'EntrancesQueue');
    expect(template.findOutputs('*')).toMatchObject({
      Url: { Value: { 'Fn::GetAtt': [api.id, 'ApiEndpoint'] } },
      QueueUrl: { Value: { Ref: queue.id } },
    });
  });

  it('names no account and no region', () => {
    const text = textOf(template.toJSON());
    expect(text.match(/\b\d{12}\b/g) ?? []).toEqual([]);
    expect(
      text.match(/\b(?:us|eu|ap|sa|ca|me|af|il|mx|cn)(?:-gov|-iso\w?)?-(?:north|south|east|west|central)\w*-\d\b/g) ??
        [],
    ).toEqual([]);
  });

  it('looks nothing up', () => {
    const { app } = sampleOf(route);
    expect(app.synth().manifest.missing ?? []).toEqual([]);
  });
});

describe('the context', () => {
  it('takes the protection off the database and nothing else', () => {
    const changed = templateOf('proxy', { protection: 'off' }).toJSON() as { Resources: Record<string, Resource> };
    const plain = templateOf('proxy').toJSON() as { Resources: Record<string, Resource> };
    const differing = Object.keys(plain.Resources).filter(
      (id) => textOf(plain.Resources[id]) !== textOf(changed.Resources[id]),
    );
    expect(differing.map((id) => plain.Resources[id]?.Type)).toEqual(['AWS::RDS::DBCluster']);
    expect(changed.Resources[differing[0] ?? '']?.Properties).toMatchObject({ DeletionProtection: false });
  });

  it('leaves the concurrency to the account where that has little', () => {
    const template = templateOf('direct', { reserve: 'off' });
    for (const name of SERVING)
      expect(functionOf(template, name), name).not.toHaveProperty('ReservedConcurrentExecutions');
  });

  it('keeps the names of what holds data when the route changes', () => {
    const [ids = [], others] = ROUTES.map((route) =>
      Object.keys(resourcesOf(templateOf(route), 'AWS::RDS::DBCluster')),
    );
    expect(ids).toEqual(others);
    const [proxy, direct] = ROUTES.map(
      (route) => resourcesOf(templateOf(route), 'AWS::RDS::DBCluster')[ids[0] ?? '']?.Properties,
    );
    expect({ ...direct, ServerlessV2ScalingConfiguration: undefined }).toEqual({
      ...proxy,
      ServerlessV2ScalingConfiguration: undefined,
    });
  });

  it.each(['proxy', 'protection', 'reserve'])('refuses a word that it does not know for %s', (name) => {
    expect(() => sampleOf('proxy', { [name]: 'false' })).toThrow(
      `-c ${name}=false is not known: say ${name}=on (the default) or ${name}=off.`,
    );
  });
});
