// What a source of tokens takes, and where it goes.

// oxlint-disable-next-line no-restricted-imports -- a type only, to compare with
import type { Signer } from '@aws-sdk/rds-signer';
import { createPool } from 'thawpool';
import { type AwsCredentials, type CredentialSource, dsqlCredentials, iamCredentials } from 'thawpool/auth';
import { describe, expectTypeOf, it } from 'vitest';

type SignerCredentials = NonNullable<ConstructorParameters<typeof Signer>[0]['credentials']>;
type Provider = Extract<SignerCredentials, (...args: never[]) => unknown>;

describe('iamCredentials and dsqlCredentials', () => {
  it('take providers of the AWS SDK: pins a parameter that only our own functions fit', () => {
    expectTypeOf<Provider>().toExtend<AwsCredentials>();
    // As fromTemporaryCredentials has it, which shares no property with { forceRefresh }.
    type Runtime = (properties?: { callerClientConfig?: { region?: string } }) => ReturnType<Provider>;
    expectTypeOf<Runtime>().toExtend<AwsCredentials>();
    expectTypeOf<() => Promise<{ accessKeyId: string; secretAccessKey: string }>>().toExtend<AwsCredentials>();
  });

  it('are passwords of a pool: pins a source that only auth would take', () => {
    expectTypeOf(iamCredentials).returns.toEqualTypeOf<CredentialSource>();
    expectTypeOf(dsqlCredentials).returns.toEqualTypeOf<CredentialSource>();
    createPool({ password: iamCredentials({ region: 'eu-west-1' }) });
    createPool({ password: dsqlCredentials() });
  });

  it('need no option: pins a required one', () => {
    expectTypeOf(iamCredentials).toBeCallableWith();
    expectTypeOf(dsqlCredentials).toBeCallableWith();
  });
});
