// What a freeze and a thaw do to the slots, and how a pool shrinks that sees neither. Both are ordinary inputs: neither
// needs the other to have happened.

import type { Instant } from './clock.ts';
import type { EvictReason } from './events.ts';
import type { ResolvedPoolOptions } from './options.ts';
import { raisesEpoch } from './policy.ts';
import type { Slot, SlotTable } from './slot.ts';
import type { Upkeep } from './upkeep.ts';

/**
 * After a gap long enough to make resources doubtful: a new epoch, in which everything is suspect. What is overdue is
 * destroyed; up to `maxIdle` of the rest, the warmest, are proven in the background. All this in the turn of the call.
 *
 * @returns when ends that waited in the kernel were seen
 */
export async function thawSlots<T>(
  slots: SlotTable<T>,
  upkeep: Upkeep<T>,
  options: ResolvedPoolOptions,
  frozenMillis: number | undefined,
): Promise<void> {
  let turns = turnsToDrain(slots, upkeep);
  if (raisesEpoch(frozenMillis, options)) suspectAll(slots, upkeep, options);
  for (; turns > 0; turns -= 1) await new Promise<void>((resolve) => options.clock.afterTurn(resolve));
}

/**
 * How often the event loop must poll at a thaw until ends that wait in the kernel are seen: the answer to a proof of life
 * that outlived the freeze lies in front of the end.
 */
function turnsToDrain<T>({ idle, gauges }: SlotTable<T>, { resetting }: Upkeep<T>): number {
  if (gauges.validating > resetting.size) return 2;
  return idle.length > 0 ? 1 : 0;
}

function suspectAll<T>(slots: SlotTable<T>, upkeep: Upkeep<T>, options: ResolvedPoolOptions): void {
  slots.raiseEpoch('thaw');
  const now = options.clock.now();
  let unproven = Math.max(1, options.maxIdle);
  for (const slot of slots.idle.toReversed()) {
    // Destroying one may have called back into the pool and taken this one.
    if (slot.state !== 'idle') continue;
    const verdict = slots.judge(slot, now);
    if (verdict === 'expired' || verdict === 'idle') {
      upkeep.close(slot, verdict);
    } else if (unproven > 0) {
      unproven -= 1;
      upkeep.validate(slot);
    }
  }
}

/** Before a freeze: destroys what is above `maxIdle`, the coldest first, and creations that nobody waits for. */
export function trimSlots<T>(
  slots: SlotTable<T>,
  upkeep: Upkeep<T>,
  options: ResolvedPoolOptions,
  waiting: number,
): void {
  closeColdest(slots, upkeep, options.maxIdle, 'surplus');
  abandonCreations(slots, upkeep, waiting, 'surplus');
}

/** Destroys the idle ones that are above `keep`. Looked at one by one: a factory may call back into the pool. */
export function closeColdest<T>(
  slots: SlotTable<T>,
  upkeep: Upkeep<T>,
  keep: number,
  reason: 'surplus' | 'closed',
): void {
  for (let slot = slots.idle[0]; slot && slots.idle.length > keep; slot = slots.idle[0]) upkeep.close(slot, reason);
}

/**
 * Destroys what is idle now, and everything else that exists as soon as nobody has it. What is made later is not touched.
 *
 * @param which - of those that are made; without it all of them, and those being made as well
 */
export function evictAll<T>(
  slots: SlotTable<T>,
  upkeep: Upkeep<T>,
  reason: EvictReason,
  which?: (resource: T) => boolean,
): void {
  for (const slot of [...slots]) {
    if (which !== undefined && (slot.resource === undefined || !which(slot.resource))) continue;
    if (slot.state === 'idle') upkeep.close(slot, reason);
    else slot.doomed ??= reason;
  }
}

/** How much there is that a freeze must wait for: a creation for somebody who waits is no part of it, nor is a ping. */
export function halfDone<T>(slots: SlotTable<T>, upkeep: Upkeep<T>, waiting: number): number {
  const unwanted = waiting > 0 ? 0 : slots.gauges.creating;
  return unwanted + slots.gauges.closing + upkeep.resetting.size + upkeep.late;
}

/** A pool that is never frozen shrinks at each release: what a burst has left at the cold end, behind others, goes once it is old. */
export function evictColdest<T>(slots: SlotTable<T>, upkeep: Upkeep<T>, now: Instant): void {
  const coldest = slots.idle[0];
  if (coldest === undefined) return;
  const verdict = slots.judge(coldest, now);
  if (verdict === 'idle' || verdict === 'expired') upkeep.close(coldest, verdict);
}

/** Stops creations that serve nobody who waits, those that began last first: they have the longest way to go. */
export function abandonCreations<T>(
  slots: SlotTable<T>,
  upkeep: Upkeep<T>,
  waiting: number,
  reason: 'surplus' | 'closed',
): void {
  let unwanted = slots.gauges.creating - waiting;
  if (unwanted <= 0) return;
  for (const slot of [...slots].toReversed()) {
    if (unwanted <= 0) return;
    // With its resource at hand it is being made no longer: this is an observer's answer to its arrival.
    if (slot.state !== 'creating' || slot.resource !== undefined) continue;
    unwanted -= 1;
    upkeep.abandon(slot, reason);
  }
}

/** Puts everything that is known of these slots further back, on both clocks, as if so much more time had passed. */
export function ageSlots<T>(slots: Iterable<Slot<T>>, millis: number): void {
  const earlier = ({ wall, monotonic }: Instant): Instant => ({ wall: wall - millis, monotonic: monotonic - millis });
  for (const slot of slots) {
    slot.createdAt = earlier(slot.createdAt);
    slot.idleSince = earlier(slot.idleSince);
    slot.provenAt = earlier(slot.provenAt);
    slot.soundAt = undefined;
  }
}
