// Looks through constructs at the CloudFormation resources in them. What was imported has none: then nothing is known.

import { CfnResource, type IResolvable, Reference, Stack, Token, Tokenization } from 'aws-cdk-lib';
import type { CfnSecurityGroup, ISecurityGroup } from 'aws-cdk-lib/aws-ec2';
import type { CfnFunction } from 'aws-cdk-lib/aws-lambda';
import type { CfnDBCluster, CfnDBInstance, CfnDBProxy } from 'aws-cdk-lib/aws-rds';
import type { IConstruct } from 'constructs';

/** The types of resources that are looked at. */
interface Resources {
  readonly 'AWS::EC2::SecurityGroup': CfnSecurityGroup;
  readonly 'AWS::Lambda::Function': CfnFunction;
  readonly 'AWS::RDS::DBCluster': CfnDBCluster;
  readonly 'AWS::RDS::DBInstance': CfnDBInstance;
  readonly 'AWS::RDS::DBProxy': CfnDBProxy;
}

/** Returns the resource that a construct made, if it is of that type. */
export function resourceOf<T extends keyof Resources>(construct: IConstruct, type: T): Resources[T] | undefined {
  const child = construct.node.defaultChild;
  return child !== undefined && CfnResource.isCfnResource(child) && child.cfnResourceType === type
    ? (child as Resources[T])
    : undefined;
}

/** What people call a construct among others: its id, or its path where another of them has that id too. */
export function nameAmong({ node }: IConstruct, others: readonly IConstruct[]): string {
  return others.filter((other) => other.node.id === node.id).length > 1 ? node.path : node.id;
}

/** Returns what a property will be in the template: a literal, or an object where only the deployment knows. */
export function rendered(resource: CfnResource, value: unknown): unknown {
  return Stack.of(resource).resolve(value);
}

/** Tells whether a flag is off for certain. What is not known at synth is not. */
export function isOff(resource: CfnResource, flag: boolean | IResolvable | undefined): boolean {
  const value = rendered(resource, flag);
  return value === undefined || value === false || value === 'false';
}

/** Says which VPC a security group is in: its id, or the construct that makes it; nothing where that is not known. */
export function vpcOfGroup(group: ISecurityGroup): string | IConstruct | undefined {
  const vpcId = resourceOf(group, 'AWS::EC2::SecurityGroup')?.vpcId;
  return typeof vpcId === 'string' ? knownVpc(vpcId) : undefined;
}

/** Says which VPC an id means. Ids that are tokens are told apart only where each leads to a VPC of this app. */
export function knownVpc(vpcId: string): string | IConstruct | undefined {
  if (!Token.isUnresolved(vpcId)) return vpcId;
  const token = Tokenization.reverse(vpcId);
  if (!Reference.isReference(token)) return undefined;
  const { target } = token;
  return CfnResource.isCfnResource(target) && target.cfnResourceType === 'AWS::EC2::VPC' ? target : undefined;
}

/** Tells whether two VPCs are different ones for certain. An id and a construct, and what is known and what is not, cannot be told apart. */
export function areDifferent(one: string | IConstruct | undefined, other: string | IConstruct | undefined): boolean {
  return typeof one === typeof other && one !== other;
}

/** Runs a step and puts a construct's path before the errors of it. */
export function located<T>(scope: IConstruct, step: () => T): T {
  try {
    return step();
  } catch (error) {
    throw error instanceof Error ? new Error(`${scope.node.path}: ${error.message}`, { cause: error }) : error;
  }
}
