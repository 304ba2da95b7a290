/**
 * A container's credentials endpoint, as ECS and Lambda with SnapStart have one: an HTTP server for
 * AWS_CONTAINER_CREDENTIALS_FULL_URI that hands out keys which can rotate, expire and fail, and counts who asked.
 * Format: AWS SDKs and Tools Reference Guide, "Container credential provider".
 */
import { once } from 'node:events';
import { createServer, type Server, type ServerResponse } from 'node:http';
import { LOOPBACK, listenAnywhere } from '../free-port.ts';

/** One set of keys, as the endpoint sends it. */
export interface Keys {
  readonly AccessKeyId: string;
  readonly SecretAccessKey: string;
  readonly Token: string;
  /** RFC 3339. */
  readonly Expiration: string;
}

/** What the endpoint does with the next requests: answer, answer 500, answer 403. */
export type Mood = 'well' | 'failing' | 'forbidding';

const authorization = 'of the endpoint double';
const hour = 3_600_000;

/** No other source of credentials than what a test names: no profile, no file, no instance. */
export const noAwsCredentials: Readonly<Record<string, string | undefined>> = {
  AWS_ACCESS_KEY_ID: undefined,
  AWS_SECRET_ACCESS_KEY: undefined,
  AWS_SESSION_TOKEN: undefined,
  AWS_CREDENTIAL_EXPIRATION: undefined,
  AWS_PROFILE: undefined,
  AWS_WEB_IDENTITY_TOKEN_FILE: undefined,
  AWS_CONTAINER_CREDENTIALS_RELATIVE_URI: undefined,
  AWS_CONTAINER_CREDENTIALS_FULL_URI: undefined,
  AWS_SHARED_CREDENTIALS_FILE: '/nonexistent/credentials',
  AWS_CONFIG_FILE: '/nonexistent/config',
  AWS_EC2_METADATA_DISABLED: 'true',
};

/** A running endpoint. */
export class CredentialsEndpoint implements AsyncDisposable {
  mood: Mood = 'well';
  /** Requests that came with the right authorization. */
  calls = 0;
  /** What leads the SDK here, and nowhere else. */
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly #server: Server;
  #made = 0;
  #keys: Keys;

  private constructor(server: Server, port: number) {
    this.#server = server;
    this.#keys = this.#make(hour);
    this.env = {
      ...noAwsCredentials,
      AWS_CONTAINER_CREDENTIALS_FULL_URI: `http://${LOOPBACK}:${port}/credentials`,
      AWS_CONTAINER_AUTHORIZATION_TOKEN: authorization,
    };
    server.on('request', (request, response) => this.#answer(request.headers.authorization, response));
  }

  /** Starts one with keys that are good for an hour. */
  static async start(): Promise<CredentialsEndpoint> {
    const server = createServer();
    return new CredentialsEndpoint(server, await listenAnywhere(server));
  }

  /** What is handed out now. */
  get keys(): Keys {
    return this.#keys;
  }

  /** Hands out other keys from now on. */
  rotate(lifetimeMillis: number = hour): Keys {
    this.#keys = this.#make(lifetimeMillis);
    return this.#keys;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#server.closeAllConnections();
    this.#server.close();
    await once(this.#server, 'close');
  }

  #make(lifetimeMillis: number): Keys {
    this.#made += 1;
    return {
      AccessKeyId: `ASIADOUBLE${this.#made}`,
      SecretAccessKey: `secret/of+double=${this.#made}`,
      Token: `session//token+of==${this.#made}`,
      Expiration: new Date(Date.now() + lifetimeMillis).toISOString(),
    };
  }

  #answer(given: string | undefined, response: ServerResponse): void {
    const send = (status: number, body: object): void => {
      response.writeHead(status, { 'content-type': 'application/json' }).end(JSON.stringify(body));
    };
    if (given !== authorization) return send(401, { Message: 'wrong authorization' });
    this.calls += 1;
    if (this.mood === 'failing') return send(500, { Message: 'not today' });
    if (this.mood === 'forbidding') return send(403, { Code: 'AccessDenied', Message: 'no role' });
    return send(200, this.#keys);
  }
}
