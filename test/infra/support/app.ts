// A VPC, a cluster, an instance and functions as a user has them, and readers of the templates they give.
import { App, type Stack as CdkStack, type CfnElement, Duration, Stack } from 'aws-cdk-lib';
import { Annotations, Match, Template } from 'aws-cdk-lib/assertions';
import * as ec2 from 'aws-cdk-lib/aws-ec2';
import type * as kms from 'aws-cdk-lib/aws-kms';
import * as lambda from 'aws-cdk-lib/aws-lambda';
import * as rds from 'aws-cdk-lib/aws-rds';
import * as secretsmanager from 'aws-cdk-lib/aws-secretsmanager';
import type { Construct } from 'constructs';

/** An app with one stack, and a VPC in it. */
export function makeStack(name = 'Test', app: App = new App()): { app: App; stack: CdkStack; vpc: ec2.IVpc } {
  const stack = new Stack(app, name);
  return { app, stack, vpc: makeVpc(stack) };
}

/** CDK's classes do not fit its interfaces under exactOptionalPropertyTypes: hence this cast and that of makeSecret. */
export function makeVpc(scope: Construct, id = 'Vpc'): ec2.IVpc {
  return new ec2.Vpc(scope, id, { natGateways: 0, maxAzs: 2 }) as ec2.IVpc;
}

export function makeSecret(scope: Construct, encryptionKey?: kms.IKey, id = 'Secret'): secretsmanager.ISecret {
  return new secretsmanager.Secret(scope, id, encryptionKey ? { encryptionKey } : {}) as secretsmanager.ISecret;
}

/** In subnets that are there without a NAT gateway. */
const vpcSubnets: ec2.SubnetSelection = { subnetType: ec2.SubnetType.PRIVATE_ISOLATED };

export function makeCluster(
  scope: Construct,
  vpc: ec2.IVpc,
  props: Partial<rds.DatabaseClusterProps> = {},
): rds.DatabaseCluster {
  return new rds.DatabaseCluster(scope, 'Cluster', {
    engine: rds.DatabaseClusterEngine.auroraPostgres({ version: rds.AuroraPostgresEngineVersion.VER_16_6 }),
    vpc,
    vpcSubnets,
    iamAuthentication: true,
    writer: rds.ClusterInstance.serverlessV2('Writer'),
    ...props,
  });
}

export function makeInstance(
  scope: Construct,
  vpc: ec2.IVpc,
  props: Partial<rds.DatabaseInstanceProps> = {},
): rds.DatabaseInstance {
  return new rds.DatabaseInstance(scope, 'Instance', {
    engine: rds.DatabaseInstanceEngine.postgres({ version: rds.PostgresEngineVersion.VER_16 }),
    vpc,
    vpcSubnets,
    iamAuthentication: true,
    storageEncrypted: true,
    ...props,
  });
}

export function makeFunction(
  scope: Construct,
  vpc: ec2.IVpc | undefined,
  props: Partial<lambda.FunctionProps> = {},
  id = 'Function',
): lambda.Function {
  return new lambda.Function(scope, id, {
    runtime: lambda.Runtime.NODEJS_24_X,
    handler: 'index.handler',
    code: lambda.Code.fromInline('exports.handler = async (event) => event;'),
    timeout: Duration.seconds(30),
    ...(vpc && { vpc, vpcSubnets }),
    ...props,
  });
}

export interface Resource {
  readonly Type: string;
  readonly Properties: Readonly<Record<string, unknown>>;
  readonly DependsOn?: readonly string[];
}

/** The resources of a type, by logical id. */
export function resources(stack: CdkStack, type: string): Readonly<Record<string, Resource>> {
  return Template.fromStack(stack).findResources(type) as Record<string, Resource>;
}

/** The environment of each function, by logical id. */
export function environmentIn(stack: CdkStack, fn: lambda.Function): Readonly<Record<string, unknown>> {
  const { Environment } = resources(stack, 'AWS::Lambda::Function')[idOf(stack, fn)]?.Properties ?? {};
  return (Environment as { Variables: Record<string, unknown> } | undefined)?.Variables ?? {};
}

/** The logical id of a construct's resource. */
export function idOf(stack: CdkStack, construct: Construct): string {
  return stack.getLogicalId(construct.node.defaultChild as CfnElement);
}

interface Statement {
  readonly Action: string | readonly string[];
  readonly Resource: unknown;
}

/** Every statement that a role has, in a policy of its own or inline. Policies of keys and buckets are no roles'. */
export function statements(stack: CdkStack): readonly Statement[] {
  const template = Template.fromStack(stack);
  const documents = [
    ...Object.values(template.findResources('AWS::IAM::Policy')).map(({ Properties }) => Properties.PolicyDocument),
    ...Object.values(template.findResources('AWS::IAM::Role')).flatMap(({ Properties }) =>
      (Properties.Policies ?? []).map((policy: { PolicyDocument: unknown }) => policy.PolicyDocument),
    ),
  ] as { Statement: Statement[] }[];
  return documents.flatMap(({ Statement: list }) => list);
}

/** Every text in the Resource of any statement that holds a wildcard. */
export function wildcards(stack: CdkStack): readonly string[] {
  return statements(stack).flatMap(({ Resource }) => texts(Resource).filter((text) => /[*?]/.test(text)));
}

function texts(value: unknown): string[] {
  if (typeof value === 'string') return [value];
  return typeof value === 'object' && value !== null ? Object.values(value).flatMap(texts) : [];
}

/** The warnings of a stack's constructs. */
export function warnings(stack: CdkStack): readonly string[] {
  return Annotations.fromStack(stack)
    .findWarning('*', Match.anyValue())
    .map(({ entry }) => JSON.stringify(entry.data));
}
