/**
 * API Gateway in miniature for the order service: an HTTP server whose requests become events in payload format 2.0, and
 * the two handlers of the API in sandboxes that are frozen whenever they have nothing to do.
 */
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import { join } from 'node:path';
import { createEvent, getEvent } from '../lab/demo/events.ts';
import type { InvocationResult } from '../lab/invocation.ts';
import { type Lab, openLab } from '../lab/lab.ts';
import { LOOPBACK, listenAnywhere } from '../support/free-port.ts';
import type { TestPostgres } from '../support/postgres.ts';

/** Where the handlers' sources are. */
export const HANDLERS = join(import.meta.dirname, '..', '..', 'infra', 'handlers');

/** A running service. `await using` closes it. */
export interface OrderService extends AsyncDisposable {
  readonly url: string;
  /** Cold starts, thaws and invocations of each handler. */
  readonly labs: readonly Lab[];
}

/** One sandbox serves one request at a time; the others wait, as with a reserved concurrency of one. */
class OneByOne {
  #last: Promise<unknown> = Promise.resolve();
  readonly #lab: Lab;

  constructor(lab: Lab) {
    this.#lab = lab;
  }

  invoke(event: unknown): Promise<InvocationResult> {
    const result = this.#last.then(() => this.#lab.invoke(event, { timeoutMillis: 20_000 }));
    this.#last = result;
    return result;
  }
}

async function bodyOf(request: IncomingMessage): Promise<string> {
  const chunks: Buffer[] = [];
  for await (const chunk of request) chunks.push(chunk as Buffer);
  return Buffer.concat(chunks).toString();
}

function answer(response: ServerResponse, status: number, body: string): void {
  response.writeHead(status, { 'content-type': 'application/json' }).end(body);
}

/** Starts the service on the tables of `postgres`, which must have been migrated. */
export async function startOrderService(postgres: TestPostgres): Promise<OrderService> {
  const open = (name: string) =>
    openLab({ subject: `${join(HANDLERS, name)}#handler`, postgres, libpqVariables: true });
  const labs = await Promise.all([open('create-order.ts'), open('get-order.ts')]);
  const [create, get] = labs.map((lab) => new OneByOne(lab)) as [OneByOne, OneByOne];
  const server: Server = createServer((request, response) => void serve(request, response));
  const serve = async (request: IncomingMessage, response: ServerResponse) => {
    const body = await bodyOf(request);
    const [, id] = /^\/orders\/([^/]+)$/.exec(request.url ?? '') ?? [];
    const result =
      request.method === 'POST' && request.url === '/orders'
        ? await create.invoke({ ...createEvent(), body })
        : request.method === 'GET' && id !== undefined
          ? await get.invoke(getEvent(decodeURIComponent(id)))
          : undefined;
    if (result === undefined) return answer(response, 404, '{"message":"Not Found"}');
    // API Gateway's words for a function that has failed.
    if (!result.ok) return answer(response, 500, '{"message":"Internal Server Error"}');
    const { statusCode, body: text } = result.payload as { readonly statusCode: number; readonly body: string };
    answer(response, statusCode, text);
  };
  const port = await listenAnywhere(server);
  return {
    url: `http://${LOOPBACK}:${port}`,
    labs,
    async [Symbol.asyncDispose]() {
      server.close();
      server.closeAllConnections();
      await Promise.all(labs.map((lab) => lab.close()));
    },
  };
}
