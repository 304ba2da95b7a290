// What a function must be like so that the pool can work in it.

import { Annotations } from 'aws-cdk-lib';
import { type Function as LambdaFunction, RuntimeFamily } from 'aws-cdk-lib/aws-lambda';
import type { Construct } from 'constructs';
import { handlerParameters } from './handler-parameters.ts';

/** Lambda's default (Lambda quotas); CDK leaves it out of the template. */
const lambdaTimeoutMillis = 3000;
/** The package's `engines`. */
const oldestNode = 22;

/**
 * Refuses a function in which the pool cannot work, as far as that is known.
 *
 * @throws Error for a function outside a VPC, for another language and for a Node.js that is too old.
 */
export function checkFunction(fn: LambdaFunction, where: string): void {
  if (!fn.isBoundToVpc) {
    throw new Error(
      `${where}: the function ${fn.node.path} is in no VPC, so it cannot reach the database: give it vpc, and subnets from which the database is reachable.`,
    );
  }
  const { family, name, isVariable } = fn.runtime;
  if (isVariable || isOwnImage(fn)) return;
  if (family !== RuntimeFamily.NODEJS) {
    throw new Error(`${where}: the function ${fn.node.path} runs on ${name}; thawpool is for Node.js.`);
  }
  const version = Number(/^nodejs(\d+)/.exec(name)?.[1]);
  if (version < oldestNode) {
    throw new Error(
      `${where}: the function ${fn.node.path} runs on ${name}; thawpool needs Node.js ${oldestNode} or later: use Runtime.NODEJS_24_X.`,
    );
  }
}

/** A container image, or a runtime that is brought along: whatever is in it. */
function isOwnImage({ runtime: { family } }: LambdaFunction): boolean {
  return family === undefined || family === RuntimeFamily.OTHER;
}

/** Warns of a function that works, but not as its author expects. */
export function warnOfFunction(
  scope: Construct,
  fn: LambdaFunction,
  { acquireTimeoutMillis, trustsBundle }: { acquireTimeoutMillis: number; trustsBundle: boolean },
): void {
  const warn = (id: string, text: string): void =>
    Annotations.of(scope).addWarningV2(`thawpool:${id}:${fn.node.path}`, text);
  const timeout = fn.timeout?.isUnresolved() ? undefined : (fn.timeout?.toMilliseconds() ?? lambdaTimeoutMillis);
  if (timeout !== undefined && timeout < acquireTimeoutMillis) {
    warn(
      'timeout',
      `The function ${fn.node.path} may run for ${timeout} ms, less than the ${acquireTimeoutMillis} ms that the pool may wait for a connection (THAWPOOL_ACQUIRE_TIMEOUT_MS): waits end with the invocation instead. Raise the function's timeout or lower the variable.`,
    );
  }
  if (isOwnImage(fn) && !trustsBundle) {
    warn(
      'caBundle',
      `The function ${fn.node.path} runs on ${fn.runtime.name}, which may lack Amazon RDS's certificate authorities, and connections then fail with ERR_POOL_CONNECT_TLS. Put global-bundle.pem into the image and name its path in caBundle.`,
    );
  }
  const parameters = handlerParameters(fn);
  if (parameters !== undefined && parameters > 2) {
    warn(
      'handlerParameters',
      `The handler of ${fn.node.path} seems to declare ${parameters} parameters. Node.js 24 on Lambda refuses a handler with a callback: return a promise instead.`,
    );
  }
}
