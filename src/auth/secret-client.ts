/**
 * Reads one version of a secret: from the Lambda extension where there is one, else from AWS Secrets Manager, by way of the
 * AWS SDK, which is loaded with the first secret. It keeps nothing.
 */
import type { Credentials } from './credentials.ts';
import { explainSecretError, missingClientError, missingRegionError, type SecretStage } from './secret-errors.ts';
import { ExtensionError, SecretExtension } from './secret-extension.ts';
import { readSecret, type SecretValue } from './secret-shape.ts';

/** Asks AWS Secrets Manager: `SecretsManager` of `@aws-sdk/client-secrets-manager`, or one's own. */
export interface SecretsClientLike {
  /** Returns one version of a secret. Its errors are told apart by `name`, as those of the AWS SDK are. */
  getSecretValue(
    input: { readonly SecretId: string; readonly VersionStage: string },
    options?: { readonly abortSignal?: AbortSignal },
  ): Promise<SecretValue>;
}

/** Says which secret is read, and how. */
export interface SecretReaderOptions {
  readonly secretArn: string;
  readonly region?: string | undefined;
  readonly timeoutMillis: number;
  readonly client?: SecretsClientLike | undefined;
  readonly env: Readonly<Record<string, string | undefined>>;
  /** Makes a client of the AWS SDK; nothing where it is not installed. @default that of `@aws-sdk/client-secrets-manager` */
  readonly loadClient?: ((region: string) => Promise<SecretsClientLike | undefined>) | undefined;
}

/** A version of the secret. */
export interface SecretAnswer {
  readonly login: Credentials;
  /** It comes from Secrets Manager itself, not out of an extension's cache. */
  readonly direct: boolean;
}

/** Reads versions of one secret. */
export class SecretReader {
  readonly #options: SecretReaderOptions;
  readonly #region: string | undefined;
  readonly #extension: SecretExtension | undefined;
  #client: Promise<SecretsClientLike | undefined> | undefined;

  constructor(options: SecretReaderOptions) {
    const { secretArn, region, client, env } = options;
    this.#options = options;
    this.#region = region || regionOf(secretArn) || env['AWS_REGION'] || env['AWS_DEFAULT_REGION'];
    this.#extension = client ? undefined : SecretExtension.on(env);
  }

  /**
   * Reads the version at that stage, in bounded time.
   *
   * @param direct - past every cache there is a way past
   * @throws CredentialsError
   */
  async read(stage: SecretStage, direct: boolean): Promise<SecretAnswer> {
    const { secretArn, timeoutMillis } = this.#options;
    const region = this.#region;
    if (region === undefined && this.#options.client === undefined) throw missingRegionError(secretArn);
    const bound = new AbortController();
    const timeout = new DOMException(`No answer within ${timeoutMillis} ms`, 'TimeoutError');
    const timer = setTimeout(() => bound.abort(timeout), timeoutMillis);
    try {
      const asked = this.#ask(stage, direct, region ?? '', bound.signal);
      // A client of the user's own need not heed the signal.
      const { value, ...answer } = await untilAborted(asked, bound.signal);
      return { ...answer, login: readSecret(secretArn, value) };
    } catch (error) {
      // What the SDK throws when it is stopped says nothing of why.
      const cause = bound.signal.aborted ? timeout : error;
      throw explainSecretError(cause, { secretArn, region, stage, timeoutMillis });
    } finally {
      clearTimeout(timer);
    }
  }

  async #ask(
    stage: SecretStage,
    direct: boolean,
    region: string,
    abortSignal: AbortSignal,
  ): Promise<{ value: SecretValue; direct: boolean }> {
    const { secretArn, timeoutMillis, client, loadClient = sdkClient } = this.#options;
    const input = { SecretId: secretArn, VersionStage: stage };
    if (client) return { value: await client.getSecretValue(input, { abortSignal }), direct: true };
    const extension = this.#extension;
    let failed: Error | undefined;
    if (extension && !direct && !extension.absent) {
      try {
        // Half of the time, so that the other half is left for Secrets Manager itself.
        const signal = AbortSignal.any([abortSignal, AbortSignal.timeout(Math.ceil(timeoutMillis / 2))]);
        return { value: await extension.get(secretArn, stage, false, signal), direct: false };
      } catch (error) {
        failed = error as Error;
      }
    }
    this.#client ??= loadClient(region).catch((error: unknown) => {
      this.#client = undefined;
      throw error;
    });
    const sdk = await this.#client;
    if (sdk) return { value: await sdk.getSecretValue(input, { abortSignal }), direct: true };
    if (!extension) throw missingClientError(secretArn);
    try {
      if (failed !== undefined) throw failed;
      return { value: await extension.get(secretArn, stage, direct, abortSignal), direct: false };
    } catch (error) {
      if (error instanceof ExtensionError && error.kind === 'absent') throw missingClientError(secretArn);
      throw error;
    }
  }
}

/** An ARN names its region fourth: `arn:aws:secretsmanager:eu-west-1:111122223333:secret:name-AbCdEf` (AWS IAM User Guide). */
function regionOf(secretArn: string): string | undefined {
  const [arn, , service, region] = secretArn.split(':');
  return arn === 'arn' && service === 'secretsmanager' ? region : undefined;
}

/** How long a TCP connection may take: over this there is no way to it, as from a VPC without an endpoint or NAT. */
const connectionTimeout = 1000;
/** The SDK's own number (retryMode standard), said so that a user's AWS_MAX_ATTEMPTS does not make it more. */
const maxAttempts = 3;

// oxlint-disable-next-line no-restricted-imports -- loaded on first use only
const loadSdk = () => import('@aws-sdk/client-secrets-manager');

/** Tells a package that is not installed from one that is broken. */
function ifMissing(error: NodeJS.ErrnoException): undefined {
  if (error.code === 'ERR_MODULE_NOT_FOUND' || error.code === 'MODULE_NOT_FOUND') return undefined;
  throw error;
}

async function sdkClient(region: string): Promise<SecretsClientLike | undefined> {
  const sdk = await loadSdk().catch(ifMissing);
  if (sdk === undefined) return undefined;
  const client = new sdk.SecretsManagerClient({
    region,
    maxAttempts,
    // No connection is kept: the next secret is asked for minutes later, with a freeze between, and the connection dead.
    requestHandler: { connectionTimeout, httpAgent: { keepAlive: false }, httpsAgent: { keepAlive: false } },
  });
  return {
    getSecretValue: (input, options) => client.send(new sdk.GetSecretValueCommand(input), options),
  };
}

/** Waits no longer than until the signal fires, whatever becomes of what was waited for. */
export function untilAborted<T>(promise: Promise<T>, signal: AbortSignal): Promise<T> {
  return new Promise((resolve, reject) => {
    const stop = (): void => reject(signal.reason);
    if (signal.aborted) stop();
    signal.addEventListener('abort', stop, { once: true });
    promise.then(resolve, reject).finally(() => signal.removeEventListener('abort', stop));
  });
}
