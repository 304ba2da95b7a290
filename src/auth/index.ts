// `thawpool/auth`: where credentials come from, for those who bring their own.
export {
  type CredentialRequest,
  type CredentialSource,
  type Credentials,
  CredentialsError,
  type CredentialTarget,
} from './credentials.ts';
