// The SDK's own chain of credentials against a container's endpoint: how often that is asked, and what comes of its moods.
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { inspect } from 'node:util';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { type CredentialSource, type Credentials, dsqlCredentials, iamCredentials } from '../../src/auth/index.ts';
import { CredentialsEndpoint, noAwsCredentials } from '../support/aws-credentials/endpoint.ts';
import { readPresigned } from '../support/aws-credentials/presigned.ts';

const minute = 60_000;
const host = 'orders.c9akciq32rgq.eu-west-1.rds.amazonaws.com';
const reader = 'orders.cluster-ro-c9akciq32rgq.eu-west-1.rds.amazonaws.com';

let endpoint: CredentialsEndpoint;
beforeEach(async () => {
  endpoint = await CredentialsEndpoint.start();
  use(endpoint.env);
});
afterEach(async () => {
  vi.unstubAllEnvs();
  await endpoint[Symbol.asyncDispose]();
});

/** The SDK reads the process's own environment. */
function use(env: Readonly<Record<string, string | undefined>>): void {
  for (const [name, value] of Object.entries(env)) vi.stubEnv(name, value);
}

const ask = async (source: CredentialSource, to = host, refused: readonly Credentials[] = []): Promise<string> => {
  const given = await source.credentials({
    target: { host: to, port: 5432, user: 'app', database: 'shop' },
    signal: new AbortController().signal,
    refused,
  });
  return given?.password ?? expect.fail('no credentials');
};

const failure = async (waiting: Promise<unknown>): Promise<Error & { transient?: boolean }> =>
  waiting.then(
    () => expect.fail('it did not fail'),
    (error: unknown) => error as Error,
  );

describe('the endpoint', () => {
  it('is asked once for a thousand connections, and its keys sign their token', async () => {
    const source = iamCredentials();
    const tokens = await Promise.all(Array.from({ length: 1000 }, () => ask(source)));
    expect(new Set(tokens).size).toBe(1);
    expect(endpoint.calls).toBe(1);
    const { AccessKeyId, SecretAccessKey, Token } = endpoint.keys;
    const token = readPresigned(tokens[0] ?? '');
    expect(token).toMatchObject({ host: `${host}:5432`, accessKeyId: AccessKeyId });
    expect(token.parameters['X-Amz-Security-Token']).toBe(Token);
    expect(token.signedWith(SecretAccessKey)).toBe(true);
  });

  it('is asked once for two hosts, which get a token each', async () => {
    const source = iamCredentials();
    const [one, two] = [await ask(source, host), await ask(source, reader)];
    expect([one, two].map((token) => readPresigned(token).host)).toEqual([`${host}:5432`, `${reader}:5432`]);
    expect(endpoint.calls).toBe(1);
  });

  it('is not asked again for a new token while its keys are good', async () => {
    const clock = { now: Date.now() };
    const source = iamCredentials({ now: () => clock.now });
    await ask(source);
    clock.now += 20 * minute;
    await ask(source);
    expect(endpoint.calls).toBe(1);
  });

  it('is asked once more when its keys were rotated and a hundred connections refused', async () => {
    const clock = { now: Date.now() };
    const source = iamCredentials({ now: () => clock.now });
    const old = await ask(source);
    const { AccessKeyId, SecretAccessKey } = endpoint.rotate();
    clock.now += minute;
    const tokens = await Promise.all(Array.from({ length: 100 }, () => ask(source, host, [{ password: old }])));
    expect(new Set(tokens).size).toBe(1);
    expect(endpoint.calls).toBe(2);
    const token = readPresigned(tokens[0] ?? '');
    expect(token.accessKeyId).toBe(AccessKeyId);
    expect(token.signedWith(SecretAccessKey)).toBe(true);
  });

  it('gives keys that last three minutes: the token goes a minute before them', async () => {
    endpoint.rotate(3 * minute);
    const clock = { now: Date.now() };
    const source = iamCredentials({ now: () => clock.now });
    const first = await ask(source);
    clock.now += 2 * minute - 2000;
    expect(await ask(source)).toBe(first);
    const { AccessKeyId } = endpoint.rotate();
    clock.now += 4000;
    expect(readPresigned(await ask(source)).accessKeyId).toBe(AccessKeyId);
  });

  it('gives keys that have expired, and no token is signed with them', async () => {
    endpoint.rotate(-5000);
    const error = await failure(ask(iamCredentials()));
    expect(error.message).toMatch(/^IAM authentication has only AWS credentials that expired [5-9] s ago, and asking/);
  });

  it.each([
    ['failing', iamCredentials, host, 'IAM authentication'],
    ['forbidding', dsqlCredentials, 'weaqdqqm.dsql.us-east-1.on.aws', 'Aurora DSQL authentication'],
  ] as const)('that is %s may work in a moment', async (mood, make, to, name) => {
    endpoint.mood = mood;
    const source = make();
    const error = await failure(ask(source, to));
    expect(error).toMatchObject({ code: 'ERR_POOL_CONNECT_CREDENTIALS', transient: true });
    expect(error.message).toBe(
      `${name} found no AWS credentials to sign with (Could not load credentials from any providers). They should come ` +
        'from the endpoint in AWS_CONTAINER_CREDENTIALS_FULL_URI, which did not answer or gave none. ' +
        'See ERR_POOL_CONNECT_CREDENTIALS.',
    );
    endpoint.mood = 'well';
    expect(readPresigned(await ask(source, to)).accessKeyId).toBe(endpoint.keys.AccessKeyId);
  });

  it('leaves none of its keys in what can be shown', async () => {
    const source = iamCredentials();
    const token = await ask(source);
    endpoint.rotate(-5000);
    const error = await failure(ask(source, host, [{ password: token }]));
    const text = inspect([source, error], { depth: 9, showHidden: true }) + JSON.stringify([source, error]);
    for (const secret of [token, 'secret/of+double', 'session//token']) expect(text).not.toContain(secret);
  });
});

describe('the environment', () => {
  it('gives keys as in Lambda, and is read anew after a refusal', async () => {
    use({
      ...noAwsCredentials,
      AWS_ACCESS_KEY_ID: 'ASIAONE',
      AWS_SECRET_ACCESS_KEY: 'one',
      AWS_SESSION_TOKEN: 'token one',
    });
    const clock = { now: Date.now() };
    const source = iamCredentials({ now: () => clock.now });
    const token = await ask(source);
    expect(readPresigned(token).signedWith('one')).toBe(true);
    use({ AWS_ACCESS_KEY_ID: 'ASIATWO', AWS_SECRET_ACCESS_KEY: 'two' });
    clock.now += minute;
    expect(await ask(source)).toBe(token);
    expect(readPresigned(await ask(source, host, [{ password: token }])).signedWith('two')).toBe(true);
    expect(endpoint.calls).toBe(0);
  });

  it('names a profile whose SSO session is over: log in again', async ({ onTestFinished }) => {
    const folder = await mkdtemp(path.join(tmpdir(), 'thawpool-sso-'));
    onTestFinished(() => rm(folder, { recursive: true }));
    const config = path.join(folder, 'config');
    await writeFile(
      config,
      '[profile corp]\nsso_session = corp\nsso_account_id = 111122223333\nsso_role_name = app\n' +
        '[sso-session corp]\nsso_start_url = https://corp.example.com/start\nsso_region = eu-west-1\n',
    );
    // The SDK keeps tokens of SSO sessions below the home directory.
    use({ ...endpoint.env, AWS_PROFILE: 'corp', AWS_CONFIG_FILE: config, HOME: folder });
    const error = await failure(ask(iamCredentials()));
    expect(error).toMatchObject({ code: 'ERR_POOL_CONNECT_CREDENTIALS', transient: false });
    expect(error.message).toMatch(
      /^IAM authentication found no AWS credentials to sign with \(.*SSO.*\)\. Log in again: aws sso login\. See ERR_/,
    );
    expect(endpoint.calls).toBe(0);
  });

  it('without any keys is an error that says what to set', async () => {
    use(noAwsCredentials);
    expect(await failure(ask(iamCredentials()))).toMatchObject({
      code: 'ERR_POOL_CONNECT_CREDENTIALS',
      transient: false,
      message: expect.stringContaining('elsewhere set AWS_PROFILE, or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY.'),
    });
  });
});
