// The real AWS SDK against Secrets Manager in miniature, and the Lambda extension beside it.
import { inspect } from 'node:util';
// oxlint-disable-next-line no-restricted-imports -- a user's own client
import { SecretsManager } from '@aws-sdk/client-secrets-manager';
import {
  type CredentialSource,
  type Credentials,
  type SecretCredentialsOptions,
  secretCredentials,
} from 'thawpool/auth';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test, vi } from 'vitest';
import { SecretSource } from '../../src/auth/secret.ts';
import { SecretReader } from '../../src/auth/secret-client.ts';
import { freePort } from '../support/free-port.ts';
import { ExtensionDouble } from '../support/secrets-manager/extension.ts';
import type { StoredSecret } from '../support/secrets-manager/secret-store.ts';
import { SecretsManagerDouble } from '../support/secrets-manager/secrets-manager.ts';
import { failure } from './support.ts';

const word = (count: number) => `word-${count}-of-the-test`;
const fields = (count: number) => ({
  username: 'app',
  password: word(count),
  engine: 'postgres',
  host: 'db',
  port: 5432,
});
const target = { host: 'localhost', port: 5432, user: undefined, database: undefined };

let manager: SecretsManagerDouble;
let secret: StoredSecret;
let secrets = 0;
let wall: number;
let warnings: string[];

beforeAll(async () => {
  manager = await SecretsManagerDouble.start();
});
beforeEach(() => {
  for (const [name, value] of Object.entries(manager.environment)) vi.stubEnv(name, value);
  // The files of whoever runs the tests are none of the tests' business.
  vi.stubEnv('AWS_CONFIG_FILE', '/nowhere/config');
  vi.stubEnv('AWS_SHARED_CREDENTIALS_FILE', '/nowhere/credentials');
  secrets += 1;
  secret = manager.store.create(`orders-db-${secrets}`, fields(1));
  manager.calls.length = 0;
  wall = 1_700_000_000_000;
  warnings = [];
});
afterEach(async () => {
  vi.unstubAllEnvs();
  await manager.healed();
});
afterAll(() => manager[Symbol.asyncDispose]());

const options = (more: Partial<SecretCredentialsOptions> = {}): SecretCredentialsOptions => ({
  secretArn: secret.arn,
  env: {},
  // On a machine that is slow, in a test that is not about time.
  timeoutMillis: 10_000,
  now: () => wall,
  onWarning: (message) => warnings.push(message),
  ...more,
});

const make = (more: Partial<SecretCredentialsOptions> = {}) => secretCredentials(options(more));

/** A function that has no AWS SDK. */
const withoutSdk = (env: Readonly<Record<string, string>>) => {
  const reader = { secretArn: secret.arn, timeoutMillis: 10_000, env, loadClient: async () => undefined };
  return new SecretSource(options({ env }), new SecretReader(reader));
};

async function ask(source: CredentialSource, refused: readonly (Credentials | undefined)[] = []) {
  const signal = new AbortController().signal;
  return source.credentials({ target, signal, refused: refused.filter((one) => one !== undefined) });
}

describe('by the AWS SDK', () => {
  test('the fields of the secret come with its version', async () => {
    const given = await ask(make());
    expect({ ...given }).toEqual({
      user: 'app',
      password: word(1),
      host: 'db',
      port: 5432,
      version: secret.at('AWSCURRENT')?.id,
    });
  });

  test('200 connections at once make one call', async () => {
    const source = make();
    const all = await Promise.all(Array.from({ length: 200 }, () => ask(source)));
    expect(new Set(all.map((given) => given?.password))).toEqual(new Set([word(1)]));
    expect(manager.count()).toBe(1);
  });

  test('200 that are refused at once make one more call for each stage that is needed', async () => {
    const source = make();
    const all = await Promise.all(Array.from({ length: 200 }, () => ask(source)));
    secret.createSecret(fields(2));
    const others = await Promise.all(all.map((given) => ask(source, [given])));
    expect(new Set(others.map((given) => given?.password))).toEqual(new Set([word(2)]));
    expect(manager.calls.map(({ stage }) => stage)).toEqual(['AWSCURRENT', 'AWSCURRENT', 'AWSPENDING']);
  });

  test('it is read again when its time is up', async () => {
    const source = make({ ttlMillis: 60_000 });
    await ask(source);
    secret.put(fields(2));
    wall += 59_999;
    expect((await ask(source))?.password).toBe(word(1));
    wall += 1;
    expect((await ask(source))?.password).toBe(word(2));
    expect(manager.count()).toBe(2);
  });

  test('a client of the user’s own is asked', async () => {
    const client = new SecretsManager({ region: 'eu-west-1' });
    try {
      expect((await ask(make({ client })))?.password).toBe(word(1));
      expect(manager.count()).toBe(1);
    } finally {
      client.destroy();
    }
  });

  test('a name will do where the region is known', async () => {
    const source = make({ secretArn: secret.name, env: { AWS_REGION: 'eu-west-1' } });
    expect((await ask(source))?.password).toBe(word(1));
  });
});

describe('a rotation', () => {
  test('is gone through with each step in its time', async () => {
    const source = make();
    const first = await ask(source);
    secret.createSecret(fields(2));
    expect((await ask(source))?.password).toBe(word(1));
    // setSecret: the database takes the second password only.
    const second = await ask(source, [first]);
    expect(second?.password).toBe(word(2));
    expect((await ask(source))?.password).toBe(word(2));
    secret.finishSecret();
    wall += 300_000;
    const third = await ask(source);
    expect(third).toMatchObject({ password: word(2), version: second?.version });
  });

  test('that finishes between two readings is not missed', async () => {
    const source = make();
    const first = await ask(source);
    secret.createSecret(fields(2));
    manager.beforeAnswer = ({ stage }) => {
      if (stage === 'AWSPENDING') secret.finishSecret();
    };
    expect((await ask(source, [first]))?.password).toBe(word(2));
  });

  test('that is cancelled after it was used brings the old version back', async () => {
    const source = make();
    const first = await ask(source);
    secret.createSecret(fields(2));
    await ask(source, [first]);
    wall += 300_000;
    expect((await ask(source))?.password).toBe(word(2));
    secret.cancel();
    wall += 300_000;
    expect((await ask(source))?.password).toBe(word(1));
  });

  test('that promotes before it changes the database is bridged by the version before', async () => {
    secret.put(fields(2));
    const source = make();
    const second = await ask(source);
    expect(second?.password).toBe(word(2));
    const first = await ask(source, [second]);
    expect(first?.password).toBe(word(1));
    expect((await ask(source, [first]))?.password).toBe(word(2));
  });

  test('of a stage that may not be read is one without it', async () => {
    manager.denyStage('AWSPENDING');
    manager.denyStage('AWSPREVIOUS');
    const source = make();
    expect(await ask(source, [await ask(source)])).toBeUndefined();
  });
});

describe('out of reach', () => {
  test('with a login at hand, that is used on, with a warning', async () => {
    const source = make({ ttlMillis: 60_000 });
    await ask(source);
    await manager.down();
    wall += 61_000;
    expect((await ask(source))?.password).toBe(word(1));
    expect(warnings).toHaveLength(1);
    expect(warnings[0]).toMatch(/held 61 s ago .*could not be reached .*\(ECONNREFUSED\)/);
    await manager.up();
    secret.put(fields(2));
    wall += 10_000;
    expect((await ask(source))?.password).toBe(word(2));
  });

  test('with no login at hand, that is an error which may pass', async () => {
    await manager.down();
    const source = make();
    const error = await failure(ask(source));
    expect(error).toMatchObject({ name: 'CredentialsError', code: 'ERR_POOL_CONNECT_CREDENTIALS', transient: true });
    await manager.up();
    expect((await ask(source))?.password).toBe(word(1));
  });

  test('hanging, it is waited for in bounded time', async () => {
    manager.hang();
    const error = await failure(ask(make({ timeoutMillis: 50 })));
    expect(error).toMatchObject({ transient: true });
    expect(error.message).toContain('did not answer within 50 ms');
    expect(error.message).toContain('NAT gateway');
  });

  test('hanging, it is not waited for by who gives up, and the reading goes on', async () => {
    manager.hang();
    const source = make();
    const controller = new AbortController();
    const waiting = Promise.resolve(source.credentials({ target, signal: controller.signal, refused: [] }));
    const stays = ask(source);
    await manager.called(1);
    controller.abort(new Error('out of time'));
    await expect(waiting).rejects.toThrow('out of time');
    // The connection is reset, and the SDK tries once more.
    await manager.healed();
    expect((await stays)?.password).toBe(word(1));
  });

  test('throttled for a moment, the SDK tries again', async () => {
    manager.throttle(1);
    expect((await ask(make()))?.password).toBe(word(1));
    expect(manager.count()).toBe(2);
  });

  test('throttled for longer, it is an error which may pass, after three tries', async () => {
    manager.throttle();
    const error = await failure(ask(make()));
    expect(error).toMatchObject({ transient: true });
    expect(error.message).toContain('is throttling calls');
    expect(manager.count()).toBe(3);
  });

  test('failing, it is an error which may pass', async () => {
    manager.fail('InternalServiceError', 'An error occurred on the server side.', 500);
    const error = await failure(ask(make()));
    expect(error).toMatchObject({ transient: true });
    expect(error.message).toContain('(InternalServiceError, 500)');
  });
});

describe('refused by Secrets Manager', () => {
  test.each([
    ['AccessDeniedException', 'no', 'allow the action secretsmanager:GetSecretValue on arn:aws:'],
    ['AccessDeniedException', 'Access to KMS is not allowed', 'is encrypted with a KMS key that this role may not use'],
    ['DecryptionFailure', 'no', 'is encrypted with a KMS key'],
    ['InvalidRequestException', 'It was marked for deletion.', 'It was marked for deletion (InvalidRequestException)'],
  ])('%s (%s) is told at once, with what to do', async (name, message, part) => {
    manager.fail(name, message);
    const error = await failure(ask(make()));
    expect(error).toMatchObject({ name: 'CredentialsError', transient: false });
    expect(error.message).toContain(part);
    expect(manager.count()).toBe(1);
  });

  test('a secret that is not there is told, with its region', async () => {
    const error = await failure(ask(make({ secretArn: `${secret.arn}x` })));
    expect(error).toMatchObject({ transient: false });
    expect(error.message).toContain(`There is no secret ${secret.arn}x with a version AWSCURRENT in eu-west-1`);
  });

  test('wrong keys are told', async () => {
    vi.stubEnv('AWS_SECRET_ACCESS_KEY', 'another');
    const error = await failure(ask(make()));
    expect(error.message).toContain('are missing, wrong or expired (InvalidSignatureException)');
  });

  test('no keys are told', async () => {
    for (const name of ['AWS_ACCESS_KEY_ID', 'AWS_SECRET_ACCESS_KEY', 'AWS_SESSION_TOKEN']) vi.stubEnv(name, undefined);
    vi.stubEnv('AWS_EC2_METADATA_DISABLED', 'true');
    const error = await failure(ask(make()));
    expect(error).toMatchObject({ name: 'CredentialsError' });
    expect(error.message).toContain('(CredentialsProviderError)');
  });

  test('no part of the secret is in an error about it', async () => {
    for (const content of [{ SecretString: word(7) }, { SecretBinary: Buffer.from(word(7)).toString('base64') }]) {
      secret.put(content);
      const error = await failure(ask(make()));
      expect(error.message).toContain(`The secret ${secret.arn} cannot be used to log in`);
      expect(inspect(error, { depth: null, showHidden: true })).not.toContain(word(7));
    }
    manager.garble(`{"SecretString": "${word(7)}" oops`);
    const error = await failure(ask(make()));
    expect(error).toMatchObject({ name: 'CredentialsError', transient: true });
    expect(inspect(error, { depth: null, showHidden: true })).not.toContain(word(7));
  });
});

describe('by the Lambda extension', () => {
  test('it is asked where it is there, and the AWS SDK is not', async () => {
    await using extension = await ExtensionDouble.start(manager.store);
    const given = await ask(make({ env: extension.environment }));
    expect(given).toMatchObject({ password: word(1), version: secret.at('AWSCURRENT')?.id });
    expect(extension.asked).toEqual(['AWSCURRENT']);
    expect(manager.count()).toBe(0);
  });

  test('it is left alone elsewhere than on Lambda', async () => {
    await using extension = await ExtensionDouble.start(manager.store);
    await ask(make({ env: { ...extension.environment, AWS_LAMBDA_RUNTIME_API: '' } }));
    expect(extension.asked).toEqual([]);
    expect(manager.count()).toBe(1);
  });

  test('it is passed by for a refused login, which its cache still holds', async () => {
    await using extension = await ExtensionDouble.start(manager.store);
    const source = make({ env: extension.environment, ttlMillis: 1000 });
    const first = await ask(source);
    secret.put(fields(2));
    expect((await ask(source, [first]))?.password).toBe(word(2));
    expect(manager.count()).toBe(1);
    // Its cache is older than ours: what was refused is not believed.
    wall += 1000;
    expect((await ask(source))?.password).toBe(word(2));
    expect(extension.asked).toEqual(['AWSCURRENT', 'AWSCURRENT']);
    extension.expire();
    wall += 1000;
    expect((await ask(source))?.password).toBe(word(2));
    expect(manager.count()).toBe(2);
  });

  test('it is told to refresh where there is no AWS SDK', async () => {
    await using extension = await ExtensionDouble.start(manager.store);
    const source = withoutSdk(extension.environment);
    const first = await ask(source);
    secret.createSecret(fields(2));
    const second = await ask(source, [first]);
    expect(second?.password).toBe(word(2));
    expect(extension.asked).toEqual(['AWSCURRENT', 'AWSCURRENT!', 'AWSPENDING!']);
  });

  test('it is asked without refresh where it does not know that, and may be stale', async () => {
    await using extension = await ExtensionDouble.start(manager.store);
    extension.knowsRefresh = false;
    const source = withoutSdk(extension.environment);
    const first = await ask(source);
    secret.put(fields(2));
    expect(await ask(source, [first])).toBeUndefined();
    extension.expire();
    expect((await ask(source, [first]))?.password).toBe(word(2));
  });

  test('it is waited for briefly while it starts', async () => {
    await using extension = await ExtensionDouble.start(manager.store);
    extension.notReady = 3;
    expect((await ask(make({ env: extension.environment })))?.password).toBe(word(1));
    expect(extension.asked).toHaveLength(4);
    expect(manager.count()).toBe(0);
  });

  test('it is passed by when it does not get ready', async () => {
    await using extension = await ExtensionDouble.start(manager.store);
    extension.notReady = Number.POSITIVE_INFINITY;
    expect((await ask(make({ env: extension.environment })))?.password).toBe(word(1));
    expect(manager.count()).toBe(1);
    const error = await failure(ask(withoutSdk(extension.environment)));
    expect(error).toMatchObject({ transient: true });
    expect(error.message).toContain('the Lambda extension is still starting');
  });

  test('it is not asked again where nobody listened, but for want of an AWS SDK', async () => {
    const port = await freePort();
    const env = { ...manager.environment, AWS_LAMBDA_RUNTIME_API: '127.0.0.1:9001' };
    const here = { ...env, PARAMETERS_SECRETS_EXTENSION_HTTP_PORT: String(port) };
    const [source, poor] = [make({ env: here, ttlMillis: 0 }), withoutSdk(here)];
    await ask(source);
    expect(manager.count()).toBe(1);
    const error = await failure(ask(poor));
    expect(error.message).toContain('@aws-sdk/client-secrets-manager is not installed');
    await using extension = await ExtensionDouble.start(manager.store, port);
    await ask(source);
    expect(manager.count()).toBe(2);
    expect(extension.asked).toEqual([]);
    expect((await ask(poor))?.password).toBe(word(1));
    expect(extension.asked).toEqual(['AWSCURRENT']);
  });

  test('it is passed by when it hangs or answers nonsense', async () => {
    await using extension = await ExtensionDouble.start(manager.store);
    extension.hanging = true;
    expect((await ask(make({ env: extension.environment })))?.password).toBe(word(1));
    extension.hanging = false;
    extension.failing = { status: 200, body: `"${word(1)}` };
    expect((await ask(make({ env: extension.environment })))?.password).toBe(word(1));
    expect(manager.count()).toBe(2);
    const error = await failure(ask(withoutSdk(extension.environment)));
    expect(inspect(error, { depth: null, showHidden: true })).not.toContain(word(1));
    expect(error.message).toContain('something that is no JSON object');
  });

  test.each([
    [404, 'ResourceNotFoundException', false, 'There is no secret'],
    [403, 'no', false, 'allow the action secretsmanager:GetSecretValue'],
    [400, 'AccessDeniedException: Access to KMS is not allowed', false, 'is encrypted with a KMS key'],
    [400, 'an unexpected error occurred', false, 'the Lambda extension answered 400'],
    [500, 'an unexpected error occurred', true, '(ExtensionAnswer, 500)'],
    [400, 'ThrottlingException: Rate exceeded', true, 'is throttling calls'],
  ])('its answer %i (%s) is explained where there is no AWS SDK', async (status, body, transient, part) => {
    await using extension = await ExtensionDouble.start(manager.store);
    extension.failing = { status, body };
    const error = await failure(ask(withoutSdk(extension.environment)));
    expect(error).toMatchObject({ name: 'CredentialsError', transient });
    expect(error.message).toContain(part);
    expect(extension.asked).toHaveLength(1);
  });
});
