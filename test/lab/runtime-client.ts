/**
 * The small runtime client: what runs in a sandbox where AWS's own is not installed. It behaves as aws-lambda-ric 4.0.2
 * does on Node 24, from whose source each rule here is taken. Run as a program; configured by Lambda's environment, which
 * may ask for worker threads that serve several invocations at once each.
 */
import { existsSync } from 'node:fs';
import { Agent } from 'node:http';
import { basename, join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { isMainThread, Worker } from 'node:worker_threads';
import { errorBody, installGlobals, isStreaming, openResponseStream, type Reply, send } from './runtime-client-http.ts';

const PREFIX = '/2018-06-01/runtime';
const CALLBACK_HANDLER =
  'ERROR: AWS Lambda has removed support for callback-based function handlers starting with Node.js 24.';

type Handler = (...args: unknown[]) => unknown;

function required(name: string): string {
  const value = process.env[name];
  if (!value) throw new Error(`${name} environment variable is not set`);
  return value;
}

function named(name: string, message: string): Error {
  return Object.assign(new Error(message), { name });
}

/** Splits `folder/file.export` or `folder/file#export`, and finds the file as AWS's client does. */
async function loadHandler(taskRoot: string, handlerString: string): Promise<Handler> {
  const match = /^([^.#]*)[.#](.*)$/.exec(basename(handlerString));
  const [, moduleName, exportName] = match ?? [];
  if (moduleName === undefined || exportName === undefined) throw named('Runtime.MalformedHandlerName', 'Bad handler');
  const path = join(taskRoot, handlerString.slice(0, -basename(handlerString).length), moduleName);
  const file = ['', '.js', '.mjs', '.cjs'].map((extension) => path + extension).find((each) => existsSync(each));
  if (file === undefined) throw named('Runtime.ImportModuleError', `Error: Cannot find module '${moduleName}'`);
  const module = (await import(pathToFileURL(file).href)) as Record<string, unknown>;
  const fallback = module['default'] as Record<string, unknown> | undefined;
  const handler = module[exportName] ?? fallback?.[exportName];
  if (typeof handler !== 'function') {
    throw named('Runtime.HandlerNotFound', `${handlerString} is undefined or not exported`);
  }
  if (handler.length >= 3 && !isStreaming(handler)) throw named('Runtime.CallbackHandlerDeprecated', CALLBACK_HANDLER);
  return handler as Handler;
}

function parseHeader(reply: Reply, name: string): unknown {
  const value = reply.headers[name];
  return typeof value === 'string' && value !== '' ? (JSON.parse(value) as unknown) : undefined;
}

interface Context {
  readonly awsRequestId: string;
  readonly [name: string]: unknown;
}

function buildContext(reply: Reply): Context {
  const deadline = Number(reply.headers['lambda-runtime-deadline-ms']);
  const traceId = reply.headers['lambda-runtime-trace-id'];
  if (typeof traceId === 'string') process.env['_X_AMZN_TRACE_ID'] = traceId;
  return {
    clientContext: parseHeader(reply, 'lambda-runtime-client-context'),
    identity: parseHeader(reply, 'lambda-runtime-cognito-identity'),
    invokedFunctionArn: reply.headers['lambda-runtime-invoked-function-arn'],
    awsRequestId: String(reply.headers['lambda-runtime-aws-request-id']),
    xRayTraceId: traceId,
    getRemainingTimeInMillis: () => deadline - Date.now(),
    functionName: process.env['AWS_LAMBDA_FUNCTION_NAME'],
    functionVersion: process.env['AWS_LAMBDA_FUNCTION_VERSION'],
    memoryLimitInMB: process.env['AWS_LAMBDA_FUNCTION_MEMORY_SIZE'],
    logGroupName: process.env['AWS_LAMBDA_LOG_GROUP_NAME'],
    logStreamName: process.env['AWS_LAMBDA_LOG_STREAM_NAME'],
  };
}

/** One turn of the event loop between the handler's end and the answer, as in AWS's client. */
const turn = () => new Promise((resolve) => setImmediate(resolve));

async function runStreaming(agent: Agent, handler: Handler, event: unknown, context: Context) {
  const stream = openResponseStream(agent, `${PREFIX}/invocation/${context.awsRequestId}/response`);
  try {
    const running = handler(event, stream.request, context);
    if (!(running instanceof Promise)) throw new Error('Streaming does not support non-async handlers.');
    if ((await running) !== undefined) console.warn('Streaming handlers ignore return values.');
    await stream.done;
  } catch (error) {
    await turn();
    console.error('Invoke Error', error);
    stream.fail(error);
    await stream.done;
  }
}

async function runBuffered(agent: Agent, handler: Handler, event: unknown, context: Context) {
  const path = `${PREFIX}/invocation/${context.awsRequestId}`;
  let body: string;
  try {
    const result = await handler(event, context);
    await turn();
    body = JSON.stringify(result) ?? '';
  } catch (error) {
    await turn();
    console.error('Invoke Error', error);
    await send(agent, 'POST', `${path}/error`, JSON.stringify(errorBody(error)));
    return;
  }
  await send(agent, 'POST', `${path}/response`, body);
}

const isConcurrent = process.env['AWS_LAMBDA_MAX_CONCURRENCY'] !== undefined;

function startWorkers(): void {
  const count = Number(process.env['AWS_LAMBDA_NODEJS_WORKER_COUNT'] ?? 8); // AWS's own number for one vCPU.
  for (let worker = 0; worker < count; worker += 1) {
    // One that ends is not replaced, and takes no other with it.
    new Worker(new URL(import.meta.url)).on('error', (error) => console.error('Worker error', error));
  }
}

async function main(): Promise<void> {
  const agent = new Agent({ keepAlive: true, ...(isConcurrent ? {} : { maxSockets: 1 }) });
  installGlobals();
  let handler: Handler;
  try {
    handler = await loadHandler(required('LAMBDA_TASK_ROOT'), required('_HANDLER'));
  } catch (error) {
    console.error('Init Error', error);
    await send(agent, 'POST', `${PREFIX}/init/error`, JSON.stringify(errorBody(error)));
    throw error;
  }
  const run = isStreaming(handler) ? runStreaming : runBuffered;
  for (;;) {
    const next = await send(agent, 'GET', `${PREFIX}/invocation/next`);
    const running = run(agent, handler, JSON.parse(next.body), buildContext(next));
    if (!isConcurrent) await running;
  }
}

if (isConcurrent && isMainThread) startWorkers();
else await main();
