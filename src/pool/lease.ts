import { PoolError } from './errors.ts';
import type { Slot } from './slot.ts';

/** How a resource comes back. */
export interface ReleaseOptions {
  /**
   * Whether the resource has answered while it was leased, which counts as proof of life.
   *
   * @default true
   */
  readonly proven?: boolean;
}

/** Where a lease goes back to. */
export interface LeaseHost<T> {
  readonly noun: string;
  giveBack(slot: Slot<T>, options: ReleaseOptions | undefined): void;
  giveUp(slot: Slot<T>, error: unknown): void;
}

type LeaseState = 'held' | 'returned' | 'reclaimed' | 'lost';

/**
 * The right to use a resource until it is given back. Give it back by `release()`, by `destroy()`, or by
 * `await using lease = await pool.acquire()`.
 */
export class Lease<T> {
  readonly owner: object | undefined;
  /** Where it was acquired, if that was told. */
  readonly origin: unknown;
  readonly #host: LeaseHost<T>;
  readonly #slot: Slot<T>;
  #state: LeaseState = 'held';
  /** @internal V8 forgets a shape with the last object that has it, and all optimised code that relies on it: one is kept. */
  static readonly kept: unknown = /* @__PURE__ */ new this(
    undefined as never,
    undefined as never,
    undefined,
    undefined,
  );

  /** @internal */
  constructor(host: LeaseHost<T>, slot: Slot<T>, owner: object | undefined, origin: unknown) {
    this.#host = host;
    this.#slot = slot;
    this.owner = owner;
    this.origin = origin;
  }

  /** Whether the resource is still this lease's to use. */
  get held(): boolean {
    return this.#state === 'held';
  }

  /**
   * The resource.
   *
   * @throws PoolError `ERR_POOL_USE_AFTER_RELEASE` once it was given back, `ERR_POOL_RECLAIMED` once it was taken back
   * at the end of its invocation.
   */
  get resource(): T {
    if (this.#state === 'returned' || this.#state === 'reclaimed') throw this.refusal();
    return this.#slot.resource as T;
  }

  /** The error for somebody who uses the resource although this lease is over: released, or reclaimed. */
  refusal(): PoolError {
    return this.#state === 'reclaimed' ? usedAfterReclaim(this.#host.noun) : usedAfterRelease(this.#host.noun);
  }

  /**
   * Gives the resource back.
   *
   * @throws PoolError `ERR_POOL_DOUBLE_RELEASE` when this lease was given back before. A lease that was taken from its
   * owner, because the resource broke or the invocation ended, may still be released once.
   */
  release(options?: ReleaseOptions): void {
    // Written out and not in a private method: those cost an object that is made for each acquire a field and a check.
    const before = this.#state;
    if (before === 'returned') throw releasedTwice(this.#host.noun);
    this.#state = 'returned';
    if (before === 'held') this.#host.giveBack(this.#slot, options);
  }

  /**
   * Has the resource destroyed instead of used again; for one whose state is unknown.
   *
   * @throws PoolError `ERR_POOL_DOUBLE_RELEASE` as `release()` does.
   */
  destroy(error?: unknown): void {
    const before = this.#state;
    if (before === 'returned') throw releasedTwice(this.#host.noun);
    this.#state = 'returned';
    if (before === 'held') this.#host.giveUp(this.#slot, error);
  }

  /** Gives the resource back unless that was done. */
  [Symbol.dispose](): void {
    if (this.#state !== 'returned') this.release();
  }

  /** Gives the resource back unless that was done. */
  async [Symbol.asyncDispose](): Promise<void> {
    this[Symbol.dispose]();
  }

  /** @internal The resource was taken from the owner, unless it was given back just now. */
  end(how: 'reclaimed' | 'lost'): void {
    if (this.#state === 'held') this.#state = how;
  }
}

function releasedTwice(noun: string): PoolError {
  return new PoolError(
    'ERR_POOL_DOUBLE_RELEASE',
    `This ${noun} was released twice. Release it exactly once, in a finally block, or use \`await using\` or use(fn), which do it for you. See ERR_POOL_DOUBLE_RELEASE.`,
  );
}

/** The error for a resource that is used through a lease that was given back. */
function usedAfterRelease(noun: string): PoolError {
  return new PoolError(
    'ERR_POOL_USE_AFTER_RELEASE',
    `This ${noun} was used after it had been released: it may be somebody else's by now. Release it after its last use, or wait for every promise that uses it. See ERR_POOL_USE_AFTER_RELEASE.`,
  );
}

/** The error for a resource that is used after its invocation has ended. */
function usedAfterReclaim(noun: string): PoolError {
  return new PoolError(
    'ERR_POOL_RECLAIMED',
    `This ${noun} was taken back because the invocation that acquired it has ended. Await all work before the handler returns. See ERR_POOL_RECLAIMED.`,
  );
}
