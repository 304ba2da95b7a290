/**
 * Asks the AWS Parameters and Secrets Lambda Extension, a process beside this one that keeps secrets for up to five minutes
 * (AWS Lambda Developer Guide, "Use Secrets Manager secrets in Lambda functions"). It must not know what is in them.
 */
import type { SecretStage } from './secret-errors.ts';
import type { SecretValue } from './secret-shape.ts';

/** Reports that the extension has not given a secret. */
export class ExtensionError extends Error {
  /** `absent`: nobody listens. `starting`: it is there, but not yet. `refused`: it answered something else. */
  readonly kind: 'absent' | 'starting' | 'refused';
  /** Where {@link explainSecretError} looks for it. */
  readonly $metadata: { readonly httpStatusCode?: number };

  constructor(kind: ExtensionError['kind'], name: string, message: string, status?: number) {
    super(message);
    this.kind = kind;
    this.name = name;
    this.$metadata = status === undefined ? {} : { httpStatusCode: status };
  }
}

/** The environment: who asks, and where. */
type Env = Readonly<Record<string, string | undefined>>;

/** The extension's own default (AWS Lambda Developer Guide, PARAMETERS_SECRETS_EXTENSION_HTTP_PORT). */
const usualPort = '2773';

/**
 * It answers so while the sandbox is being initialised, and may go on doing so until the first invocation: that is waited
 * for briefly, since whoever has the SDK need not wait at all.
 */
const notReady = /not ready to serve traffic/i;
const pauseMillis = 25;
const readyTries = 8;

/** How the extension answered. */
interface Answer {
  readonly status: number;
  readonly body: string;
}

/** Asks the extension of this sandbox. */
export class SecretExtension {
  readonly #port: string;
  readonly #token: string;
  #absent = false;

  private constructor(port: string, token: string) {
    this.#port = port;
    this.#token = token;
  }

  /**
   * Finds out whether there can be one: only on Lambda. Elsewhere the session token, which is as good as AWS credentials,
   * would be sent to whoever listens on that port.
   */
  static on(env: Env): SecretExtension | undefined {
    const token = env['AWS_SESSION_TOKEN'];
    if (!env['AWS_LAMBDA_RUNTIME_API'] || !token) return undefined;
    return new this(env['PARAMETERS_SECRETS_EXTENSION_HTTP_PORT'] || usualPort, token);
  }

  /** Nobody listened the last time. */
  get absent(): boolean {
    return this.#absent;
  }

  /**
   * Asks for one version.
   *
   * @param refresh - past its cache. The Secrets Manager Agent, which speaks the same protocol, knows `refreshNow` for that
   * (its README); what answers 400 to it is asked without, and may be as stale as ours.
   * @throws ExtensionError; and what a socket throws
   */
  async get(secretId: string, stage: SecretStage, refresh: boolean, signal: AbortSignal): Promise<SecretValue> {
    const query = new URLSearchParams({ secretId, versionStage: stage });
    if (refresh) query.set('refreshNow', 'true');
    for (let count = 1; ; count += 1) {
      const answer = await this.#send(query, signal);
      if (answer.status === 200) return valueOf(answer);
      if (answer.status === 400 && notReady.test(answer.body)) {
        if (count === readyTries) throw new ExtensionError('starting', 'ExtensionNotReady', 'it is not ready yet', 400);
        await pause(pauseMillis, signal);
      } else if (answer.status === 400 && query.has('refreshNow')) {
        query.delete('refreshNow');
      } else {
        throw refusal(answer);
      }
    }
  }

  async #send(query: URLSearchParams, signal: AbortSignal): Promise<Answer> {
    const { request } = await import('node:http');
    return new Promise((resolve, reject) => {
      const outgoing = request(
        {
          host: 'localhost',
          port: this.#port,
          path: `/secretsmanager/get?${query.toString()}`,
          headers: { 'X-Aws-Parameters-Secrets-Token': this.#token },
          // A connection of its own: it is asked once in minutes, with a freeze between.
          agent: false,
          signal,
        },
        (response) => {
          let body = '';
          response.setEncoding('utf8');
          response.on('data', (chunk: string) => {
            body += chunk;
          });
          response.on('end', () => {
            this.#absent = false;
            resolve({ status: response.statusCode ?? 0, body });
          });
          response.on('error', reject);
        },
      );
      outgoing.on('error', (error: NodeJS.ErrnoException) => {
        if (error.code !== 'ECONNREFUSED') return reject(error);
        this.#absent = true;
        reject(new ExtensionError('absent', 'ExtensionAbsent', 'nobody listens'));
      });
      outgoing.end();
    });
  }
}

function valueOf({ body }: Answer): SecretValue {
  let value: unknown;
  try {
    value = JSON.parse(body);
  } catch {
    // The parser's message would quote what it read.
  }
  if (typeof value === 'object' && value !== null) return value;
  throw new ExtensionError('refused', 'ExtensionAnswer', 'it answered 200 and something that is no JSON object', 200);
}

/** Some versions say which error of Secrets Manager it was; 403 and 404 say so themselves. */
function refusal({ status, body }: Answer): ExtensionError {
  const named = /\b(\w+Exception|DecryptionFailure|InternalServiceError)\b/.exec(body)?.[1];
  const known: Readonly<Record<number, string>> = { 403: 'AccessDeniedException', 404: 'ResourceNotFoundException' };
  const name = named ?? known[status] ?? 'ExtensionAnswer';
  // Kept for a role that lacks the right to a key, which is told by its message alone.
  const message = /\bkms\b/i.test(body) ? 'it has no access to KMS' : `the Lambda extension answered ${status}`;
  return new ExtensionError('refused', name, message, status);
}

function pause(millis: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    const stop = (): void => {
      clearTimeout(timer);
      reject(signal.reason);
    };
    const timer = setTimeout(() => {
      signal.removeEventListener('abort', stop);
      resolve();
    }, millis);
    signal.addEventListener('abort', stop, { once: true });
  });
}
