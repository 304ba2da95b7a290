// The credentials of one connection that is being opened: asked for once, and again when the server has refused them.

import type { CredentialSource, Credentials, CredentialTarget } from '../auth/credentials.ts';
import { pgbouncerMeaning } from './pgbouncer.ts';
import { codeOf } from './sqlstate.ts';

/** A source may know of three: what it keeps, what it fetches again, and what is about to become valid. */
const mostRefusals = 3;

/** Whether the login was refused: invalid_password, invalid_authorization_specification (PAM, too), and PgBouncer's words. */
export function isRefusedLogin(error: unknown): boolean {
  const code = codeOf(error);
  return code === '28P01' || code === '28000' || pgbouncerMeaning(error) === 'login';
}

/** The credentials of one connection that is being opened. */
export class Login {
  readonly #source: CredentialSource;
  readonly #signal: AbortSignal;
  #target: CredentialTarget | undefined;
  #credentials: Promise<Credentials> | undefined;
  #refused: Credentials[] = [];

  constructor(source: CredentialSource, signal: AbortSignal) {
    this.#source = source;
    this.#signal = signal;
  }

  /**
   * The credentials for this place: the same ones until they are refused.
   *
   * @throws what the source throws
   */
  for(target: CredentialTarget): Promise<Credentials> {
    if (this.#credentials === undefined || !isSame(this.#target, target)) {
      this.#target = target;
      this.#refused = [];
      const asked = this.#ask();
      this.#credentials = asked;
      // Heard of where they are needed, which may be never; the next attempt asks again.
      asked.catch(() => {
        if (this.#credentials === asked) this.#credentials = undefined;
      });
    }
    return this.#credentials;
  }

  /** The server has refused them. @returns whether there are others. @throws what the source throws */
  async renew(): Promise<boolean> {
    if (this.#credentials === undefined || this.#refused.length === mostRefusals) return false;
    this.#refused.push(await this.#credentials);
    const others = await this.#source.credentials(this.#request());
    if (others === undefined || this.#refused.some((refused) => isSameLogin(refused, others))) return false;
    this.#credentials = Promise.resolve(others);
    return true;
  }

  async #ask(): Promise<Credentials> {
    const credentials = await this.#source.credentials(this.#request());
    if (credentials === undefined) throw new TypeError(`${this.#source.name} gave no credentials`);
    if (typeof credentials.password !== 'string') {
      throw new TypeError(`${this.#source.name} gave credentials whose password is not a string`);
    }
    return credentials;
  }

  #request(): Parameters<CredentialSource['credentials']>[0] {
    const target = this.#target ?? { host: 'localhost', port: 5432, user: undefined, database: undefined };
    return { target, signal: this.#signal, refused: [...this.#refused] };
  }
}

function isSame(a: CredentialTarget | undefined, b: CredentialTarget): boolean {
  return a?.host === b.host && a.port === b.port && a.user === b.user && a.database === b.database;
}

function isSameLogin(a: Credentials, b: Credentials): boolean {
  return a.password === b.password && a.user === b.user && a.host === b.host && a.port === b.port;
}
