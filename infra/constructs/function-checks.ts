// What a function must be like so that the pool can work in it.

import { Annotations } from 'aws-cdk-lib';
import { type Function as LambdaFunction, RuntimeFamily } from 'aws-cdk-lib/aws-lambda';
import type { Construct } from 'constructs';
import { type HandlerFacts, handlerFacts } from './handler-parameters.ts';
import { rendered, resourceOf } from './resources.ts';
import { presentEnvironment } from './variables.ts';

/** Lambda's default (Lambda quotas); CDK leaves it out of the template. */
const lambdaTimeoutMillis = 3000;
/** The package's `engines`. */
const oldestNode = 22;
/**
 * From this runtime on, and before it on Managed Instances, Lambda ends the init of a function whose handler has three
 * parameters (AWS Lambda Developer Guide, "Define Lambda function handler in Node.js"; aws/aws-lambda-nodejs-runtime-interface-client,
 * errorOnDeprecatedCallback). Not of one that streams its response.
 */
const firstWithoutCallbacks = 24;

/**
 * Refuses a function in which the pool cannot work, as far as that is known.
 *
 * @throws Error for a function outside a VPC, for another language, for a Node.js that is too old, and for a handler that
 * takes a callback where the runtime refuses those.
 */
export function checkFunction(fn: LambdaFunction, where: string): void {
  if (!fn.isBoundToVpc) {
    throw new Error(
      `${where}: the function ${fn.node.path} is in no VPC, so it cannot reach the database: give it vpc, and subnets from which the database is reachable.`,
    );
  }
  refuseCallback(fn, where);
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

/** Only what was read for certain is refused: there is no way past an error. */
function refuseCallback(fn: LambdaFunction, where: string): void {
  const facts = callback(fn);
  const runtime = withoutCallbacks(fn);
  if (!facts?.certain || runtime === undefined) return;
  throw new Error(
    `${where}: the handler of ${fn.node.path} declares ${facts.parameters} parameters, and ${runtime} ends the init of such a function, since it would wait for a callback: return a promise, and take event and context only.`,
  );
}

/** Names the runtime of a function if it refuses callbacks. */
function withoutCallbacks(fn: LambdaFunction): string | undefined {
  const version = nodeVersion(fn);
  if (version === undefined) return undefined;
  if (version >= firstWithoutCallbacks) return `nodejs${version}.x`;
  const managed = resourceOf(fn, 'AWS::Lambda::Function')?.capacityProviderConfig !== undefined;
  return managed ? `nodejs${version}.x on Lambda Managed Instances` : undefined;
}

/** What is known of a handler that takes a callback; nothing of another. */
function callback(fn: LambdaFunction): HandlerFacts | undefined {
  const facts = handlerFacts(fn);
  if (facts === undefined || facts.parameters <= 2) return undefined;
  // A wrapper script may put another handler in its place.
  return 'AWS_LAMBDA_EXEC_WRAPPER' in presentEnvironment(fn) ? { ...facts, certain: false } : facts;
}

/** The version in the template, which NODEJS_LATEST has, too; nothing where only the deployment knows it. */
function nodeVersion(fn: LambdaFunction): number | undefined {
  const resource = resourceOf(fn, 'AWS::Lambda::Function');
  const runtime = resource && rendered(resource, resource.runtime);
  const [, version] = (typeof runtime === 'string' && /^nodejs(\d+)\.x$/.exec(runtime)) || [];
  return version === undefined ? undefined : Number(version);
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
  const facts = callback(fn);
  const version = nodeVersion(fn);
  if (facts !== undefined && version !== undefined) {
    const runtime = withoutCallbacks(fn);
    const why = runtime
      ? `${runtime} refuses a handler with a callback`
      : `nodejs${version}.x still takes a handler with a callback, nodejs${firstWithoutCallbacks}.x does not`;
    warn(
      'handlerParameters',
      `The handler of ${fn.node.path} ${facts.certain ? 'declares' : 'seems to declare'} ${facts.parameters} parameters. ${why}: return a promise, and take event and context only.`,
    );
  }
}
