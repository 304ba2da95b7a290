/** Makes the database user that functions log in as, which CloudFormation has no resource for. */
import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { Annotations, CustomResource, Duration, RemovalPolicy, Stack, Token } from 'aws-cdk-lib';
import * as ec2 from 'aws-cdk-lib/aws-ec2';
import * as lambda from 'aws-cdk-lib/aws-lambda';
import * as logs from 'aws-cdk-lib/aws-logs';
import type * as rds from 'aws-cdk-lib/aws-rds';
import type * as secretsmanager from 'aws-cdk-lib/aws-secretsmanager';
import { Provider } from 'aws-cdk-lib/custom-resources';
import { Construct } from 'constructs';
import { bundleDatabaseUser } from '../database-user/bundle.ts';
import {
  checkName,
  checkUser,
  type SettingValue,
  schemaWishes,
  settingWishes,
  type UserGrants,
  type UserProperties,
} from '../database-user/wish.ts';
import { isCluster } from './database-facts.ts';
import { openWay } from './network.ts';
import { areDifferent, knownVpc, located } from './resources.ts';
import { completeArn, grantSecret } from './secrets.ts';

/** Says which user {@link DatabaseUser} makes, where, and what it may do. */
export interface DatabaseUserProps {
  /** The cluster or instance. The function that makes the user is let in to it, unless it is imported without its security groups. */
  readonly database: rds.IDatabaseCluster | rds.IDatabaseInstance;

  /** The login of the administrator, who makes the user: `database.secret` for one. Its user must have CREATEROLE. */
  readonly adminSecret: secretsmanager.ISecret;

  /** The network that the database is reached from. */
  readonly vpc: ec2.IVpc;

  /**
   * Where in it the function runs.
   *
   * @default - private subnets, with a way to the internet where there are such
   */
  readonly vpcSubnets?: ec2.SubnetSelection;

  /**
   * The VPC endpoint through which the function reads the secrets: the two are let in to each other, and the function goes
   * nowhere else.
   *
   * @default - the function may go out to port 443 of every address: it takes a NAT gateway, or an endpoint that is open to the VPC
   */
  readonly secretsEndpoint?: ec2.IConnectable;

  /**
   * The name that functions log in as. Another name is another user: the old one is removed once the new one is made.
   *
   * @default 'app'
   */
  readonly user?: string;

  /** The database that it may connect to. It must exist. */
  readonly databaseName: string;

  /**
   * Whether it logs in with IAM tokens; then it has no password.
   *
   * @default true
   */
  readonly iam?: boolean;

  /**
   * The secret with its password, where `iam` is false. The server gets a SCRAM verifier of it. Read on each deployment
   * that changes this resource; rotating it is up to the secret's own rotation.
   *
   * @default - none
   */
  readonly passwordSecret?: secretsmanager.ISecret;

  /**
   * What it may do with tables, those there are and those the administrator makes later. Never a superuser's rights.
   *
   * @default 'read-write'
   */
  readonly grants?: UserGrants;

  /**
   * Settings of its sessions in this database (`ALTER ROLE … IN DATABASE … SET`), such as `statement_timeout`, which
   * cannot be passed on connecting through RDS Proxy.
   *
   * @default - none
   */
  readonly settings?: Readonly<Record<string, SettingValue>>;

  /**
   * What becomes of it when this resource goes. DESTROY takes back what was granted and drops the user if it owns
   * nothing; it never drops a table, and never keeps the stack from going. RETAIN leaves everything.
   *
   * @default RemovalPolicy.DESTROY
   */
  readonly removalPolicy?: RemovalPolicy;

  /**
   * How long the function's log is kept.
   *
   * @default RetentionDays.ONE_MONTH
   */
  readonly logRetention?: logs.RetentionDays;
}

let bundled: string | undefined;

/** The function's code: the file that is part of the built package, else made out of the sources, once per process. */
function code(): lambda.Code {
  const built = fileURLToPath(new URL('../database-user', import.meta.url));
  if (existsSync(join(built, 'index.mjs'))) {
    return lambda.Code.fromAsset(built, { exclude: ['*', '!index.mjs'] });
  }
  if (bundled === undefined) {
    const folder = mkdtempSync(join(tmpdir(), 'thawpool-database-user-'));
    process.once('exit', () => rmSync(folder, { recursive: true, force: true }));
    bundleDatabaseUser(join(folder, 'index.mjs'));
    // Not sooner: what could not be bundled must not be deployed as an empty folder by the next one.
    bundled = folder;
  }
  return lambda.Code.fromAsset(bundled);
}

/**
 * Makes a user of a PostgreSQL database, and keeps it as declared: the role, `rds_iam`, what it may do, its settings. A
 * function in the VPC does it on deployment, with the administrator's secret. Make one for each user and database.
 *
 * @throws Error for a name that PostgreSQL would cut off or has reserved, for privileges and settings that do not exist,
 * and without IAM for want of a password.
 */
export class DatabaseUser extends Construct {
  /** The name that functions log in as. */
  readonly user: string;
  /** The custom resource. Whatever logs in during the deployment should depend on it. */
  readonly resource: CustomResource;
  /** The function that makes the user. */
  readonly function: lambda.Function;
  /** The function's network: out to the database and to Secrets Manager, and to nothing else. */
  readonly connections: ec2.Connections;

  constructor(scope: Construct, id: string, props: DatabaseUserProps) {
    super(scope, id);
    const { user = 'app', iam = true, passwordSecret, database, adminSecret } = props;
    checkProps(this, props);
    const logGroup = new logs.LogGroup(this, 'Log', {
      retention: props.logRetention ?? logs.RetentionDays.ONE_MONTH,
      removalPolicy: RemovalPolicy.DESTROY,
    });
    const guard = this.#makeGuard(props);
    this.function = this.#makeFunction(props, logGroup, guard);
    this.connections = this.function.connections;
    for (const secret of [adminSecret, ...(passwordSecret ? [passwordSecret] : [])]) {
      located(this, () => completeArn(secret));
      grantSecret(this.function, secret);
    }
    const endpoint = 'clusterEndpoint' in database ? database.clusterEndpoint : database.instanceEndpoint;
    const properties: UserProperties = {
      SecretArn: adminSecret.secretArn,
      ...(passwordSecret && { PasswordSecretArn: passwordSecret.secretArn }),
      Host: endpoint.hostname,
      Port: Token.asString(endpoint.port),
      Database: props.databaseName,
      User: user,
      Iam: String(iam),
      Grants: JSON.stringify(schemaWishes(props.grants ?? 'read-write')),
      Settings: JSON.stringify(settingWishes(props.settings ?? {})),
    };
    // The framework's function answers CloudFormation from outside the VPC: a network without a way out is no hindrance.
    const provider = new Provider(this, 'Provider', {
      onEventHandler: this.function,
      logGroup,
      // It would log every event at INFO.
      frameworkLambdaLoggingLevel: lambda.ApplicationLogLevel.WARN,
    });
    this.resource = new CustomResource(this, 'Resource', {
      resourceType: 'Custom::ThawpoolDatabaseUser',
      serviceToken: provider.serviceToken,
      properties: { ...properties },
      removalPolicy: props.removalPolicy ?? RemovalPolicy.DESTROY,
    });
    // An instance to connect to, and the rules on both sides of the way: on deletion they must outlast this resource.
    this.resource.node.addDependency(database, this.function, guard, ...database.connections.securityGroups);
    this.user = user;
    this.#warnUnreachable(props);
  }

  /** Whoever holds the administrator's login goes to the server and to where it is read. Names are looked up in the VPC, past every group. */
  #makeGuard({ vpc, database, secretsEndpoint }: DatabaseUserProps): ec2.SecurityGroup {
    const guard = new ec2.SecurityGroup(this, 'SecurityGroup', {
      vpc,
      description: 'DatabaseUser: to the database and to Secrets Manager',
      allowAllOutbound: false,
    });
    const { port } = isCluster(database) ? database.clusterEndpoint : database.instanceEndpoint;
    const servers = database.connections.securityGroups;
    if (servers.length > 0) openWay(guard, servers, port, 'PostgreSQL from DatabaseUser');
    else guard.addEgressRule(ec2.Peer.anyIpv4(), ec2.Port.tcp(port), 'PostgreSQL, whose groups are not known');
    if (secretsEndpoint) openWay(guard, secretsEndpoint.connections.securityGroups, 443, 'Secrets from DatabaseUser');
    else guard.addEgressRule(ec2.Peer.anyIpv4(), ec2.Port.tcp(443), 'Secrets Manager');
    return guard;
  }

  #makeFunction(props: DatabaseUserProps, logGroup: logs.ILogGroup, guard: ec2.SecurityGroup): lambda.Function {
    const { vpc, vpcSubnets } = props;
    return new lambda.Function(this, 'Function', {
      description: 'Makes a database user for thawpool',
      runtime: lambda.Runtime.NODEJS_24_X,
      architecture: lambda.Architecture.ARM_64,
      handler: 'index.handler',
      code: code(),
      memorySize: 256,
      // Time for a cluster that takes a while to answer; the function tries until ten seconds before.
      timeout: Duration.minutes(5),
      vpc,
      ...(vpcSubnets && { vpcSubnets }),
      securityGroups: [guard],
      logGroup,
    });
  }

  #warnUnreachable({ vpc, vpcSubnets, secretsEndpoint }: DatabaseUserProps): void {
    if (secretsEndpoint) return;
    const chosen = new Set(vpc.selectSubnets(vpcSubnets).subnetIds);
    const isolated = vpc.isolatedSubnets.some((subnet) => chosen.has(subnet.subnetId));
    const endpoint = this.node.root.node
      .findAll()
      .some(
        (one) =>
          one instanceof ec2.CfnVPCEndpoint &&
          !areDifferent(knownVpc(one.vpcId), knownVpc(vpc.vpcId)) &&
          /secretsmanager/.test(JSON.stringify(Stack.of(one).resolve(one.serviceName))),
      );
    if (!isolated || endpoint) return;
    Annotations.of(this).addWarningV2(
      'thawpool:databaseUserSecretsManager',
      'The function that makes the database user is in subnets without a way to the internet, and this app has no ' +
        'endpoint for Secrets Manager in their VPC, from which it reads the login of the administrator: it would fail after 5 minutes. ' +
        'Add one (vpc.addInterfaceEndpoint with InterfaceVpcEndpointAwsService.SECRETS_MANAGER), or choose other subnets ' +
        '(vpcSubnets). Where the endpoint is made outside of this app, acknowledge this warning.',
    );
  }
}

function checkProps(
  scope: Construct,
  { user = 'app', iam = true, passwordSecret, databaseName }: DatabaseUserProps,
): void {
  if (!Token.isUnresolved(user)) checkUser(user);
  if (!Token.isUnresolved(databaseName)) checkName('database', databaseName);
  if (iam && passwordSecret) {
    throw new Error(
      `${scope.node.path}: passwordSecret is given, but with IAM a user has no password. Leave it out, or say iam: false.`,
    );
  }
  if (!iam && !passwordSecret) {
    throw new Error(
      `${scope.node.path}: without IAM the user "${user}" needs a password to log in. Give passwordSecret, or leave iam out.`,
    );
  }
}
