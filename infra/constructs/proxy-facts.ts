// What PooledDatabaseAccess has to know of an RDS Proxy.

import { ArnFormat, Stack, Token } from 'aws-cdk-lib';
import type { ISecurityGroup } from 'aws-cdk-lib/aws-ec2';
import type { IDatabaseProxy } from 'aws-cdk-lib/aws-rds';
import { connectArn, type Known, portOf, type Target } from './database-facts.ts';
import { proxyPort } from './pooled-database-proxy.ts';
import { isOff, rendered, resourceOf } from './resources.ts';

/** Tells an RDS Proxy from everything else. */
export function isProxy(database: object): database is IDatabaseProxy {
  return 'dbProxyName' in database;
}

/** Gathers the facts of a proxy. An imported one has no security groups: CDK drops those it is given. */
export function proxyFacts(proxy: IDatabaseProxy, known: Known): Target {
  const label = `proxy ${proxy.node.path}`;
  const own = 'connections' in proxy ? (proxy.connections as { securityGroups: ISecurityGroup[] }).securityGroups : [];
  return {
    label,
    host: proxy.endpoint,
    port: portOf(label, proxyPort, proxyPort, known.port),
    securityGroups: known.securityGroups ?? own,
    vpc: known.vpc,
    connectArn: (user) => connectArn(proxy, resourceIdOf(proxy, label, known.resourceId), user),
    iamFaults: () => iamFaults(proxy, label),
  };
}

/** The id is the last part of the ARN. */
function resourceIdOf(proxy: IDatabaseProxy, label: string, given: string | undefined): string {
  const id = given ?? Stack.of(proxy).splitArn(proxy.dbProxyArn, ArnFormat.COLON_RESOURCE_NAME).resourceName ?? '';
  if (Token.isUnresolved(id) || /^prx-[A-Za-z0-9]+$/.test(id)) return id;
  throw new Error(
    `The resource id of the ${label} is "${id}", and should be "prx-" and letters and digits: the end of its ARN in aws rds describe-db-proxies.`,
  );
}

function iamFaults(proxy: IDatabaseProxy, label: string): readonly string[] {
  const resource = resourceOf(proxy, 'AWS::RDS::DBProxy');
  if (resource === undefined) return [];
  const faults: string[] = [];
  if (isOff(resource, resource.requireTls)) {
    faults.push(`auth is "iam", but the ${label} does not require TLS: give it requireTLS: true.`);
  }
  const scheme = rendered(resource, resource.defaultAuthScheme);
  const auth = rendered(resource, resource.auth) as readonly { iamAuth?: unknown }[] | undefined;
  const taken = scheme === 'IAM_AUTH' || typeof scheme === 'object';
  if (!taken && !auth?.some(({ iamAuth }) => iamAuth !== undefined && iamAuth !== 'DISABLED')) {
    faults.push(
      `auth is "iam", but the ${label} takes passwords only: give it defaultAuthScheme: IAM_AUTH or iamAuth: true, or use auth: 'secret'.`,
    );
  }
  return faults;
}
