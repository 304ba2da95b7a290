/** The small runtime client's half of the HTTP conversation: requests, error bodies, streamed responses. */
import { type Agent, type ClientRequest, type IncomingHttpHeaders, request } from 'node:http';

const STREAMING = Symbol.for('aws.lambda.runtime.handler.streaming');
const HTTP_PRELUDE = 'application/vnd.awslambda.http-integration-response';
/** AWS separates the metadata of an HTTP response from its body by eight null bytes. */
const DELIMITER = new Uint8Array(8);

/** The API's answer, read to its end. */
export interface Reply {
  readonly headers: IncomingHttpHeaders;
  readonly body: string;
}

/** A response stream on its way, and how it ended. */
export interface ResponseStream {
  readonly request: ClientRequest & { setContentType?: (type: string) => void };
  readonly done: Promise<Reply>;
  /** Ends the stream with the error in its trailers. */
  fail(error: unknown): void;
}

type Preluded = ResponseStream['request'] & { onFirstWrite?: (() => void) | undefined };

function endpoint(agent: Agent, path: string) {
  const [hostname, port] = (process.env['AWS_LAMBDA_RUNTIME_API'] ?? '').split(':');
  return { agent, hostname, port, path };
}

function reply(outgoing: ClientRequest): Promise<Reply> {
  return new Promise((resolve, reject) => {
    outgoing.once('error', reject);
    outgoing.once('response', (response) => {
      let body = '';
      response.setEncoding('utf8');
      response.on('data', (chunk) => (body += chunk));
      response.on('error', reject);
      response.on('end', () => resolve({ headers: response.headers, body }));
    });
  });
}

/** Sends one request and reads its answer. */
export function send(agent: Agent, method: 'GET' | 'POST', path: string, body?: string): Promise<Reply> {
  const headers = { 'Content-Type': 'application/json', 'Content-Length': Buffer.byteLength(body ?? '') };
  const outgoing = request({ ...endpoint(agent, path), method, ...(body === undefined ? {} : { headers }) });
  const answered = reply(outgoing);
  outgoing.end(body);
  return answered;
}

/** Puts an error into the form that the Runtime API takes. */
export function errorBody(error: unknown): { errorType: string; errorMessage: string; trace: string[] } {
  if (!(error instanceof Error)) return { errorType: typeof error, errorMessage: String(error), trace: [] };
  return { errorType: error.name, errorMessage: error.message, trace: (error.stack ?? '').split('\n') };
}

/** Opens the chunked request whose body is the function's streamed response. */
export function openResponseStream(agent: Agent, path: string): ResponseStream {
  const errorType = 'Lambda-Runtime-Function-Error-Type';
  const errorDetails = 'Lambda-Runtime-Function-Error-Body';
  const headers = {
    'Lambda-Runtime-Function-Response-Mode': 'streaming',
    Trailer: [errorType, errorDetails],
    'Content-Type': 'application/octet-stream',
    'Transfer-Encoding': 'chunked',
  };
  const outgoing: Preluded = request({ ...endpoint(agent, path), method: 'POST', headers });
  outgoing.setContentType = (type) => void outgoing.setHeader('Content-Type', type);
  const write = outgoing.write.bind(outgoing) as (chunk: unknown, ...rest: unknown[]) => boolean;
  outgoing.write = ((chunk: unknown, ...rest: unknown[]) => {
    const prelude = outgoing.onFirstWrite;
    outgoing.onFirstWrite = undefined;
    prelude?.();
    const raw = typeof chunk === 'string' || chunk instanceof Uint8Array;
    return write(raw ? chunk : JSON.stringify(chunk), ...rest);
  }) as ClientRequest['write'];
  const done = reply(outgoing);
  done.catch(() => {}); // Whoever awaits it sees the failure; until then it must not end the process.
  return {
    request: outgoing,
    done,
    fail(error) {
      const body = errorBody(error);
      const details = Buffer.from(JSON.stringify(body)).toString('base64');
      outgoing.addTrailers({ [errorType]: body.errorType, [errorDetails]: details });
      outgoing.end();
    },
  };
}

/** Whether the handler was wrapped by `awslambda.streamifyResponse`. */
export function isStreaming(handler: object): boolean {
  return Reflect.get(handler, STREAMING) === 'response';
}

/** Installs `globalThis.awslambda` as handlers find it in Lambda. */
export function installGlobals(): void {
  const awslambda = {
    streamifyResponse<H extends object>(handler: H): H {
      return Object.assign(handler, { [STREAMING]: 'response' });
    },
    HttpResponseStream: {
      from(stream: Preluded, metadata: unknown): Preluded {
        stream.setContentType?.(HTTP_PRELUDE);
        stream.onFirstWrite = () => {
          stream.write(JSON.stringify(metadata));
          stream.write(DELIMITER);
        };
        return stream;
      },
    },
  };
  Object.assign(globalThis, { awslambda });
}
