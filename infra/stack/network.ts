/** The network of the sample: two isolated subnets, and no way out of them but the one endpoint that something needs. */
import { RemovalPolicy } from 'aws-cdk-lib';
import * as ec2 from 'aws-cdk-lib/aws-ec2';
import * as logs from 'aws-cdk-lib/aws-logs';
import { Construct } from 'constructs';

/** A VPC without internet, NAT or public subnets. */
export class Network extends Construct {
  readonly vpc: ec2.IVpc;
  /** Secrets Manager inside the VPC, for what reads the administrator's secret. Nobody may call it until let in. */
  readonly secrets: Construct & ec2.IConnectable;

  constructor(scope: Construct, id: string) {
    super(scope, id);
    const vpc = new ec2.Vpc(this, 'Vpc', {
      maxAzs: 2, // A subnet group of Amazon RDS needs two zones.
      natGateways: 0,
      subnetConfiguration: [{ name: 'private', subnetType: ec2.SubnetType.PRIVATE_ISOLATED, cidrMask: 24 }],
    });
    // Its types do not know of exactOptionalPropertyTypes.
    this.vpc = vpc as ec2.IVpc;
    const flows = new logs.LogGroup(this, 'Flows', {
      retention: logs.RetentionDays.ONE_WEEK,
      removalPolicy: RemovalPolicy.DESTROY,
    });
    this.vpc.addFlowLog('FlowLog', {
      destination: ec2.FlowLogDestination.toCloudWatchLogs(flows),
      // What was refused is what one looks for; what passed is in the other logs, and would cost the most here.
      trafficType: ec2.FlowLogTrafficType.REJECT,
    });
    this.secrets = new Secrets(this, 'Secrets', this.vpc);
  }
}

/** The endpoint with its security group. What depends on it waits for the rules that let it in, too. */
class Secrets extends Construct implements ec2.IConnectable {
  readonly connections: ec2.Connections;

  constructor(scope: Construct, id: string, vpc: ec2.IVpc) {
    super(scope, id);
    const guard = new ec2.SecurityGroup(this, 'Guard', {
      vpc,
      description: 'Who may call Secrets Manager from inside the VPC',
      allowAllOutbound: false,
    });
    ({ connections: this.connections } = new ec2.InterfaceVpcEndpoint(this, 'Endpoint', {
      vpc,
      service: ec2.InterfaceVpcEndpointAwsService.SECRETS_MANAGER,
      securityGroups: [guard],
      open: false,
      // One zone is enough for what runs at deployments only, and an endpoint is paid for by the zone.
      subnets: { subnets: vpc.isolatedSubnets.slice(0, 1) },
    }));
  }
}
