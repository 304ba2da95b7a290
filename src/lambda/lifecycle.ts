// Tells a pool when invocations begin and end. It is handed the pool and knows nothing of PostgreSQL or Middy.

import type { Clock, Instant } from '../pool/index.ts';
import { invocationDeadline } from './deadline.ts';
import { freezeGap } from './freeze-gap.ts';

/** What the lifecycle does with a pool. */
export interface LifecyclePool {
  thaw(frozenMillis: number | undefined): Promise<void>;
  freeze(): Promise<void>;
  /** Takes back what an invocation has not released. @returns what that was, one description for each */
  reclaim(invocation: Invocation): string[];
  /** The invocation's time is nearly up: stops what it runs, and closes what is not over after `graceMillis`. */
  expire(invocation: Invocation, graceMillis: number): Promise<void>;
}

/** The part of a Lambda context that is looked at; every part of it may be missing outside Lambda. */
export interface ContextLike {
  readonly awsRequestId?: string;
  readonly getRemainingTimeInMillis?: () => number;
}

/** One invocation: the owner of what is acquired in it. */
export interface Invocation {
  readonly requestId: string | undefined;
  /** Wall clock, milliseconds since 1970, beyond which nothing is waited for. */
  readonly deadline: number | undefined;
}

/** What the lifecycle needs to know. */
export interface LifecycleOptions {
  readonly clock: Clock;
  readonly deadlineReserveMillis: number;
  /** The environment, where Lambda says what kind of process this is. */
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly onWarning: (message: string) => void;
  /** Writes metrics down when an invocation is over. `alone`: no other one is under way. @default nothing */
  readonly meter?: Meter | undefined;
}

/** Whoever writes metrics down. */
export interface Meter {
  /** @param deadline - wall clock, milliseconds since 1970: the invocation may not be held up beyond it */
  ended(requestId: string | undefined, alone: boolean, deadline?: number): Promise<void> | void;
}

interface Active extends Invocation {
  /** What it was begun with. */
  readonly context: object;
  /** How often it was begun: two wrappers around one handler share their invocation. */
  depth: number;
  /** When its deadline is, by the monotonic clock: timers live on that. */
  readonly due: number;
  /** Its deadline has passed. */
  expired: boolean;
}

/** The part of the reserve in which cancelled statements may still be rolled back before their connections are closed. */
const graceShare = 0.4;

/** Follows the invocations of one pool. Nothing here fails an invocation. */
export class Lifecycle {
  readonly #pool: LifecyclePool;
  readonly #options: LifecycleOptions;
  /** Those under way, by their contexts. */
  readonly #active = new Map<object, Active>();
  readonly #meters: Set<Meter>;
  /** Set on Lambda Managed Instances, where one process serves several invocations at once and is not frozen. */
  readonly #concurrent: boolean;
  /** On Lambda proper the next invocation begins only when the last one is over. */
  readonly #oneAtATime: boolean;
  #lastSeen: Instant;
  /** One timer for all deadlines. It outlives its invocation, because to set one for each costs more than all else here. */
  #timer: unknown;
  /** When the timer fires, by the monotonic clock. */
  #firesAt = Number.POSITIVE_INFINITY;
  /** Ends that wait for the pool to get ready, and until when. */
  readonly #ending = new Set<{ readonly due: number; readonly giveUp: () => void }>();

  constructor(pool: LifecyclePool, options: LifecycleOptions) {
    this.#pool = pool;
    this.#options = options;
    this.#meters = new Set(options.meter && [options.meter]);
    this.#concurrent = Boolean(options.env['AWS_LAMBDA_MAX_CONCURRENCY']);
    this.#oneAtATime = Boolean(options.env['AWS_LAMBDA_RUNTIME_API']) && !this.#concurrent;
    this.#lastSeen = options.clock.now();
  }

  /**
   * An invocation begins: the pool is told how long the process may have been frozen. Works whether or not the end of
   * the one before was seen.
   */
  async begin(context: ContextLike & object): Promise<Invocation> {
    const known = this.#active.get(context);
    if (known) {
      known.depth += 1;
      return known;
    }
    const now = this.#options.clock.now();
    this.#leaveThoseOver(now.wall);
    const gap = freezeGap({ lastSeen: this.#lastSeen, now, active: this.#active.size, concurrent: this.#concurrent });
    const deadline = invocationDeadline({
      remainingMillis: remainingOf(context),
      now: now.wall,
      reserveMillis: this.#options.deadlineReserveMillis,
    });
    const due = deadline === undefined ? Number.POSITIVE_INFINITY : now.monotonic + Math.max(0, deadline - now.wall);
    const invocation: Active = { requestId: context.awsRequestId, deadline, context, depth: 1, due, expired: false };
    this.#active.set(context, invocation);
    if (due < this.#firesAt) this.#setTimer(due, now);
    this.#lastSeen = now;
    await this.#pool.thaw(gap);
    return invocation;
  }

  /**
   * An invocation ends, well or badly: what it has not released is taken back, and when it was the last one the pool
   * gets ready to be frozen.
   */
  async end(invocation: Invocation): Promise<void> {
    const active = invocation as Active;
    if (!this.#isActive(active)) return;
    active.depth -= 1;
    if (active.depth > 0) return;
    this.#leave(active);
    const alone = this.#active.size === 0;
    if (alone) await this.#freezeInTime(active);
    if (this.#meters.size > 0) await this.#tellMeters(active, alone);
    this.#lastSeen = this.#options.clock.now();
  }

  /** What the pool has half done may be over a dead connection: it holds nobody's answer up beyond the deadline. */
  async #freezeInTime({ due }: Active): Promise<void> {
    if (due === Number.POSITIVE_INFINITY) return this.#pool.freeze();
    const now = this.#options.clock.now();
    const latest = Math.max(due, now.monotonic + this.#options.deadlineReserveMillis * graceShare);
    let giveUp = (): void => {};
    const tooLate = new Promise<void>((resolve) => {
      giveUp = resolve;
    });
    const ending = { due: latest, giveUp };
    this.#ending.add(ending);
    if (latest < this.#firesAt) this.#setTimer(latest, now);
    await Promise.race([this.#pool.freeze(), tooLate]);
    this.#ending.delete(ending);
  }

  /** Has one more hear of the end of each invocation, which waits for it. @returns stops that */
  addMeter(meter: Meter): () => void {
    this.#meters.add(meter);
    return () => void this.#meters.delete(meter);
  }

  async #tellMeters({ requestId, deadline }: Invocation, alone: boolean): Promise<void> {
    await Promise.allSettled([...this.#meters].map(async (meter) => meter.ended(requestId, alone, deadline)));
  }

  /** Invocations whose end was not seen: here the next one has begun, elsewhere their time is up. */
  #leaveThoseOver(now: number): void {
    const { deadlineReserveMillis } = this.#options;
    for (const active of this.#active.values()) {
      const { deadline = Number.POSITIVE_INFINITY } = active;
      if (this.#oneAtATime || now >= deadline + deadlineReserveMillis) this.#leave(active);
    }
  }

  #leave(invocation: Active): void {
    this.#active.delete(invocation.context);
    const left = this.#pool.reclaim(invocation);
    if (left.length === 0) return;
    const which = invocation.requestId === undefined ? 'An invocation' : `Invocation ${invocation.requestId}`;
    this.#options.onWarning(
      `${which} ended and left behind: ${left.join('; ')}. That was taken back. Release what you acquire and await what you start, or use use(fn) and transaction(fn), which do both.`,
    );
  }

  #isActive(invocation: Active): boolean {
    return this.#active.get(invocation.context) === invocation;
  }

  #setTimer(due: number, now: Instant): void {
    const { clock } = this.#options;
    if (this.#timer !== undefined) clock.clearTimer(this.#timer);
    this.#firesAt = due;
    this.#timer = clock.setTimer(() => this.#fired(), Math.ceil(due - now.monotonic));
  }

  /** Expires whoever is due, which may be nobody, and sets the timer for the next. */
  #fired(): void {
    const now = this.#options.clock.now();
    // That it fires says what time it is too: timers may be a little early.
    const reached = Math.max(this.#firesAt, now.monotonic);
    this.#timer = undefined;
    this.#firesAt = Number.POSITIVE_INFINITY;
    for (const active of this.#active.values()) {
      if (active.expired) continue;
      if (active.due <= reached) void this.#expire(active);
      else if (active.due < this.#firesAt) this.#setTimer(active.due, now);
    }
    for (const { due, giveUp } of this.#ending) {
      if (due <= reached) giveUp();
      else if (due < this.#firesAt) this.#setTimer(due, now);
    }
  }

  /** After this the process may be killed: what is to be told of it is told now. */
  async #expire(invocation: Active): Promise<void> {
    invocation.expired = true;
    await this.#pool.expire(invocation, this.#options.deadlineReserveMillis * graceShare);
    if (this.#isActive(invocation)) await this.#tellMeters(invocation, true);
  }
}

/** A test double's method may throw; that is no reason to fail an invocation. */
function remainingOf(context: ContextLike): number | undefined {
  try {
    return context.getRemainingTimeInMillis?.();
  } catch {
    return undefined;
  }
}
