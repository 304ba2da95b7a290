/** The sample stack: an order service on Aurora PostgreSQL, behind an RDS Proxy or without one. */
import { CfnOutput, Duration, Stack, type StackProps } from 'aws-cdk-lib';
import type * as ec2 from 'aws-cdk-lib/aws-ec2';
import { Trigger } from 'aws-cdk-lib/triggers';
import type { Construct } from 'constructs';
import {
  ConnectionBudget,
  DatabaseUser,
  PoolDashboard,
  PooledDatabaseAccess,
  PooledDatabaseProxy,
} from './constructs/index.ts';
import { answerForApi, answerForFunctions, answerForUnprotected, answerForUser } from './stack/checks.ts';
import { ADMIN, DATABASE_NAME, Database } from './stack/database.ts';
import { CONSUMERS, Entrances } from './stack/entrances.ts';
import { Network } from './stack/network.ts';
import { OrderFunction, type OrderFunctionProps } from './stack/order-function.ts';

/** How the sample is deployed. */
export interface SampleStackProps extends StackProps {
  /**
   * Whether the functions reach the database through an RDS Proxy.
   *
   * @default true
   */
  readonly proxy?: boolean;
  /**
   * Whether the database refuses to be deleted.
   *
   * @default true
   */
  readonly deletionProtection?: boolean;
  /**
   * Whether each function's concurrency is reserved, which keeps it from growing beyond its share of connections. AWS
   * refuses it in accounts that have a small limit of concurrency.
   *
   * @default true
   */
  readonly reservedConcurrency?: boolean;
}

/** The database user that the functions are. */
const USER = 'app';
/** No handler of the sample holds two connections; the second one is for a dead one's replacement. */
const MAX_CONNECTIONS = 2;
/** Connections that the functions leave to the migration, to Amazon RDS itself and to people. */
const RESERVE = 10;

/** How long things may take on a route: each limit must end before the next one would cut it off without a word. */
interface Limits {
  /** Of the functions behind the API, below the 30 s of an HTTP API (API Gateway quotas). */
  readonly request: Duration;
  /** Of the others. */
  readonly background: Duration;
  /** Of one acquire. */
  readonly acquire: Duration;
}

/** A proxy keeps the database awake, and answers at once or not at all. */
const THROUGH_PROXY: Limits = {
  request: Duration.seconds(10),
  background: Duration.seconds(30),
  acquire: Duration.seconds(5),
};
/** Below what an acquire waits for, so that the proxy's own words reach the handler. */
const BORROW = Duration.seconds(4);
/** A database that has paused comes back in about 15 s (Aurora User Guide, "Scaling to Zero ACUs"). */
const DIRECT: Limits = {
  request: Duration.seconds(28),
  background: Duration.seconds(60),
  acquire: Duration.seconds(25),
};

interface Plan {
  readonly handler: OrderFunctionProps['handler'];
  readonly description: string;
  readonly kind: 'request' | 'background';
  /** How many sandboxes it may have. */
  readonly concurrency: number;
}

type Name = 'createOrder' | 'getOrder' | 'consumeOrders' | 'dailyReport';

const FUNCTIONS: Readonly<Record<Name, Plan>> = {
  createOrder: { handler: 'create-order', description: 'Stores an order', kind: 'request', concurrency: 10 },
  getOrder: { handler: 'get-order', description: 'Reads an order', kind: 'request', concurrency: 10 },
  consumeOrders: {
    handler: 'consume-orders',
    description: 'Stores orders out of the queue',
    kind: 'background',
    concurrency: CONSUMERS,
  },
  dailyReport: {
    handler: 'daily-report',
    description: 'Adds up the orders of a day',
    kind: 'background',
    concurrency: 1,
  },
};
const NAMES = Object.keys(FUNCTIONS) as Name[];

/** The order service with everything that it needs. It looks nothing up: it can be deployed in any account and region. */
export class SampleStack extends Stack {
  /** Where the order service answers. */
  readonly url: string;

  constructor(scope: Construct, id: string, props: SampleStackProps = {}) {
    const { proxy: behindProxy = true, deletionProtection = true, reservedConcurrency = true, ...rest } = props;
    super(scope, id, rest);
    const limits = behindProxy ? THROUGH_PROXY : DIRECT;
    const network = new Network(this, 'Network');
    const { vpc } = network;
    const database = new Database(this, 'Database', { vpc, proxy: behindProxy, deletionProtection });
    const { cluster } = database;
    const user = this.#makeUser(network, database);
    const functions = this.#makeFunctions(vpc, limits, reservedConcurrency);
    const served = Object.values(functions);

    const proxy = behindProxy
      ? new PooledDatabaseProxy(this, 'Proxy', { database: cluster, vpc, users: [USER], borrowTimeout: BORROW })
      : undefined;
    new PooledDatabaseAccess(this, 'Access', {
      functions: served,
      database: proxy ?? cluster,
      databaseName: DATABASE_NAME,
      user: USER,
      max: MAX_CONNECTIONS,
      environment: { THAWPOOL_ACQUIRE_TIMEOUT_MS: String(limits.acquire.toMilliseconds()), THAWPOOL_METRICS: 'emf' },
    });
    this.#migrate(network, database, user).executeBefore(...served);

    const budget = new ConnectionBudget(this, 'Budget', { database: cluster, reserve: RESERVE });
    for (const name of NAMES) budget.register(functions[name], { concurrency: FUNCTIONS[name].concurrency });
    if (proxy) budget.registerProxy(proxy);

    new PoolDashboard(this, 'Pools', {
      functions: served,
      database: cluster,
      maxConnections: budget.maxConnections,
      ...(proxy && { proxy }),
    });

    const { api, queue } = new Entrances(this, 'Entrances', functions);
    this.url = api.apiEndpoint;
    new CfnOutput(this, 'Url', { value: this.url, description: 'npm run smoke -- --url …' });
    new CfnOutput(this, 'QueueUrl', { value: queue.queueUrl, description: 'Takes orders as POST /orders does' });
    answerForApi(api);
    answerForUser(user);
    if (!deletionProtection) answerForUnprotected(cluster);
    answerForFunctions(this);
  }

  #makeFunctions(vpc: ec2.IVpc, limits: Limits, reserve: boolean): Readonly<Record<Name, OrderFunction>> {
    const make = (name: Name) => {
      const { handler, description, kind, concurrency } = FUNCTIONS[name];
      return new OrderFunction(this, `${name[0]?.toUpperCase()}${name.slice(1)}`, {
        handler,
        description,
        vpc,
        timeout: limits[kind],
        ...(reserve && { reserved: concurrency }),
        sdk: '@aws-sdk/rds-signer',
      });
    };
    return {
      createOrder: make('createOrder'),
      getOrder: make('getOrder'),
      consumeOrders: make('consumeOrders'),
      dailyReport: make('dailyReport'),
    };
  }

  /** The user that the functions log in as. What the administrator makes later, in the migration, it may use. */
  #makeUser({ vpc, secrets }: Network, { cluster, adminSecret }: Database): DatabaseUser {
    const user = new DatabaseUser(this, 'User', {
      database: cluster,
      adminSecret,
      vpc,
      vpcSubnets: { subnets: vpc.isolatedSubnets },
      secretsEndpoint: secrets,
      user: USER,
      databaseName: DATABASE_NAME,
    });
    // On deletion, too: the way to the secret goes only when the user is gone.
    user.resource.node.addDependency(secrets);
    return user;
  }

  /** Runs the migration at every deployment that changes it, as the administrator and past the proxy. */
  #migrate({ vpc, secrets }: Network, database: Database, user: DatabaseUser): Trigger {
    const { cluster, adminSecret } = database;
    const handler = new OrderFunction(this, 'Migrate', {
      handler: 'migrate',
      description: 'Makes the tables that are missing',
      vpc,
      timeout: DIRECT.background,
      sdk: '@aws-sdk/client-secrets-manager',
    });
    const access = new PooledDatabaseAccess(this, 'MigrateAccess', {
      functions: [handler],
      database: cluster,
      databaseName: DATABASE_NAME,
      user: ADMIN,
      auth: 'secret',
      secret: adminSecret,
      max: 1,
      environment: { THAWPOOL_ACQUIRE_TIMEOUT_MS: String(DIRECT.acquire.toMilliseconds()) },
    });
    secrets.connections.allowDefaultPortFrom(handler, 'The migration reads the login of the administrator');
    return new Trigger(this, 'Migration', {
      handler,
      // With the rules between the security groups: without them it would wait in vain.
      executeAfter: [cluster, database.guard, user, access, secrets, handler.guard],
    });
  }
}
