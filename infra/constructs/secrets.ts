// The right to read one secret, over stacks too.

import { Stack } from 'aws-cdk-lib';
import { Grant, type IGrantable, PolicyStatement } from 'aws-cdk-lib/aws-iam';
import { type ISecret, Secret } from 'aws-cdk-lib/aws-secretsmanager';
import type { Construct, IConstruct } from 'constructs';

/**
 * Checks that a right to read a secret can name it exactly.
 *
 * @returns its complete ARN
 * @throws Error when it was imported by its name or by a part of its ARN: CDK would then write a wildcard.
 */
export function completeArn(secret: ISecret): string {
  if (secret.secretFullArn !== undefined) return secret.secretFullArn;
  throw new Error(
    `the complete ARN of the secret ${secret.node.path} is not known, and a right to read it would need a wildcard: import it by Secret.fromSecretCompleteArn.`,
  );
}

/**
 * Lets somebody read a secret.
 *
 * CDK may write the right to use the secret's key into the key's policy, which then needs the reader's stack, while the
 * reader needs the secret's. Over stacks the right is the reader's alone: the policy of a secret's key lets the account
 * decide on what is done by way of Secrets Manager.
 */
export function grantSecret(reader: IGrantable & IConstruct, secret: ISecret): void {
  const stack = Stack.of(reader);
  if (Stack.of(secret) === stack) return secret.grantRead(reader).assertSuccess();
  Grant.addToPrincipal({
    grantee: reader,
    actions: ['secretsmanager:GetSecretValue', 'secretsmanager:DescribeSecret'],
    resourceArns: [completeArn(secret)],
  }).assertSuccess();
  if (secret.encryptionKey === undefined) return;
  reader.grantPrincipal.addToPrincipalPolicy(
    new PolicyStatement({
      actions: ['kms:Decrypt'],
      resources: [secret.encryptionKey.keyArn],
      conditions: { StringEquals: { 'kms:ViaService': `secretsmanager.${secret.env.region}.amazonaws.com` } },
    }),
  );
}

/** Returns what CDK's own grants may be let loose on: the secret, or, out of another stack, its ARN alone. */
export function within(scope: Construct, id: string, secret: ISecret): ISecret {
  return Stack.of(secret) === Stack.of(scope) ? secret : Secret.fromSecretCompleteArn(scope, id, completeArn(secret));
}
