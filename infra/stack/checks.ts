/** What the sample answers to the findings of cdk-nag's AwsSolutions pack: each one where it arises, and why it stays. */
import { Stack, Validations } from 'aws-cdk-lib';
import type { HttpApi } from 'aws-cdk-lib/aws-apigatewayv2';
import { CfnFunction, Function as LambdaFunction } from 'aws-cdk-lib/aws-lambda';
import type { DatabaseCluster } from 'aws-cdk-lib/aws-rds';
import type { DatabaseUser } from '../constructs/index.ts';

/** The finding's id, as cdk-nag writes it for one of AWS's managed policies. */
const managed = (policy: string) =>
  `AwsSolutions::AwsSolutions-IAM4[Policy::arn:<AWS::Partition>:iam::aws:policy/service-role/${policy}]`;

/** Answers what is said of every function's role: two policies of AWS's own. */
export function answerForFunctions(stack: Stack): void {
  for (const fn of stack.node.findAll()) {
    if (!(fn instanceof LambdaFunction)) continue;
    Validations.of(fn).acknowledge({
      id: managed('AWSLambdaBasicExecutionRole'),
      reason: 'The policy lets a function write logs and do nothing else: it can neither read nor delete any.',
    });
    const { defaultChild } = fn.node;
    if (!(defaultChild instanceof CfnFunction) || defaultChild.vpcConfig === undefined) continue;
    Validations.of(fn).acknowledge({
      id: managed('AWSLambdaVPCAccessExecutionRole'),
      reason:
        'Lambda itself uses these rights, to make and delete the network interfaces of a function in a VPC. Their ids do ' +
        'not exist beforehand, and ec2:Describe… takes no resource. The isolated subnets have no way to the API of ' +
        'Amazon EC2, so that code in the function cannot use them.',
    });
  }
}

/** Answers what is said of a database whose protection was taken off. */
export function answerForUnprotected(cluster: DatabaseCluster): void {
  Validations.of(cluster).acknowledge({
    id: 'AwsSolutions::AwsSolutions-RDS10',
    reason: 'Asked for at this deployment, to tear the stack down with the next command. A last snapshot is kept.',
  });
}

/** Answers what is said of the CDK's provider framework, which calls the function of a custom resource. */
export function answerForUser(user: DatabaseUser): void {
  const stack = Stack.of(user);
  const fn = stack.getLogicalId(user.function.node.defaultChild as CfnFunction);
  Validations.of(user).acknowledge({
    id: `AwsSolutions::AwsSolutions-IAM5[Resource::<${fn}.Arn>:*]`,
    reason: 'The asterisk stands for the versions of this one function; the right is to invoke it.',
  });
}

/** Answers what is said of the API's routes. */
export function answerForApi(api: HttpApi): void {
  Validations.of(api).acknowledge({
    id: 'AwsSolutions::AwsSolutions-APIG4',
    reason:
      'Everybody may place an order and read one whose random id they know, as in a shop without accounts. The stage ' +
      'limits the rate, the functions’ concurrency is limited, and every request is logged. A service with accounts ' +
      'gives the routes an authorizer here.',
  });
}
