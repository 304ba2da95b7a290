/** One function of the order service: how it is bundled, and what all of them have in common. */
import { join } from 'node:path';
import { Duration, RemovalPolicy } from 'aws-cdk-lib';
import * as ec2 from 'aws-cdk-lib/aws-ec2';
import * as lambda from 'aws-cdk-lib/aws-lambda';
import { LogLevel, NodejsFunction, OutputFormat } from 'aws-cdk-lib/aws-lambda-nodejs';
import * as logs from 'aws-cdk-lib/aws-logs';
import type { Construct } from 'constructs';

/** What one function is made of. */
export interface OrderFunctionProps {
  /** The name of its file in `handlers`. */
  readonly handler: 'consume-orders' | 'create-order' | 'daily-report' | 'get-order' | 'migrate';
  readonly description: string;
  readonly vpc: ec2.IVpc;
  readonly timeout: Duration;
  /** How many of its sandboxes there may be. Nothing is reserved where this is left out. */
  readonly reserved?: number | undefined;
  /** The package of the AWS SDK that it logs in with: it is loaded with the first connection, out of a file of its own. */
  readonly sdk: '@aws-sdk/rds-signer' | '@aws-sdk/client-secrets-manager';
}

const ROOT = join(import.meta.dirname, '..', '..');

/** pg is CommonJS: inside an ES module its `require` of Node's own modules needs one made for it. */
const BANNER =
  "import { createRequire as thawpoolCreateRequire } from 'node:module';" +
  'const require = thawpoolCreateRequire(import.meta.url);';

/** A function of the order service. Nothing may connect to it, and it may connect to nothing until it is let. */
export class OrderFunction extends NodejsFunction {
  /** Its security group, with the rules out of it. */
  readonly guard: ec2.SecurityGroup;

  constructor(scope: Construct, id: string, props: OrderFunctionProps) {
    const { handler, description, vpc, timeout, reserved, sdk } = props;
    const guard = new ec2.SecurityGroup(scope, `${id}Guard`, {
      vpc,
      description: `What the function ${id} may reach`,
      allowAllOutbound: false,
    });
    super(scope, id, {
      entry: join(ROOT, 'infra', 'handlers', `${handler}.ts`),
      projectRoot: ROOT,
      depsLockFilePath: join(ROOT, 'package-lock.json'),
      description,
      runtime: lambda.Runtime.NODEJS_24_X,
      architecture: lambda.Architecture.ARM_64,
      memorySize: 512,
      timeout,
      ...(reserved !== undefined && { reservedConcurrentExecutions: reserved }),
      vpc,
      vpcSubnets: { subnets: vpc.isolatedSubnets },
      securityGroups: [guard],
      logGroup: new logs.LogGroup(scope, `${id}Log`, {
        retention: logs.RetentionDays.ONE_MONTH,
        removalPolicy: RemovalPolicy.DESTROY,
      }),
      environment: { NODE_OPTIONS: '--enable-source-maps' },
      // NodejsFunction would set a variable that only the SDK's version 2 has read.
      awsSdkConnectionReuse: false,
      bundling: {
        format: OutputFormat.ESM,
        target: 'node24',
        logLevel: LogLevel.WARNING,
        minify: true,
        sourceMap: true,
        sourcesContent: false,
        banner: BANNER,
        externalModules: ['@aws-sdk/*', 'pg-native'],
        // 'thawpool' is this repository's own sources. A user of the package leaves this line out.
        esbuildArgs: { '--conditions': '@thawpool/source' },
        commandHooks: {
          beforeBundling: () => [],
          beforeInstall: () => [],
          afterBundling: (_input, output) => [bundleSdk(sdk, output)],
        },
      },
    });
    this.guard = guard;
  }
}

/**
 * The command that puts a package of the AWS SDK beside the bundle as a single file: the version that was tested, and
 * read only when a connection asks for it, not at every cold start.
 */
function bundleSdk(name: string, output: string): string {
  const file = join(output, 'node_modules', name, 'index.js');
  const options = '--bundle --minify --platform=node --target=node24 --format=cjs --main-fields=module,main';
  return `"${join(ROOT, 'node_modules', '.bin', 'esbuild')}" ${name} ${options} --log-level=warning "--outfile=${file}"`;
}
