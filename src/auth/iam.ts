/**
 * Logs in with tokens that are signed with AWS credentials instead of a password: `auth: 'iam'`. It decides what a token
 * is for; when one is made and how long it is kept is decided in iam-tokens.ts.
 */
import type { CredentialRequest, CredentialSource, Credentials } from './credentials.ts';
import { noUserError } from './iam-errors.ts';
import { type AwsHost, dsqlHost, plainHost, rdsHost } from './iam-hosts.ts';
import { type AwsCredentials, dsqlSigner, rdsSigner } from './iam-signers.ts';
import { type TokenSigner, TokenStore } from './iam-tokens.ts';
import { inspected } from './inspected.ts';
import { isLocal } from './local-host.ts';

/** Holds what {@link iamCredentials} and {@link dsqlCredentials} have in common. */
export interface AwsTokenOptions {
  /** @default the region in the host name; where that names none, `AWS_REGION`, then `AWS_DEFAULT_REGION` */
  readonly region?: string | undefined;
  /**
   * The host that tokens are for, where that is not the one connected to: the endpoint behind an SSH tunnel, or behind a name
   * of one's own. Amazon takes a token for its own endpoint's name alone.
   */
  readonly hostname?: string | undefined;
  /** Where AWS credentials come from. @default the SDK's chain; in Lambda the function's role */
  readonly credentials?: AwsCredentials | undefined;
  /** @default process.env */
  readonly env?: Readonly<Record<string, string | undefined>> | undefined;
  /** Reads the wall clock, in milliseconds since 1970. @default Date.now */
  readonly now?: (() => number) | undefined;
  /** Hears what should be looked at but fails nothing. @default process.emitWarning */
  readonly onWarning?: ((message: string) => void) | undefined;
}

/** Holds the options of {@link iamCredentials}. */
export interface IamOptions extends AwsTokenOptions {
  /** The port that tokens are for, where that is not the one connected to, as with a tunnel. */
  readonly port?: number | undefined;
  /** Makes tokens of another kind. It gets what the options say; `credentials` means nothing to it. @default Amazon RDS's */
  readonly signer?: TokenSigner | undefined;
}

/** Holds the options of {@link dsqlCredentials}. */
export interface DsqlOptions extends AwsTokenOptions {
  /**
   * How long a token is good for, 1000 to 604,800,000 (a week, the longest that Aurora DSQL takes). It is kept for two
   * thirds of that, and no longer than the AWS credentials that signed it are good. @default 900,000
   */
  readonly tokenLifetimeMillis?: number | undefined;
}

/**
 * Gives tokens for IAM authentication at Amazon RDS, Aurora and RDS Proxy. Signing is local and costs no request; the AWS
 * credentials for it are fetched once. `@aws-sdk/rds-signer` must be installed, and is loaded with the first token.
 *
 * A token is made once for all connections to one host, port, user and region, kept for ten of its fifteen minutes of wall
 * clock, however long the process is frozen in between, and replaced a minute before the AWS credentials expire that
 * signed it. When the server refuses it, one more is signed with credentials that are asked for anew.
 *
 * @throws CredentialsError (`ERR_POOL_CONNECT_CREDENTIALS`) from `credentials()`: no user, no region, no package, no AWS
 * credentials. `transient` where the endpoint that has these does not answer.
 */
export function iamCredentials(options: IamOptions = {}): CredentialSource {
  const { env = process.env, now = Date.now, credentials, signer, port } = options;
  return tokenSource(options, {
    signer: signer ?? rdsSigner({ env, now, credentials }),
    port,
    // Whether a name will do for a token of another kind is not known here.
    hostOf: signer ? (host) => ({ ...rdsHost(host), known: true }) : rdsHost,
    userHint: 'set PGUSER, or the user in DATABASE_URL, to a role that was granted rds_iam.',
    endpoint: 'the endpoint that ends in .rds.amazonaws.com',
  });
}

/**
 * Gives tokens for Aurora DSQL: for the user `admin` those of DbConnectAdmin, for every other those of DbConnect. All else
 * is as with {@link iamCredentials}; the package is `@aws-sdk/dsql-signer`.
 *
 * Aurora DSQL ends a connection after 60 minutes: keep `maxLifetimeMillis` below 3,600,000. Its database is `postgres`.
 *
 * @throws CredentialsError (`ERR_POOL_CONNECT_CREDENTIALS`) as {@link iamCredentials} does.
 * @throws RangeError when `tokenLifetimeMillis` is out of its range.
 */
export function dsqlCredentials(options: DsqlOptions = {}): CredentialSource {
  const { env = process.env, now = Date.now, credentials, tokenLifetimeMillis = 900_000 } = options;
  // SigV4 refuses more than a week, and so does Aurora DSQL (user guide, Generating an authentication token).
  if (!(tokenLifetimeMillis >= 1000 && tokenLifetimeMillis <= 604_800_000)) {
    throw new RangeError(
      `tokenLifetimeMillis must be from 1000 to 604800000 (a week), got ${tokenLifetimeMillis}: the default is 900000.`,
    );
  }
  return tokenSource(options, {
    signer: dsqlSigner({ env, now, credentials, lifetimeMillis: tokenLifetimeMillis }),
    port: undefined,
    hostOf: dsqlHost,
    userHint: 'set PGUSER, or the user in DATABASE_URL, to admin or a role that AWS IAM GRANT named.',
    endpoint: 'the endpoint that ends in .on.aws',
  });
}

interface Kind {
  readonly signer: TokenSigner;
  readonly port: number | undefined;
  readonly hostOf: (host: string) => AwsHost;
  readonly userHint: string;
  readonly endpoint: string;
}

/** Returns closures and no object that holds a token: `inspect` and JSON show the name. */
function tokenSource(options: AwsTokenOptions, kind: Kind): CredentialSource {
  const { env = process.env, now = Date.now, hostname, onWarning = warn } = options;
  const { signer, hostOf, endpoint } = kind;
  const store = new TokenStore(signer, { wall: now, monotonic: () => performance.now() });
  const warned = new Set<string>();
  const warnOf = (host: string): void => {
    if (warned.has(host) || isLocal(host)) return;
    warned.add(host);
    const what = process.getBuiltinModule('node:net').isIP(host) > 0 ? 'an address' : 'not a name that Amazon gave out';
    onWarning(
      `${signer.name} makes tokens for ${host}, which is ${what}: the server will refuse them. Connect to ${endpoint}, or ` +
        'give iamCredentials() and dsqlCredentials() that name as hostname.',
    );
  };
  return Object.freeze({
    name: signer.name,
    requiresTls: true,
    async credentials({ target, signal, refused }: CredentialRequest): Promise<Credentials | undefined> {
      // A token with fresh credentials was refused as well: it is not the token.
      if (refused.length >= 2) return undefined;
      if (target.user === undefined || target.user === '') throw noUserError(signer.name, kind.userHint);
      const host = plainHost(hostname ?? target.host);
      const aws = hostOf(host);
      if (!aws.known) warnOf(host);
      const region = [options.region, aws.region, env['AWS_REGION'], env['AWS_DEFAULT_REGION']].find(Boolean);
      const request = { host, port: kind.port ?? target.port, user: target.user, region };
      return new TokenLogin(await store.token(request, refused[0]?.password, signal));
    },
  });
}

/** Holds a token as a password. It is an ordinary field, so that a copy has it; shown by `inspect()` or as JSON it is hidden. */
class TokenLogin implements Credentials {
  readonly password: string;

  constructor(token: string) {
    this.password = token;
  }

  toJSON(): Credentials {
    return { password: '[hidden]' };
  }

  [inspected](): Credentials {
    return this.toJSON();
  }
}

const warn = (message: string): void => process.emitWarning(message, 'PoolWarning');
