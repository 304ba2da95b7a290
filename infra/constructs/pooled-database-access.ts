// Everything a function needs to reach a database by thawpool: the network, the rights and the environment.

import { Annotations, Token, Tokenization } from 'aws-cdk-lib';
import type { ISecurityGroup, IVpc } from 'aws-cdk-lib/aws-ec2';
import { Grant } from 'aws-cdk-lib/aws-iam';
import type { Function as LambdaFunction } from 'aws-cdk-lib/aws-lambda';
import type { IDatabaseCluster, IDatabaseInstance, IDatabaseProxy } from 'aws-cdk-lib/aws-rds';
import type { ISecret } from 'aws-cdk-lib/aws-secretsmanager';
import { Construct } from 'constructs';
import { checkUser, isCluster, isInstance, serverFacts, type Target } from './database-facts.ts';
import { checkFunction, warnOfFunction } from './function-checks.ts';
import { inOtherVpcs, openWay } from './network.ts';
import { PooledDatabaseProxy, proxyPort } from './pooled-database-proxy.ts';
import { isProxy, proxyFacts } from './proxy-facts.ts';
import { located } from './resources.ts';
import { completeArn, grantSecret } from './secrets.ts';
import {
  conflicts,
  defaultOf,
  type Environment,
  environmentOf,
  givenEnvironment,
  nameOf,
  presentEnvironment,
  type VariableName,
} from './variables.ts';

/** What {@link PooledDatabaseAccess} needs. */
export interface PooledDatabaseAccessProps {
  /** The functions that get access. */
  readonly functions: readonly LambdaFunction[];
  /** The cluster, instance or proxy, made here or imported. */
  readonly database: IDatabaseCluster | IDatabaseInstance | IDatabaseProxy | PooledDatabaseProxy;
  /** The database to open (`PGDATABASE`). */
  readonly databaseName: string;
  /** The user to log in as (`PGUSER`). @default - 'app'; with `auth: 'secret'` the secret's */
  readonly user?: string;
  /** How functions log in (`THAWPOOL_AUTH`). @default 'iam' */
  readonly auth?: 'iam' | 'secret';
  /** The secret with the user's password, for `auth: 'secret'`. Functions may read it and no other. @default - none */
  readonly secret?: ISecret;
  /** The resource id of an imported database: `cluster-…`, `db-…` or `prx-…`. @default - what the database says */
  readonly resourceId?: string;
  /** The security groups of an imported database; `[]` if others open the way. @default - what the database says */
  readonly securityGroups?: readonly ISecurityGroup[];
  /** The VPC of an imported database; one that is made here says it itself. @default - not known, and not checked */
  readonly vpc?: IVpc;
  /** Whether the functions' VPC and the database's are different ones on purpose, and peered. @default false */
  readonly peered?: boolean;
  /** The database's port. @default - what the database says; 5432 for a proxy */
  readonly port?: number;
  /** Whether `db.reader` connects to the reader endpoint (`THAWPOOL_READER_HOST`). @default false */
  readonly reader?: boolean;
  /**
   * What the pool does while a PooledDatabaseProxy does not answer: `'direct'` lets the functions go to the database itself as
   * well, for which they get the way and the right. @default 'off'
   */
  readonly fallback?: 'off' | 'direct';
  /** The most connections of one sandbox (`THAWPOOL_MAX`). @default - the pool's own, 4 */
  readonly max?: number;
  /** The path of a file with Amazon RDS's certificates in a container image (`PGSSLROOTCERT`). @default - none: zip functions have one */
  readonly caBundle?: string;
  /** Further variables of thawpool, checked by the rules of docs/options.md. @default - none */
  readonly environment?: Readonly<Partial<Record<VariableName, string>>>;
}

/**
 * Gives functions access to a database: rules between the security groups, `rds-db:connect` for one user or one secret,
 * and the environment that the pool reads.
 */
export class PooledDatabaseAccess extends Construct {
  /** The functions that have access. */
  readonly functions: readonly LambdaFunction[];
  /** What each function's environment got. */
  readonly environment: Environment;
  /** What `rds-db:connect` was granted on: nothing with `auth: 'secret'`. */
  readonly connectArns: readonly string[];

  constructor(scope: Construct, id: string, props: PooledDatabaseAccessProps) {
    super(scope, id);
    const { auth = 'iam', functions } = props;
    this.functions = [...new Set(functions)];
    checkProps(this, props);
    for (const fn of this.functions) checkFunction(fn, this.node.path);
    const targets = targetsOf(this, props);
    const user = props.user ?? (auth === 'iam' ? 'app' : undefined);

    this.#checkPlaces(targets, props);
    if (props.reader && targets[0].readerHost === undefined) {
      throw new Error(
        `${this.node.path}: reader is true, but the ${targets[0].label} names no reader endpoint: give readerEndpointAddress where it is imported.`,
      );
    }
    this.connectArns =
      auth === 'iam' ? located(this, () => targets.map((target) => target.connectArn(user ?? 'app'))) : [];
    const own = environmentOf(ownValues(props, targets, user), this.node.path);
    const owned = ownedNames(props, own);
    this.environment = { ...givenEnvironment(props.environment ?? {}, owned, this.node.path), ...own };
    this.#checkStatementCache(targets, props);
    this.#setEnvironment(owned);
    for (const fn of this.functions) this.#grant(fn, targets, props.secret);

    if (auth === 'iam') {
      this.node.addValidation({ validate: () => targets.flatMap((target) => [...target.iamFaults()]) });
    }
    this.#warn(props, targets);
  }

  /** Every function is checked before anything is changed. */
  #checkPlaces(targets: readonly Target[], { peered = false, securityGroups }: PooledDatabaseAccessProps): void {
    for (const target of targets) {
      if (target.securityGroups.length === 0 && securityGroups === undefined) {
        throw new Error(
          `${this.node.path}: the security groups of the ${target.label} are not known, so no way to it can be opened. Pass securityGroups, or [] if something else opens it.`,
        );
      }
      for (const fn of this.functions) {
        if (peered || !inOtherVpcs(fn.connections.securityGroups, target)) continue;
        throw new Error(
          `${this.node.path}: the function ${fn.node.path} and the ${target.label} are in different VPCs. Put the function into the database's VPC, or set peered: true if the two are peered.`,
        );
      }
    }
  }

  /** On the way past the proxy it has an effect: with the fallback it may be there. */
  #checkStatementCache(targets: readonly Target[], { database }: PooledDatabaseAccessProps): void {
    const name = nameOf('statementCache');
    if (targets.length > 1 || isCluster(database) || isInstance(database) || !(Number(this.environment[name]) > 0))
      return;
    throw new Error(
      `${this.node.path}: environment has ${name}, but nothing is prepared behind a proxy: a prepared statement is not found by the next transaction, or pins the connection. Leave it out.`,
    );
  }

  #setEnvironment(owned: ReadonlyMap<string, string>): void {
    const faults = this.functions.flatMap((fn) => conflicts(fn, this.environment, owned));
    if (faults.length > 0) throw new Error(`${this.node.path}: ${faults.join('\n')}`);
    for (const fn of this.functions) {
      for (const [name, value] of Object.entries(this.environment)) fn.addEnvironment(name, value);
    }
    // The function's owner may still change it.
    this.node.addValidation({
      validate: () => this.functions.flatMap((fn) => [...conflicts(fn, this.environment, owned)]),
    });
  }

  #grant(fn: LambdaFunction, targets: readonly Target[], secret: ISecret | undefined): void {
    for (const { securityGroups, port } of targets) openWay(fn, securityGroups, port, 'PostgreSQL from a function');
    if (this.connectArns.length > 0) {
      Grant.addToPrincipal({
        grantee: fn,
        actions: ['rds-db:connect'],
        resourceArns: [...this.connectArns],
      }).assertSuccess();
    }
    if (secret) grantSecret(fn, secret);
  }

  #warn({ database, caBundle }: PooledDatabaseAccessProps, targets: readonly Target[]): void {
    const behindProxy = targets.length === 1 && !isCluster(database) && !isInstance(database);
    for (const fn of this.functions) {
      const present = presentEnvironment(fn);
      const acquire = Number(present['THAWPOOL_ACQUIRE_TIMEOUT_MS'] ?? defaultOf('acquireTimeoutMillis'));
      const trustsBundle = caBundle !== undefined || behindProxy || 'PGSSLROOTCERT' in present;
      warnOfFunction(this, fn, { acquireTimeoutMillis: Number.isNaN(acquire) ? 0 : acquire, trustsBundle });
      if (database instanceof PooledDatabaseProxy) database.addFunction(fn);
    }
    if (behindProxy && caBundle !== undefined) {
      Annotations.of(this).addWarningV2(
        'thawpool:caBundleOfProxy',
        `caBundle is ${caBundle}, but the certificate of an RDS Proxy comes from Amazon Trust Services, which Amazon RDS's bundle does not hold. Leave caBundle out.`,
      );
    }
  }
}

/** The way that is wanted first, and the one behind it. */
function targetsOf(scope: Construct, props: PooledDatabaseAccessProps): readonly [Target, ...Target[]] {
  const { database, resourceId, securityGroups, vpc, port, fallback = 'off' } = props;
  const known = { resourceId, securityGroups, vpc, port };
  return located(scope, () => {
    if (database instanceof PooledDatabaseProxy) {
      const proxy = { ...proxyFacts(database.proxy, known), readerHost: database.readerEndpoint };
      return fallback === 'direct' ? [proxy, database.target] : [proxy];
    }
    if (isProxy(database)) return [proxyFacts(database, known)];
    if (isCluster(database) || isInstance(database)) return [serverFacts(database, known)];
    throw new Error('database is no cluster, no instance and no proxy.');
  });
}

/** What the construct itself writes. */
function ownValues(
  { auth = 'iam', databaseName, reader = false, max, secret, caBundle }: PooledDatabaseAccessProps,
  [target, direct]: readonly [Target, ...Target[]],
  user: string | undefined,
): Parameters<typeof environmentOf>[0] {
  const server = direct ?? target;
  return {
    host: server.host,
    port: Token.isUnresolved(server.port) ? Tokenization.stringifyNumber(server.port) : String(server.port),
    database: databaseName,
    user,
    auth,
    secretArn: auth === 'secret' ? secret?.secretFullArn : undefined,
    // The port of PGPORT is the database's then; a reader of the proxy has the proxy's.
    readerHost: reader ? (direct ? `${target.readerHost}:${proxyPort}` : target.readerHost) : undefined,
    proxyHost: direct && target.host,
    proxyFallback: direct && 'direct',
    max: max === undefined ? undefined : String(max),
    sslRootCert: caBundle,
  };
}

/** The variables that decide where a function connects to and as whom: the reason why nobody else sets each. */
function ownedNames(props: PooledDatabaseAccessProps, own: Environment): ReadonlyMap<string, string> {
  const bySource: [name: string, reason: string][] = [
    ['DATABASE_URL', 'it would win over what PooledDatabaseAccess sets'],
    ['PGPASSWORD', "everybody who may read the function would see the password; use auth: 'iam' or 'secret'"],
    ['THAWPOOL_PROXY_HOST', 'PooledDatabaseAccess decides it by database and fallback'],
    ['THAWPOOL_PROXY_FALLBACK', 'PooledDatabaseAccess decides it by fallback'],
    ['THAWPOOL_SECRET_ARN', 'PooledDatabaseAccess decides it by auth and secret'],
  ];
  if (props.auth === 'secret' && props.user === undefined) bySource.push(['PGUSER', 'the secret names the user']);
  return new Map([...Object.keys(own).map((name) => [name, 'PooledDatabaseAccess sets it'] as const), ...bySource]);
}

function checkProps(scope: Construct, props: PooledDatabaseAccessProps): void {
  const { functions, database, auth = 'iam', secret, user, fallback = 'off', reader = false } = props;
  const refuse = (what: string): never => {
    throw new Error(`${scope.node.path}: ${what}`);
  };
  if (functions.length === 0) refuse('functions is empty: name the functions that get access.');
  if (user !== undefined) checkUser(user, scope.node.path);
  if (auth === 'iam' && secret)
    refuse('a secret is given, but auth is "iam" and needs none: leave it out, or set auth: \'secret\'.');
  if (auth === 'secret') {
    if (secret === undefined) throw new Error(`${scope.node.path}: auth is "secret", but no secret is given.`);
    located(scope, () => completeArn(secret));
  }
  if (database instanceof PooledDatabaseProxy) checkProxyUse(props, database, refuse);
  else if (fallback === 'direct') {
    refuse(
      'fallback is "direct", for which the database behind the proxy must be known: make the proxy by PooledDatabaseProxy.',
    );
  }
  if (!reader || database instanceof PooledDatabaseProxy || isCluster(database)) return;
  refuse(
    isInstance(database)
      ? 'reader is true, but an instance has no reader endpoint: name a read replica in environment.THAWPOOL_READER_HOST.'
      : 'reader is true, but the reader endpoint of this proxy is not known: name it in environment.THAWPOOL_READER_HOST, or make the proxy by PooledDatabaseProxy.',
  );
}

function checkProxyUse(
  { auth = 'iam', user = 'app', reader = false }: PooledDatabaseAccessProps,
  proxy: PooledDatabaseProxy,
  refuse: (what: string) => never,
): void {
  if (auth !== proxy.clientAuth) {
    refuse(`auth is "${auth}", but functions log in to the proxy ${proxy.node.path} by "${proxy.clientAuth}".`);
  }
  if (proxy.endToEnd && !proxy.users.includes(user)) {
    refuse(
      `the user is "${user}", but the proxy ${proxy.node.path} may log in as ${proxy.users.join(', ')} only: add it to the proxy's users.`,
    );
  }
  if (reader && proxy.readerEndpoint === undefined) {
    refuse(`reader is true, but the proxy ${proxy.node.path} has no reader endpoint: give it reader: true.`);
  }
}
