import { elapsedMillis, type Instant } from './clock.ts';
import { AcquireError, PoolError, type TimelineEntry } from './errors.ts';
import type { Slot } from './slot.ts';
import type { PoolStats } from './stats.ts';

/** What an acquire error is made from. */
export interface AcquireFacts {
  readonly noun: string;
  readonly stats: PoolStats;
  readonly now: Instant;
  /** Who waited; missing when the acquire was refused at once. */
  readonly waiter: { readonly since: Instant; readonly owner: object | undefined } | undefined;
  readonly slots: readonly Slot<unknown>[];
  /** The creation whose failure ended it. */
  readonly failed?: Slot<unknown> | undefined;
}

/** The error of an acquire whose budget is used up. */
export function timeoutError(facts: AcquireFacts, budgetMillis: number): AcquireError {
  const timeline = timelineOf(facts);
  const cause = timeline.findLast((entry) => entry.error !== undefined)?.error;
  const message = `Timed out after ${Math.round(budgetMillis)} ms waiting for a ${facts.noun} (${numbers(facts.stats)}): ${situation(facts, timeline)}`;
  return make('ERR_POOL_ACQUIRE_TIMEOUT', message, facts, timeline, cause);
}

/** The error of an acquire that has no time to wait: the invocation is nearly over. */
export function noTimeError(facts: AcquireFacts, budgetMillis: number): AcquireError {
  const message = `No time left to wait for a ${facts.noun} (budget ${Math.round(budgetMillis)} ms; ${numbers(facts.stats)}): the deadline has passed or is within its reserve. Give the function more time, or acquire earlier.`;
  return make('ERR_POOL_ACQUIRE_TIMEOUT', message, facts, timelineOf(facts));
}

/** The error of an acquire whose signal was aborted. */
export function abortedError(facts: AcquireFacts, reason: unknown): AcquireError {
  const timeline = timelineOf(facts);
  const waited = facts.waiter ? elapsedMillis(facts.waiter.since, facts.now) : 0;
  const message = `The wait for a ${facts.noun} was aborted after ${Math.round(waited)} ms, at "${phaseOf(timeline)}" (${numbers(facts.stats)}): its AbortSignal fired.`;
  return make('ERR_POOL_ACQUIRE_ABORTED', message, facts, timeline, reason);
}

/** The error of an acquire for which the resource could not be made: what the factory said, with its code if it has one. */
export function failedError(facts: AcquireFacts, cause: unknown): AcquireError {
  const code = (cause as { code?: unknown } | null | undefined)?.code;
  const known = typeof code === 'string' && code.startsWith('ERR_POOL_') ? code : 'ERR_POOL_CREATE_FAILED';
  return make(known, `Could not make a ${facts.noun}: ${sentence(cause)}`, facts, timelineOf(facts), cause);
}

/** The error of a wait that its invocation did not outlive. */
export function reclaimedError(facts: AcquireFacts): AcquireError {
  const message = `The invocation that waited for a ${facts.noun} has ended (${numbers(facts.stats)}): await all work before the handler returns.`;
  return make('ERR_POOL_RECLAIMED', message, facts, timelineOf(facts));
}

/** The error of an acquire from a pool that was closed. */
export function closedError({ noun, name }: { readonly noun: string; readonly name: string }): PoolError {
  return new PoolError(
    'ERR_POOL_CLOSED',
    `The pool "${name}" is closed and hands out no ${noun} any more. Close it later, or make a new one. See ERR_POOL_CLOSED.`,
  );
}

function make(
  code: string,
  message: string,
  facts: AcquireFacts,
  timeline: readonly TimelineEntry[],
  cause?: unknown,
): AcquireError {
  const holders = ownWhenAll(facts).flatMap(({ lease }) => lease?.origin ?? []);
  const held = holders.map((origin) => `\n  held since${framesOf(origin)}`).join('');
  const see = message.includes(code) ? '' : ` See ${code}.`;
  return new AcquireError(code, message + see + held, { timeline, holders, stats: facts.stats, cause });
}

function numbers(stats: PoolStats): string {
  const { max, leased, idle, creating, validating, closing, waiting } = stats;
  const parts = [`max ${max}`, `leased ${leased}`];
  for (const [name, count] of Object.entries({ idle, creating, validating, closing })) {
    if (count > 0) parts.push(`${name} ${count}`);
  }
  return [...parts, `waiting ${waiting}`].join(', ');
}

/** The slots of the invocation that waits, if it holds every one that there may be. */
function ownWhenAll({ stats, slots, waiter }: AcquireFacts): Slot<unknown>[] {
  if (waiter?.owner === undefined) return [];
  const own = slots.filter((slot) => slot.state === 'leased' && slot.lease?.owner === waiter.owner);
  return own.length === stats.max ? own : [];
}

/** The nearest frames of where something was acquired, the pool's own left out. */
export function framesOf(origin: unknown): string {
  if (!(origin instanceof Error)) return ` ${String(origin)}`;
  const frames = (origin.stack ?? '').split('\n').slice(1, 1 + shownFrames);
  return frames.map((frame) => `\n    ${frame.trim()}`).join('');
}

/** Enough to find the line; more would bury the message. */
const shownFrames = 3;

function situation(facts: AcquireFacts, timeline: readonly TimelineEntry[]): string {
  const { noun, stats, slots } = facts;
  const leased = slots.filter((slot) => slot.state === 'leased');
  const own = ownWhenAll(facts);
  if (own.length > 0) {
    const all = own.length === 1 ? 'it' : `all ${own.length}`;
    return `this invocation already holds ${all}, so waiting longer would not help. Release one before acquiring the next, use the one you have, or raise max.`;
  }
  if (leased.length === stats.max) {
    return `every ${noun} is leased. Release sooner, run fewer at once, or raise max.`;
  }
  if (stats.creating > 0) {
    return `a new ${noun} was still being made${whereabouts(timeline)}. Check that the peer can be reached and answers, or raise the acquire timeout.`;
  }
  if (stats.validating > 0) return `a ${noun} was still being proven alive or reset.`;
  return `places are taken by ${noun}s that are still being destroyed.`;
}

function whereabouts(timeline: readonly TimelineEntry[]): string {
  const phase = phaseOf(timeline);
  const peer = timeline.findLast((entry) => entry.peer !== undefined)?.peer;
  const where = peer === undefined ? '' : ` of ${peer}`;
  return phase === 'queued' ? '' : `, at "${phase}"${where}`;
}

function phaseOf(timeline: readonly TimelineEntry[]): string {
  return timeline.at(-1)?.phase ?? 'queued';
}

/** What an error says, with a full stop. Node's AggregateError (all addresses of a host refused) says nothing itself. */
function sentence(cause: unknown): string {
  const errors: readonly unknown[] = cause instanceof AggregateError && cause.message === '' ? cause.errors : [cause];
  const text = errors.map((error) => (error instanceof Error ? error.message || error.name : String(error))).join('; ');
  return /[.!?]$/.test(text) ? text : `${text}.`;
}

/** Queued, then the phases of the slot that has come furthest. */
function timelineOf({ waiter, slots, failed }: AcquireFacts): TimelineEntry[] {
  const entries: TimelineEntry[] = [{ phase: 'queued', atMillis: 0 }];
  if (waiter === undefined) return entries;
  for (const { phase, at, error, peer } of (failed ?? furthest(slots))?.phases ?? []) {
    const atMillis = Math.round(elapsedMillis(waiter.since, at));
    entries.push({ phase, atMillis, ...(error !== undefined && { error }), ...(peer !== undefined && { peer }) });
  }
  return entries;
}

/** A new one that is being made tells more than an old one that is being proven, and either more than one that is leaving. */
function furthest(slots: readonly Slot<unknown>[]): Slot<unknown> | undefined {
  for (const state of ['creating', 'validating']) {
    const coming = slots.filter((slot) => slot.state === state);
    if (coming.length > 0)
      return coming.reduce((best, slot) => (best.phases.length >= slot.phases.length ? best : slot));
  }
  return undefined;
}
