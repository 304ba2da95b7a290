/** The environment that Lambda gives a function, and nothing of the machine's own. */
import type { Bundle } from './bundle.ts';
import type { Concurrency } from './runtime-api.ts';

/**
 * Returns the variables that Lambda sets, for the runtime nodejs24.x on demand.
 * Source: https://docs.aws.amazon.com/lambda/latest/dg/configuration-envvars.html
 */
export function lambdaEnvironment(api: string, bundle: Bundle): Record<string, string> {
  return {
    _HANDLER: bundle.handler,
    AWS_DEFAULT_REGION: 'eu-central-1',
    AWS_EXECUTION_ENV: 'AWS_Lambda_nodejs24.x',
    AWS_LAMBDA_FUNCTION_MEMORY_SIZE: '512',
    AWS_LAMBDA_FUNCTION_NAME: 'lab',
    AWS_LAMBDA_FUNCTION_VERSION: '$LATEST',
    AWS_LAMBDA_INITIALIZATION_TYPE: 'on-demand',
    AWS_LAMBDA_LOG_GROUP_NAME: '/aws/lambda/lab',
    AWS_LAMBDA_LOG_STREAM_NAME: '2026/11/21/[$LATEST]0123456789abcdef0123456789abcdef',
    AWS_LAMBDA_RUNTIME_API: api,
    AWS_REGION: 'eu-central-1',
    LAMBDA_RUNTIME_DIR: '/var/runtime',
    LAMBDA_TASK_ROOT: bundle.taskRoot,
    LANG: 'en_US.UTF-8',
    PATH: '/usr/local/bin:/usr/bin:/bin',
    TZ: ':UTC',
  };
}

/**
 * Returns what Lambda sets besides where one process serves several invocations at once (Lambda Managed Instances).
 * AWS's client takes its number of workers from a variable of its own (aws-lambda-ric 4.0.2, worker.js). Its native HTTP
 * client keeps one thread of libuv's pool busy for each worker that waits; the alternative one does not.
 */
export function concurrentEnvironment({ workers, invocations }: Concurrency): Record<string, string> {
  return {
    AWS_LAMBDA_INITIALIZATION_TYPE: 'lambda-managed-instances',
    AWS_LAMBDA_MAX_CONCURRENCY: String(invocations),
    AWS_LAMBDA_NODEJS_USE_ALTERNATIVE_CLIENT_1: 'true',
    AWS_LAMBDA_NODEJS_WORKER_COUNT: String(workers),
  };
}
