/**
 * Keeps tokens: one for each place and user, one signature for everybody who waits, never one that is too old. It knows
 * neither Amazon nor how a token comes about.
 */
import { CredentialsError } from './credentials.ts';

/** Says what a token is for. */
export interface TokenRequest {
  /** The host that the token is for: usually the one connected to, in lower case. */
  readonly host: string;
  readonly port: number;
  readonly user: string;
  /** Nothing where neither an option, the host name nor the environment names one. */
  readonly region: string | undefined;
  /** The server has refused the last token: whatever was kept to sign with is to be fetched anew. */
  readonly refresh: boolean;
}

/** Holds a token and, where it is good only as long as what has signed it, the end of that. */
export interface SignedToken {
  readonly token: string;
  /** Milliseconds since 1970 at which the signer's own credentials expire. @default they do not */
  readonly expiresAt?: number | undefined;
}

/**
 * Makes tokens that a server takes instead of a password: one's own as `signer`, or those behind {@link iamCredentials}
 * and {@link dsqlCredentials}. It need keep nothing: it is called once for all who wait, and what it returns is kept for
 * two thirds of its life.
 */
export interface TokenSigner {
  /** For error messages; no secret. For example `Entra ID`. */
  readonly name: string;
  /** How long the server takes a token after it was signed. Amazon RDS: 900,000. */
  readonly lifetimeMillis: number;
  /** @throws CredentialsError when there is no token to be had; anything else it throws is shown as it is. */
  sign(request: TokenRequest): Promise<SignedToken>;
}

/** Reads both clocks: the wall clock in milliseconds since 1970, and one that people cannot set. */
export interface TokenClock {
  wall(): number;
  monotonic(): number;
}

/**
 * How long before its signer's credentials expire a kept token is replaced: connecting takes seconds, a minute with an
 * Aurora that resumes, and the clocks of two machines differ a little.
 */
export const expiryMarginMillis = 60_000;

/**
 * A signature has the second that it was made in (SigV4, X-Amz-Date): one that is younger than this cannot be improved
 * upon. Those who were refused with the token before it therefore share it, also when they come one after another.
 */
const newestMillis = 1000;

/**
 * After this a signature that is still awaited is begun again: the SDK's slowest way to credentials, a container's
 * endpoint that does not answer, gives up after 7 s (4 attempts and 3 pauses of 1 s; credential-provider-http 3.972).
 */
const flightMillis = 10_000;

interface Stamp {
  readonly wall: number;
  readonly monotonic: number;
}

interface Kept {
  readonly token: string;
  readonly since: Stamp;
  /** Good for the server until this age. */
  readonly lifeMillis: number;
  /** Handed out until this age. */
  readonly keepMillis: number;
  readonly refreshed: boolean;
}

interface Flight {
  readonly since: Stamp;
  readonly result: Promise<Kept>;
}

interface Entry {
  kept?: Kept | undefined;
  flight?: Flight | undefined;
}

/** Hands out tokens of one signer. */
export class TokenStore {
  readonly #signer: TokenSigner;
  readonly #clock: TokenClock;
  readonly #entries = new Map<string, Entry>();

  constructor(signer: TokenSigner, clock: TokenClock) {
    this.#signer = signer;
    this.#clock = clock;
  }

  /**
   * Gives a token that is good now, signing one when there is none.
   *
   * @param refused - the token that the server has just refused. A newer one that is there already is the answer;
   * otherwise one is signed with `refresh`, once for everybody who was refused.
   * @param signal - ends this wait; the signature goes on.
   * @throws what the signer throws, to everybody who waited for it.
   */
  async token(
    target: Omit<TokenRequest, 'refresh'>,
    refused: string | undefined,
    signal: AbortSignal,
  ): Promise<string> {
    signal.throwIfAborted();
    const key = JSON.stringify([target.host, target.port, target.user, target.region]);
    const entry = this.#entries.get(key) ?? {};
    this.#entries.set(key, entry);
    const kept = entry.kept;
    if (kept && this.#age(kept.since) < kept.keepMillis) {
      const newest = kept.refreshed && this.#age(kept.since) < newestMillis;
      if (kept.token !== refused || newest) return kept.token;
    }
    // Twice at most: a freeze may lie between the signature and this function's next turn, but hardly two.
    for (let attempt = 1; attempt <= 2; attempt += 1) {
      const flight = this.#flight(entry) ?? this.#sign(entry, { ...target, refresh: refused !== undefined });
      const signed = await untilAborted(flight.result, signal);
      if (this.#age(signed.since) < signed.lifeMillis) return signed.token;
    }
    throw new CredentialsError(
      `The token of ${this.#signer.name} for ${target.user} at ${target.host} was too old before it could be used, twice: ` +
        'the credentials that signed it have expired, or the clock is being set. See ERR_POOL_CONNECT_CREDENTIALS.',
      { transient: true },
    );
  }

  /** The signature that is under way, unless it has been for so long that its connection may have died in a freeze. */
  #flight(entry: Entry): Flight | undefined {
    return entry.flight && this.#age(entry.flight.since) < flightMillis ? entry.flight : undefined;
  }

  /** Begins a signature. What was kept is not handed out any more: it is too old, or refused. */
  #sign(entry: Entry, request: TokenRequest): Flight {
    const since = this.#stamp();
    entry.kept = undefined;
    const flight: Flight = { since, result: this.#signed(request, since) };
    entry.flight = flight;
    // Before anybody who waits hears of it. Not of a flight that was given up: a newer one has the word.
    const settle = (kept?: Kept): void => {
      if (entry.flight !== flight) return;
      entry.flight = undefined;
      entry.kept = kept;
    };
    flight.result.then(settle, () => settle());
    return flight;
  }

  async #signed(request: TokenRequest, since: Stamp): Promise<Kept> {
    const { lifetimeMillis } = this.#signer;
    const { token, expiresAt = Number.POSITIVE_INFINITY } = await this.#signer.sign(request);
    // Counted from before the signature, and by ages alone: a clock that is set back later cannot lengthen it.
    const left = expiresAt - since.wall;
    return {
      token,
      since,
      lifeMillis: Math.min(lifetimeMillis, left),
      keepMillis: Math.min((lifetimeMillis * 2) / 3, left - expiryMarginMillis),
      refreshed: request.refresh,
    };
  }

  #stamp(): Stamp {
    return { wall: this.#clock.wall(), monotonic: this.#clock.monotonic() };
  }

  /** The larger of what both clocks say, as one may stand still in a freeze. A wall clock that ran back tells nothing: very old. */
  #age(since: Stamp): number {
    const now = this.#stamp();
    if (now.wall < since.wall) return Number.POSITIVE_INFINITY;
    return Math.max(now.wall - since.wall, now.monotonic - since.monotonic);
  }
}

/** Waits for a promise that others wait for as well, no longer than the signal allows. */
function untilAborted<T>(promise: Promise<T>, signal: AbortSignal): Promise<T> {
  return new Promise((resolve, reject) => {
    const abort = (): void => reject(signal.reason);
    signal.addEventListener('abort', abort, { once: true });
    promise.then(resolve, reject).finally(() => signal.removeEventListener('abort', abort));
  });
}
