/** Says why there is no token, and what to do. Nothing here has seen a key or a token, and none is put into a message. */
import { CredentialsError } from './credentials.ts';

type Environment = Readonly<Record<string, string | undefined>>;

const see = 'See ERR_POOL_CONNECT_CREDENTIALS.';

export const noUserError = (name: string, hint: string): CredentialsError =>
  new CredentialsError(`${name} needs a user, and none is set: ${hint} ${see}`);

export const noRegionError = (name: string, host: string): CredentialsError =>
  new CredentialsError(
    `${name} needs the region of ${host}, which its name does not say. Set the option region, or AWS_REGION. ${see}`,
  );

/** The SDK's package is not there, or cannot be loaded. */
export function packageError(error: unknown, packageName: string, use: string): CredentialsError {
  // From a bundle that require()s it, the code has no ERR_.
  const missing = /^(ERR_)?MODULE_NOT_FOUND$/.test(text(error, 'code')) && text(error, 'message').includes(packageName);
  const what = missing ? 'which is not installed' : `which could not be loaded (${text(error, 'message')})`;
  return new CredentialsError(
    `${use} signs its tokens with ${packageName}, ${what}. Run: npm install ${packageName}, and deploy it with the ` +
      `function, unless the runtime has it. ${see}`,
    { cause: error },
  );
}

/** @param millis - for how long they have been expired */
export function expiredError(name: string, millis: number, env: Environment): CredentialsError {
  const where = env['AWS_CREDENTIAL_EXPIRATION'] === undefined ? '' : ' (AWS_CREDENTIAL_EXPIRATION says so)';
  return new CredentialsError(
    `${name} has only AWS credentials that expired ${(millis / 1000).toFixed(0)} s ago${where}, and asking again gave no ` +
      `others. Renew them where they come from, and check the clock of this machine. ${see}`,
  );
}

/**
 * Turns what the SDK throws into words; an error that is one of ours already stays as it is.
 *
 * What the SDK's chain says at last is always that no provider had any: why the one that should have had some failed is
 * lost (credential-provider-node 3.972). So the environment is looked at for which one that was.
 */
export function awsError(
  error: unknown,
  name: string,
  { credentials, env }: { readonly credentials?: unknown; readonly env: Environment },
): CredentialsError {
  if (error instanceof CredentialsError) return error;
  const said = text(error, 'message').replace(/\.$/, '') || String(error);
  const begin = `${name} found no AWS credentials to sign with (${said}).`;
  const options = (transient: boolean) => ({ cause: error, transient });
  if (credentials === undefined) {
    const variable = ['AWS_CONTAINER_CREDENTIALS_RELATIVE_URI', 'AWS_CONTAINER_CREDENTIALS_FULL_URI'].find(
      (each) => (env[each] ?? '') !== '',
    );
    if (variable !== undefined && /any providers/i.test(said)) {
      return new CredentialsError(
        `${begin} They should come from the endpoint in ${variable}, which did not answer or gave none. ${see}`,
        options(true),
      );
    }
    if (/\bsso\b/i.test(said)) {
      return new CredentialsError(`${begin} Log in again: aws sso login. ${see}`, options(false));
    }
  }
  return new CredentialsError(
    `${begin} In Lambda they are those of the function's role; elsewhere set AWS_PROFILE, or AWS_ACCESS_KEY_ID and ` +
      `AWS_SECRET_ACCESS_KEY. ${see}`,
    options(mayPass(error)),
  );
}

/** Node.js's codes of networks that fail for a moment, and the SDK's names for a service that does. */
const passing =
  /^(ECONNRESET|ECONNREFUSED|ETIMEDOUT|EPIPE|EAI_AGAIN|EHOSTUNREACH|ENETUNREACH|TimeoutError|Throttling.*|TooManyRequestsException|RequestLimitExceeded|ServiceUnavailable.*|InternalServerError|InternalFailure)$/;

function mayPass(error: unknown): boolean {
  if (typeof error !== 'object' || error === null) return false;
  const metadata: unknown = Reflect.get(error, '$metadata');
  const status: unknown =
    typeof metadata === 'object' && metadata !== null ? Reflect.get(metadata, 'httpStatusCode') : undefined;
  if (typeof status === 'number' && (status >= 500 || status === 429)) return true;
  return passing.test(text(error, 'code')) || passing.test(text(error, 'name'));
}

function text(error: unknown, property: string): string {
  if (typeof error !== 'object' || error === null) return '';
  const value: unknown = Reflect.get(error, property);
  return typeof value === 'string' ? value : '';
}
