// What PooledDatabaseAccess says of functions: which it refuses, and of which it warns.
import { Duration, Fn, type Stack, Token } from 'aws-cdk-lib';
import * as ec2 from 'aws-cdk-lib/aws-ec2';
import * as ecr from 'aws-cdk-lib/aws-ecr';
import * as lambda from 'aws-cdk-lib/aws-lambda';
import type * as rds from 'aws-cdk-lib/aws-rds';
import { describe, expect, test } from 'vitest';
import { type Given, proxyOf, withCluster } from './support/access.ts';
import { environmentIn, makeFunction, makeInstance, warnings } from './support/app.ts';

describe('a function', () => {
  test.each<[string, Partial<lambda.FunctionProps>, string]>([
    [
      'of Node.js 20',
      { runtime: lambda.Runtime.NODEJS_20_X },
      'the function Test/F runs on nodejs20.x; thawpool needs Node.js 22 or later: use Runtime.NODEJS_24_X.',
    ],
    [
      'of Python',
      { runtime: lambda.Runtime.PYTHON_3_13 },
      'the function Test/F runs on python3.13; thawpool is for Node.js.',
    ],
  ])('%s is refused', (_, props, message) => {
    const { stack, vpc, connect } = withCluster();
    expect(() => connect({ functions: [makeFunction(stack, vpc, props, 'F')] })).toThrow(`Test/Access: ${message}`);
  });

  test('outside a VPC is refused', () => {
    const { stack, connect } = withCluster();
    expect(() => connect({ functions: [makeFunction(stack, undefined, {}, 'F')] })).toThrow(
      'Test/Access: the function Test/F is in no VPC, so it cannot reach the database: give it vpc, and subnets from which the database is reachable.',
    );
  });

  test('that is refused leaves the others as they were', () => {
    const { stack, fn, connect } = withCluster();
    expect(() => connect({ functions: [fn, makeFunction(stack, undefined, {}, 'F')] })).toThrow('is in no VPC');
    expect(environmentIn(stack, fn)).toEqual({});
  });

  test.each([lambda.Runtime.NODEJS_22_X, lambda.Runtime.NODEJS_24_X, lambda.Runtime.NODEJS_LATEST])(
    'of $name is taken without a word',
    (runtime) => {
      const { stack, connect } = withCluster({}, { runtime });
      connect();
      expect(warnings(stack)).toEqual([]);
    },
  );

  test('that ends before the pool gives up waiting is warned of', () => {
    const { stack, connect } = withCluster({}, { timeout: Duration.seconds(4) });
    connect();
    expect(warnings(stack)).toEqual([
      expect.stringContaining('may run for 4000 ms, less than the 5000 ms that the pool may wait for a connection'),
    ]);
  });

  test('of a runtime that changes with CDK is not judged by its version', () => {
    const runtime = new lambda.Runtime('nodejs20.x', lambda.RuntimeFamily.NODEJS, {
      supportsInlineCode: true,
      isVariable: true,
    });
    const { fn, connect } = withCluster({}, { runtime });
    expect(connect().functions).toEqual([fn]);
  });

  test.each<[string, Partial<lambda.FunctionProps>]>([
    ['as long as the pool waits', { timeout: Duration.seconds(5) }],
    [
      'for a time that is known at deployment only',
      { timeout: Duration.seconds(Token.asNumber(Fn.importValue('timeout'))) },
    ],
    [
      'for less than a wait that is known at deployment only',
      { timeout: Duration.seconds(1), environment: { THAWPOOL_ACQUIRE_TIMEOUT_MS: Fn.importValue('wait') } },
    ],
  ])('that runs %s is taken without a word', (_, props) => {
    const { stack, connect } = withCluster({}, props);
    connect();
    expect(warnings(stack)).toEqual([]);
  });

  test('without a timeout has the 3 s of Lambda, and a shorter wait of the pool fits that', () => {
    const { stack, vpc, connect } = withCluster();
    const bare = (id: string, environment = {}) =>
      new lambda.Function(stack, id, {
        runtime: lambda.Runtime.NODEJS_24_X,
        handler: 'index.handler',
        code: lambda.Code.fromInline('//'),
        vpc,
        vpcSubnets: { subnetType: ec2.SubnetType.PRIVATE_ISOLATED },
        environment,
      });
    connect({ functions: [bare('Short'), bare('Fitting', { THAWPOOL_ACQUIRE_TIMEOUT_MS: '2000' })] });
    expect(warnings(stack)).toEqual([expect.stringContaining('Test/Short may run for 3000 ms')]);
  });

  describe('with a handler of three parameters', () => {
    const code = lambda.Code.fromInline('exports.handler = (event, context, callback) => callback();');
    const perhaps = lambda.Code.fromInline(
      'let handler = (event, context, callback) => callback();\nif (x) { handler = wrap(handler); }\nexports.handler = handler;',
    );
    const { NODEJS_22_X, NODEJS_24_X, NODEJS_LATEST } = lambda.Runtime;

    test.each([
      NODEJS_24_X,
      NODEJS_LATEST,
      new lambda.Runtime('nodejs26.x', lambda.RuntimeFamily.NODEJS, { supportsInlineCode: true }),
    ])('is refused for $name, and nothing is changed', (runtime) => {
      const { stack, fn, connect } = withCluster({}, { code, runtime });
      expect(() => connect()).toThrow(
        `Test/Access: the handler of Test/Function declares 3 parameters, and ${runtime.name} ends the init of such a function, since it would wait for a callback: return a promise, and take event and context only.`,
      );
      expect(environmentIn(stack, fn)).toEqual({});
    });

    test('is refused for nodejs22.x on Managed Instances', () => {
      const { fn, connect } = withCluster({}, { code, runtime: NODEJS_22_X });
      (fn.node.defaultChild as lambda.CfnFunction).capacityProviderConfig = {
        lambdaManagedInstancesCapacityProviderConfig: {
          capacityProviderArn: 'arn:aws:lambda:eu-west-1:111111111111:capacity-provider:a',
        },
      };
      expect(() => connect()).toThrow(
        'declares 3 parameters, and nodejs22.x on Lambda Managed Instances ends the init',
      );
    });

    test.each<[string, Partial<lambda.FunctionProps>, string]>([
      [
        'for nodejs22.x, which takes it',
        { code, runtime: NODEJS_22_X },
        'The handler of Test/Function declares 3 parameters. nodejs22.x still takes a handler with a callback, nodejs24.x does not: return a promise',
      ],
      [
        'where it may be another in the end',
        { code: perhaps },
        'The handler of Test/Function seems to declare 3 parameters. nodejs24.x refuses a handler with a callback: return a promise',
      ],
      [
        'where a wrapper script may put another in its place',
        { code, environment: { AWS_LAMBDA_EXEC_WRAPPER: '/opt/otel-handler' } },
        'seems to declare 3 parameters. nodejs24.x refuses',
      ],
    ])('is warned of %s', (_, props, message) => {
      const { stack, connect } = withCluster({}, props);
      connect();
      expect(warnings(stack)).toEqual([expect.stringContaining(message)]);
    });

    test('is not judged on a runtime that is brought along', () => {
      const { stack, connect } = withCluster(
        {},
        {
          code,
          runtime: new lambda.Runtime('provided.al2023', lambda.RuntimeFamily.OTHER, { supportsInlineCode: true }),
        },
      );
      connect({ caBundle: '/opt/global-bundle.pem' });
      expect(warnings(stack)).toEqual([]);
    });
  });

  test('with a handler of two parameters is taken without a word', () => {
    const code = lambda.Code.fromInline('exports.handler = async (event, context) => event;');
    const { stack, connect } = withCluster({}, { code });
    connect();
    expect(warnings(stack)).toEqual([]);
  });

  test.each<[string, Given, number]>([
    ['is warned of', {}, 1],
    ['with a caBundle is not', { caBundle: '/var/task/global-bundle.pem' }, 0],
  ])('in a container image, which has no certificates of RDS, %s', (_, given, count) => {
    const { stack, vpc, connect } = withCluster();
    const fn = makeFunction(
      stack,
      vpc,
      { runtime: lambda.Runtime.FROM_IMAGE, handler: lambda.Handler.FROM_IMAGE, code: image(stack) },
      'Image',
    );
    connect({ functions: [fn], ...given });
    expect(warnings(stack).filter((text) => text.includes('Put global-bundle.pem into the image'))).toHaveLength(count);
  });
});

test.each<[string, string, (stack: Stack, cluster: rds.DatabaseCluster) => Given, Record<string, string>]>([
  ['behind a proxy', 'Image', (stack, cluster) => ({ database: proxyOf(stack, cluster) }), {}],
  ['that has certificates of its own', 'Image', () => ({}), { PGSSLROOTCERT: '/var/task/rds.pem' }],
  ['of a zip with a caBundle', 'Zip', () => ({ caBundle: '/var/task/rds.pem' }), {}],
  [
    'with a caBundle for an instance',
    'Zip',
    (stack, { vpc }) => ({ caBundle: '/var/task/rds.pem', database: makeInstance(stack, vpc) }),
    {},
  ],
  [
    'with a caBundle for the way past a proxy',
    'Zip',
    (stack, cluster) => ({ caBundle: '/var/task/rds.pem', database: proxyOf(stack, cluster), fallback: 'direct' }),
    {},
  ],
])('a function %s needs no word on certificates', (_, kind, given, environment) => {
  const { stack, vpc, cluster, connect } = withCluster();
  const fromImage = { runtime: lambda.Runtime.FROM_IMAGE, handler: lambda.Handler.FROM_IMAGE };
  const props = kind === 'Image' ? { ...fromImage, code: image(stack) } : {};
  connect({ functions: [makeFunction(stack, vpc, { ...props, environment }, kind)], ...given(stack, cluster) });
  expect(warnings(stack)).toEqual([]);
});

const image = (stack: Stack) => {
  const { repositoryArn } = { repositoryArn: 'arn:aws:ecr:eu-west-1:111111111111:repository/orders' };
  return lambda.Code.fromEcrImage(
    ecr.Repository.fromRepositoryAttributes(stack, 'Repo', { repositoryArn, repositoryName: 'orders' }),
  );
};
