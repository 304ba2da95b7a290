/** What the tests of handlers share: one pool as Lambda has it, and invocations of it. */
import { randomUUID } from 'node:crypto';
import type { Context } from 'aws-lambda';

/** The environment of a sandbox, as far as the package looks at it. */
export const onLambda = { AWS_LAMBDA_RUNTIME_API: '127.0.0.1:9001' } as const;

/** A context as the Node.js runtime makes it: a plain object with functions. */
export function makeContext(more: Partial<Context> = {}): Context {
  return {
    callbackWaitsForEmptyEventLoop: true,
    functionName: 'orders',
    functionVersion: '$LATEST',
    invokedFunctionArn: 'arn:aws:lambda:eu-central-1:123456789012:function:orders',
    memoryLimitInMB: '256',
    awsRequestId: randomUUID(),
    logGroupName: '/aws/lambda/orders',
    logStreamName: '2026/11/21/[$LATEST]0',
    getRemainingTimeInMillis: () => 30_000,
    done: () => {},
    fail: () => {},
    succeed: () => {},
    ...more,
  };
}
