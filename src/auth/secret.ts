/**
 * Gives a pool the login that a secret of AWS Secrets Manager holds, over rotations and outages of the service. It keeps
 * one login, the one that is believed to work, and must not know what a pool is. `docs/secrets.md` has the table of what
 * happens in which order of a rotation.
 */
import { type CredentialRequest, type CredentialSource, type Credentials, CredentialsError } from './credentials.ts';
import { type SecretAnswer, SecretReader, type SecretsClientLike, untilAborted } from './secret-client.ts';
import type { SecretStage } from './secret-errors.ts';
import { Flights } from './secret-flights.ts';
import { SecretLogin, sameLogin } from './secret-shape.ts';
import { TtlCache } from './ttl-cache.ts';

/** Says which secret {@link secretCredentials} reads, and how. */
export interface SecretCredentialsOptions {
  /** The ARN of the secret; its name does as well, for a secret of this account. */
  readonly secretArn: string;
  /** @default the ARN's, else `AWS_REGION` */
  readonly region?: string | undefined;
  /**
   * How long what was read is used before it is read again, in milliseconds. A rotation does not wait for it: what the
   * server refuses is read again at once.
   *
   * @default 300_000 (what AWS's own caches for functions keep: the Parameters and Secrets Lambda Extension and the Secrets
   * Manager Agent; AWS Lambda Developer Guide, "Use Secrets Manager secrets in Lambda functions")
   */
  readonly ttlMillis?: number | undefined;
  /**
   * How long one reading may take, attempts of the AWS SDK included, in milliseconds.
   *
   * @default 3_000 (below the 5,000 that a connection is waited for, so that an outage leaves time to use the last known login)
   */
  readonly timeoutMillis?: number | undefined;
  /** Asked instead of the extension and a client of our own: `new SecretsManager({ … })` of `@aws-sdk/client-secrets-manager`. */
  readonly client?: SecretsClientLike | undefined;
  /** Where region and extension are looked up. The AWS SDK looks into the process's own. @default process.env */
  readonly env?: Readonly<Record<string, string | undefined>> | undefined;
  /** Hears when Secrets Manager is out of reach and an old login is used on; once for each outage. */
  readonly onWarning?: ((message: string) => void) | undefined;
  /** The wall clock, in milliseconds since 1970. @default Date.now */
  readonly now?: (() => number) | undefined;
}

/** A login, and what is known of it. */
interface Held {
  readonly login: Credentials;
  /** Where it was read: what is at another stage than AWSCURRENT stands in for something that the server has refused. */
  readonly stage: SecretStage;
  readonly readAt: number;
  readonly ttlMillis: number;
}

const defaultTtlMillis = 300_000;
const defaultTimeoutMillis = 3000;
/**
 * After a failed reading, the login that is at hand is used for so long before the next try. Chosen so that, of a service
 * that hangs and costs 3 s a reading, connects feel less than a third.
 */
const outageMillis = 10_000;

/** The three stages of two rotations: what is older is at no stage that is read. */
const mostRemembered = 6;

/** There is one login to keep. */
const kept = 'login';

/**
 * Takes the login out of a secret of AWS Secrets Manager: password, and user, host, port and database where the secret has
 * them. Nothing is read before the first connection asks. Reading is shared: one call for all who wait.
 *
 * After the server has refused a login, the secret is read again past every cache: AWSCURRENT, then AWSPENDING (a rotation
 * changes the password before it promotes the stage), then AWSPREVIOUS (somebody promoted the stage before the password was
 * changed, or a replica has not heard of it yet). What was found is used from then on.
 *
 * @throws `credentials()` rejects with CredentialsError (`ERR_POOL_CONNECT_CREDENTIALS`): `transient` when Secrets Manager
 * is throttling, failing or out of reach, and only where no login is at hand; at once when access is denied, the secret
 * does not exist or is no login. None of its messages holds a part of the secret.
 */
export function secretCredentials(options: SecretCredentialsOptions): CredentialSource {
  const { secretArn, region, client, env = process.env, timeoutMillis = defaultTimeoutMillis } = options;
  return new SecretSource(options, new SecretReader({ secretArn, region, client, env, timeoutMillis }));
}

/** What {@link secretCredentials} returns; here for tests, which bring a reader of their own. */
export class SecretSource implements CredentialSource {
  readonly name: string;
  readonly locates = true;
  readonly #ttlMillis: number;
  readonly #now: () => number;
  readonly #onWarning: (message: string) => void;
  readonly #reader: Pick<SecretReader, 'read'>;
  readonly #cache: TtlCache<Held>;
  readonly #flights: Readonly<Record<SecretStage, Flights<SecretAnswer | undefined>>>;
  /** Says what was before what; clocks are too coarse for that. */
  #turn = 0;
  readonly #handedOut = new WeakMap<Credentials, number>();
  /** The versions that the server has refused last. */
  readonly #refused = new Set<string>();
  #last: Held | undefined;
  #outage = false;

  constructor(options: SecretCredentialsOptions, reader: Pick<SecretReader, 'read'>) {
    const { secretArn, ttlMillis = defaultTtlMillis, now = () => Date.now(), onWarning = () => {} } = options;
    this.name = `the secret ${shortName(secretArn)}`;
    this.#ttlMillis = ttlMillis;
    this.#now = now;
    this.#onWarning = onWarning;
    this.#reader = reader;
    this.#cache = new TtlCache({ ttlMillis, now });
    const flights = (make: () => Promise<SecretAnswer | undefined>): Flights<SecretAnswer | undefined> =>
      new Flights(make, () => this.#tick());
    this.#flights = {
      AWSCURRENT: flights(() => reader.read('AWSCURRENT', true)),
      AWSPENDING: flights(() => this.#optional('AWSPENDING')),
      AWSPREVIOUS: flights(() => this.#optional('AWSPREVIOUS')),
    };
  }

  async credentials({ refused, signal }: CredentialRequest): Promise<Credentials | undefined> {
    signal.throwIfAborted();
    const found = await untilAborted(refused.length === 0 ? this.#usual() : this.#another(refused), signal);
    if (found === undefined) return undefined;
    // A copy for each: that says when it was handed out, and so which readings are news to whom it is refused.
    const login = new SecretLogin(found);
    this.#handedOut.set(login, this.#tick());
    return login;
  }

  #tick(): number {
    this.#turn += 1;
    return this.#turn;
  }

  async #usual(): Promise<Credentials> {
    const held = await this.#cache.load(
      kept,
      () => this.#read(),
      ({ ttlMillis }) => ttlMillis,
    );
    return held.login;
  }

  /** Reads what connections are to begin with; the last known good where that cannot be had for now. */
  async #read(): Promise<Held> {
    const readAt = this.#now();
    const before = this.#last;
    try {
      const { login, stage } = await this.#begin();
      // What was found after a refusal, meanwhile, is newer than what was just read.
      if (this.#last && this.#last !== before) return this.#last;
      this.#last = { login, stage, readAt, ttlMillis: this.#ttlMillis };
      this.#outage = false;
      return this.#last;
    } catch (error) {
      const last = this.#last;
      if (last === undefined || !(error instanceof CredentialsError) || !error.transient) throw error;
      if (!this.#outage) this.#warn(last, error);
      this.#outage = true;
      return { ...last, ttlMillis: Math.min(this.#ttlMillis, outageMillis) };
    }
  }

  #warn({ login, readAt }: Held, error: CredentialsError): void {
    const seconds = Math.round((this.#now() - readAt) / 1000);
    const version = login.version === undefined ? '' : ` (version ${login.version})`;
    this.#onWarning(
      `Going on with what ${this.name} held ${seconds} s ago${version}, for it cannot be read now: ${error.message}`,
    );
  }

  async #begin(): Promise<{ login: Credentials; stage: SecretStage }> {
    let answer = await this.#reader.read('AWSCURRENT', false);
    // The extension's cache may be older than the refusal.
    if (!answer.direct && this.#isRefused(answer.login)) answer = await this.#reader.read('AWSCURRENT', true);
    const current = { login: answer.login, stage: 'AWSCURRENT' } as const;
    if (!this.#isRefused(current.login)) return current;
    // A rotation was left half done, or is about to be finished: what stood in for this version goes on doing so, as long
    // as it is still at its stage. Otherwise every TTL would begin with a refused login.
    const last = this.#last;
    if (last === undefined || last.stage === 'AWSCURRENT') return current;
    const still = await this.#optional(last.stage);
    return still && sameLogin(still.login, last.login) ? last : current;
  }

  #remember(version: string | undefined): void {
    if (version === undefined) return;
    this.#refused.delete(version);
    this.#refused.add(version);
    const [oldest] = this.#refused;
    if (oldest !== undefined && this.#refused.size > mostRemembered) this.#refused.delete(oldest);
  }

  #isRefused({ version }: Credentials): boolean {
    return version !== undefined && this.#refused.has(version);
  }

  /** A version that there need not be, and that a policy may keep from us (condition key secretsmanager:VersionStage). */
  async #optional(stage: SecretStage): Promise<SecretAnswer | undefined> {
    try {
      return await this.#reader.read(stage, true);
    } catch (error) {
      if (error instanceof CredentialsError && !error.transient) return undefined;
      throw error;
    }
  }

  /** Finds a login that the server has not refused to this connection. */
  async #another(refused: readonly Credentials[]): Promise<Credentials | undefined> {
    for (const { version } of refused) this.#remember(version);
    const last = refused.at(-1);
    // Of credentials that are not ours nobody knows when they were handed out: only what is read from now on is news.
    const since = (last && this.#handedOut.get(last)) ?? this.#turn;
    const untried = (login: Credentials) => refused.every((one) => !sameLogin(one, login));
    /** What others have found meanwhile goes before what was just read: it may be newer. */
    const offer = (answer: SecretAnswer | undefined, stage: SecretStage): Credentials | undefined => {
      const held = this.#cache.get(kept);
      if (held && untried(held.login)) return held.login;
      if (!answer || !untried(answer.login)) return undefined;
      return this.#keep(answer.login, stage);
    };

    const known = offer(undefined, 'AWSCURRENT');
    if (known) return known;
    const current = await this.#again(since);
    const byCurrent = offer(current, 'AWSCURRENT');
    if (byCurrent) return byCurrent;
    const pending = await this.#flights.AWSPENDING.after(since);
    const byPending = offer(pending.value, 'AWSPENDING');
    if (byPending) return byPending;
    // It may have been promoted between those two: then it is AWSCURRENT by now.
    const again = await this.#again(pending.answered);
    const byNow = offer(again, 'AWSCURRENT');
    if (byNow) return byNow;
    const previous = (await this.#flights.AWSPREVIOUS.after(since)).value;
    const byPrevious = offer(previous, 'AWSPREVIOUS');
    if (byPrevious) return byPrevious;
    // Nothing works: the next connection begins where one would without all this.
    if (again) this.#keep(again.login, 'AWSCURRENT');
    return undefined;
  }

  async #again(since: number): Promise<SecretAnswer | undefined> {
    try {
      return (await this.#flights.AWSCURRENT.after(since)).value;
    } catch (error) {
      if (!(error instanceof CredentialsError)) throw error;
      throw new CredentialsError(
        `The server has refused the login of ${this.name}, and whether there is a newer one cannot be read: ${error.message}`,
        { cause: error, transient: error.transient },
      );
    }
  }

  /** Believes in a login until it is refused: whether it works is heard only if it does not. */
  #keep(login: Credentials, stage: SecretStage): Credentials {
    this.#last = { login, stage, readAt: this.#now(), ttlMillis: this.#ttlMillis };
    this.#outage = false;
    this.#cache.set(kept, this.#last, this.#ttlMillis);
    return login;
  }
}

/** An ARN ends with the name and six characters of Secrets Manager's own (AWS Secrets Manager User Guide, "Secret ARN"). */
function shortName(secretArn: string): string {
  const name = secretArn.startsWith('arn:') ? (secretArn.split(':secret:')[1] ?? secretArn) : secretArn;
  return secretArn.startsWith('arn:') ? name.replace(/-[A-Za-z0-9]{6}$/, '') : name;
}
