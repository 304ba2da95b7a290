// Opens the way between security groups, and tells VPCs apart.

import { type IConnectable, type ISecurityGroup, type IVpc, Port } from 'aws-cdk-lib/aws-ec2';
import { areDifferent, knownVpc, vpcOfGroup } from './resources.ts';

/**
 * Lets clients reach a server's port: a rule out of each of their groups, unless that lets everything out, and a rule into each
 * of the server's.
 *
 * The rules stand in the client's stack. `server.connections.allowFrom(client)` would put the second one into the
 * server's, which then needs the client's, while the client needs the server's for the endpoint: a circle.
 */
export function openWay(
  client: IConnectable,
  server: readonly ISecurityGroup[],
  port: number,
  description: string,
): void {
  for (const from of client.connections.securityGroups) {
    for (const to of server) {
      if (!from.allowAllOutbound) from.addEgressRule(to, Port.tcp(port), `${description}, out`);
      to.addIngressRule(from, Port.tcp(port), `${description}, in`, true);
    }
  }
}

/** Tells whether two places are in different VPCs for certain. */
export function inOtherVpcs(
  client: readonly ISecurityGroup[],
  server: { readonly securityGroups: readonly ISecurityGroup[]; readonly vpc?: IVpc | undefined },
): boolean {
  const here = client.map(vpcOfGroup).find((vpc) => vpc !== undefined);
  const there = server.vpc ? knownVpc(server.vpc.vpcId) : server.securityGroups.map(vpcOfGroup).find(Boolean);
  return areDifferent(here, there);
}
