import type { Instant } from './clock.ts';

/** Where a slot is in its life. */
export type SlotState = 'creating' | 'validating' | 'idle' | 'leased' | 'closing';

/** Why a resource was destroyed. */
export type EvictReason =
  /** Older than its lifetime. */
  | 'expired'
  /** Idle for longer than `idleTimeoutMillis`. */
  | 'idle'
  /** Reported dead by its factory, or destroyed by its user. */
  | 'broken'
  /** Failed its proof of life, its reset, or its creation. */
  | 'invalid'
  /** Made with credentials that have been replaced since. */
  | 'stale-credentials'
  /** Above `maxIdle` at the end of an invocation, or a creation that nobody waits for any more. */
  | 'surplus'
  /** The pool is closing. */
  | 'closed';

/** One thing that happened in a pool. `stats()` equals what these add up to. */
export type PoolEvent =
  | {
      /** A slot changed its state. `from` is missing for a new slot, `to` is `gone` when its place is free again. */
      readonly type: 'transition';
      readonly slot: number;
      readonly from?: SlotState;
      readonly to: SlotState | 'gone';
      readonly reason?: EvictReason;
      /** Why it is given up, or what its `destroy` failed with when it is `gone`. */
      readonly error?: unknown;
    }
  /** A resource was made. When its slot is closing or gone already it came too late, and is destroyed. */
  | { readonly type: 'created'; readonly slot: number; readonly millis: number }
  | { readonly type: 'create-failed'; readonly slot: number; readonly millis: number; readonly error: unknown }
  /** A proof of life was answered (`alive`) or failed. */
  | {
      readonly type: 'validated';
      readonly slot: number;
      readonly millis: number;
      readonly alive: boolean;
      readonly error?: unknown;
    }
  /** A resource was handed out; `waitedMillis` is 0 where it was taken without waiting. */
  | { readonly type: 'acquired'; readonly slot: number; readonly waitedMillis: number }
  | { readonly type: 'released'; readonly slot: number }
  | { readonly type: 'queued'; readonly waiting: number }
  /** A waiter left the queue without a resource. */
  | { readonly type: 'acquire-failed'; readonly waitedMillis: number; readonly code: string }
  /** Everything proven alive before now is suspect. */
  | { readonly type: 'epoch'; readonly epoch: number; readonly cause: 'thaw' | 'failed-proof' }
  | { readonly type: 'thaw'; readonly frozenMillis: number | undefined }
  | { readonly type: 'freeze' }
  /** A lease that its owner had not given back was taken from it. */
  | { readonly type: 'reclaimed'; readonly slot: number }
  /** Something that the maker of the resources wants counted, under a name of its own. */
  | { readonly type: 'noted'; readonly what: string; readonly detail?: string };

/** Hears every event of a pool, synchronously. It may call the pool; what it throws never reaches a request. */
export type PoolObserver = (event: PoolEvent, at: Instant) => void;

/** Hands events to observers. Costs nothing while nobody listens: look at `heard` before building an event. */
export class EventStream {
  /** Whether anybody listens. A field and not a getter over the set: it is asked four times for each acquire. */
  heard = false;
  /** Never changed while events are told: whoever comes or goes meanwhile makes another. */
  #observers: readonly PoolObserver[] = [];
  /** When something happens now. */
  readonly now: () => Instant;
  readonly #onWarning: (message: string) => void;
  #warned = false;

  constructor(now: () => Instant, onWarning: (message: string) => void) {
    this.now = now;
    this.#onWarning = onWarning;
  }

  observe(observer: PoolObserver): () => void {
    if (!this.#observers.includes(observer)) this.#tell([...this.#observers, observer]);
    return () => this.#tell(this.#observers.filter((one) => one !== observer));
  }

  emit(event: PoolEvent): void {
    const observers = this.#observers;
    if (observers.length === 0) return;
    const at = this.now();
    for (const observer of observers) {
      // One of the others may just have made this one stop listening.
      if (observers !== this.#observers && !this.#observers.includes(observer)) continue;
      try {
        observer(event, at);
      } catch (error) {
        this.#warn(error);
      }
    }
  }

  #tell(observers: readonly PoolObserver[]): void {
    this.#observers = observers;
    this.heard = observers.length > 0;
  }

  /** Events are told in the middle of the bookkeeping: nothing that anybody else wrote may throw through it. */
  #warn(error: unknown): void {
    if (this.#warned) return;
    this.#warned = true;
    try {
      this.#onWarning(`An observer of the pool threw and was ignored (said once): ${String(error)}`);
    } catch {
      // Nobody is left to tell.
    }
  }
}
