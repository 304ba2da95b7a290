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
    try {
      const { value, ...answer } = await this.#ask(stage, direct, region ?? '');
      return { ...answer, login: readSecret(secretArn, value) };
    } catch (error) {
      throw explainSecretError(error, { secretArn, region, stage, timeoutMillis });
    }
  }

  async #ask(stage: SecretStage, direct: boolean, region: string): Promise<{ value: SecretValue; direct: boolean }> {
    const { secretArn, timeoutMillis, client } = this.#options;
    const extension = this.#extension;
    let failed: unknown;
    if (extension && !direct && !extension.absent) {
      const patience = Math.min(timeoutMillis, extensionMillis);
      try {
        return {
          value: await inTime(patience, (signal) => extension.get(secretArn, stage, false, signal)),
          direct: false,
        };
      } catch (error) {
        failed = error;
      }
    }
    // Not within the time of a reading: on a small function loading the package may take longer than that by itself.
    const manager = client ?? (await this.#load(region));
    if (manager) {
      const input = { SecretId: secretArn, VersionStage: stage };
      const value = await inTime(timeoutMillis, (abortSignal) => manager.getSecretValue(input, { abortSignal }));
      return { value, direct: true };
    }
    if (failed instanceof ExtensionError && failed.kind !== 'absent') throw failed;
    if (!extension) throw missingClientError(secretArn);
    try {
      const get = (signal: AbortSignal) => extension.get(secretArn, stage, direct, signal);
      return { value: await inTime(timeoutMillis, get), direct: false };
    } catch (error) {
      if (error instanceof ExtensionError && error.kind === 'absent') throw missingClientError(secretArn);
      throw error;
    }
  }

  #load(region: string): Promise<SecretsClientLike | undefined> {
    const { loadClient = sdkClient } = this.#options;
    this.#client ??= loadClient(region).catch((error: unknown) => {
      this.#client = undefined;
      throw error;
    });
    return this.#client;
  }
}

/**
 * How long the extension is waited for where Secrets Manager itself can be asked. Chosen: many times what a process on the
 * same machine takes, cache miss included, and a third of a reading's own time.
 */
const extensionMillis = 1000;

/** Runs one call in bounded time, also one that does not heed its signal. @throws TimeoutError, as the SDK calls it */
async function inTime<T>(millis: number, call: (signal: AbortSignal) => Promise<T>): Promise<T> {
  const bound = new AbortController();
  const timeout = new DOMException(`No answer within ${millis} ms`, 'TimeoutError');
  // After one more turn: an answer that lies in the kernel already is in time.
  const timer = setTimeout(() => setImmediate(() => bound.abort(timeout)), millis);
  try {
    return await untilAborted(call(bound.signal), bound.signal);
  } finally {
    clearTimeout(timer);
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

/** A bundler that cannot find an import() leaves it alone only when it stands in a try (esbuild 0.28). */
const loadSdk = async () => {
  try {
    // oxlint-disable-next-line no-restricted-imports -- loaded on first use only
    const sdk = await import('@aws-sdk/client-secrets-manager');
    // In a bundle that esbuild has split, a CommonJS package comes as `default` alone (esbuild 0.28).
    return Object.hasOwn(sdk, 'SecretsManagerClient') ? sdk : sdk.default;
  } catch (error) {
    return ifMissing(error as NodeJS.ErrnoException);
  }
};

/** Tells a package that is not installed from one that is broken. */
function ifMissing(error: NodeJS.ErrnoException): undefined {
  if (error.code === 'ERR_MODULE_NOT_FOUND' || error.code === 'MODULE_NOT_FOUND') return undefined;
  throw error;
}

async function sdkClient(region: string): Promise<SecretsClientLike | undefined> {
  const sdk = await loadSdk();
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
