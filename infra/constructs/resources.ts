// Looks through constructs at the CloudFormation resources in them. What was imported has none: then nothing is known.

import { CfnResource, type IResolvable, Reference, Stack, Token, Tokenization } from 'aws-cdk-lib';
import type { CfnSecurityGroup, ISecurityGroup } from 'aws-cdk-lib/aws-ec2';
import type { IConstruct } from 'constructs';

/** Returns the resource that a construct made, if it is of that type. */
export function resourceOf<T extends CfnResource>(construct: IConstruct, type: string): T | undefined {
  const child = construct.node.defaultChild;
  return child !== undefined && CfnResource.isCfnResource(child) && child.cfnResourceType === type
    ? (child as T)
    : undefined;
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
  const vpcId = resourceOf<CfnSecurityGroup>(group, 'AWS::EC2::SecurityGroup')?.vpcId;
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
