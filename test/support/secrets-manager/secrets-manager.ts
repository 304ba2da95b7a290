/**
 * AWS Secrets Manager in miniature: GetSecretValue over HTTP in its JSON 1.1 protocol, with signatures checked, stages,
 * rotation, and ways to fail. The AWS SDK talks to it by way of AWS_ENDPOINT_URL_SECRETS_MANAGER.
 */
import { once } from 'node:events';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import { LOOPBACK, listenAnywhere } from '../free-port.ts';
import { SecretStore, type Stage } from './secret-store.ts';
import { signatureFault, testIdentity } from './sigv4.ts';

/** One call of GetSecretValue that was answered, or is not going to be. */
export interface Call {
  readonly stage: Stage;
  readonly secretId: string;
}

/** What the service does with a call, instead of answering it. */
type Trouble =
  | { readonly kind: 'error'; readonly name: string; readonly message: string; readonly status: number; left: number }
  | { readonly kind: 'hang' }
  | { readonly kind: 'text'; readonly body: string };

/** A running service. `await using` closes it. */
export class SecretsManagerDouble implements AsyncDisposable {
  readonly store: SecretStore;
  readonly calls: Call[] = [];
  readonly #server: Server;
  #port = 0;
  #trouble: Trouble | undefined;
  readonly #deniedStages = new Set<string>();
  readonly #listeners = new Set<() => void>();
  /** Called with each call before it is answered, and waited for: to hold it, or to let something happen meanwhile. */
  beforeAnswer: ((call: Call) => void | Promise<void>) | undefined;

  private constructor(region: string) {
    this.store = new SecretStore(region);
    this.#server = createServer((request, response) => void this.#serve(request, response));
  }

  static async start(region = 'eu-west-1'): Promise<SecretsManagerDouble> {
    const double = new SecretsManagerDouble(region);
    double.#port = await listenAnywhere(double.#server);
    return double;
  }

  get endpoint(): string {
    return `http://${LOOPBACK}:${this.#port}`;
  }

  /** What the AWS SDK must find in the process's environment to come here. */
  get environment(): Readonly<Record<string, string>> {
    return {
      AWS_ENDPOINT_URL_SECRETS_MANAGER: this.endpoint,
      AWS_ACCESS_KEY_ID: testIdentity.accessKeyId,
      AWS_SECRET_ACCESS_KEY: testIdentity.secretAccessKey,
      AWS_SESSION_TOKEN: testIdentity.sessionToken,
    };
  }

  /** How many calls came for a stage. */
  count(stage?: Stage): number {
    return this.calls.filter((call) => stage === undefined || call.stage === stage).length;
  }

  /** Resolves once so many calls have come. */
  async called(times: number): Promise<void> {
    while (this.calls.length < times) await new Promise<void>((resolve) => this.#listeners.add(resolve));
  }

  /** Answers the next calls with an error. */
  fail(name: string, message = 'It failed.', status = 400, times = Number.POSITIVE_INFINITY): void {
    this.#trouble = { kind: 'error', name, message, status, left: times };
  }

  /** Answers the next calls with ThrottlingException. */
  throttle(times: number = Number.POSITIVE_INFINITY): void {
    this.fail('ThrottlingException', 'Rate exceeded', 400, times);
  }

  /** Takes calls and does not answer them. */
  hang(): void {
    this.#trouble = { kind: 'hang' };
  }

  /** Answers 200 with something that is not what it should be. */
  garble(body: string): void {
    this.#trouble = { kind: 'text', body };
  }

  /** Denies a stage, as a policy with the condition key secretsmanager:VersionStage does. */
  denyStage(stage: Stage): void {
    this.#deniedStages.add(stage);
  }

  /** Listens no more: connections are refused. */
  async down(): Promise<void> {
    if (!this.#server.listening) return;
    this.#server.close();
    this.#server.closeAllConnections();
    await once(this.#server, 'close');
  }

  /** Listens on the same port again. */
  async up(): Promise<void> {
    if (this.#server.listening) return;
    this.#server.listen(this.#port, LOOPBACK);
    await once(this.#server, 'listening');
  }

  /** Ends every trouble, and what hangs. */
  async healed(): Promise<void> {
    this.#trouble = undefined;
    this.beforeAnswer = undefined;
    this.#deniedStages.clear();
    this.#server.closeAllConnections();
    await this.up();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.down();
  }

  async #serve(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const chunks: Buffer[] = [];
    for await (const chunk of request) chunks.push(chunk as Buffer);
    const body = Buffer.concat(chunks);
    const fault = this.#protocolFault(request, body);
    if (fault !== undefined) return refuse(response, fault, 'The request is not as it must be.', 400);
    const input = JSON.parse(body.toString('utf8')) as { SecretId: string; VersionStage?: Stage };
    const call = { stage: input.VersionStage ?? 'AWSCURRENT', secretId: input.SecretId };
    this.calls.push(call);
    for (const heard of this.#listeners) heard();
    this.#listeners.clear();
    await this.beforeAnswer?.(call);
    if (!this.#troubled(response)) this.#answer(call, response);
  }

  #protocolFault(request: IncomingMessage, body: Buffer): string | undefined {
    if (request.method !== 'POST' || request.url !== '/') return 'UnknownOperationException';
    if (request.headers['content-type'] !== 'application/x-amz-json-1.1') return 'SerializationException';
    if (request.headers['x-amz-target'] !== 'secretsmanager.GetSecretValue') return 'UnknownOperationException';
    return signatureFault(request, body, this.store.region);
  }

  #troubled(response: ServerResponse): boolean {
    const trouble = this.#trouble;
    if (trouble === undefined) return false;
    if (trouble.kind === 'hang') return true;
    if (trouble.kind === 'text') {
      reply(response, 200, trouble.body);
      return true;
    }
    if (trouble.left === 0) return false;
    trouble.left -= 1;
    refuse(response, trouble.name, trouble.message, trouble.status);
    return true;
  }

  #answer({ secretId, stage }: Call, response: ServerResponse): void {
    if (this.#deniedStages.has(stage)) {
      const who = 'arn:aws:sts::111122223333:assumed-role/app/app';
      const message = `User: ${who} is not authorized to perform: secretsmanager:GetSecretValue on resource: ${secretId}`;
      return refuse(response, 'AccessDeniedException', message, 400);
    }
    const secret = this.store.find(secretId);
    const version = secret?.at(stage);
    if (!secret || !version) {
      const what = secret ? `secret value for staging label: ${stage}` : 'secret.';
      return refuse(response, 'ResourceNotFoundException', `Secrets Manager can't find the specified ${what}`, 400);
    }
    reply(
      response,
      200,
      JSON.stringify({
        ARN: secret.arn,
        Name: secret.name,
        VersionId: version.id,
        ...version.content,
        VersionStages: secret.stagesOf(version.id),
        CreatedDate: version.createdAt,
      }),
    );
  }
}

function reply(response: ServerResponse, status: number, body: string): void {
  response.writeHead(status, { 'Content-Type': 'application/x-amz-json-1.1' });
  response.end(body);
}

function refuse(response: ServerResponse, name: string, message: string, status: number): void {
  reply(response, status, JSON.stringify({ __type: name, message, Message: message }));
}
