// A pool of numbers with a clock that is moved by hand and a factory whose every call can be held open. Everything that
// happens is checked: inside each event what holds in the middle of the bookkeeping, and after each step the rest.
import { expect } from 'vitest';
import type { EvictReason, PoolEvent } from '../../../src/pool/events.ts';
import type { CreateContext, ResourceFactory, StepContext } from '../../../src/pool/factory.ts';
import { brokenInvariants } from '../../../src/pool/invariants.ts';
import type { PoolOptions } from '../../../src/pool/options.ts';
import { Pool } from '../../../src/pool/pool.ts';
import { type Deferred, deferred } from '../../support/deferred.ts';
import { EventLedger } from '../../support/event-ledger.ts';
import { FakeClock, settle } from '../../support/fake-clock.ts';

type Answer<T> = Promise<T> | T;
type StepName = 'create' | 'validate' | 'reset' | 'destroy';

/** Makes 1, 2, 3 …; answers at once unless a step is held or replaced. */
export class NumberFactory implements ResourceFactory<number> {
  made = 0;
  /** What happened, in order: `create 1`, `validate 1`, `destroy 1 idle`. */
  readonly calls: string[] = [];
  /** How often each was destroyed. */
  readonly destroyed = new Map<number, number>();
  readonly contexts = new Map<number, CreateContext>();
  /** Calls held open, oldest first, for each step. */
  readonly held: Record<StepName, Deferred<unknown>[]> = { create: [], validate: [], reset: [], destroy: [] };
  readonly #holding = new Set<StepName>();

  onCreate: (resource: number, context: CreateContext) => Answer<number> = (resource) => resource;
  onValidate: (resource: number, context: StepContext) => Answer<boolean> = () => true;
  onReset: (resource: number, context: StepContext) => Answer<boolean> = () => true;
  onDestroy: (resource: number, reason: EvictReason) => Answer<void> = () => undefined;

  create = (context: CreateContext): Answer<number> => {
    this.made += 1;
    const resource = this.made;
    this.contexts.set(resource, context);
    this.calls.push(`create ${resource}`);
    return this.#answer('create', () => this.onCreate(resource, context), resource);
  };
  validate = (resource: number, context: StepContext): Answer<boolean> => {
    this.calls.push(`validate ${resource}`);
    return this.#answer('validate', () => this.onValidate(resource, context), true);
  };
  reset = (resource: number, context: StepContext): Answer<boolean> => {
    this.calls.push(`reset ${resource}`);
    return this.#answer('reset', () => this.onReset(resource, context), true);
  };
  destroy = (resource: number, reason: EvictReason): Answer<void> => {
    this.calls.push(`destroy ${resource} ${reason}`);
    this.destroyed.set(resource, (this.destroyed.get(resource) ?? 0) + 1);
    return this.#answer('destroy', () => this.onDestroy(resource, reason), undefined);
  };

  /** Holds every further call of a step open; `resume(step)` answers all with success. */
  hold(step: StepName): void {
    this.#holding.add(step);
  }

  resume(step: StepName): void {
    this.#holding.delete(step);
    for (const call of this.held[step].splice(0)) call.resolve(undefined);
  }

  /** Reports a resource dead. */
  break(resource: number, error: unknown = new Error(`${resource} broke`)): void {
    this.contexts.get(resource)?.broken(error);
  }

  /** The calls of one step, without its name. */
  callsOf(step: StepName): string[] {
    return this.calls.filter((call) => call.startsWith(step)).map((call) => call.slice(step.length + 1));
  }

  #answer<T>(step: StepName, now: () => Answer<T>, success: T): Answer<T> {
    if (!this.#holding.has(step)) return now();
    const call = deferred<unknown>();
    this.held[step].push(call);
    return call.promise.then((value) => (value === undefined ? success : (value as T)));
  }
}

export interface Harness {
  readonly pool: Pool<number>;
  readonly factory: NumberFactory;
  readonly clock: FakeClock;
  readonly ledger: EventLedger;
  readonly events: PoolEvent[];
  readonly warnings: string[];
  /** What was not as it should be, inside events. */
  readonly faults: string[];
  /** State changes and what matters besides, one word each: `1 creating`, `1 created`, … */
  trace(): string[];
  /** Lets everything that needs no time happen and checks the pool. */
  settle(): Promise<void>;
  /** Lets time pass and checks the pool. */
  advance(millis: number): Promise<void>;
  /** Throws unless every invariant holds and the events add up to `stats()`. */
  check(): void;
}

/** Jitter off, no reset and nothing random, unless a test asks for it. */
export function harness(options: PoolOptions & { readonly reset?: boolean } = {}): Harness {
  const { reset = false, ...rest } = options;
  const clock = new FakeClock();
  const factory = new NumberFactory();
  const warnings: string[] = [];
  const { create, validate, destroy } = factory;
  const pool = new Pool<number>(reset ? factory : { create, validate, destroy }, {
    clock,
    random: () => 0,
    onWarning: (message) => void warnings.push(message),
    ...rest,
  });
  const ledger = new EventLedger();
  const events: PoolEvent[] = [];
  const faults: string[] = [];
  pool.observe((event) => {
    events.push(event);
    ledger.add(event);
    faults.push(...faultsInside(pool, ledger, event));
  });
  const check = (): void => {
    expect(faults).toEqual([]);
    expect([...brokenInvariants(pool), ...ledger.differences(pool.stats())]).toEqual([]);
    for (const [resource, times] of factory.destroyed) expect(times, `destroys of ${resource}`).toBe(1);
  };
  return {
    pool,
    factory,
    clock,
    ledger,
    events,
    warnings,
    faults,
    trace: () => events.map(traceOf),
    settle: async () => {
      await settle();
      check();
    },
    advance: async (millis) => {
      await clock.advance(millis);
      check();
    },
    check,
  };
}

/**
 * What must hold in the middle of the bookkeeping too. Whether a broken one has left (3) and everybody who waits is
 * provided for (4) shows at the end of the turn only; and who gives back what it is just being handed is ahead of the count.
 * What a reset is being asked of has lost its lease, and goes elsewhere with the answer.
 */
function faultsInside(pool: Pool<number>, ledger: EventLedger, event: PoolEvent): string[] {
  const invariants = brokenInvariants(pool).filter(
    (sentence) => !/^[34]:|^7: released|is leased, leased out: false$/.test(sentence),
  );
  return [...invariants, ...ledger.differences(pool.stats())].map((fault) => `in ${traceOf(event)}: ${fault}`);
}

function traceOf(event: PoolEvent): string {
  if (event.type === 'transition') {
    return `${event.slot} ${event.to}${event.reason === undefined ? '' : ` ${event.reason}`}`;
  }
  if (event.type === 'epoch') return `epoch ${event.epoch} ${event.cause}`;
  if (event.type === 'acquire-failed') return `acquire-failed ${event.code}`;
  return 'slot' in event ? `${event.slot} ${event.type}` : event.type;
}

/** The error a promise is rejected with; fails when it is not. */
export async function errorOf(promise: Promise<unknown>): Promise<Error & { readonly code?: string }> {
  try {
    await promise;
  } catch (error) {
    return error as Error;
  }
  throw new Error('expected a rejection');
}
