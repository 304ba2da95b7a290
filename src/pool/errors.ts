import type { PoolStats } from './stats.ts';

/** Stable codes of the errors that the core throws. Connectors add their own under the same prefix. */
export type CorePoolErrorCode =
  | 'ERR_POOL_INVALID_OPTION'
  | 'ERR_POOL_ACQUIRE_TIMEOUT'
  | 'ERR_POOL_ACQUIRE_ABORTED'
  | 'ERR_POOL_CREATE_FAILED'
  | 'ERR_POOL_CREATE_TIMEOUT'
  | 'ERR_POOL_CLOSED'
  | 'ERR_POOL_DOUBLE_RELEASE'
  | 'ERR_POOL_USE_AFTER_RELEASE'
  | 'ERR_POOL_RECLAIMED';

/**
 * Base of every error that comes from a pool itself. Branch on `code`, which never changes; the message is for people.
 * `CorePoolErrorCode` and `ConnectErrorCode` list the codes of this class.
 */
export class PoolError extends Error {
  // Not a type parameter: `instanceof` would make `any` of it.
  readonly code: string;

  constructor(code: string, message: string, options?: ErrorOptions) {
    super(message, options);
    this.name = 'PoolError';
    this.code = code;
  }
}

/** One step on the way to a resource, and when it began, in milliseconds since the acquire. */
export interface TimelineEntry {
  /** `queued`, `dns`, `tcp`, `tls`, `auth`, `validate`, … */
  readonly phase: string;
  readonly atMillis: number;
  /** An attempt that failed in this phase and was repeated. */
  readonly error?: unknown;
  /** Where it was on its way to, from this phase on. */
  readonly peer?: string;
}

/** An acquire that ended without a resource: how far it came, and what the pool looked like. */
export class AcquireError extends PoolError {
  /** The last phase reached. */
  readonly phase: string;
  /** The phases in order, with the time at which each began. */
  readonly timeline: readonly TimelineEntry[];
  /** Where the invocation that waited has acquired what it holds itself, if it holds everything there is. */
  readonly holders: readonly unknown[];
  /** The pool's numbers when the error was made. */
  readonly stats: PoolStats;

  constructor(
    code: string,
    message: string,
    facts: { timeline: readonly TimelineEntry[]; holders: readonly unknown[]; stats: PoolStats; cause?: unknown },
  ) {
    super(code, message, facts.cause === undefined ? undefined : { cause: facts.cause });
    this.name = 'AcquireError';
    this.timeline = facts.timeline;
    this.phase = facts.timeline.at(-1)?.phase ?? 'queued';
    this.holders = facts.holders;
    this.stats = facts.stats;
  }
}
