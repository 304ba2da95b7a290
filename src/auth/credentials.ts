/**
 * What a connection logs in with, and where that comes from. The connector asks a {@link CredentialSource} for each
 * connection that it opens; a source keeps what it has until it must be replaced. It must not know what a pool is.
 */

/** Says where a connection goes: to the server, proxy or reader that is really connected to. */
export interface CredentialTarget {
  readonly host: string;
  readonly port: number;
  /** Nothing where neither an option nor the environment names one. */
  readonly user: string | undefined;
  readonly database: string | undefined;
}

/** Holds what a connection logs in with. What is left out stays as it was configured. */
export interface Credentials {
  readonly password: string;
  /** The role that this password belongs to. */
  readonly user?: string;
  /** Where the database is; an option or a variable that names another place wins. */
  readonly host?: string;
  readonly port?: number;
  readonly database?: string;
  /**
   * Changes when connections that were made with older credentials should not be used any more: those are then closed
   * as they come back (`stale-credentials`). Absent where a connection outlives what it was opened with, as with tokens.
   */
  readonly version?: string;
}

/** Asks for the credentials of one connection. */
export interface CredentialRequest {
  readonly target: CredentialTarget;
  /** Fires when nobody waits for the connection any more. What others may need can go on. */
  readonly signal: AbortSignal;
  /** What the server has refused while this connection was being opened, the last one last; empty the first time. */
  readonly refused: readonly Credentials[];
}

/**
 * Gives a pool its credentials: one's own as `password`, or those behind `auth: 'iam'` and `auth: 'secret'`.
 *
 * Called for every connection, several times at once; what it returns it should keep. After the server has refused what it
 * gave, it is asked again, with that in `refused`, and returns other credentials, or nothing when it has no others.
 */
export interface CredentialSource {
  /** For error messages; no secret. For example `the secret orders-db`. */
  readonly name: string;
  /** What it gives may not be sent without TLS: connecting without is refused. @default false */
  readonly requiresTls?: boolean;
  /**
   * Its credentials say where to connect, or as whom, so they are waited for before that; otherwise only their password is
   * looked at, and they may come while the connection is being made.
   *
   * @default false
   */
  readonly locates?: boolean;
  /** @throws CredentialsError when there are none to be had; anything else it throws is shown as it is. */
  credentials(request: CredentialRequest): Promise<Credentials | undefined> | Credentials | undefined;
}

/** Reports that a source has no credentials: nothing was sent to the server. It never holds a secret. */
export class CredentialsError extends Error {
  /** Stable identifier. */
  readonly code = 'ERR_POOL_CONNECT_CREDENTIALS';
  /** Whether it may work in a moment, as when a service is throttling. */
  readonly transient: boolean;

  constructor(message: string, options: ErrorOptions & { readonly transient?: boolean } = {}) {
    super(message, options);
    this.name = 'CredentialsError';
    this.transient = options.transient ?? false;
  }
}
