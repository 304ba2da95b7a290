/** Signs tokens with Amazon's own packages, which are loaded with the first token: who logs in by password never pays for them. */
import { awsError, expiredError, noRegionError, packageError } from './iam-errors.ts';
import { expiryMarginMillis, type SignedToken, type TokenRequest, type TokenSigner } from './iam-tokens.ts';

/** What AWS credentials consist of: `AwsCredentialIdentity` of the AWS SDK. */
export interface AwsIdentity {
  readonly accessKeyId: string;
  readonly secretAccessKey: string;
  readonly sessionToken?: string;
  readonly expiration?: Date;
}

/**
 * Gives AWS credentials: a provider of `@aws-sdk/credential-providers`, or a function of one's own. It is called once for each
 * signature; with `forceRefresh`, what it keeps has been refused or is about to expire.
 */
export type AwsCredentials = (options?: {
  readonly forceRefresh?: boolean;
  /** Never given. Some of the SDK's providers take nothing but this, and would not fit the type without it. */
  readonly callerClientConfig?: never;
}) => Promise<AwsIdentity>;

/** Holds what the signers behind {@link iamCredentials} and {@link dsqlCredentials} are made of. */
export interface AwsSignerOptions {
  /** @default the SDK's chain: environment, shared files, SSO, web identity, container, instance */
  readonly credentials?: AwsCredentials | undefined;
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly now: () => number;
}

/** What is used of `@aws-sdk/rds-signer`. */
interface RdsSignerModule {
  readonly Signer: new (config: {
    hostname: string;
    port: number;
    username: string;
    region: string;
    credentials?: AwsIdentity;
  }) => { getAuthToken(): Promise<string> };
}

/** What is used of `@aws-sdk/dsql-signer`. */
interface DsqlSignerModule {
  readonly DsqlSigner: new (config: {
    hostname: string;
    region: string;
    expiresIn: number;
    credentials?: AwsIdentity;
  }) => { getDbConnectAuthToken(): Promise<string>; getDbConnectAdminAuthToken(): Promise<string> };
}

interface Placed extends TokenRequest {
  readonly region: string;
}

/** A signature that is ready to be made, and the SDK's object that makes it. */
interface Prepared {
  readonly signer: object;
  sign(): Promise<string>;
}

/** What differs between the services. */
interface AwsService {
  readonly name: string;
  readonly lifetimeMillis: number;
  /** Loads the package. Without an identity, the SDK takes what its own chain finds. */
  load(): Promise<(request: Placed, identity?: AwsIdentity) => Prepared>;
}

/** Good for 15 minutes, which nobody can change (RDS user guide, IAM database authentication; rds-signer 3.1142: 900 s). */
const rdsLifetimeMillis = 900_000;

/** Makes tokens for Amazon RDS, Aurora and RDS Proxy. @throws CredentialsError when there is no region, package or AWS credential. */
export const rdsSigner = (options: AwsSignerOptions): TokenSigner => {
  const load = async (): Promise<RdsSignerModule> => {
    // A bundler that cannot find an import() leaves it alone only when it stands in a try (esbuild 0.28).
    try {
      // oxlint-disable-next-line no-restricted-imports -- loaded on first use only
      return whole<RdsSignerModule>(await import('@aws-sdk/rds-signer'), 'Signer');
    } catch (error) {
      throw packageError(error, '@aws-sdk/rds-signer', "auth: 'iam'");
    }
  };
  return awsSigner(options, {
    name: 'IAM authentication',
    lifetimeMillis: rdsLifetimeMillis,
    load: async () => {
      const { Signer } = await load();
      return ({ host, port, user, region }, identity) => {
        const signer = new Signer({
          hostname: host,
          port,
          username: user,
          region,
          ...(identity && { credentials: identity }),
        });
        return { signer, sign: () => signer.getAuthToken() };
      };
    },
  });
};

/** Makes tokens for Aurora DSQL: for the user `admin` those of its own kind. @throws CredentialsError as {@link rdsSigner} does. */
export const dsqlSigner = (options: AwsSignerOptions & { readonly lifetimeMillis: number }): TokenSigner => {
  const load = async (): Promise<DsqlSignerModule> => {
    try {
      // oxlint-disable-next-line no-restricted-imports -- loaded on first use only
      return whole<DsqlSignerModule>(await import('@aws-sdk/dsql-signer'), 'DsqlSigner');
    } catch (error) {
      throw packageError(error, '@aws-sdk/dsql-signer', 'dsqlCredentials()');
    }
  };
  const { lifetimeMillis } = options;
  return awsSigner(options, {
    name: 'Aurora DSQL authentication',
    lifetimeMillis,
    load: async () => {
      const { DsqlSigner } = await load();
      return ({ host, user, region }, identity) => {
        const expiresIn = Math.floor(lifetimeMillis / 1000);
        const signer = new DsqlSigner({
          hostname: host,
          region,
          expiresIn,
          ...(identity && { credentials: identity }),
        });
        const sign = (): Promise<string> =>
          user === 'admin' ? signer.getDbConnectAdminAuthToken() : signer.getDbConnectAuthToken();
        return { signer, sign };
      };
    },
  });
};

/** In a bundle that esbuild has split, a CommonJS package comes as `default` alone (esbuild 0.28). */
function whole<Module extends object>(module: Module, name: keyof Module): Module {
  return name in module ? module : (Reflect.get(module, 'default') as Module);
}

function awsSigner(options: AwsSignerOptions, service: AwsService): TokenSigner {
  const { name, lifetimeMillis } = service;
  // One chain for all hosts: it keeps the credentials, which are asked for once.
  let chain = options.credentials;
  return {
    name,
    lifetimeMillis,
    async sign(request: TokenRequest): Promise<SignedToken> {
      const { region, host } = request;
      if (region === undefined) throw noRegionError(name, host);
      const prepare = await service.load();
      const placed = { ...request, region };
      chain ??= chainOf(prepare(placed).signer);
      try {
        // A signer without a chain to be seen: a new one asks for credentials anew, and says nothing of how long they last.
        if (chain === undefined) return { token: await prepare(placed).sign() };
        const identity = await currentIdentity(chain, request.refresh, options.now);
        const expiresAt = identity.expiration?.getTime();
        const now = options.now();
        if (expiresAt !== undefined && expiresAt <= now) throw expiredError(name, now - expiresAt, options.env);
        return { token: await prepare(placed, identity).sign(), expiresAt };
      } catch (error) {
        throw awsError(error, name, options);
      }
    },
  };
}

/** Credentials that will not do much longer, or that a refused token was signed with, are asked for anew: the SDK keeps them. */
async function currentIdentity(chain: AwsCredentials, refresh: boolean, now: () => number): Promise<AwsIdentity> {
  if (refresh) return chain({ forceRefresh: true });
  const identity = await chain();
  const { expiration } = identity;
  if (expiration === undefined || expiration.getTime() - now() > expiryMarginMillis) return identity;
  return chain({ forceRefresh: true });
}

/**
 * Takes the chain of credential providers out of a signer that was made without credentials. It is a private field in the
 * SDK's types, but the only way to when they expire that needs no further package.
 */
function chainOf(signer: object): AwsCredentials | undefined {
  const credentials: unknown = Reflect.get(signer, 'credentials');
  return typeof credentials === 'function' ? (credentials as AwsCredentials) : undefined;
}
