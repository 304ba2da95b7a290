// `thawpool/auth`: where credentials come from, for those who bring their own.
export {
  type CredentialRequest,
  type CredentialSource,
  type Credentials,
  CredentialsError,
  type CredentialTarget,
} from './credentials.ts';
export { type AwsTokenOptions, type DsqlOptions, dsqlCredentials, type IamOptions, iamCredentials } from './iam.ts';
export type { AwsCredentials, AwsIdentity } from './iam-signers.ts';
export type { SignedToken, TokenRequest, TokenSigner } from './iam-tokens.ts';
export { type SecretCredentialsOptions, secretCredentials } from './secret.ts';
export type { SecretsClientLike } from './secret-client.ts';
export type { SecretValue } from './secret-shape.ts';
