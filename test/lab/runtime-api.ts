/**
 * The AWS Lambda Runtime API for one sandbox, over real HTTP: hands out invocations, takes their results, enforces the
 * function's timeout. It serves one invocation at a time, or several to several workers of the process. It knows nothing of processes: whoever owns the sandbox is told to end it, and tells when it ended.
 * Source: https://docs.aws.amazon.com/lambda/latest/dg/runtimes-api.html
 */
import { randomBytes, randomUUID } from 'node:crypto';
import { once } from 'node:events';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import { LOOPBACK, listenAnywhere } from '../support/free-port.ts';
import { exitError, type FunctionError, type InvocationResult, type StreamedBody, timeoutError } from './invocation.ts';

/** Lambda's default function timeout (AWS documentation, "Configure Lambda function timeout"). */
export const DEFAULT_TIMEOUT_MILLIS = 3000;

const PREFIX = '/2018-06-01/runtime';

/** How {@link startRuntimeApi} answers. */
export interface RuntimeApiOptions {
  readonly functionArn?: string;
  /** AWS's multi-concurrency mode. Absent, the sandbox gets one invocation at a time. */
  readonly concurrency?: Concurrency;
}

/** What one process serves in AWS's multi-concurrency mode (Lambda Managed Instances). */
export interface Concurrency {
  /** How many worker threads ask for invocations, each for itself. */
  readonly workers: number;
  /** How many invocations the process gets at once, over all workers. */
  readonly invocations: number;
}

interface Invocation {
  readonly requestId: string;
  readonly startedAt: number;
  readonly timer: NodeJS.Timeout;
  readonly settle: (result: Pick<InvocationResult, 'outcome' | 'payload' | 'error' | 'stream'>) => void;
}

/** A running Runtime API. `await using` closes it. */
export class RuntimeApi implements AsyncDisposable {
  /** `host:port`, as `AWS_LAMBDA_RUNTIME_API` wants it. */
  readonly address: string;
  /** Called when an invocation has passed its deadline: Lambda kills the sandbox then. */
  onTimeout: () => void = () => {};
  /** What the runtime reported when it could not load the handler. */
  initError: FunctionError | undefined;
  /** What the sandbox's wall clock is ahead of this process's: deadlines are told by the sandbox's. */
  wallOffsetMillis = 0;
  readonly #server: Server;
  readonly #functionArn: string;
  readonly #concurrency: Concurrency | undefined;
  /** The requests for an invocation that are open, in the order in which they came. */
  #nexts: ServerResponse[] = [];
  /** Invocations for which there is no open request yet; in multi-concurrency mode only. */
  #queue: ((next: ServerResponse) => void)[] = [];
  readonly #running = new Map<string, Invocation>();
  #idleWaiters: (() => void)[] = [];

  private constructor(server: Server, port: number, options: RuntimeApiOptions) {
    this.#server = server;
    this.address = `${LOOPBACK}:${port}`;
    this.#concurrency = options.concurrency;
    this.#functionArn = options.functionArn ?? 'arn:aws:lambda:eu-central-1:123456789012:function:lab';
    server.on('request', (request: IncomingMessage, response: ServerResponse) => void this.#route(request, response));
  }

  /** Listens on a free port of the loopback address. */
  static async start(options: RuntimeApiOptions = {}): Promise<RuntimeApi> {
    // A frozen sandbox holds its request for as long as the freeze lasts: none of HTTP's own limits may end it.
    const server = createServer({ keepAliveTimeout: 0, requestTimeout: 0, headersTimeout: 0 });
    return new RuntimeApi(server, await listenAnywhere(server), options);
  }

  /** Whether the sandbox is waiting for an invocation, which is when Lambda freezes it. */
  get isIdle(): boolean {
    return this.#nexts.length >= (this.#concurrency?.workers ?? 1) && this.#running.size === 0;
  }

  /** Resolves when the sandbox has come back to `/next`, or has ended or failed to initialise instead. */
  idle(): Promise<void> {
    if (this.isIdle) return Promise.resolve();
    return new Promise((resolve) => this.#idleWaiters.push(resolve));
  }

  /**
   * Hands the sandbox one event and returns what becomes of it. The sandbox must be idle; in multi-concurrency mode it
   * must have room for one more.
   *
   * @throws When the sandbox is not waiting for an invocation.
   */
  invoke(event: unknown, options: { readonly timeoutMillis?: number } = {}): Promise<InvocationResult> {
    if (!this.#hasRoom()) throw new Error('The sandbox is not waiting for an invocation: await idle() first.');
    const timeoutMillis = options.timeoutMillis ?? DEFAULT_TIMEOUT_MILLIS;
    const requestId = randomUUID();
    const startedAt = performance.now();
    return new Promise((resolve) => {
      const timer = setTimeout(() => this.#timeOut(requestId, timeoutMillis), timeoutMillis);
      const settle: Invocation['settle'] = (result) => {
        clearTimeout(timer);
        this.#running.delete(requestId);
        if (this.isIdle) this.#wakeIdle();
        resolve({
          ok: result.outcome === 'ok',
          ...result,
          requestId,
          durationMillis: performance.now() - startedAt,
        });
      };
      this.#running.set(requestId, { requestId, startedAt, timer, settle });
      const handOver = (next: ServerResponse) => this.#handOver(next, requestId, timeoutMillis, event);
      const next = this.#nexts.shift();
      if (next === undefined) this.#queue.push(handOver);
      else handOver(next);
    });
  }

  /** Must be told when the sandbox's process has ended. */
  sandboxEnded(code: number | null, signal: NodeJS.Signals | null): void {
    this.#nexts = [];
    this.#queue = [];
    for (const { requestId, settle } of [...this.#running.values()]) {
      settle({ outcome: 'exit', error: exitError(requestId, code, signal) });
    }
    this.#wakeIdle();
  }

  /** Stops listening and drops every connection. */
  async close(): Promise<void> {
    for (const { timer } of this.#running.values()) clearTimeout(timer);
    if (!this.#server.listening) return;
    const closed = once(this.#server, 'close');
    this.#server.close();
    this.#server.closeAllConnections();
    await closed;
  }

  /** The same as `close()`. */
  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  #handOver(next: ServerResponse, requestId: string, timeoutMillis: number, event: unknown): void {
    const hex = (bytes: number) => randomBytes(bytes).toString('hex');
    next.writeHead(200, {
      'Content-Type': 'application/json', // AWS's native client crashes without it.
      'Lambda-Runtime-Aws-Request-Id': requestId,
      'Lambda-Runtime-Deadline-Ms': String(Date.now() + this.wallOffsetMillis + timeoutMillis),
      'Lambda-Runtime-Invoked-Function-Arn': this.#functionArn,
      'Lambda-Runtime-Trace-Id': `Root=1-${hex(4)}-${hex(12)};Parent=${hex(8)};Sampled=0`,
    });
    next.end(JSON.stringify(event ?? null));
  }

  /** A process that serves several at once is not ended for one that is late: its code runs on. */
  #timeOut(requestId: string, timeoutMillis: number): void {
    this.#running.get(requestId)?.settle({ outcome: 'timeout', error: timeoutError(requestId, timeoutMillis) });
    if (this.#concurrency === undefined) this.onTimeout();
  }

  #hasRoom(): boolean {
    if (this.#concurrency === undefined) return this.isIdle;
    return this.#running.size < this.#concurrency.invocations;
  }

  async #route(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const path = request.url ?? '';
    if (request.method === 'GET' && path === `${PREFIX}/invocation/next`) {
      this.#takeNext(response);
      return;
    }
    const body = await readBody(request).catch(() => undefined);
    if (body === undefined) return; // The sandbox died half-way; sandboxEnded() tells the rest.
    const [, requestId, kind] = /^\/2018-06-01\/runtime\/invocation\/([^/]+)\/(response|error)$/.exec(path) ?? [];
    if (path === `${PREFIX}/init/error`) {
      this.initError = JSON.parse(body.toString()) as FunctionError;
      this.#wakeIdle();
    } else if (requestId === undefined) {
      answer(response, 404, { errorType: 'NotFound', errorMessage: path });
      return;
    } else {
      const invocation = this.#running.get(requestId);
      if (invocation === undefined) {
        answer(response, 400, { errorType: 'InvalidRequestID', errorMessage: 'Invalid request ID' });
        return;
      }
      settle(invocation, kind === 'error', request, body);
    }
    answer(response, 202, { status: 'OK' });
  }

  #takeNext(response: ServerResponse): void {
    const queued = this.#queue.shift();
    if (queued) return queued(response);
    this.#nexts.push(response);
    response.on('close', () => (this.#nexts = this.#nexts.filter((each) => each !== response)));
    if (this.isIdle) this.#wakeIdle();
  }

  #wakeIdle(): void {
    for (const wake of this.#idleWaiters.splice(0)) wake();
  }
}

interface Body {
  readonly chunks: readonly Buffer[];
  toString(): string;
}

function settle(invocation: Invocation, failed: boolean, request: IncomingMessage, body: Body): void {
  const streaming = request.headers['lambda-runtime-function-response-mode'] === 'streaming';
  if (failed) {
    invocation.settle({ outcome: 'error', error: JSON.parse(body.toString()) as FunctionError });
  } else if (streaming) {
    settleStream(invocation, request, body);
  } else {
    const text = body.toString();
    invocation.settle({ outcome: 'ok', payload: text === '' ? undefined : (JSON.parse(text) as unknown) });
  }
}

function settleStream(invocation: Invocation, request: IncomingMessage, body: Body): void {
  const type = request.trailers['lambda-runtime-function-error-type'];
  const details = request.trailers['lambda-runtime-function-error-body'];
  const stream: StreamedBody = { contentType: request.headers['content-type'] ?? '', chunks: body.chunks };
  if (type === undefined) {
    invocation.settle({ outcome: 'ok', payload: body.toString(), stream });
    return;
  }
  const error = details
    ? (JSON.parse(Buffer.from(details, 'base64').toString()) as FunctionError)
    : { errorType: type, errorMessage: type };
  invocation.settle({ outcome: 'error', payload: body.toString(), stream, error });
}

async function readBody(request: IncomingMessage): Promise<Body> {
  const chunks: Buffer[] = [];
  for await (const chunk of request) chunks.push(chunk as Buffer);
  return { chunks, toString: () => Buffer.concat(chunks).toString('utf8') };
}

function answer(response: ServerResponse, status: number, body: unknown): void {
  response.writeHead(status, { 'Content-Type': 'application/json' }).end(JSON.stringify(body));
}

/** Starts a {@link RuntimeApi}. */
export function startRuntimeApi(options: RuntimeApiOptions = {}): Promise<RuntimeApi> {
  return RuntimeApi.start(options);
}
