import type { Instant } from './clock.ts';
import type { Conditions } from './conditions.ts';
import type { EventStream, EvictReason, PoolEvent, SlotState } from './events.ts';
import type { Lease } from './lease.ts';
import { judge, type PolicyLimits, type SlotFacts, type Verdict } from './policy.ts';
import type { Abandonable } from './step.ts';

type Phase = {
  readonly phase: string;
  readonly at: Instant;
  readonly error?: unknown;
  readonly peer?: string | undefined;
};

/** The phases of a slot that waits for nothing: one array for all of them. */
export const noPhases: readonly Phase[] = [];

/** One place in the pool and what is known of the resource in it. */
export class Slot<T> implements SlotFacts {
  readonly id: number;
  state: SlotState | 'gone' = 'creating';
  /** Missing while it is being made. */
  resource: T | undefined;
  createdAt: Instant;
  idleSince: Instant;
  provenAt: Instant;
  provenEpoch: number;
  /** The reading of the clocks by which it was last judged fit for use. */
  soundAt: Instant | undefined;
  lifetimeMillis = 0;
  /** The lease it is out on. */
  lease: Lease<T> | undefined;
  /** The factory call that it waits for. */
  step: Abandonable | undefined;
  /** Why it is to be destroyed as soon as nobody has it any more. */
  doomed: EvictReason | undefined;
  /** Reported dead by its factory, and what it said. */
  broken = false;
  fault: unknown;
  /** How far the step that it waits for has come. */
  phases: readonly Phase[] = noPhases;

  constructor(id: number, now: Instant, epoch: number) {
    this.id = id;
    this.createdAt = now;
    this.idleSince = now;
    this.provenAt = now;
    this.provenEpoch = epoch;
  }

  /** Whether its resource was given up: nothing may be done with it any more. */
  get leaving(): boolean {
    return this.state === 'closing' || this.state === 'gone';
  }

  /** Notes an answer that was asked for in `epoch`. */
  proven(now: Instant, epoch: number): void {
    this.provenAt = now;
    this.provenEpoch = epoch;
  }
}

/** All slots of a pool. The only place where a slot's state is written; each change is counted and told. */
export class SlotTable<T> {
  /** How many slots are in each state. */
  readonly gauges: Record<SlotState, number> = { creating: 0, validating: 0, idle: 0, leased: 0, closing: 0 };
  /** Idle slots, the one given back last at the end. */
  readonly idle: Slot<T>[] = [];
  epoch = 0;
  readonly #all = new Set<Slot<T>>();
  readonly #limits: PolicyLimits;
  readonly #events: EventStream;
  readonly #conditions: Conditions;
  #lastId = 0;

  constructor(limits: PolicyLimits, events: EventStream, conditions: Conditions) {
    this.#limits = limits;
    this.#events = events;
    this.#conditions = conditions;
  }

  get total(): number {
    return this.#all.size;
  }

  [Symbol.iterator](): IterableIterator<Slot<T>> {
    return this.#all.values();
  }

  add(now: Instant): Slot<T> {
    this.#lastId += 1;
    const slot = new Slot<T>(this.#lastId, now, this.epoch);
    this.#all.add(slot);
    this.gauges.creating += 1;
    if (this.#events.heard) this.#events.emit({ type: 'transition', slot: slot.id, to: 'creating' });
    return slot;
  }

  move(slot: Slot<T>, to: SlotState | 'gone', reason?: EvictReason, error?: unknown): void {
    const from = slot.state;
    const { gauges, idle } = this;
    // An acquire and a release, written out: a state whose name is only known at run time costs several times as much.
    if (from === 'idle' && to === 'leased' && idle.at(-1) === slot) {
      idle.pop();
      gauges.idle -= 1;
      gauges.leased += 1;
    } else if (from === 'leased' && to === 'idle') {
      idle.push(slot);
      gauges.leased -= 1;
      gauges.idle += 1;
    } else if (from === 'gone') {
      return;
    } else if (from !== to) {
      this.#count(slot, from, to);
    }
    slot.state = to;
    if (this.#events.heard) this.#events.emit(transition(slot.id, from, to, reason, error));
    if (this.#conditions.watched) this.#conditions.noteChange();
  }

  /** Judges a slot, once for each reading of the clocks: all that may change meanwhile is the epoch, or for the better. */
  judge(slot: Slot<T>, now: Instant): Verdict {
    if (slot.soundAt === now && slot.provenEpoch === this.epoch) return 'use';
    const verdict = judge(slot, now, this.epoch, this.#limits);
    if (verdict === 'use') slot.soundAt = now;
    return verdict;
  }

  raiseEpoch(cause: 'thaw' | 'failed-proof'): void {
    this.epoch += 1;
    if (this.#events.heard) this.#events.emit({ type: 'epoch', epoch: this.epoch, cause });
  }

  #count(slot: Slot<T>, from: SlotState, to: SlotState | 'gone'): void {
    this.gauges[from] -= 1;
    if (from === 'idle') this.idle.splice(this.idle.lastIndexOf(slot), 1);
    if (to === 'gone') this.#all.delete(slot);
    else this.gauges[to] += 1;
    if (to === 'idle') this.idle.push(slot);
  }
}

function transition(
  slot: number,
  from: SlotState,
  to: SlotState | 'gone',
  reason: EvictReason | undefined,
  error: unknown,
): PoolEvent {
  // Written out for an acquire and a release: to spread what is not there costs more than the rest of the event.
  if (reason === undefined && error === undefined) return { type: 'transition', slot, from, to };
  return {
    type: 'transition',
    slot,
    from,
    to,
    ...(reason === undefined ? undefined : { reason }),
    ...(error === undefined ? undefined : { error }),
  };
}
