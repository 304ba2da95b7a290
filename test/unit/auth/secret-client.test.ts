import { inspect } from 'node:util';
import { describe, expect, test } from 'vitest';
import { CredentialsError } from '../../../src/auth/credentials.ts';
import { SecretReader, type SecretReaderOptions, type SecretsClientLike } from '../../../src/auth/secret-client.ts';
import { explainSecretError } from '../../../src/auth/secret-errors.ts';
import { failure } from '../../integration/support.ts';

const arn = 'arn:aws:secretsmanager:eu-west-1:111122223333:secret:orders-db-AbCdEf';
const good = { SecretString: '{"password":"word-of-the-test"}', VersionId: 'v1' };
const facts = { secretArn: arn, region: 'eu-west-1', stage: 'AWSCURRENT', timeoutMillis: 3000 } as const;

/** What the AWS SDK throws. */
const thrownBySdk = (name: string, message = 'Said so.', httpStatusCode = 400, more: object = {}) =>
  Object.assign(new Error(message), { name, $metadata: { httpStatusCode }, ...more });

const answering = (result: () => unknown): SecretsClientLike => ({
  getSecretValue: async () => result() as typeof good,
});

const reader = (options: Partial<SecretReaderOptions> = {}) =>
  new SecretReader({ secretArn: arn, timeoutMillis: 3000, env: {}, ...options });

describe('the region', () => {
  const regionFor = async (options: Partial<SecretReaderOptions>) => {
    const regions: string[] = [];
    const loadClient = async (region: string) => {
      regions.push(region);
      return answering(() => good);
    };
    await reader({ loadClient, ...options }).read('AWSCURRENT', true);
    return regions[0];
  };

  test.each<[string, Partial<SecretReaderOptions>, string]>([
    ['the option', { region: 'eu-north-1', env: { AWS_REGION: 'us-east-1' } }, 'eu-north-1'],
    ['the ARN', { env: { AWS_REGION: 'us-east-1' } }, 'eu-west-1'],
    ['AWS_REGION for a name', { secretArn: 'db', env: { AWS_REGION: 'us-east-1' } }, 'us-east-1'],
    ['AWS_DEFAULT_REGION', { secretArn: 'db', env: { AWS_DEFAULT_REGION: 'us-east-2' } }, 'us-east-2'],
    ['an ARN of China', { secretArn: 'arn:aws-cn:secretsmanager:cn-north-1:1:secret:db-AbCdEf' }, 'cn-north-1'],
  ])('is that of %s', async (_, options, region) => {
    expect(await regionFor(options)).toBe(region);
  });

  test('is asked for where nothing says it', async () => {
    const error = await failure(reader({ secretArn: 'orders/db' }).read('AWSCURRENT', true));
    expect(error).toBeInstanceOf(CredentialsError);
    expect(error.message).toBe(
      'The region of the secret orders/db is not known: give its whole ARN, or set AWS_REGION. See ERR_POOL_CONNECT_CREDENTIALS.',
    );
  });

  test('need not be known for a client of the user’s own', async () => {
    const answer = await reader({ secretArn: 'orders/db', client: answering(() => good) }).read('AWSCURRENT', false);
    expect(answer).toMatchObject({ direct: true, login: { password: 'word-of-the-test', version: 'v1' } });
  });
});

describe('the AWS SDK', () => {
  test('that is not installed is named, with what else there is', async () => {
    const error = await failure(reader({ loadClient: async () => undefined }).read('AWSCURRENT', false));
    expect(error).toMatchObject({ name: 'CredentialsError', transient: false });
    expect(error.message).toBe(
      `The secret ${arn} cannot be read: the package @aws-sdk/client-secrets-manager is not installed, and no AWS ` +
        'Parameters and Secrets Lambda Extension answers. Install the package (npm install ' +
        "@aws-sdk/client-secrets-manager), and leave it out of no bundle; or add the extension's layer to the function. " +
        'See ERR_POOL_CONNECT_CREDENTIALS.',
    );
  });

  test('is loaded once, and again after it could not be', async () => {
    let loads = 0;
    const loadClient = async () => {
      loads += 1;
      if (loads === 1) throw new Error('broken module');
      return answering(() => good);
    };
    const secret = reader({ loadClient });
    const error = await failure(secret.read('AWSCURRENT', true));
    expect(error.message).toContain('could not be read in eu-west-1: broken module (Error).');
    await secret.read('AWSCURRENT', true);
    await secret.read('AWSPENDING', true);
    expect(loads).toBe(2);
  });
});

describe('a reading', () => {
  test('ends when its time is up, also with a client that heeds no signal', async () => {
    const client: SecretsClientLike = { getSecretValue: () => new Promise(() => {}) };
    const error = await failure(reader({ client, timeoutMillis: 5 }).read('AWSCURRENT', true));
    expect(error).toMatchObject({ name: 'CredentialsError', transient: true });
    expect(error.message).toBe(
      `AWS Secrets Manager in eu-west-1 did not answer within 5 ms when asked for the secret ${arn}: in a VPC it needs an ` +
        'interface endpoint for Secrets Manager, with private DNS and a security group that lets this function in on port ' +
        '443, or a NAT gateway. See ERR_POOL_CONNECT_CREDENTIALS.',
    );
  });

  test('tells its client to stop when its time is up', async () => {
    let signal: AbortSignal | undefined;
    const client: SecretsClientLike = {
      getSecretValue: (_, options) => {
        signal = options?.abortSignal;
        return new Promise((_, reject) => {
          signal?.addEventListener('abort', () => reject(thrownBySdk('AbortError')));
        });
      },
    };
    const error = await failure(reader({ client, timeoutMillis: 5 }).read('AWSCURRENT', true));
    expect(signal?.aborted).toBe(true);
    expect(error.message).toContain('did not answer within 5 ms');
  });

  test('asks for the stage of the secret', async () => {
    const asked: object[] = [];
    const client: SecretsClientLike = {
      getSecretValue: async (input) => {
        asked.push(input);
        return good;
      },
    };
    await reader({ client }).read('AWSPENDING', true);
    expect(asked).toEqual([{ SecretId: arn, VersionStage: 'AWSPENDING' }]);
  });

  test('of a secret that is no login fails for that', async () => {
    const client = answering(() => ({ SecretString: 'word-of-the-test' }));
    const error = await failure(reader({ client }).read('AWSCURRENT', true));
    expect(error.message).toContain(`The secret ${arn} cannot be used to log in: it is not JSON.`);
    expect(inspect(error, { depth: null })).not.toContain('word-of-the-test');
  });
});

describe('an error', () => {
  const cases: readonly (readonly [string, Error, boolean, string])[] = [
    ['throttling', thrownBySdk('ThrottlingException'), true, `in eu-west-1 is throttling calls for the secret ${arn}`],
    [
      'throttling by its mark',
      thrownBySdk('Odd', '', 400, { $retryable: { throttling: true } }),
      true,
      'is throttling',
    ],
    ['throttling by its status', thrownBySdk('Odd', '', 429), true, 'is throttling'],
    ['a fault of the service', thrownBySdk('InternalServiceError', '', 500), true, '(InternalServiceError, 500)'],
    ['any 5xx', thrownBySdk('Odd', '', 503), true, `failed when asked for the secret ${arn} (Odd, 503)`],
    ['a timeout', thrownBySdk('TimeoutError'), true, 'did not answer within 3000 ms'],
    [
      'a timeout of a socket',
      Object.assign(new Error('x'), { code: 'ETIMEDOUT' }),
      true,
      'did not answer within 3000 ms',
    ],
    ['a refused connection', Object.assign(new Error('x'), { code: 'ECONNREFUSED' }), true, 'not be reached'],
    ['an unknown host', Object.assign(new Error('x'), { code: 'ENOTFOUND' }), true, '(ENOTFOUND): check the region;'],
    ['no way in a VPC', Object.assign(new Error('x'), { code: 'EHOSTUNREACH' }), true, 'or a NAT gateway'],
    ['denied access', thrownBySdk('AccessDeniedException'), false, `secretsmanager:GetSecretValue on ${arn} (Acc`],
    [
      'denied access to the key',
      thrownBySdk('AccessDeniedException', 'Access to KMS is not allowed'),
      false,
      'is encrypted with a KMS key that this role may not use',
    ],
    ['a key that cannot be used', thrownBySdk('DecryptionFailure'), false, 'is encrypted with a KMS key'],
    [
      'no such secret',
      thrownBySdk('ResourceNotFoundException'),
      false,
      `There is no secret ${arn} with a version AWSCURRENT in eu-west-1: check the ARN, the account and the region`,
    ],
    ['no AWS credentials', thrownBySdk('CredentialsProviderError'), false, 'are missing, wrong or expired'],
    ['expired AWS credentials', thrownBySdk('ExpiredTokenException'), false, '(ExpiredTokenException)'],
    [
      'a deleted secret',
      thrownBySdk('InvalidRequestException', 'Marked for deletion.'),
      false,
      ': Marked for deletion (Inv',
    ],
    ['anything else', new TypeError('odd'), false, 'could not be read in eu-west-1: odd (TypeError).'],
  ];

  test.each(cases)('says what to do: %s', (_, cause, transient, part) => {
    const error = explainSecretError(cause, facts);
    expect(error).toMatchObject({ name: 'CredentialsError', transient, cause });
    expect(error.message).toContain(part);
    expect(error.message).toContain(arn);
    expect(error.message.endsWith(' See ERR_POOL_CONNECT_CREDENTIALS.')).toBe(true);
  });

  test('names the stage where that is denied', () => {
    const { message } = explainSecretError(thrownBySdk('AccessDeniedException'), { ...facts, stage: 'AWSPENDING' });
    expect(message).toContain(`on ${arn}, also for the version stage AWSPENDING`);
  });

  test('that is not an object is shown as it is', () => {
    expect(explainSecretError('odd', facts).message).toContain('could not be read in eu-west-1: odd (unknown).');
    expect(explainSecretError(undefined, { ...facts, region: undefined }).message).toContain('read: undefined (');
  });

  test('of a parser is not kept: it quotes the text', () => {
    const error = explainSecretError(new SyntaxError('Unexpected token, "word-of-the-test" is not JSON'), facts);
    expect(error.transient).toBe(true);
    expect(inspect(error, { depth: null, showHidden: true })).not.toContain('word-of-the-test');
    expect(error.message).toContain('answered no JSON');
  });

  test('that explains itself stays as it is', () => {
    const error = new CredentialsError('This is why.');
    expect(explainSecretError(error, facts)).toBe(error);
  });
});
