// Tokens that the SDK's own packages sign, with credentials of the test's: what they are for, and who is asked for keys.
import { inspect } from 'node:util';
import { describe, expect, it } from 'vitest';
import type { CredentialSource, Credentials } from '../../../src/auth/credentials.ts';
import { dsqlCredentials, iamCredentials } from '../../../src/auth/iam.ts';
import { packageError } from '../../../src/auth/iam-errors.ts';
import type { AwsIdentity } from '../../../src/auth/iam-signers.ts';
import { readPresigned } from '../../support/aws-credentials/presigned.ts';

const minute = 60_000;
const host = 'orders.proxy-c9akciq32rgq.eu-west-1.rds.amazonaws.com';
const cluster = 'weaqdqqm.dsql.us-east-1.on.aws';
const identity: AwsIdentity = {
  accessKeyId: 'ASIAEXAMPLE',
  secretAccessKey: 'wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY',
  sessionToken: 'a//session+token==',
};

/** Hands out keys as the test says, and notes how it was asked. */
function provider(...answers: (AwsIdentity | Error)[]) {
  const asked: (boolean | undefined)[] = [];
  const credentials = async (options?: { readonly forceRefresh?: boolean }): Promise<AwsIdentity> => {
    asked.push(options?.forceRefresh);
    const answer = answers[Math.min(asked.length, answers.length) - 1] ?? identity;
    if (answer instanceof Error) throw answer;
    return answer;
  };
  return { asked, credentials };
}

const ask = async (
  source: CredentialSource,
  target: { host?: string; port?: number; user?: string } = {},
  refused: readonly Credentials[] = [],
): Promise<string> => {
  const signal = new AbortController().signal;
  const given = await source.credentials({
    target: { host, port: 5432, user: 'app', database: 'shop', ...target },
    signal,
    refused,
  });
  return given?.password ?? expect.fail('no credentials');
};

const failure = async (waiting: Promise<unknown>): Promise<Error> =>
  waiting.then(
    () => expect.fail('it did not fail'),
    (error: unknown) => error as Error,
  );

describe('a token of Amazon RDS', () => {
  it('is signed for the host and port that are connected to, the user and the region', async () => {
    const before = Date.now();
    const token = readPresigned(
      await ask(iamCredentials({ env: {}, ...provider() }), { port: 6432, user: 'app user+1' }),
    );
    expect(token).toMatchObject({
      host: `${host}:6432`,
      region: 'eu-west-1',
      service: 'rds-db',
      accessKeyId: identity.accessKeyId,
      parameters: {
        Action: 'connect',
        DBUser: 'app user+1',
        'X-Amz-Expires': '900',
        'X-Amz-Security-Token': identity.sessionToken,
      },
    });
    expect(token.signedAt).toBeGreaterThan(before - 1000);
    expect(token.signedWith(identity.secretAccessKey)).toBe(true);
    expect(token.signedWith('another key')).toBe(false);
  });

  it('is signed for hostname and port where these are given', async () => {
    const source = iamCredentials({ env: {}, hostname: host, port: 5432, ...provider() });
    const token = readPresigned(await ask(source, { host: '127.0.0.1', port: 15432 }));
    expect(token).toMatchObject({ host: `${host}:5432`, region: 'eu-west-1' });
    expect(token.signedWith(identity.secretAccessKey)).toBe(true);
  });
});

describe('a token of Aurora DSQL', () => {
  it.each([
    ['app', 'DbConnect'],
    ['admin', 'DbConnectAdmin'],
    ['Admin', 'DbConnect'],
  ])('is for the user %s one of %s', async (user, action) => {
    const token = readPresigned(await ask(dsqlCredentials({ env: {}, ...provider() }), { host: cluster, user }));
    expect(token).toMatchObject({
      host: cluster,
      region: 'us-east-1',
      service: 'dsql',
      parameters: { Action: action, 'X-Amz-Expires': '900' },
    });
    expect(token.signedWith(identity.secretAccessKey)).toBe(true);
  });

  it('is good for as long as was asked for, and kept for two thirds of it', async () => {
    const clock = { now: Date.now() };
    const { credentials, asked } = provider();
    const source = dsqlCredentials({ env: {}, credentials, now: () => clock.now, tokenLifetimeMillis: 60 * minute });
    const token = await ask(source, { host: cluster });
    expect(readPresigned(token).parameters['X-Amz-Expires']).toBe('3600');
    clock.now += 40 * minute - 1;
    await ask(source, { host: cluster });
    expect(asked).toHaveLength(1);
    clock.now += 1;
    await ask(source, { host: cluster });
    expect(asked).toHaveLength(2);
  });

  it.each([999, 604_800_001, Number.NaN])('cannot be asked for with a lifetime of %d ms', (tokenLifetimeMillis) => {
    expect(() => dsqlCredentials({ tokenLifetimeMillis })).toThrow(
      `tokenLifetimeMillis must be from 1000 to 604800000 (a week), got ${tokenLifetimeMillis}: the default is 900000.`,
    );
  });

  it('needs a user and a region, and says where to set them', async () => {
    const source = dsqlCredentials({ env: {}, ...provider() });
    expect((await failure(ask(source, { host: cluster, user: '' }))).message).toBe(
      'Aurora DSQL authentication needs a user, and none is set: set PGUSER, or the user in DATABASE_URL, to admin or a role ' +
        'that AWS IAM GRANT named. See ERR_POOL_CONNECT_CREDENTIALS.',
    );
    expect((await failure(ask(source, { host: 'localhost' }))).message).toBe(
      'Aurora DSQL authentication needs the region of localhost, which its name does not say. Set the option region, or ' +
        'AWS_REGION. See ERR_POOL_CONNECT_CREDENTIALS.',
    );
  });

  it('for a host of another name is warned of', async () => {
    const warnings: string[] = [];
    const source = dsqlCredentials({
      env: { AWS_REGION: 'us-east-1' },
      onWarning: (message) => warnings.push(message),
      ...provider(),
    });
    await ask(source, { host: 'dsql.example.com' });
    expect(warnings).toEqual([
      expect.stringMatching(
        /^Aurora DSQL authentication makes tokens for dsql\.example\.com, .* that ends in \.on\.aws/,
      ),
    ]);
  });
});

describe('AWS credentials', () => {
  const expiring = (millis: number): AwsIdentity => ({ ...identity, expiration: new Date(Date.now() + millis) });

  it('are asked for once for each signature, and anew after a refusal', async () => {
    const clock = { now: Date.now() };
    const { asked, credentials } = provider();
    const source = iamCredentials({ env: {}, credentials, now: () => clock.now });
    const token = await ask(source);
    clock.now += 5 * minute;
    await ask(source, {}, [{ password: token }]);
    expect(asked).toEqual([undefined, true]);
  });

  it('that expire within a minute are asked for anew', async () => {
    const { asked, credentials } = provider(expiring(minute - 1000), {
      ...expiring(60 * minute),
      accessKeyId: 'ASIANEXT',
    });
    const token = await ask(iamCredentials({ env: {}, credentials }));
    expect(asked).toEqual([undefined, true]);
    expect(readPresigned(token).accessKeyId).toBe('ASIANEXT');
  });

  it('end the life of a token that they signed a minute before their own', async () => {
    const clock = { now: Date.now() };
    const { asked, credentials } = provider(expiring(3 * minute), expiring(60 * minute));
    const source = iamCredentials({ env: {}, credentials, now: () => clock.now });
    const token = await ask(source);
    clock.now += 2 * minute - 1000;
    expect(await ask(source)).toBe(token);
    clock.now += 2000;
    await ask(source);
    expect(asked).toEqual([undefined, undefined]);
  });

  it('that have expired, and are not replaced, sign nothing', async () => {
    const { credentials } = provider(expiring(-90_400));
    expect(await failure(ask(iamCredentials({ env: {}, credentials })))).toMatchObject({
      code: 'ERR_POOL_CONNECT_CREDENTIALS',
      message: expect.stringMatching(
        /^IAM authentication has only AWS credentials that expired 9[01] s ago, and asking again gave no others\. /,
      ),
    });
  });

  it('that expired as the environment says are traced to it', async () => {
    const { credentials } = provider(expiring(-1000));
    const source = iamCredentials({ env: { AWS_CREDENTIAL_EXPIRATION: '2026-11-21T12:00:00Z' }, credentials });
    expect((await failure(ask(source))).message).toContain('ago (AWS_CREDENTIAL_EXPIRATION says so), and');
  });
});

describe('a failure of the AWS credentials', () => {
  const sdkError = (message: string, more: object = {}): Error =>
    Object.assign(new Error(message), { name: 'CredentialsProviderError' }, more);
  const fail = async (error: Error, env: Record<string, string> = {}) => {
    const shown = await failure(ask(iamCredentials({ env, ...provider(error) })));
    expect(shown).toMatchObject({ name: 'CredentialsError', code: 'ERR_POOL_CONNECT_CREDENTIALS', cause: error });
    return shown as Error & { transient: boolean };
  };

  it('says where they come from', async () => {
    const { message, transient } = await fail(sdkError('Could not load credentials from any providers'));
    expect(message).toBe(
      'IAM authentication found no AWS credentials to sign with (Could not load credentials from any providers). In Lambda ' +
        "they are those of the function's role; elsewhere set AWS_PROFILE, or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY. " +
        'See ERR_POOL_CONNECT_CREDENTIALS.',
    );
    expect(transient).toBe(false);
  });

  it.each([
    ['a reset connection', { code: 'ECONNRESET' }, true],
    ['a timeout', { name: 'TimeoutError' }, true],
    ['throttling', { name: 'ThrottlingException', $metadata: { httpStatusCode: 400 } }, true],
    ['a service that is down', { $metadata: { httpStatusCode: 503 } }, true],
    ['too many requests', { $metadata: { httpStatusCode: 429 } }, true],
    ['a denied role', { name: 'AccessDenied', $metadata: { httpStatusCode: 403 } }, false],
    ['an unknown one', {}, false],
  ])('may pass or not: %s', async (_, more, transient) => {
    expect((await fail(sdkError('no', more))).transient).toBe(transient);
  });

  it('shows neither keys nor token', async () => {
    const { credentials } = provider(identity, sdkError('no'));
    const source = iamCredentials({ env: {}, credentials });
    const token = await ask(source);
    const error = await failure(ask(source, {}, [{ password: token }]));
    for (const shown of [error, source]) {
      const text = inspect(shown, { depth: 9, showHidden: true }) + JSON.stringify(shown);
      for (const secret of [identity.secretAccessKey, identity.sessionToken ?? '', token, 'X-Amz-Signature']) {
        expect(text).not.toContain(secret);
      }
    }
  });
});

describe('the package of the SDK', () => {
  it('that is not installed is named', () => {
    const cause = Object.assign(
      new Error("Cannot find package '@aws-sdk/rds-signer' imported from /var/task/index.mjs"),
      {
        code: 'ERR_MODULE_NOT_FOUND',
      },
    );
    expect(packageError(cause, '@aws-sdk/rds-signer', "auth: 'iam'")).toMatchObject({
      code: 'ERR_POOL_CONNECT_CREDENTIALS',
      transient: false,
      cause,
      message:
        "auth: 'iam' signs its tokens with @aws-sdk/rds-signer, which is not installed. Run: npm install @aws-sdk/rds-signer, " +
        'and deploy it with the function, unless the runtime has it. See ERR_POOL_CONNECT_CREDENTIALS.',
    });
  });

  it('that is damaged is not called missing', () => {
    const cause = Object.assign(new Error("Cannot find module '@smithy/core'"), { code: 'ERR_MODULE_NOT_FOUND' });
    expect(packageError(cause, '@aws-sdk/rds-signer', "auth: 'iam'").message).toContain(
      "@aws-sdk/rds-signer, which could not be loaded (Cannot find module '@smithy/core'). Run:",
    );
  });
});
