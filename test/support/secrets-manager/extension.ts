/**
 * The AWS Parameters and Secrets Lambda Extension in miniature: a process beside the function, here a server in this one,
 * that keeps what it has read of a {@link SecretStore}.
 */

import { once } from 'node:events';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import { listenAnywhere, listenOn } from '../free-port.ts';
import type { SecretStore, Stage } from './secret-store.ts';
import { testIdentity } from './sigv4.ts';

/** A running extension. `await using` closes it. */
export class ExtensionDouble implements AsyncDisposable {
  /** What was asked for, in order: `AWSCURRENT`, and with `!` where its cache was to be passed by. */
  readonly asked: string[] = [];
  /** Answers that it is not ready yet, so many times. */
  notReady = 0;
  /** Whether it knows `refreshNow`, or answers 400 to a parameter that it does not know. */
  knowsRefresh = true;
  /** Answers this status and text instead. */
  failing: { readonly status: number; readonly body: string } | undefined;
  /** Takes requests and does not answer them. */
  hanging = false;
  readonly #store: SecretStore;
  readonly #cache = new Map<string, string>();
  readonly #server: Server;
  #port = 0;

  private constructor(store: SecretStore) {
    this.#store = store;
    this.#server = createServer((request, response) => this.#serve(request, response));
  }

  static async start(store: SecretStore, port?: number): Promise<ExtensionDouble> {
    const double = new ExtensionDouble(store);
    if (port !== undefined) await listenOn(double.#server, port);
    double.#port = port ?? (await listenAnywhere(double.#server));
    return double;
  }

  /** The environment of a function that has the extension. */
  get environment(): Readonly<Record<string, string>> {
    return {
      AWS_LAMBDA_RUNTIME_API: '127.0.0.1:9001',
      AWS_SESSION_TOKEN: testIdentity.sessionToken,
      PARAMETERS_SECRETS_EXTENSION_HTTP_PORT: String(this.#port),
    };
  }

  /** Forgets what it has kept, as its own TTL does. */
  expire(): void {
    this.#cache.clear();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#server.close();
    this.#server.closeAllConnections();
    await once(this.#server, 'close');
  }

  #serve(request: IncomingMessage, response: ServerResponse): void {
    const { pathname, searchParams } = new URL(request.url ?? '/', 'http://localhost');
    const answer = (status: number, body: string): void => {
      response.writeHead(status, { 'Content-Type': 'application/json' });
      response.end(body);
    };
    const stage = (searchParams.get('versionStage') ?? 'AWSCURRENT') as Stage;
    const refresh = searchParams.get('refreshNow') === 'true';
    this.asked.push(refresh ? `${stage}!` : stage);
    if (this.hanging) return;
    if (request.method !== 'GET' || pathname !== '/secretsmanager/get') return answer(404, 'not found');
    if (request.headers['x-aws-parameters-secrets-token'] !== testIdentity.sessionToken) {
      return answer(401, 'authorization header is wrong');
    }
    if (this.notReady > 0) {
      this.notReady -= 1;
      return answer(400, 'not ready to serve traffic, please wait');
    }
    if (this.failing) return answer(this.failing.status, this.failing.body);
    if (searchParams.has('refreshNow') && !this.knowsRefresh) return answer(400, 'unknown parameter refreshNow');
    const id = searchParams.get('secretId') ?? '';
    const key = `${id} ${stage}`;
    const cached = this.#cache.get(key);
    if (cached !== undefined && !refresh) return answer(200, cached);
    const secret = this.#store.find(id);
    const version = secret?.at(stage);
    if (!secret || !version) return answer(404, 'ResourceNotFoundException: no such secret, or no such version');
    const body = JSON.stringify({
      ARN: secret.arn,
      Name: secret.name,
      VersionId: version.id,
      ...version.content,
      VersionStages: secret.stagesOf(version.id),
      CreatedDate: String(version.createdAt),
    });
    this.#cache.set(key, body);
    answer(200, body);
  }
}
