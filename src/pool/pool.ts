// A pool of anything, for a process that is frozen between its invocations. It knows nothing of PostgreSQL, AWS or Node's
// sockets: a factory of four functions stands for the resource, a clock for time.
//
// Invariants (`invariants.ts` checks them all):
//  1. creating + validating + idle + leased + closing = total ≤ max; closing counts until the resource is gone or given up.
//  2. A slot's state is written in one place (`SlotTable.move`), which also emits the event.
//  3. A suspect slot is never leased unproven.
//  4. A waiter is settled exactly once, first come first served; none waits while an idle slot or room could serve it.
//  5. `destroy` is called exactly once for every resource made.
//  6. Every call of the factory is tracked until it settles or is given up; only pings outlive `freeze()`.
//  7. Counters never go negative, and `stats()` equals what the events add up to.
//
// There is no `await` between reading a number and changing it: each method below does its bookkeeping in one turn.

import { closedError, failedError, reclaimedError } from './acquire-errors.ts';
import { elapsedMillis, glanceOf, type Instant, stampOf } from './clock.ts';
import { Conditions } from './conditions.ts';
import { EventStream, type EvictReason, type PoolObserver } from './events.ts';
import type { ResourceFactory } from './factory.ts';
import { abandonCreations, closeColdest, evictAll, evictColdest, halfDone, thawSlots, trimSlots } from './freeze.ts';
import { Lease, type LeaseHost, type ReleaseOptions } from './lease.ts';
import { type PoolOptions, type ResolvedPoolOptions, resolveOptions } from './options.ts';
import { isFit, leasesOf } from './ownership.ts';
import { creationsWanted, isExpired } from './policy.ts';
import { type Slot, SlotTable } from './slot.ts';
import { type Counters, type PoolStats, snapshot, zeroCounters } from './stats.ts';
import { Upkeep, type UpkeepHost } from './upkeep.ts';
import type { WaiterQueue } from './waiters.ts';
import { type AcquireOptions, Waits } from './waits.ts';
import { warmUp } from './warm.ts';

/**
 * A pool of resources.
 *
 * @typeParam T - the resource
 */
export class Pool<T> {
  readonly #options: ResolvedPoolOptions;
  readonly #events: EventStream;
  readonly #counters: Counters = zeroCounters();
  readonly #slots: SlotTable<T>;
  readonly #waits: Waits<Lease<T>, T>;
  readonly #waiters: WaiterQueue<Lease<T>>;
  readonly #upkeep: Upkeep<T>;
  readonly #host: LeaseHost<T>;
  readonly #conditions = new Conditions();
  readonly #glance: () => Instant;
  #closed = false;
  #gone: Promise<void> | undefined;

  /** @throws PoolError `ERR_POOL_INVALID_OPTION` */
  constructor(factory: ResourceFactory<T>, options?: PoolOptions) {
    this.#options = resolveOptions(options);
    const { clock, onWarning, noun } = this.#options;
    this.#glance = glanceOf(clock);
    this.#events = new EventStream(stampOf(clock), onWarning);
    this.#slots = new SlotTable<T>(this.#options, this.#events, this.#conditions);
    const host: UpkeepHost<T> = {
      ready: (slot, provenNow) => this.#ready(slot, provenNow),
      createFailed: (slot, error) => this.#createFailed(slot, error),
      lookAgain: () => this.#pump(),
      settled: () => this.#conditions.noteChange(),
    };
    this.#upkeep = new Upkeep(factory, this.#slots, this.#options, this.#events, this.#counters, host);
    this.#waits = new Waits({
      options: this.#options,
      events: this.#events,
      counters: this.#counters,
      slots: this.#slots,
      glance: this.#glance,
      stats: () => this.stats(),
      ended: () => this.#waitEnded(),
    });
    this.#waiters = this.#waits.queue;
    this.#host = {
      noun,
      giveBack: (slot, release) => this.#giveBack(slot, release),
      giveUp: (slot, error) => this.#giveUp(slot, error),
    };
  }

  /** The options in force, defaults filled in. */
  get options(): ResolvedPoolOptions {
    return this.#options;
  }

  get closed(): boolean {
    return this.#closed;
  }

  /**
   * Hands out a resource that is alive, making or proving one if need be. First come, first served.
   *
   * @throws AcquireError `ERR_POOL_ACQUIRE_TIMEOUT`, `ERR_POOL_ACQUIRE_ABORTED`, `ERR_POOL_CREATE_FAILED`,
   * `ERR_POOL_CREATE_TIMEOUT` or `ERR_POOL_RECLAIMED`, with the phase reached, a timeline and the pool's numbers; or
   * PoolError `ERR_POOL_CLOSED`, after `close()`.
   */
  acquire(options?: AcquireOptions): Promise<Lease<T>> {
    try {
      if (options?.signal) this.#waits.heed(options.signal);
      const lease = this.tryAcquire(options?.owner, options?.origin);
      if (lease) return Promise.resolve(lease);
      const waiting = this.#waits.begin(options);
      if (this.#slots.total < this.#options.max || this.#slots.idle.length > 0) this.#pump();
      return waiting;
    } catch (error) {
      return Promise.reject(error);
    }
  }

  /**
   * Hands out an idle resource that needs no proof, in this very turn: no promise, no microtask.
   *
   * @returns `undefined` when there is none, or when others wait for one.
   * @throws PoolError `ERR_POOL_CLOSED` after `close()`.
   */
  tryAcquire(owner?: object, origin?: unknown): Lease<T> | undefined {
    if (this.#closed) throw closedError(this.#options);
    const { idle } = this.#slots;
    for (let slot = idle.at(-1); slot && this.#waiters.size === 0; slot = idle.at(-1)) {
      const verdict = this.#slots.judge(slot, this.#glance());
      if (verdict === 'use') return this.#lease(slot, owner, origin, undefined);
      if (verdict === 'validate') return undefined;
      this.#upkeep.close(slot, verdict);
    }
    return undefined;
  }

  /** Acquires, runs `fn`, releases. What `fn` throws goes to the caller, and the resource back into the pool. */
  async use<R>(fn: (resource: T) => Promise<R> | R, options?: AcquireOptions): Promise<R> {
    const lease = await this.acquire(options);
    try {
      return await fn(lease.resource);
    } finally {
      lease[Symbol.dispose]();
    }
  }

  /** The same as `lease.release()`. */
  release(lease: Lease<T>, options?: ReleaseOptions): void {
    lease.release(options);
  }

  /** The same as `lease.destroy()`. */
  destroy(lease: Lease<T>, error?: unknown): void {
    lease.destroy(error);
  }

  /**
   * Makes sure that `count` resources are there and alive, and lets them go idle.
   *
   * @param count - @default `maxIdle`, at least 1
   * @throws AcquireError as `acquire()` does, once every attempt has ended
   */
  warm(count: number = Math.max(1, this.#options.maxIdle), options?: AcquireOptions): Promise<void> {
    return warmUp(this, Math.min(count, this.#options.max), options);
  }

  /**
   * Says that an invocation begins. After a gap long enough to make resources doubtful, everything is suspect: what is
   * overdue is destroyed, and up to `maxIdle` of the rest are proven in the background.
   *
   * @param frozenMillis - time since the last invocation ended; unknown counts as long
   * @returns when what waited in the kernel was seen: a connection that has ended is out of the pool then
   */
  async thaw(frozenMillis?: number): Promise<void> {
    if (this.#events.heard) this.#events.emit({ type: 'thaw', frozenMillis });
    await thawSlots(this.#slots, this.#upkeep, this.#options, frozenMillis);
  }

  /**
   * Says that the process may be frozen now. Destroys what is above `maxIdle`, the coldest first, and creations that
   * nobody waits for. Resolves when nothing is half done; each part of that has its own budget.
   */
  async freeze(): Promise<void> {
    if (this.#events.heard) this.#events.emit({ type: 'freeze' });
    do {
      trimSlots(this.#slots, this.#upkeep, this.#options, this.#waiters.size);
      await this.#conditions.until(() => halfDone(this.#slots, this.#upkeep, this.#waiters.size) === 0);
      // What was reset, or arrived, in the meantime has gone idle: it may be surplus as well.
    } while (this.#slots.idle.length > this.#options.maxIdle);
  }

  /**
   * Takes back everything that `owner` has acquired and not released, and ends its waits.
   *
   * @param fit - whether a resource may be used again; one that is not is destroyed at once
   * @returns how many leases and waits those were
   */
  reclaim(owner: object, fit: (resource: T) => boolean = () => true): number {
    let count = 0;
    for (const waiter of this.#waiters.removeOwnedBy(owner)) {
      count += 1;
      this.#waits.fail(waiter, reclaimedError(this.#waits.facts(waiter)));
    }
    for (const slot of this.#slots) {
      if (slot.lease?.owner !== owner || !slot.lease.held) continue;
      count += 1;
      slot.lease.end('reclaimed');
      this.#counters.reclaimed += 1;
      if (this.#events.heard) this.#events.emit({ type: 'reclaimed', slot: slot.id });
      if (isFit(slot.resource as T, fit)) this.#giveBack(slot, { proven: false });
      else this.#giveUp(slot, undefined);
    }
    return count;
  }

  /** What this owner has acquired and not given back. */
  leasesOf(owner: object): Lease<T>[] {
    return leasesOf(this.#slots, owner);
  }

  /** Destroys everything that exists now, or those meant: at once what is idle, the rest as soon as it comes back. */
  evict(reason: EvictReason, which?: (resource: T) => boolean): void {
    evictAll(this.#slots, this.#upkeep, reason, which);
  }

  /** Resolves when nothing is leased and nobody waits. Refuses nobody meanwhile. */
  drain(): Promise<void> {
    return this.#conditions.until(() => this.#slots.gauges.leased === 0 && this.#waiters.size === 0);
  }

  /**
   * Closes the pool: refuses new acquires at once, serves those that wait already, destroys every resource as it comes
   * back. Resolves when all are gone. Called again, it returns the same promise.
   */
  close(): Promise<void> {
    if (!this.#closed) {
      this.#closed = true;
      closeColdest(this.#slots, this.#upkeep, 0, 'closed');
      abandonCreations(this.#slots, this.#upkeep, this.#waiters.size, 'closed');
    }
    this.#gone ??= this.#conditions.until(
      () => this.#slots.total === 0 && this.#waiters.size === 0 && this.#upkeep.late === 0,
    );
    return this.#gone;
  }

  stats(): PoolStats {
    const { max, maxIdle } = this.#options;
    const { gauges, total, epoch } = this.#slots;
    return snapshot(gauges, this.#counters, { total, waiting: this.#waiters.size, epoch, max, maxIdle });
  }

  /** Hears every event from now on. @returns stops hearing */
  observe(observer: PoolObserver): () => void {
    return this.#events.observe(observer);
  }

  /** Has the observers hear of something that the maker of the resources wants counted. */
  note(what: string, detail?: string): void {
    if (this.#events.heard) this.#events.emit({ type: 'noted', what, ...(detail !== undefined && { detail }) });
  }

  /** @internal For `invariants.ts`. */
  slotsForInspection(): Iterable<Slot<T>> {
    return this.#slots;
  }

  /** Serves whoever can be served, and sees to it that something is coming for everybody else as far as there is room. */
  #pump(): void {
    const { idle, gauges } = this.#slots;
    while (this.#waiters.size > 0) {
      const slot = idle.at(-1);
      const coming = gauges.creating + gauges.validating;
      if (slot === undefined) {
        const facts = { waiting: this.#waiters.size, coming, total: this.#slots.total, max: this.#options.max };
        if (creationsWanted(facts) === 0) return;
        // One, then the numbers again: the factory and the observers may call back into the pool.
        this.#upkeep.create();
        continue;
      }
      const verdict = this.#slots.judge(slot, this.#glance());
      if (verdict === 'use') this.#serve(slot);
      else if (verdict !== 'validate') this.#upkeep.close(slot, verdict);
      else if (coming < this.#waiters.size) this.#upkeep.validate(slot);
      else return;
    }
  }

  /** `now` is when it became ready. */
  #ready(slot: Slot<T>, provenNow: boolean, now: Instant = this.#glance()): void {
    // Whoever was told of it on the way may have had it destroyed.
    if (slot.leaving) return;
    if (slot.doomed) return this.#upkeep.close(slot, slot.doomed);
    if (this.#waiters.size === 0) {
      if (this.#closed) return this.#upkeep.close(slot, 'closed');
      if (slot.idleSince !== now) slot.idleSince = now;
      return this.#slots.move(slot, 'idle');
    }
    // The epoch again: a reset may have found another one dead.
    if (provenNow && slot.provenEpoch === this.#slots.epoch) return this.#serve(slot);
    this.#upkeep.validate(slot);
  }

  #serve(slot: Slot<T>): void {
    const waiter = this.#waiters.shift();
    waiter?.resolve(this.#lease(slot, waiter.owner, waiter.origin, waiter.since));
  }

  #lease(slot: Slot<T>, owner: object | undefined, origin: unknown, since: Instant | undefined): Lease<T> {
    const lease = new Lease(this.#host, slot, owner, origin);
    slot.lease = lease;
    this.#slots.move(slot, 'leased');
    this.#counters.acquired += 1;
    if (this.#events.heard) {
      const waitedMillis = since ? elapsedMillis(since, this.#events.now()) : 0;
      this.#events.emit({ type: 'acquired', slot: slot.id, waitedMillis });
    }
    return lease;
  }

  #giveBack(slot: Slot<T>, release: ReleaseOptions | undefined): void {
    const now = this.#glance();
    this.#countReleased(slot);
    const provenNow = release?.proven !== false && slot.provenEpoch === this.#slots.epoch;
    // Writing what stands there already costs more than to look: the slot is old, a reading is young (V8's write barrier).
    if (provenNow && slot.provenAt !== now) slot.provenAt = now;
    if (this.#closed && this.#waiters.size === 0) return this.#upkeep.close(slot, 'closed');
    if (slot.doomed) return this.#upkeep.close(slot, slot.doomed);
    if (slot.soundAt !== now && isExpired(slot, now)) return this.#upkeep.close(slot, 'expired');
    if (this.#upkeep.reset(slot)) this.#ready(slot, provenNow, now);
    if (this.#slots.idle.length > 1) evictColdest(this.#slots, this.#upkeep, now);
  }

  #giveUp(slot: Slot<T>, error: unknown): void {
    this.#countReleased(slot);
    this.#upkeep.close(slot, 'broken', error);
  }

  #countReleased(slot: Slot<T>): void {
    this.#counters.released += 1;
    if (this.#events.heard) this.#events.emit({ type: 'released', slot: slot.id });
    slot.lease = undefined;
  }

  /** A failed creation is the failure of whoever has waited longest, unless enough is on its way to serve everybody. */
  #createFailed(slot: Slot<T>, error: unknown): void {
    const { creating, validating } = this.#slots.gauges;
    const waiter = this.#waiters.size > creating + validating ? this.#waiters.shift() : undefined;
    if (waiter) this.#waits.fail(waiter, failedError(this.#waits.facts(waiter, slot), error));
    this.#pump();
  }

  #waitEnded(): void {
    // Nobody new will come for what is still being made.
    if (this.#closed) abandonCreations(this.#slots, this.#upkeep, this.#waiters.size, 'closed');
    this.#conditions.noteChange();
  }
}
