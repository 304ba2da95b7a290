/** The database of the sample: Aurora PostgreSQL Serverless v2, reached by TLS only and by IAM. */
import { Duration, RemovalPolicy, Stack } from 'aws-cdk-lib';
import * as ec2 from 'aws-cdk-lib/aws-ec2';
import * as logs from 'aws-cdk-lib/aws-logs';
import * as rds from 'aws-cdk-lib/aws-rds';
import type * as secretsmanager from 'aws-cdk-lib/aws-secretsmanager';
import { Construct } from 'constructs';

/** What the database is made for. */
export interface DatabaseProps {
  readonly vpc: ec2.IVpc;
  /** Whether a proxy stands before it. A proxy keeps Aurora awake, so that pausing is given up then. */
  readonly proxy: boolean;
  /** Whether Amazon RDS refuses to delete it. */
  readonly deletionProtection: boolean;
}

/** The name of the database in the cluster. */
export const DATABASE_NAME = 'orders';
/** The administrator, whom Amazon RDS makes. */
export const ADMIN = 'postgres';
/** In Aurora capacity units of 2 GiB. A demonstration that may not become dear by itself. */
const MAX_CAPACITY = 4;
/** The least that does not pause (Aurora User Guide, "Scaling to Zero ACUs"). */
const LEAST_AWAKE = 0.5;
const LOGS = ['postgresql', 'iam-db-auth-error'];

/** The cluster with its administrator's secret. */
export class Database extends Construct {
  readonly cluster: rds.DatabaseCluster;
  /** Its security group, with the rules into it. */
  readonly guard: ec2.SecurityGroup;
  /** Made, kept and rotated every seven days by Amazon RDS itself. It holds user and password, nothing else. */
  readonly adminSecret: secretsmanager.ISecret;

  constructor(scope: Construct, id: string, { vpc, proxy, deletionProtection }: DatabaseProps) {
    super(scope, id);
    const engine = rds.DatabaseClusterEngine.auroraPostgres({ version: rds.AuroraPostgresEngineVersion.VER_17_7 });
    const identifier = Stack.of(this).stackName.toLowerCase();
    this.guard = new ec2.SecurityGroup(this, 'Guard', { vpc, description: 'Who may connect', allowAllOutbound: false });
    this.cluster = new rds.DatabaseCluster(this, 'Cluster', {
      engine,
      vpc,
      vpcSubnets: { subnets: vpc.isolatedSubnets },
      securityGroups: [this.guard],
      // A name of its own, so that its log groups can be made beforehand, with an end to what they keep.
      clusterIdentifier: identifier,
      defaultDatabaseName: DATABASE_NAME,
      credentials: rds.Credentials.fromUsername(ADMIN),
      manageMasterUserPassword: true,
      iamAuthentication: true,
      parameterGroup: new rds.ParameterGroup(this, 'Parameters', {
        engine,
        description: 'No connection without TLS',
        parameters: { 'rds.force_ssl': '1' },
      }),
      writer: rds.ClusterInstance.serverlessV2('writer'),
      serverlessV2MinCapacity: proxy ? LEAST_AWAKE : 0,
      serverlessV2MaxCapacity: MAX_CAPACITY,
      ...(!proxy && { serverlessV2AutoPauseDuration: Duration.minutes(5) }),
      storageEncrypted: true,
      backup: { retention: Duration.days(7) },
      deletionProtection,
      // What is deleted leaves a last snapshot.
      removalPolicy: RemovalPolicy.SNAPSHOT,
      cloudwatchLogsExports: LOGS,
    });
    const { secret } = this.cluster;
    if (secret === undefined) throw new Error('The cluster has no secret of its administrator.');
    this.adminSecret = secret;
    for (const name of LOGS) {
      const group = new logs.LogGroup(this, `Log-${name}`, {
        logGroupName: `/aws/rds/cluster/${identifier}/${name}`,
        retention: logs.RetentionDays.ONE_MONTH,
        removalPolicy: RemovalPolicy.DESTROY,
      });
      this.cluster.node.addDependency(group);
    }
  }
}
