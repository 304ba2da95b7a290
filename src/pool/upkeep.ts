// Makes, proves, resets and destroys resources: the only file that calls the factory. It knows nothing of who waits.

import { elapsedMillis, type Instant } from './clock.ts';
import { PoolError } from './errors.ts';
import type { EventStream, EvictReason } from './events.ts';
import type { ResourceFactory, StepContext } from './factory.ts';
import type { ResolvedPoolOptions } from './options.ts';
import { jitteredLifetime, type RoundTrip, smoothRoundTrip, validateBudgetMillis } from './policy.ts';
import { noPhases, type Slot, type SlotTable } from './slot.ts';
import type { Counters } from './stats.ts';
import { type LateOutcome, Step, type StepOutcome } from './step.ts';

/** Whoever the resources are kept for. */
export interface UpkeepHost<T> {
  /** A resource is fit for use and belongs to nobody. It has just answered when `provenNow`. */
  ready(slot: Slot<T>, provenNow: boolean): void;
  createFailed(slot: Slot<T>, error: unknown): void;
  /** There is more room, or one fewer is on its way: somebody who waits may need another. */
  lookAgain(): void;
  /** Something that had lost its place has come to an end. */
  settled(): void;
}

/** @typeParam T - the resource */
export class Upkeep<T> {
  /** The measured round trip of proofs of life. */
  roundTrip: RoundTrip | undefined;
  /** Resources that arrived after their place was given away, and are being destroyed. */
  late = 0;
  /** Slots whose reset is under way. */
  readonly resetting: Set<Slot<T>> = new Set();
  readonly #factory: ResourceFactory<T>;
  readonly #slots: SlotTable<T>;
  readonly #options: ResolvedPoolOptions;
  readonly #events: EventStream;
  readonly #counters: Counters;
  readonly #host: UpkeepHost<T>;

  constructor(
    factory: ResourceFactory<T>,
    slots: SlotTable<T>,
    options: ResolvedPoolOptions,
    events: EventStream,
    counters: Counters,
    host: UpkeepHost<T>,
  ) {
    this.#factory = factory;
    this.#slots = slots;
    this.#options = options;
    this.#events = events;
    this.#counters = counters;
    this.#host = host;
  }

  /** Starts making one. The factory is called in this turn and may call back into the pool. */
  create(): void {
    const { clock, createTimeoutMillis: budgetMillis } = this.#options;
    const slot = this.#slots.add(clock.now());
    // An observer that was told of it has frozen or closed the pool.
    if (slot.state !== 'creating') return;
    const step = new Step<T>(
      clock,
      (outcome) => this.#created(slot, outcome),
      (outcome) => this.#createdLate(slot, outcome),
    );
    slot.step = step;
    step.run(budgetMillis, (signal) =>
      this.#factory.create({
        signal,
        budgetMillis,
        phase: (phase, error, peer) => notePhase(slot, { phase, at: clock.now(), error, peer }),
        roundTrip: (millis) => {
          // Less would make a budget that no answer meets.
          if (millis >= 0 && this.roundTrip === undefined) this.#learnRoundTrip(millis);
        },
        broken: (error) => this.#broken(slot, error),
      }),
    );
  }

  /** Stops a creation that nobody wants any more. */
  abandon(slot: Slot<T>, reason: EvictReason): void {
    if (slot.step === undefined) return this.#slots.move(slot, 'gone', reason);
    slot.step.abandon();
    this.#awaitStraggler(slot, reason);
  }

  /** Proves a resource alive. Ends in `ready`, or in its destruction and a new epoch. */
  validate(slot: Slot<T>): void {
    const { clock, validateTimeoutMillis } = this.#options;
    const askedAt = clock.now();
    const askedIn = this.#slots.epoch;
    const budgetMillis = validateBudgetMillis(this.roundTrip, validateTimeoutMillis);
    slot.phases = [{ phase: 'validate', at: askedAt }];
    this.#slots.move(slot, 'validating');
    if (slot.leaving) return;
    const step = new Step<boolean>(clock, (outcome) => this.#validated(slot, outcome, askedAt, askedIn));
    slot.step = step;
    step.run(budgetMillis, (signal) => this.#factory.validate(slot.resource as T, { signal, budgetMillis }));
  }

  /**
   * Makes a returned resource fit for the next user.
   *
   * @returns `true` when it is fit now; otherwise it ends in `ready` or in its destruction.
   */
  reset(slot: Slot<T>): boolean {
    if (slot.leaving) return false;
    if (this.#factory.reset === undefined) return true;
    const context = new ResetContext(this.#options.resetTimeoutMillis);
    let answer: Promise<boolean> | boolean;
    try {
      answer = this.#factory.reset(slot.resource as T, context);
    } catch (error) {
      this.close(slot, 'invalid', error);
      return false;
    }
    if (answer === true) return true;
    if (answer === false) this.close(slot, 'invalid');
    else this.#awaitReset(slot, answer, context);
    return false;
  }

  /** Destroys a resource, once however often it is asked to. Its place stays taken until that is done or given up. */
  close(slot: Slot<T>, reason: EvictReason, error?: unknown): void {
    if (slot.leaving) return;
    const { state: before, broken } = slot;
    slot.step?.abandon();
    this.resetting.delete(slot);
    this.#counters.destroyed[reason] += 1;
    this.#slots.move(slot, 'closing', reason, error);
    this.#destroy(slot.resource as T, reason, (failure) => this.#vacate(slot, failure));
    // Whoever counted on it is not kept waiting for its end. One that is dead on arrival is a failed creation: to make
    // another in silence would go on for ever with a peer that accepts everybody and hangs up.
    if (before === 'creating' && broken) this.#host.createFailed(slot, error);
    else if (before === 'creating' || before === 'validating') this.#host.lookAgain();
  }

  #awaitReset(slot: Slot<T>, answer: Promise<boolean>, context: ResetContext): void {
    const { clock } = this.#options;
    const askedIn = this.#slots.epoch;
    if (!slot.leaving) {
      slot.phases = [{ phase: 'reset', at: clock.now() }];
      this.resetting.add(slot);
      this.#slots.move(slot, 'validating');
    }
    // Reported dead while it was asked: the answer changes nothing, but a rejection must be heard.
    if (slot.leaving) return void Promise.resolve(answer).catch(ignore);
    const step = new Step<boolean>(clock, (outcome) => {
      slot.step = undefined;
      this.resetting.delete(slot);
      if (outcome.kind === 'timeout') context.abort();
      if (outcome.kind !== 'done' || !outcome.value) {
        return this.close(slot, 'invalid', outcome.kind === 'failed' ? outcome.error : undefined);
      }
      slot.proven(clock.now(), askedIn);
      this.#host.ready(slot, askedIn === this.#slots.epoch);
    });
    slot.step = {
      abandon: () => {
        step.abandon();
        context.abort();
      },
    };
    step.run(context.budgetMillis, () => answer);
  }

  #created(slot: Slot<T>, outcome: StepOutcome<T>): void {
    const { clock, maxLifetimeMillis, lifetimeJitter, random } = this.#options;
    const now = clock.now();
    const millis = elapsedMillis(slot.createdAt, now);
    if (outcome.kind !== 'done') return this.#createFailed(slot, outcome, millis);
    slot.resource = outcome.value;
    // It may be idle for long: what its making has needed is not kept.
    slot.phases = noPhases;
    slot.step = undefined;
    slot.createdAt = now;
    slot.provenAt = now;
    slot.lifetimeMillis = jitteredLifetime(maxLifetimeMillis, lifetimeJitter, random());
    this.#counters.created += 1;
    if (this.#events.heard) this.#events.emit({ type: 'created', slot: slot.id, millis });
    if (slot.broken) return this.close(slot, 'broken', slot.fault);
    this.#host.ready(slot, slot.provenEpoch === this.#slots.epoch);
  }

  #createFailed(slot: Slot<T>, outcome: Exclude<StepOutcome<T>, { kind: 'done' }>, millis: number): void {
    const { createTimeoutMillis, noun } = this.#options;
    const error =
      outcome.kind === 'failed'
        ? outcome.error
        : new PoolError(
            'ERR_POOL_CREATE_TIMEOUT',
            `Gave up making a ${noun} after ${createTimeoutMillis} ms, at ${slot.phases.at(-1)?.phase ?? 'the start'}. See ERR_POOL_CREATE_TIMEOUT.`,
          );
    // The place before the news: an observer may freeze or close the pool, which looks at what is being made.
    if (outcome.kind === 'failed') this.#slots.move(slot, 'gone', 'invalid', error);
    else this.#awaitStraggler(slot, 'invalid', error);
    this.#counters.createFailed += 1;
    if (this.#events.heard) this.#events.emit({ type: 'create-failed', slot: slot.id, millis, error });
    this.#host.createFailed(slot, error);
  }

  /** A creation that was given up keeps its place until it comes to an end, but not for ever. */
  #awaitStraggler(slot: Slot<T>, reason: EvictReason, error?: unknown): void {
    const { clock, destroyTimeoutMillis } = this.#options;
    const timer = clock.setTimer(() => this.#vacate(slot), destroyTimeoutMillis);
    slot.step = { abandon: () => clock.clearTimer(timer) };
    this.#slots.move(slot, 'closing', reason, error);
  }

  #createdLate(slot: Slot<T>, outcome: LateOutcome<T>): void {
    slot.step?.abandon();
    if (outcome.kind === 'failed') return this.#vacate(slot);
    this.#counters.created += 1;
    this.#counters.destroyed.surplus += 1;
    this.late += 1;
    if (this.#events.heard) {
      const millis = elapsedMillis(slot.createdAt, this.#options.clock.now());
      this.#events.emit({ type: 'created', slot: slot.id, millis });
    }
    this.#destroy(outcome.value, 'surplus', (failure) => {
      this.late -= 1;
      this.#vacate(slot, failure);
      this.#host.settled();
    });
  }

  #validated(slot: Slot<T>, outcome: StepOutcome<boolean>, askedAt: Instant, askedIn: number): void {
    const now = this.#options.clock.now();
    const millis = now.monotonic - askedAt.monotonic;
    const alive = outcome.kind === 'done' && outcome.value;
    const error = outcome.kind === 'failed' ? outcome.error : undefined;
    this.#counters[alive ? 'validated' : 'invalidated'] += 1;
    if (this.#events.heard) {
      this.#events.emit({ type: 'validated', slot: slot.id, millis, alive, ...(error === undefined ? {} : { error }) });
    }
    if (!alive) {
      // Asked in an older epoch, the failure tells nothing of what was made since.
      if (askedIn === this.#slots.epoch) this.#slots.raiseEpoch('failed-proof');
      return this.close(slot, 'invalid', error);
    }
    const inTime = askedIn === this.#slots.epoch;
    // An answer that lay in the kernel through a freeze measures the freeze.
    if (inTime) this.#learnRoundTrip(millis);
    slot.proven(now, askedIn);
    this.#host.ready(slot, inTime);
  }

  /** A round trip above the ceiling is a pause of the process: taken whole, it would spoil the budget for long. */
  #learnRoundTrip(millis: number): void {
    this.roundTrip = smoothRoundTrip(this.roundTrip, Math.min(millis, this.#options.validateTimeoutMillis));
  }

  #broken(slot: Slot<T>, error: unknown): void {
    if (slot.broken) return;
    slot.broken = true;
    slot.fault = error;
    // Still in the making, it is destroyed when it arrives; closing, it is being destroyed already.
    if (slot.state === 'creating' || slot.leaving) return;
    slot.lease?.end('lost');
    slot.lease = undefined;
    // Before the place is given up, which serves whoever waits: not with another of that age.
    if (slot.provenEpoch === this.#slots.epoch) this.#slots.raiseEpoch('failed-proof');
    this.close(slot, 'broken', error);
  }

  /** Calls `done` once it is destroyed or given up, with what it failed with if it did. */
  #destroy(resource: T, reason: EvictReason, done: (failure: unknown) => void): void {
    const { clock, destroyTimeoutMillis } = this.#options;
    const step = new Step<void>(clock, (outcome) => done(outcome.kind === 'failed' ? outcome.error : undefined));
    step.run(destroyTimeoutMillis, () => this.#factory.destroy(resource, reason));
  }

  #vacate(slot: Slot<T>, failure?: unknown): void {
    if (slot.state !== 'closing') return;
    this.#slots.move(slot, 'gone', undefined, failure);
    this.#host.lookAgain();
  }
}

function notePhase(slot: Slot<unknown>, noted: Slot<unknown>['phases'][number]): void {
  // What a factory says of a creation that has ended is not kept: it would pile up, or pass for the next step's.
  if (slot.state === 'creating') slot.phases = [...slot.phases, noted];
}

/** Makes its signal only for a reset that asks for it: a reset is on the path of every release. */
class ResetContext implements StepContext {
  readonly budgetMillis: number;
  #controller: AbortController | undefined;

  constructor(budgetMillis: number) {
    this.budgetMillis = budgetMillis;
  }

  get signal(): AbortSignal {
    this.#controller ??= new AbortController();
    return this.#controller.signal;
  }

  abort(): void {
    this.#controller?.abort();
  }
}

function ignore(): void {}
