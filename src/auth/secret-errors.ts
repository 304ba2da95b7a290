/** Says in words why a secret could not be read, what to do, and whether it may work in a moment. It must not ask anybody. */
import { CredentialsError } from './credentials.ts';

/** Names what was asked for. */
export interface SecretFacts {
  /** The ARN, or the name, as it was configured. */
  readonly secretArn: string;
  /** Nothing where only the caller's own client knows it. */
  readonly region: string | undefined;
  readonly stage: SecretStage;
  /** What the call was given, in milliseconds. */
  readonly timeoutMillis: number;
}

/** Names a version of a secret by what it is to its rotation (AWS Secrets Manager User Guide, "What's in a secret"). */
export type SecretStage = 'AWSCURRENT' | 'AWSPENDING' | 'AWSPREVIOUS';

/** What an error of the AWS SDK, of a socket or of the extension may have. */
interface Failure {
  readonly name?: unknown;
  readonly code?: unknown;
  readonly message?: unknown;
  readonly $metadata?: { readonly httpStatusCode?: unknown };
  readonly $retryable?: { readonly throttling?: unknown };
}

/** Sockets and names that fail because there is no way, or no longer one. */
const unreachable: ReadonlySet<unknown> = new Set([
  'ECONNREFUSED',
  'ECONNRESET',
  'EPIPE',
  'ENOTFOUND',
  'EAI_AGAIN',
  'EHOSTUNREACH',
  'ENETUNREACH',
]);

const timedOut: ReadonlySet<unknown> = new Set(['TimeoutError', 'AbortError', 'ETIMEDOUT', 'ESOCKETTIMEDOUT']);

/** What AWS calls "too fast" (AWS SDK, retry behaviour: throttling errors); quotas of Secrets Manager are per second. */
const throttled = /throttl|TooManyRequests|RequestLimitExceeded|SlowDown|PriorRequestNotComplete/i;

/** Who asked is not known to AWS. */
const unknownCaller =
  /^(CredentialsProviderError|ExpiredToken(Exception)?|UnrecognizedClientException|InvalidClientTokenId|InvalidSignatureException|SignatureDoesNotMatch|IncompleteSignature(Exception)?|MissingAuthenticationToken(Exception)?)$/;

const see = 'See ERR_POOL_CONNECT_CREDENTIALS.';
const route =
  'in a VPC it needs an interface endpoint for Secrets Manager, with private DNS and a security group that lets this ' +
  'function in on port 443, or a NAT gateway';

/** What is looked at, taken out of whatever was thrown. */
interface Signs {
  readonly name: string;
  readonly code: unknown;
  readonly message: string;
  readonly status: number | undefined;
  readonly throttling: boolean;
  /** ` in eu-west-1`, where it is known. */
  readonly place: string;
}

function signsOf(error: unknown, region: string | undefined): Signs {
  const failure: Failure = typeof error === 'object' && error !== null ? error : {};
  const status = failure.$metadata?.httpStatusCode;
  return {
    name: typeof failure.name === 'string' ? failure.name : 'unknown',
    code: failure.code,
    message: typeof failure.message === 'string' ? failure.message : String(error),
    status: typeof status === 'number' ? status : undefined,
    throttling: failure.$retryable?.throttling === true,
    place: region === undefined ? '' : ` in ${region}`,
  };
}

/** Explains a failed call; an error that explains itself stays as it is. */
export function explainSecretError(error: unknown, facts: SecretFacts): CredentialsError {
  if (error instanceof CredentialsError) return error;
  const signs = signsOf(error, facts.region);
  const passing = whyForNow(signs, facts);
  const message = `${passing ?? whyForGood(signs, facts)} See ERR_POOL_CONNECT_CREDENTIALS.`;
  // A parser's message quotes what it stumbled over, which may be the secret.
  const cause = signs.name === 'SyntaxError' ? {} : { cause: error };
  return new CredentialsError(message, { ...cause, transient: passing !== undefined });
}

/** What may be over in a moment. */
function whyForNow(signs: Signs, { secretArn, timeoutMillis }: SecretFacts): string | undefined {
  const { name, code, status, place } = signs;
  if (name === 'SyntaxError')
    return `AWS Secrets Manager${place} answered no JSON when asked for the secret ${secretArn}.`;
  if (name === 'ExtensionNotReady') {
    return (
      `The secret ${secretArn} cannot be read yet: the Lambda extension is still starting, which may last until the ` +
      'first invocation. Connect in the handler, or install @aws-sdk/client-secrets-manager.'
    );
  }
  if (timedOut.has(name) || timedOut.has(code)) {
    return (
      `AWS Secrets Manager${place} did not answer within ${timeoutMillis} ms when asked for the secret ${secretArn}: ` +
      `${route}.`
    );
  }
  if (unreachable.has(code)) {
    return (
      `AWS Secrets Manager${place} could not be reached for the secret ${secretArn} (${String(code)}): check the ` +
      `region; ${route}.`
    );
  }
  if (signs.throttling || throttled.test(name) || status === 429) {
    return `AWS Secrets Manager${place} is throttling calls for the secret ${secretArn} (${name}).`;
  }
  if (name === 'InternalServiceError' || (status ?? 0) >= 500) {
    return `AWS Secrets Manager${place} failed when asked for the secret ${secretArn} (${name}, ${String(status)}).`;
  }
  return undefined;
}

/** What stays as it is until somebody changes something. */
function whyForGood({ name, message, place }: Signs, { secretArn, stage }: SecretFacts): string {
  if (name === 'DecryptionFailure' || (name.startsWith('AccessDenied') && /\bkms\b/i.test(message))) {
    return (
      `The secret ${secretArn} is encrypted with a KMS key that this role may not use, or that is disabled: allow ` +
      `kms:Decrypt on that key, in the role and in the key's own policy (${name}).`
    );
  }
  if (name.startsWith('AccessDenied')) {
    const alsoStage = stage === 'AWSCURRENT' ? '' : `, also for the version stage ${stage}`;
    return (
      `This role may not read the secret: allow the action secretsmanager:GetSecretValue on ${secretArn}${alsoStage} ` +
      `(${name}). With a customer managed KMS key, allow kms:Decrypt on that key as well.`
    );
  }
  if (name === 'ResourceNotFoundException') {
    return (
      `There is no secret ${secretArn} with a version ${stage}${place}: check the ARN, the account and the region ` +
      `(${name}).`
    );
  }
  if (unknownCaller.test(name)) {
    return (
      `AWS Secrets Manager does not know who asks for the secret ${secretArn}: the AWS credentials of this process are ` +
      `missing, wrong or expired (${name}).`
    );
  }
  return `The secret ${secretArn} could not be read${place}: ${message.replace(/\.$/, '')} (${name}).`;
}

/** Reports that nobody is there to ask. */
export function missingClientError(secretArn: string): CredentialsError {
  return new CredentialsError(
    `The secret ${secretArn} cannot be read: the package @aws-sdk/client-secrets-manager is not installed, and no AWS ` +
      'Parameters and Secrets Lambda Extension answers. Install the package (npm install @aws-sdk/client-secrets-manager), ' +
      `and leave it out of no bundle; or add the extension's layer to the function. ${see}`,
  );
}

/** Reports that nothing says where the secret is. */
export function missingRegionError(secretArn: string): CredentialsError {
  return new CredentialsError(
    `The region of the secret ${secretArn} is not known: give its whole ARN, or set AWS_REGION. ${see}`,
  );
}
