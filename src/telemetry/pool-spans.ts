// Spans of what a request waits for: a connection, its making, its proof of life. Whose spans they are, it does not know.

import type { Instant, PoolEvent, PoolStats } from '../pool/index.ts';

/** What a span stands for. */
export type SpanStep = 'acquire' | 'connect' | 'validate';

/** Why a step failed. */
export interface SpanFailure {
  /** A code or a name, of which there are few. */
  readonly type: string;
  readonly error?: unknown;
}

/** A span that has begun. */
export interface OpenSpan {
  /** @param at - wall clock, milliseconds since 1970 */
  end(at: number, failure?: SpanFailure): void;
}

/** Begins a span below whatever is active. */
export type StartSpan = (step: SpanStep, at: number) => OpenSpan;

interface Wait {
  readonly since: Instant;
  readonly span: OpenSpan | undefined;
}

/**
 * Makes spans of a pool's events: of each acquire that waits, each connection made and each proof of life, well or badly
 * ended. An acquire that is served at once makes none.
 *
 * A wait begins in the request that waits and ends in any other: its span is begun with it. The rest is told by whoever
 * asked for it when it is over, and its span is made then.
 */
export class PoolSpans {
  readonly #start: StartSpan;
  readonly #stats: () => PoolStats;
  /** Those who wait, longest first, as the pool has them. */
  readonly #waits: Wait[];

  constructor(start: StartSpan, stats: () => PoolStats, now: Instant) {
    this.#start = start;
    this.#stats = stats;
    this.#waits = Array.from({ length: stats().waiting }, () => ({ since: now, span: undefined }));
  }

  hear(event: PoolEvent, at: Instant): void {
    switch (event.type) {
      case 'queued': {
        // Kept before the span is begun: whatever becomes of that, this is one who waits.
        const wait: { since: Instant; span: OpenSpan | undefined } = { since: at, span: undefined };
        this.#waits.push(wait);
        wait.span = this.#start('acquire', at.wall);
        return;
      }
      case 'acquired':
        // Nobody is served past those who wait, and they are served in their order.
        return this.#waits.shift()?.span?.end(at.wall);
      case 'acquire-failed':
        return this.#failed(event.waitedMillis, at)?.end(at.wall, { type: event.code });
      case 'created':
        return this.#start('connect', at.wall - event.millis).end(at.wall);
      case 'create-failed':
        return this.#start('connect', at.wall - event.millis).end(at.wall, failureOf(event.error));
      case 'validated':
        return this.#start('validate', at.wall - event.millis).end(
          at.wall,
          event.alive ? undefined : failureOf(event.error),
        );
      default:
    }
  }

  /** Ends what is still waited for. */
  stop(at: number): void {
    for (const { span } of this.#waits.splice(0)) span?.end(at);
  }

  /** The span of the wait that failed: events do not say whose it was, but how long it was. */
  #failed(waitedMillis: number, now: Instant): OpenSpan | undefined {
    // Refused without a wait.
    if (this.#waits.length <= this.#stats().waiting) return undefined;
    let found = 0;
    let difference = Number.POSITIVE_INFINITY;
    for (const [index, { since }] of this.#waits.entries()) {
      const off = Math.abs(elapsedBetween(since, now) - waitedMillis);
      if (off >= difference) continue;
      found = index;
      difference = off;
    }
    return this.#waits.splice(found, 1)[0]?.span;
  }
}

/** Milliseconds between two readings, by the clock on which more has passed: one of them may stand still in a freeze. */
export function elapsedBetween(from: Instant, to: Instant): number {
  return Math.max(0, to.wall - from.wall, to.monotonic - from.monotonic);
}

function failureOf(error: unknown): SpanFailure {
  if (!(error instanceof Error)) return { type: '_OTHER' };
  const { code } = error as { readonly code?: unknown };
  return { type: typeof code === 'string' ? code : error.name, error };
}
