// How a wait begins, how it ends without a resource, and what its error says. Who is served, and when, is the pool's business.

import { type AcquireFacts, abortedError, noTimeError, timeoutError } from './acquire-errors.ts';
import { elapsedMillis, type Instant } from './clock.ts';
import type { AcquireError } from './errors.ts';
import type { EventStream } from './events.ts';
import { longestTimer, type ResolvedPoolOptions } from './options.ts';
import type { Slot, SlotTable } from './slot.ts';
import type { Counters, PoolStats } from './stats.ts';
import { Waiter, WaiterQueue } from './waiters.ts';

/** Limits of one acquire. */
export interface AcquireOptions {
  /** Ends the wait, never the creation that was started for it. */
  readonly signal?: AbortSignal | undefined;
  /** Milliseconds this acquire may take. @default `acquireTimeoutMillis` */
  readonly timeoutMillis?: number | undefined;
  /** Wall clock, milliseconds since 1970, beyond which it may not take; the earlier of the two limits counts. */
  readonly deadline?: number | undefined;
  /** Whoever `reclaim(owner)` takes it back from. */
  readonly owner?: object | undefined;
  /** Where it is acquired, for the messages about a lease that is not given back; an `Error` holds that well. */
  readonly origin?: unknown;
}

/** What a wait has to know of the pool. */
export interface WaitsHost<T> {
  readonly options: ResolvedPoolOptions;
  readonly events: EventStream;
  readonly counters: Counters;
  readonly slots: SlotTable<T>;
  /** Reads the clocks. */
  glance(): Instant;
  stats(): PoolStats;
  /** A wait has ended without a resource. */
  ended(): void;
}

/** @typeParam L - what is waited for, from a pool of T */
export class Waits<L, T> {
  /** @internal As the one that `Lease` keeps. */
  static readonly kept: unknown = /* @__PURE__ */ new Waiter({ wall: 0, monotonic: 0 }, 0, undefined, ignore, ignore);
  readonly queue: WaiterQueue<L>;
  readonly #host: WaitsHost<T>;

  constructor(host: WaitsHost<T>) {
    this.#host = host;
    this.queue = new WaiterQueue(host.options.clock, {
      timedOut: (waiter) => this.fail(waiter, timeoutError(this.facts(waiter), waiter.budgetMillis)),
      aborted: (waiter, reason) => this.fail(waiter, abortedError(this.facts(waiter), reason)),
    });
  }

  /** @throws AcquireError `ERR_POOL_ACQUIRE_ABORTED` when the signal was aborted before the wait */
  heed(signal: AbortSignal): void {
    if (signal.aborted) throw this.refuse(abortedError(this.facts(), signal.reason));
  }

  /** Queues somebody; the promise settles when `queue` hands the waiter out, or with the error of a wait that ended. */
  begin(options: AcquireOptions | undefined): Promise<L> {
    // Again: a resource that was found overdue may have been destroyed since, by somebody who ends this acquire.
    if (options?.signal) this.heed(options.signal);
    const since = this.#host.glance();
    const timeoutMillis = options?.timeoutMillis ?? this.#host.options.acquireTimeoutMillis;
    const remaining = (options?.deadline ?? Number.POSITIVE_INFINITY) - since.wall;
    const budgetMillis = Math.min(timeoutMillis, remaining, longestTimer);
    if (!(budgetMillis > 0)) throw this.refuse(noTimeError(this.facts(), budgetMillis));
    return new Promise((resolve, reject) => {
      this.queue.push(new Waiter(since, budgetMillis, options, resolve, reject), options?.signal);
      if (this.#host.events.heard) this.#host.events.emit({ type: 'queued', waiting: this.queue.size });
    });
  }

  /** Ends the wait of somebody who has left the queue already. */
  fail(waiter: Waiter<L>, error: AcquireError): void {
    waiter.reject(this.refuse(error, elapsedMillis(waiter.since, this.#host.options.clock.now())));
    this.#host.ended();
  }

  /** Counts and tells an acquire that ends without a resource. */
  refuse(error: AcquireError, waitedMillis = 0): AcquireError {
    const { counters, events } = this.#host;
    counters.acquireFailed += 1;
    if (events.heard) events.emit({ type: 'acquire-failed', waitedMillis, code: error.code });
    return error;
  }

  /** What is known when an acquire ends: of somebody who waited, and of the creation that failed if one did. */
  facts(waiter?: Waiter<L>, failed?: Slot<T>): AcquireFacts {
    const { options, slots } = this.#host;
    return {
      noun: options.noun,
      stats: this.#host.stats(),
      now: options.clock.now(),
      waiter,
      slots: [...slots],
      failed,
    };
  }
}

function ignore(): void {}
