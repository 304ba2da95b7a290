// The world of the model-based test: a pool, a factory whose calls end as a script says, and a simple account of what
// everybody may expect: who waits in which order, what has answered when and in which epoch, who holds what.
import { expect } from 'vitest';
import { elapsedMillis, type Instant } from '../../../src/pool/clock.ts';
import type { PoolEvent } from '../../../src/pool/events.ts';
import type { CreateContext, StepContext } from '../../../src/pool/factory.ts';
import type { Lease } from '../../../src/pool/lease.ts';
import type { AcquireOptions } from '../../../src/pool/waits.ts';
import { type Watched, watch } from '../../support/deferred.ts';
import { settle } from '../../support/fake-clock.ts';
import { type Harness, harness } from './harness.ts';

export const outcomes = [
  'ok',
  'soon',
  'throws',
  'rejects',
  'no',
  'slow',
  'late',
  'hangs',
  'obeys',
  'breaks',
  'dies',
] as const;
export type Outcome = (typeof outcomes)[number];

export interface Script {
  readonly max: number;
  readonly maxIdle: number;
  readonly validateAfterIdleMillis: number;
  readonly reset: boolean;
  /** How calls end, in turn, over and over. */
  readonly create: readonly Outcome[];
  readonly validate: readonly Outcome[];
  readonly resets: readonly Outcome[];
  readonly destroy: readonly Outcome[];
}

/** Above and below the budgets that follow. */
const delays = { slow: 30, late: 300 };
const budgets = {
  acquireTimeoutMillis: 400,
  createTimeoutMillis: 150,
  validateTimeoutMillis: 80,
  resetTimeoutMillis: 90,
  destroyTimeoutMillis: 70,
  idleTimeoutMillis: 3000,
  maxLifetimeMillis: 8000,
} as const;
/** Longer than anything can take that begins now. */
const ever = 20_000;

/** No run needs as many; one that does goes round in circles. */
const mostCalls = 1500;

interface Proof {
  epoch: number;
  at: Instant;
}

interface Wait {
  readonly number: number;
  readonly watched: Watched<Lease<number>>;
  readonly abort: AbortController;
}

export class World {
  readonly all: Harness;
  readonly owners: readonly object[] = [{ name: 'first' }, { name: 'second' }];
  /** Leases that nobody has given back, oldest first. */
  readonly leases: Lease<number>[] = [];
  readonly #script: Script;
  readonly #calls: Record<'create' | 'validate' | 'resets' | 'destroy', number> = {
    create: 0,
    validate: 0,
    resets: 0,
    destroy: 0,
  };
  readonly #waits: Wait[] = [];
  readonly #others: Watched<unknown>[] = [];
  /** The last answer of each resource, and the last question. */
  readonly #proofs = new Map<number, Proof>();
  readonly #questions = new Map<number, { readonly epoch: number; answered: boolean }>();
  readonly #broken = new Set<number>();
  readonly #arrived = new Set<number>();
  #warming = 0;
  #inside: { type: string; act: () => void } | undefined;
  readonly faults: string[] = [];

  constructor(script: Script) {
    this.#script = script;
    const { max, maxIdle, validateAfterIdleMillis, reset } = script;
    this.all = harness({ max, maxIdle, validateAfterIdleMillis, reset, ...budgets });
    this.#playFactory();
    this.all.pool.observe((event) => this.#hear(event));
  }

  acquire(options: AcquireOptions = {}): void {
    const abort = new AbortController();
    const number = this.#waits.length;
    const promise = this.all.pool.acquire({ ...options, signal: abort.signal });
    void promise.then(
      (lease) => this.#served(number, lease),
      () => undefined,
    );
    this.#waits.push({ number, watched: watch(promise), abort });
  }

  tryAcquire(): void {
    const { pool } = this.all;
    if (pool.closed) return expect(() => pool.tryAcquire()).toThrow();
    const overtakes = pool.stats().waiting > 0;
    const lease = pool.tryAcquire();
    if (lease === undefined) return;
    if (overtakes) this.faults.push('tryAcquire has overtaken somebody');
    this.leases.push(lease);
  }

  giveBack(which: number, how: 'release' | 'unproven' | 'destroy'): void {
    const lease = this.leases.splice(which % Math.max(1, this.leases.length), 1)[0];
    if (lease === undefined) return;
    if (how === 'destroy') return lease.destroy();
    const { held } = lease;
    const resource = held ? lease.resource : 0;
    const proof = this.#proofs.get(resource);
    // A lease that was held over a thaw says nothing of the new epoch.
    if (held && how === 'release' && proof?.epoch === this.all.pool.stats().epoch) proof.at = this.all.clock.now();
    lease.release({ proven: how === 'release' });
  }

  abort(which: number): void {
    const pending = this.#waits.filter(({ watched }) => watched.state === 'pending');
    pending[which % Math.max(1, pending.length)]?.abort.abort();
  }

  break(which: number): void {
    const living = [...this.#arrived].filter((resource) => !this.all.factory.destroyed.has(resource));
    const resource = living[which % Math.max(1, living.length)];
    if (resource === undefined) return;
    this.#broken.add(resource);
    this.all.factory.break(resource);
  }

  /** Everything else that returns a promise: it has to settle. */
  expectToSettle(promise: Promise<unknown>): void {
    this.#others.push(watch(promise));
  }

  warm(count: number): void {
    this.#warming += 1;
    const done = (): void => void (this.#warming -= 1);
    this.expectToSettle(this.all.pool.warm(count).then(done, done));
  }

  /** Has something done inside the next event of a kind, by an observer. */
  inside(type: string, act: () => void): void {
    this.#inside = { type, act };
  }

  check(): void {
    this.all.check();
    expect(this.faults).toEqual([]);
    if (this.#warming > 0) return;
    const { pool } = this.all;
    const pending = this.#waits.filter(({ watched }) => watched.state === 'pending').length;
    const held = this.leases.filter((lease) => lease.held).length;
    expect(pool.stats()).toMatchObject({ waiting: pending, leased: held });
  }

  /** Gives everything back, closes, and sees that all comes to an end. */
  async end(): Promise<void> {
    const { pool, factory, clock, ledger } = this.all;
    this.#inside = undefined;
    // Waits are bounded, and what they bring is given back until nothing comes any more.
    for (let round = 0; round < 12; round += 1) {
      while (this.leases.length > 0) this.giveBack(0, 'release');
      await clock.advance(200);
      this.check();
    }
    expect(this.#waits.filter(({ watched }) => watched.state === 'pending').map(({ number }) => number)).toEqual([]);
    const closed = watch(pool.close());
    await clock.advance(ever);
    this.check();
    expect([closed.state, this.#others.filter(({ state }) => state === 'pending')]).toEqual(['fulfilled', []]);
    expect(pool.stats()).toMatchObject({ total: 0, waiting: 0, created: this.#arrived.size });
    expect([...factory.destroyed.keys()].toSorted((a, b) => a - b)).toEqual(
      [...this.#arrived].toSorted((a, b) => a - b),
    );
    expect(ledger.counts.acquired).toBe(pool.stats().acquired);
    expect([clock.timers, clock.turns]).toEqual([0, 0]);
  }

  #served(number: number, lease: Lease<number>): void {
    this.leases.push(lease);
    const earlier = this.#waits.filter((wait) => wait.number < number && wait.watched.state === 'pending');
    if (earlier.length === 0) return;
    // Whoever gives back inside the event of somebody's service has the next one served before that one hears of it.
    queueMicrotask(() => {
      const overtaken = earlier.filter((wait) => wait.watched.state === 'pending' && !this.#settlesNow(wait));
      if (overtaken.length > 0)
        this.faults.push(`${number} was served before ${overtaken.map((wait) => wait.number).join()}`);
    });
  }

  /** Aborted in this tick: its rejection is on its way. */
  #settlesNow({ abort }: Wait): boolean {
    return abort.signal.aborted;
  }

  #hear(event: PoolEvent): void {
    if (event.type === 'transition') {
      const { slot, from, to } = event;
      if ((from === 'creating' || from === 'validating') && (to === 'idle' || to === 'leased')) this.#noteProof(slot);
      if (to === 'leased') this.#checkProof(slot);
    }
    const kind = event.type === 'transition' ? event.to : event.type;
    const { type, act } = this.#inside ?? {};
    if (kind !== type) return;
    this.#inside = undefined;
    act?.();
  }

  #resourceIn(slot: number): number {
    return [...this.all.pool.slotsForInspection()].find(({ id }) => id === slot)?.resource ?? 0;
  }

  /** An answer counts for the epoch in which it was asked for: nobody knows when it was given. */
  #noteProof(slot: number): void {
    const resource = this.#resourceIn(slot);
    const question = this.#questions.get(resource);
    if (!question?.answered) this.faults.push(`${resource} is in use again without an answer`);
    this.#proofs.set(resource, { epoch: question?.epoch ?? -1, at: this.all.clock.now() });
  }

  /** Nobody gets what has not answered in this epoch and in time, nor what is known to be dead. */
  #checkProof(slot: number): void {
    const { pool, clock, factory } = this.all;
    const resource = this.#resourceIn(slot);
    const proof = this.#proofs.get(resource);
    const age = proof ? elapsedMillis(proof.at, clock.now()) : Number.POSITIVE_INFINITY;
    const { epoch } = pool.stats();
    const fresh = age < this.#script.validateAfterIdleMillis || age === 0;
    if (proof?.epoch !== epoch || !fresh) {
      this.faults.push(`${resource} was leased unproven: ${age} ms, epoch ${proof?.epoch} of ${epoch}`);
    }
    if (this.#broken.has(resource)) this.faults.push(`${resource} was leased although it is broken`);
    if (factory.destroyed.has(resource)) this.faults.push(`${resource} was leased although it is destroyed`);
  }

  #playFactory(): void {
    const { factory, pool } = this.all;
    const asked = (resource: number): (() => void) => {
      const question = { epoch: pool.stats().epoch, answered: false };
      this.#questions.set(resource, question);
      return () => void (question.answered = true);
    };
    factory.onCreate = (resource, context) => {
      const answer = asked(resource);
      context.phase('tcp');
      return this.#play('create', resource, context, () => {
        this.#arrived.add(resource);
        answer();
        return resource;
      });
    };
    const answering = (step: 'validate' | 'resets') => (resource: number, context: StepContext) => {
      const answer = asked(resource);
      return this.#play(step, resource, context, () => {
        answer();
        return true;
      });
    };
    factory.onValidate = answering('validate');
    factory.onReset = answering('resets');
    factory.onDestroy = (resource) => this.#play('destroy', resource, undefined, () => undefined);
  }

  #play<R>(
    step: 'create' | 'validate' | 'resets' | 'destroy',
    resource: number,
    context: CreateContext | StepContext | undefined,
    succeed: () => R,
  ): Promise<R> | R {
    const calls = Object.values(this.#calls).reduce((sum, count) => sum + count, 0);
    if (calls === mostCalls) this.faults.push('the pool runs hot');
    if (calls >= mostCalls) return new Promise(() => undefined);
    const script = this.#script[step];
    const outcome = script[this.#calls[step] % script.length] ?? 'ok';
    this.#calls[step] += 1;
    const error = new Error(`${step} ${outcome}`);
    const later = async (): Promise<R> => succeed();
    const after = (millis: number): Promise<R> =>
      new Promise((resolve) => void this.all.clock.setTimer(() => resolve(succeed()), millis));
    switch (outcome) {
      case 'throws':
        throw error;
      case 'rejects':
        return Promise.reject(error);
      case 'slow':
        return after(delays.slow);
      case 'late':
        return after(delays.late);
      case 'hangs':
        return new Promise(() => undefined);
      case 'obeys':
        return new Promise((_, reject) => {
          if (context === undefined) return reject(error);
          context.signal.addEventListener('abort', () => reject(error), { once: true });
        });
      case 'no':
        if (step === 'create' || step === 'destroy') return later();
        return false as R;
      case 'breaks':
        // It dies while it is asked, and answers nevertheless.
        this.#broken.add(resource);
        this.all.factory.break(resource);
        return succeed();
      case 'dies':
        this.#broken.add(resource);
        this.all.factory.break(resource);
        if (step === 'validate' || step === 'resets') return false as R;
        throw error;
      case 'soon':
        return later();
      case 'ok':
        return succeed();
      default:
        return outcome satisfies never;
    }
  }

  settle(): Promise<void> {
    return settle();
  }
}
