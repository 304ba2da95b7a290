// How long the process may have been frozen. Pure: readings in, milliseconds out.

import type { Instant } from '../pool/index.ts';

/** What is known when an invocation begins. */
export interface GapFacts {
  /** Both clocks when the pool was last known to be in use: the end of an invocation, or its begin if no end was seen. */
  readonly lastSeen: Instant;
  readonly now: Instant;
  /** Other invocations that are under way in this process. */
  readonly active: number;
  /** Whether the platform runs several invocations at once in one process; it does not freeze it then. */
  readonly concurrent: boolean;
}

/**
 * Milliseconds since the pool was last seen in use: the larger of both clocks' answers, never negative. While another
 * invocation is under way in a process that serves several at once, nothing was frozen.
 *
 * Elsewhere an invocation that is still under way tells nothing: its end may have been skipped.
 */
export function freezeGap({ lastSeen, now, active, concurrent }: GapFacts): number {
  if (concurrent && active > 0) return 0;
  return Math.max(0, now.wall - lastSeen.wall, now.monotonic - lastSeen.monotonic);
}
