import type { Lease } from '../pool/index.ts';
import type { Session } from './session.ts';
import type { PgClient } from './types.ts';

/** A connection on loan: `await using lease = await db.acquire()`, then `lease.client`. */
export class PgLease {
  readonly #lease: Lease<Session>;
  readonly #giveBack: (error?: Error | boolean) => void;

  /** @internal */
  constructor(lease: Lease<Session>, giveBack: (error?: Error | boolean) => void) {
    this.#lease = lease;
    this.#giveBack = giveBack;
  }

  /**
   * The connection.
   *
   * @throws PoolError `ERR_POOL_USE_AFTER_RELEASE` once it was released, `ERR_POOL_RECLAIMED` once its invocation ended.
   */
  get client(): PgClient {
    return this.#lease.resource.client;
  }

  /** @throws PoolError `ERR_POOL_DOUBLE_RELEASE` */
  release(): void {
    this.#giveBack();
  }

  /** Has the connection closed instead of used again. @throws PoolError `ERR_POOL_DOUBLE_RELEASE` */
  destroy(error?: Error): void {
    this.#giveBack(error ?? true);
  }

  /** Releases unless that was done. */
  [Symbol.dispose](): void {
    if (this.#lease.held) this.release();
  }

  /** Releases unless that was done. */
  async [Symbol.asyncDispose](): Promise<void> {
    this[Symbol.dispose]();
  }
}
