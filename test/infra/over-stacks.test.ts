// PooledDatabaseAccess over several stacks: no circle between them, and each right in the stack of whoever has it.
import { Stack } from 'aws-cdk-lib';
import * as ec2 from 'aws-cdk-lib/aws-ec2';
import * as kms from 'aws-cdk-lib/aws-kms';
import { describe, expect, test } from 'vitest';
import { PooledDatabaseAccess } from '../../infra/constructs/index.ts';
import { proxyOf, withCluster } from './support/access.ts';
import { makeCluster, makeFunction, makeSecret, makeStack, resources, statements, wildcards } from './support/app.ts';

const rules = (stack: Stack, way: 'Ingress' | 'Egress') =>
  Object.values(resources(stack, `AWS::EC2::SecurityGroup${way}`));

describe('over stacks', () => {
  test('a function in one and a cluster in another make no circle', () => {
    const { app, stack: data, vpc } = makeStack('Data');
    const cluster = makeCluster(data, vpc);
    const code = new Stack(app, 'Code');
    const group = new ec2.SecurityGroup(code, 'Own', { vpc, allowAllOutbound: false });
    const fn = makeFunction(code, vpc, { securityGroups: [group] });
    new PooledDatabaseAccess(code, 'Access', { functions: [fn], database: cluster, databaseName: 'orders' });
    app.synth();
    expect(code.dependencies).toEqual([data]);
    expect(data.dependencies).toEqual([]);
    expect(rules(code, 'Ingress')).toHaveLength(1);
    expect(rules(code, 'Egress')).toHaveLength(1);
    expect(rules(data, 'Ingress')).toEqual([]);
    expect(JSON.stringify(statements(code))).toContain('Fn::ImportValue');
  });

  test('a construct in the stack of the cluster gives access all the same', () => {
    const { app, stack: data, vpc } = makeStack('Data');
    const database = makeCluster(data, vpc);
    const code = new Stack(app, 'Code');
    const fn = makeFunction(code, vpc);
    new PooledDatabaseAccess(data, 'Access', { functions: [fn], database, databaseName: 'orders' });
    app.synth();
    expect(data.dependencies).toEqual([]);
  });

  test('a cluster, a proxy, a secret with a key and a function each in its own make no circle', () => {
    const { app, stack: data, vpc } = makeStack('Data');
    const cluster = makeCluster(data, vpc);
    const secrets = new Stack(app, 'Secrets');
    const secret = makeSecret(secrets, new kms.Key(secrets, 'Key'));
    const between = new Stack(app, 'Between');
    const database = proxyOf(between, cluster, { auth: 'secret', secrets: [secret] });
    const code = new Stack(app, 'Code');
    const fn = makeFunction(code, vpc);
    new PooledDatabaseAccess(code, 'Access', {
      functions: [fn],
      database,
      databaseName: 'orders',
      auth: 'secret',
      secret,
      fallback: 'direct',
    });
    app.synth();
    expect(data.dependencies).toEqual([]);
    expect(secrets.dependencies).toEqual([]);
    expect(between.dependencies).not.toContain(code);
    for (const reader of [between, code]) {
      expect(statements(reader)).toContainEqual(
        expect.objectContaining({
          Action: 'kms:Decrypt',
          Resource: { 'Fn::ImportValue': expect.stringMatching(/^Secrets:.*Key.*Arn/) },
          Condition: {
            StringEquals: {
              'kms:ViaService': { 'Fn::Join': ['', ['secretsmanager.', { Ref: 'AWS::Region' }, '.amazonaws.com']] },
            },
          },
        }),
      );
      expect(statements(reader)).toContainEqual(
        expect.objectContaining({
          Action: ['secretsmanager:GetSecretValue', 'secretsmanager:DescribeSecret'],
          Resource: { 'Fn::ImportValue': expect.stringMatching(/^Secrets:.*Secret/) },
        }),
      );
    }
    expect(wildcards(code)).toEqual([]);
  });

  test('a secret without a key in another takes the right to read it and no other', () => {
    const { app, stack, connect } = withCluster();
    const secret = makeSecret(new Stack(app, 'Secrets'));
    connect({ auth: 'secret', secret });
    app.synth();
    expect(statements(stack).map(({ Action }) => Action)).toEqual([
      ['secretsmanager:GetSecretValue', 'secretsmanager:DescribeSecret'],
    ]);
  });
});
