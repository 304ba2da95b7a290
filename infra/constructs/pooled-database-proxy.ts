// An RDS Proxy as the pool wants it: TLS always, IAM on both legs, time limits that fit the pool's and the functions'.

import { Annotations, CfnResource, Duration, Lazy, Names, Token } from 'aws-cdk-lib';
import {
  Connections,
  type IConnectable,
  type ISecurityGroup,
  type IVpc,
  Port,
  SecurityGroup,
  type SubnetSelection,
} from 'aws-cdk-lib/aws-ec2';
import { PolicyDocument, PolicyStatement, Role, ServicePrincipal } from 'aws-cdk-lib/aws-iam';
import type { Function as LambdaFunction } from 'aws-cdk-lib/aws-lambda';
import * as rds from 'aws-cdk-lib/aws-rds';
import type { ISecret } from 'aws-cdk-lib/aws-secretsmanager';
import { Construct } from 'constructs';
import {
  checkUser,
  type DatabaseServer,
  isCluster,
  serverFacts,
  serverResource,
  type Target,
} from './database-facts.ts';
import { openWay } from './network.ts';
import { located, rendered } from './resources.ts';
import { completeArn, grantSecret, within } from './secrets.ts';
import { defaultOf } from './variables.ts';

/** What {@link PooledDatabaseProxy} needs. */
export interface PooledDatabaseProxyProps {
  /** The Aurora cluster or RDS instance behind the proxy, made here or imported. */
  readonly database: DatabaseServer;
  /** The VPC of the proxy: the database's own, or one from which it can be reached. */
  readonly vpc: IVpc;
  /** The proxy's subnets, in two availability zones at least. @default - the VPC's private subnets */
  readonly vpcSubnets?: SubnetSelection;
  /** The database users that connect through the proxy. With `auth: 'secret'` the secrets name them. @default ['app'] */
  readonly users?: readonly string[];
  /**
   * How the proxy logs in to the database: with IAM and no secret anywhere, or with the secrets.
   * @default 'iam'
   */
  readonly auth?: 'iam' | 'secret';
  /** How functions log in to the proxy. With `auth: 'iam'` it is IAM, too. @default - the same as `auth` */
  readonly clientAuth?: 'iam' | 'secret';
  /** The secrets of the database users, for `auth: 'secret'` alone. @default - none */
  readonly secrets?: readonly ISecret[];
  /** Whether to add an endpoint for reading, which leads to the cluster's readers. Clusters only. @default false */
  readonly reader?: boolean;
  /**
   * How long a statement waits in the proxy for a connection to the database. It must be shorter than the timeout of every
   * function, or the function is killed before it learns why.
   * @default - 1 s less than the shortest timeout of the functions, at most 120 s; 120 s where no function is known
   */
  readonly borrowTimeout?: Duration;
  /**
   * After how long the proxy closes a client's silent connection; not shorter than the pool's own limit
   * (`THAWPOOL_IDLE_TIMEOUT_MS`, 5 minutes), so that the pool is the one that closes.
   * @default Duration.minutes(30)
   */
  readonly idleClientTimeout?: Duration;
  /**
   * The part of the database's `max_connections` that the proxy may use, in percent.
   * @default 90 - the rest is for migrations, for `DatabaseUser` and for people
   */
  readonly maxConnectionsPercent?: number;
  /** How many of these it keeps open while nobody uses them, in percent of `max_connections`. @default - 50, or `maxConnectionsPercent` if that is less */
  readonly maxIdleConnectionsPercent?: number;
  /** The functions that use the proxy: `borrowTimeout` has to fit theirs. PooledDatabaseAccess adds its own. @default - none */
  readonly functions?: readonly LambdaFunction[];
  /** The resource id of an imported database (`cluster-…`, `db-…`). @default - what the database says */
  readonly resourceId?: string;
  /** The security groups of an imported database. @default - what the database says */
  readonly databaseSecurityGroups?: readonly ISecurityGroup[];
  /** The proxy's name. @default - made of the construct's path */
  readonly proxyName?: string;
  /** Whether the proxy's log holds the text of statements. @default false */
  readonly debugLogging?: boolean;
}

/** RDS Proxy listens here for PostgreSQL, whatever port the database has. */
export const proxyPort = 5432;

/** The default of RDS Proxy and the most that is chosen without being asked (RDS Proxy, ConnectionBorrowTimeout). */
const longestBorrowSeconds = 120;
/** Lambda's own default for a function (Lambda quotas); CDK leaves it out of the template. */
const lambdaTimeoutSeconds = 3;

/** Makes an RDS Proxy for a PostgreSQL cluster or instance, with IAM end to end unless told otherwise. */
export class PooledDatabaseProxy extends Construct implements IConnectable {
  /** The proxy itself. */
  readonly proxy: rds.DatabaseProxy;
  /** The host name for reading and writing. */
  readonly endpoint: string;
  /** The host name for reading, with `reader: true`. */
  readonly readerEndpoint: string | undefined;
  /** The port, always 5432. */
  readonly port: number = proxyPort;
  /** Who may connect. Nobody may until asked: `proxy.connections.allowDefaultPortFrom(fn)`. */
  readonly connections: Connections;
  /** The users that the proxy may log in as, with `auth: 'iam'`. */
  readonly users: readonly string[];
  /** How functions log in to the proxy. */
  readonly clientAuth: 'iam' | 'secret';
  /** Whether the proxy itself logs in to the database with IAM. */
  readonly endToEnd: boolean;
  /** The database behind the proxy. */
  readonly database: DatabaseServer;
  /** What is known of the database behind the proxy. For PooledDatabaseAccess. @internal */
  readonly target: Target;
  readonly #clients: LambdaFunction[] = [];
  readonly #borrowTimeout: Duration | undefined;

  constructor(scope: Construct, id: string, props: PooledDatabaseProxyProps) {
    super(scope, id);
    checkProps(this, props);
    const { database, vpc, vpcSubnets, auth = 'iam' } = props;
    this.database = database;
    this.users = props.users ?? ['app'];
    this.endToEnd = auth === 'iam';
    this.clientAuth = props.clientAuth ?? auth;
    this.target = located(this, () => factsOf(props));
    this.#borrowTimeout = props.borrowTimeout;
    for (const fn of props.functions ?? []) this.addFunction(fn);

    const group = new SecurityGroup(this, 'SecurityGroup', {
      vpc,
      description: 'RDS Proxy: from functions, to the database',
      allowAllOutbound: false,
    });
    this.connections = new Connections({ securityGroups: [group], defaultPort: Port.tcp(proxyPort) });
    openWay(this, this.target.securityGroups, this.target.port, 'PostgreSQL from the RDS Proxy');
    this.proxy = this.#makeProxy(props, group);
    this.endpoint = this.proxy.endpoint;
    this.readerEndpoint = props.reader
      ? this.proxy.addEndpoint('Reader', {
          vpc,
          ...(vpcSubnets && { vpcSubnets }),
          securityGroups: [group],
          targetRole: rds.ProxyEndpointTargetRole.READ_ONLY,
        }).endpoint
      : undefined;
    if (auth === 'iam') this.node.addValidation({ validate: () => [...this.target.iamFaults()] });
    warnOfPausing(this, database, this.target.label);
  }

  /**
   * Makes the proxy fit a function: no statement waits for a connection longer than it may run.
   *
   * @throws Error when `borrowTimeout` was given and is not shorter than the function's timeout.
   */
  addFunction(fn: LambdaFunction): void {
    if (this.#clients.includes(fn)) return;
    this.#clients.push(fn);
    const timeout = timeoutSeconds(fn);
    const borrow = this.#borrowTimeout;
    if (timeout === undefined || borrow?.isUnresolved()) return;
    const wait = borrow?.toSeconds() ?? 1;
    if (wait < timeout) return;
    const what = borrow
      ? `borrowTimeout is ${wait} s`
      : `RDS Proxy waits for a connection to the database for ${wait} s at least`;
    throw new Error(
      `${this.node.path}: ${what}, but the function ${fn.node.path} is ended after ${timeout} s, before it learns that there was none. Raise its timeout above ${wait} s${borrow && timeout > 1 ? `, or lower borrowTimeout to ${timeout - 1} s or less` : ''}.`,
    );
  }

  /** Adds what the proxy waits for a connection: known when all functions are. */
  #borrowSeconds(): number {
    if (this.#borrowTimeout) return this.#borrowTimeout.toSeconds();
    const timeouts = this.#clients.map((fn) => timeoutSeconds(fn) ?? Number.POSITIVE_INFINITY);
    return Math.min(longestBorrowSeconds, ...timeouts.map((seconds) => seconds - 1));
  }

  #makeProxy(props: PooledDatabaseProxyProps, group: ISecurityGroup): rds.DatabaseProxy {
    const { database, vpc, vpcSubnets, auth = 'iam', maxConnectionsPercent: most = 90 } = props;
    const role = this.#makeRole(auth);
    for (const secret of props.secrets ?? []) grantSecret(role, secret);
    const proxy = new rds.DatabaseProxy(this, 'Proxy', {
      proxyTarget: targetOf(this, database),
      vpc,
      ...(vpcSubnets && { vpcSubnets }),
      securityGroups: [group],
      // Without a name CDK takes the id, which would be the same for every construct of this kind.
      dbProxyName: props.proxyName ?? Names.uniqueResourceName(this, { maxLength: 60 }),
      role,
      requireTLS: true,
      idleClientTimeout: props.idleClientTimeout ?? Duration.minutes(30),
      maxConnectionsPercent: most,
      maxIdleConnectionsPercent: props.maxIdleConnectionsPercent ?? Math.min(50, most),
      debugLogging: props.debugLogging ?? false,
      ...(auth === 'iam'
        ? { defaultAuthScheme: rds.DefaultAuthScheme.IAM_AUTH }
        : {
            secrets: (props.secrets ?? []).map((secret, n) => within(this, `Secret${n}`, secret)),
            iamAuth: this.clientAuth === 'iam',
            clientPasswordAuthType: rds.ClientPasswordAuthType.POSTGRES_SCRAM_SHA_256,
          }),
    });
    const targetGroup = proxy.node.findChild('ProxyTargetGroup') as rds.CfnDBProxyTargetGroup;
    targetGroup.connectionPoolConfigurationInfo = {
      connectionBorrowTimeout: Lazy.number({ produce: () => this.#borrowSeconds() }),
      maxConnectionsPercent: most,
      maxIdleConnectionsPercent: props.maxIdleConnectionsPercent ?? Math.min(50, most),
    };
    // A target must be there to be registered: for a cluster that takes an instance of it.
    for (const child of database.node.findAll()) {
      if (CfnResource.isCfnResource(child) && /^AWS::RDS::DB(Cluster|Instance)$/.test(child.cfnResourceType)) {
        targetGroup.node.addDependency(child);
      }
    }
    return proxy;
  }

  /** CDK grants the role nothing on the database. Inline, so that the right is there when the proxy first logs in. */
  #makeRole(auth: 'iam' | 'secret'): Role {
    const connect = new PolicyStatement({
      actions: ['rds-db:connect'],
      resources: auth === 'iam' ? located(this, () => this.users.map((user) => this.target.connectArn(user))) : [],
    });
    return new Role(this, 'Role', {
      assumedBy: new ServicePrincipal('rds.amazonaws.com'),
      description: 'RDS Proxy: logs in to the database',
      ...(auth === 'iam' && { inlinePolicies: { connect: new PolicyDocument({ statements: [connect] }) } }),
    });
  }
}

/** @throws Error when no way to the database can be opened. */
function factsOf({ database, resourceId, databaseSecurityGroups: securityGroups }: PooledDatabaseProxyProps): Target {
  const facts = serverFacts(database, { resourceId, securityGroups });
  if (facts.securityGroups.length > 0 || securityGroups !== undefined) return facts;
  throw new Error(
    `the security groups of the ${facts.label} are not known, so no way to it can be opened. Pass databaseSecurityGroups, or [] if something else opens it.`,
  );
}

function timeoutSeconds(fn: LambdaFunction): number | undefined {
  if (fn.timeout === undefined) return lambdaTimeoutSeconds;
  return fn.timeout.isUnresolved() ? undefined : fn.timeout.toSeconds();
}

/**
 * Names the database without its security groups: CDK would open them by a rule in the database's stack, which then
 * depends on the proxy's. {@link openWay} has done it.
 */
function targetOf(scope: Construct, database: DatabaseServer): rds.ProxyTarget {
  const { port } = isCluster(database) ? database.clusterEndpoint : database.instanceEndpoint;
  if (isCluster(database)) {
    const engine = database.engine ?? rds.DatabaseClusterEngine.AURORA_POSTGRESQL;
    const { clusterIdentifier } = database;
    return rds.ProxyTarget.fromCluster(
      rds.DatabaseCluster.fromDatabaseClusterAttributes(scope, 'Target', { clusterIdentifier, port, engine }),
    );
  }
  const engine = database.engine ?? rds.DatabaseInstanceEngine.POSTGRES;
  const { instanceIdentifier, dbInstanceEndpointAddress: instanceEndpointAddress } = database;
  return rds.ProxyTarget.fromInstance(
    rds.DatabaseInstance.fromDatabaseInstanceAttributes(scope, 'Target', {
      instanceIdentifier,
      instanceEndpointAddress,
      port,
      engine,
      securityGroups: [],
    }),
  );
}

function checkProps(scope: Construct, props: PooledDatabaseProxyProps): void {
  const { auth = 'iam', clientAuth = auth, secrets = [], users = ['app'] } = props;
  const refuse = (what: string): never => {
    throw new Error(`${scope.node.path}: ${what}`);
  };
  if (auth === 'iam') {
    if (users.length === 0) refuse('users is empty: name the database users that connect through the proxy.');
    for (const user of users) checkUser(user, scope.node.path);
    if (secrets.length > 0)
      refuse('secrets are given, but auth is "iam" and needs none: leave them out, or set auth: \'secret\'.');
    if (clientAuth !== 'iam')
      refuse('clientAuth is "secret", but auth is "iam": the proxy then takes IAM logins only.');
  } else if (secrets.length === 0) {
    refuse('auth is "secret", but no secrets are given: pass one for each database user.');
  }
  for (const secret of secrets) located(scope, () => completeArn(secret));
  if (props.reader && !isCluster(props.database)) {
    refuse('reader is true, but only clusters have readers, and the database is an instance.');
  }
  checkTimes(props, refuse);
  checkPercents(props, refuse);
}

function checkTimes(
  { borrowTimeout, idleClientTimeout }: PooledDatabaseProxyProps,
  refuse: (what: string) => never,
): void {
  const seconds = (duration: Duration | undefined): number | undefined =>
    duration === undefined || duration.isUnresolved() ? undefined : duration.toSeconds();
  const borrow = seconds(borrowTimeout);
  // The range of ConnectionBorrowTimeout; CDK takes 0 for "without end".
  if (borrow !== undefined && (borrow < 1 || borrow > 300)) {
    refuse(`borrowTimeout is ${borrow} s: it goes from 1 s to 300 s.`);
  }
  const idle = seconds(idleClientTimeout);
  const pool = defaultOf('idleTimeoutMillis') / 1000;
  if (idle !== undefined && (idle < pool || idle > 28_800)) {
    refuse(
      `idleClientTimeout is ${idle} s: it goes from ${pool} s, when the pool itself closes an idle connection (THAWPOOL_IDLE_TIMEOUT_MS), to 28800 s.`,
    );
  }
}

function checkPercents(props: PooledDatabaseProxyProps, refuse: (what: string) => never): void {
  const { maxConnectionsPercent: most = 90, maxIdleConnectionsPercent: idle } = props;
  if (!Token.isUnresolved(most) && !(Number.isInteger(most) && most >= 1 && most <= 100)) {
    refuse(`maxConnectionsPercent is ${most}: it is a whole number from 1 to 100.`);
  }
  if (idle !== undefined && !Token.isUnresolved(idle) && !(Number.isInteger(idle) && idle >= 0 && idle <= most)) {
    refuse(`maxIdleConnectionsPercent is ${idle}: it is a whole number from 0 to maxConnectionsPercent (${most}).`);
  }
}

function warnOfPausing(scope: Construct, database: DatabaseServer, label: string): void {
  if (!isCluster(database)) return;
  const resource = serverResource(database) as rds.CfnDBCluster | undefined;
  if (resource === undefined) return;
  const scaling = rendered(resource, resource.serverlessV2ScalingConfiguration) as
    | { minCapacity?: unknown }
    | undefined;
  if (scaling?.minCapacity !== 0) return;
  Annotations.of(scope).addWarningV2(
    'thawpool:proxyKeepsAwake',
    `The ${label} may pause when idle (serverlessV2MinCapacity is 0), but a proxy keeps connections open, so it never does. Connect without a proxy, or raise the capacity.`,
  );
}
