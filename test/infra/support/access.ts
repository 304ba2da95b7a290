// A function, a cluster and what connects the two, as a user has them.
import type { Stack } from 'aws-cdk-lib';
import * as ec2 from 'aws-cdk-lib/aws-ec2';
import type * as lambda from 'aws-cdk-lib/aws-lambda';
import type * as rds from 'aws-cdk-lib/aws-rds';
import {
  PooledDatabaseAccess,
  type PooledDatabaseAccessProps,
  PooledDatabaseProxy,
} from '../../../infra/constructs/index.ts';
import { makeCluster, makeFunction, makeStack } from './app.ts';

export type Given = Partial<PooledDatabaseAccessProps>;

/** A stack with a cluster and a function that has access to it. */
export function withCluster(given: Given = {}, props: Partial<lambda.FunctionProps> = {}) {
  const { app, stack, vpc } = makeStack();
  const cluster = makeCluster(stack, vpc);
  const fn = makeFunction(stack, vpc, props);
  const connect = (more: Given = {}) =>
    new PooledDatabaseAccess(stack, 'Access', {
      functions: [fn],
      database: cluster,
      databaseName: 'orders',
      ...given,
      ...more,
    });
  return { app, stack, vpc, cluster, fn, connect };
}

/** A proxy before a cluster, in subnets that are there without a NAT gateway. */
export const proxyOf = (stack: Stack, cluster: rds.DatabaseCluster, props = {}) =>
  new PooledDatabaseProxy(stack, 'Proxy', {
    database: cluster,
    vpc: cluster.vpc,
    vpcSubnets: { subnetType: ec2.SubnetType.PRIVATE_ISOLATED },
    ...props,
  });
