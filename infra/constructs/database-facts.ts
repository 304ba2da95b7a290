// What the constructs have to know of a database: where it answers, who guards it, and what IAM calls it.

import { Stack, Token } from 'aws-cdk-lib';
import type { ISecurityGroup, IVpc } from 'aws-cdk-lib/aws-ec2';
import type { CfnDBCluster, CfnDBInstance, IDatabaseCluster, IDatabaseInstance } from 'aws-cdk-lib/aws-rds';
import type { IConstruct } from 'constructs';
import { isOff, rendered, resourceOf } from './resources.ts';

/** A database server: an Aurora cluster or an RDS instance, made in this app or imported. */
export type DatabaseServer = IDatabaseCluster | IDatabaseInstance;

/** What somebody knows of a database beyond what its construct says. Imported constructs often say little. */
export interface Known {
  readonly resourceId?: string | undefined;
  readonly securityGroups?: readonly ISecurityGroup[] | undefined;
  readonly vpc?: IVpc | undefined;
  readonly port?: number | undefined;
}

/** Something a function can be connected to. */
export interface Target {
  /** For messages: what it is, and its path. */
  readonly label: string;
  readonly host: string;
  /** A number, or a token that stands for one. */
  readonly port: number;
  readonly readerHost?: string | undefined;
  readonly securityGroups: readonly ISecurityGroup[];
  readonly vpc?: IVpc | undefined;
  /**
   * The ARN that `rds-db:connect` takes for a user.
   *
   * @throws Error when the resource id is not known.
   */
  connectArn(user: string): string;
  /** Why IAM authentication cannot work, as far as is known. Asked at synth: what is on may be switched on late. */
  iamFaults(): readonly string[];
}

/** Tells an Aurora cluster from an instance. */
export function isCluster(database: object): database is IDatabaseCluster {
  return 'clusterIdentifier' in database;
}

/** Tells an instance from everything else. */
export function isInstance(database: object): database is IDatabaseInstance {
  return 'instanceIdentifier' in database;
}

/**
 * Gathers the facts of a cluster or an instance.
 *
 * @throws Error when it is no PostgreSQL, or when `known.port` is not its port.
 */
export function serverFacts(database: DatabaseServer, known: Known): Target {
  const label = `${isCluster(database) ? 'cluster' : 'instance'} ${database.node.path}`;
  const family = database.engine?.engineFamily;
  if (family !== undefined && family !== 'POSTGRESQL') {
    throw new Error(`The ${label} is of the engine family ${family}; thawpool connects to PostgreSQL only.`);
  }
  const endpoint = isCluster(database) ? database.clusterEndpoint : database.instanceEndpoint;
  return {
    label,
    host: endpoint.hostname,
    port: portOf(label, endpoint.port, configuredPort(database), known.port),
    readerHost: isCluster(database) ? readEndpoint(database) : undefined,
    securityGroups: known.securityGroups ?? database.connections.securityGroups,
    vpc: known.vpc ?? vpcOf(database),
    connectArn: (user) => connectArn(database, resourceIdOf(database, label, known.resourceId), user),
    iamFaults: () => iamFaults(database, label),
  };
}

/** Writes the ARN that `rds-db:connect` takes, in the database's own partition, region and account. */
export function connectArn(
  database: IConstruct & { env: { region: string; account: string } },
  resourceId: string,
  user: string,
): string {
  const { region, account } = database.env;
  return `arn:${Stack.of(database).partition}:rds-db:${region}:${account}:dbuser:${resourceId}/${user}`;
}

/**
 * Checks a database user's name, which becomes part of a policy.
 *
 * @throws Error when it is empty or has a character that a policy reads as "anything".
 */
export function checkUser(user: string, where: string): string {
  // A token is written without any of these, and what stands around it is looked at, too.
  if (/^[^*?/\s]+$/.test(user)) return user;
  throw new Error(
    `${where}: the database user ${JSON.stringify(user)} cannot stand in an IAM policy: it needs one name without *, ?, / and spaces.`,
  );
}

/**
 * Settles on a port.
 *
 * @param configured - the port that the resource says, where the endpoint's is known only at deployment
 * @throws Error when the given one is another than the known one.
 */
export function portOf(label: string, port: number, configured: number | undefined, given: number | undefined): number {
  const real = Token.isUnresolved(port) ? configured : port;
  if (given === undefined) return port;
  if (real !== undefined && !Token.isUnresolved(given) && given !== real) {
    throw new Error(`port is ${given}, but the ${label} listens on ${real}: leave port out, or correct it.`);
  }
  return given;
}

/** Returns the resource of a database that this app makes. */
export function serverResource(database: DatabaseServer): CfnDBCluster | CfnDBInstance | undefined {
  return isCluster(database)
    ? resourceOf(database, 'AWS::RDS::DBCluster')
    : resourceOf(database, 'AWS::RDS::DBInstance');
}

function configuredPort(database: DatabaseServer): number | undefined {
  const resource = serverResource(database);
  const port = resource && rendered(resource, resource.port);
  return typeof port === 'number' || typeof port === 'string' ? Number(port) : undefined;
}

/** An imported cluster may not name its reader endpoint, and then throws when asked. */
function readEndpoint(cluster: IDatabaseCluster): string | undefined {
  try {
    return cluster.clusterReadEndpoint.hostname;
  } catch {
    return undefined;
  }
}

/** Databases made in this app have a public `vpc`, which the interfaces do not mention. */
function vpcOf(database: DatabaseServer): IVpc | undefined {
  return 'vpc' in database ? (database.vpc as IVpc | undefined) : undefined;
}

function resourceIdOf(database: DatabaseServer, label: string, given: string | undefined): string {
  const id = given ?? ownResourceId(database);
  const prefix = isCluster(database) ? 'cluster-' : 'db-';
  if (id === undefined) {
    throw new Error(
      `The resource id of the ${label} is not known, and rds-db:connect needs it. Pass resourceId ("${prefix}…", from aws rds describe-db-${isCluster(database) ? 'clusters' : 'instances'}), or give it where the database is imported.`,
    );
  }
  if (!Token.isUnresolved(id) && !new RegExp(`^${prefix}[A-Za-z0-9]+$`).test(id)) {
    throw new Error(
      `The resource id of the ${label} is "${id}", and should be "${prefix}" and letters and digits. It is neither the name nor the ARN: see ${isCluster(database) ? 'DbClusterResourceId' : 'DbiResourceId'} in aws rds describe-db-${isCluster(database) ? 'clusters' : 'instances'}.`,
    );
  }
  return id;
}

function ownResourceId(database: DatabaseServer): string | undefined {
  if (!isCluster(database)) return database.instanceResourceId;
  try {
    return database.clusterResourceIdentifier;
  } catch {
    return undefined;
  }
}

function iamFaults(database: DatabaseServer, label: string): readonly string[] {
  const resource = serverResource(database);
  if (resource === undefined || !isOff(resource, resource.enableIamDatabaseAuthentication)) return [];
  return [
    `auth is "iam", but IAM authentication is not switched on for the ${label}: give it iamAuthentication: true, or use auth: 'secret'.`,
  ];
}
