import type { EvictReason, PoolEvent, SlotState } from '../../src/pool/events.ts';
import type { PoolStats } from '../../src/pool/stats.ts';

/** Adds events up, for comparing with `stats()`. */
export class EventLedger {
  readonly gauges: Record<SlotState, number> = { creating: 0, validating: 0, idle: 0, leased: 0, closing: 0 };
  readonly counts: Record<Exclude<PoolEvent['type'], 'transition'> | 'invalidated', number> = {
    created: 0,
    'create-failed': 0,
    validated: 0,
    invalidated: 0,
    acquired: 0,
    released: 0,
    queued: 0,
    'acquire-failed': 0,
    epoch: 0,
    thaw: 0,
    freeze: 0,
    reclaimed: 0,
    noted: 0,
  };
  readonly destroyed: Record<EvictReason, number> = {
    expired: 0,
    idle: 0,
    broken: 0,
    invalid: 0,
    'stale-credentials': 0,
    surplus: 0,
    closed: 0,
  };
  /** Slots that are being made, and what has been made so far. */
  readonly #creating = new Set<number>();
  readonly #made = new Set<number>();
  readonly add = (event: PoolEvent): void => {
    if (event.type === 'transition') {
      this.#transition(event);
    } else if (event.type === 'validated' && !event.alive) {
      this.counts.invalidated += 1;
    } else {
      this.counts[event.type] += 1;
    }
    // A resource whose slot is being made no longer came too late: it is destroyed at once.
    if (event.type !== 'created') return;
    if (this.#creating.has(event.slot)) this.#made.add(event.slot);
    else this.destroyed.surplus += 1;
  };

  #transition(event: PoolEvent & { type: 'transition' }): void {
    const { slot, from, to, reason } = event;
    if (from) this.gauges[from] -= 1;
    if (to !== 'gone') this.gauges[to] += 1;
    if (to === 'creating') this.#creating.add(slot);
    else this.#creating.delete(slot);
    if (to === 'closing' && reason && this.#made.has(slot)) this.destroyed[reason] += 1;
  }

  /**
   * Compares with the pool's own numbers.
   *
   * @returns one sentence for each number that differs
   */
  differences(stats: PoolStats): string[] {
    const { gauges, counts } = this;
    const pairs: [string, number, number][] = [
      ...Object.entries(gauges).map(([state, sum]): [string, number, number] => [
        state,
        sum,
        stats[state as SlotState],
      ]),
      ...Object.entries(this.destroyed).map(([reason, sum]): [string, number, number] => [
        `destroyed ${reason}`,
        sum,
        stats.destroyed[reason as EvictReason],
      ]),
      ['total', Object.values(gauges).reduce((sum, count) => sum + count, 0), stats.total],
      ['acquired', counts.acquired, stats.acquired],
      ['released', counts.released, stats.released],
      ['created', counts.created, stats.created],
      ['create failed', counts['create-failed'], stats.createFailed],
      ['validated', counts.validated, stats.validated],
      ['invalidated', counts.invalidated, stats.invalidated],
      ['acquire failed', counts['acquire-failed'], stats.acquireFailed],
      ['reclaimed', counts.reclaimed, stats.reclaimed],
      ['epoch', counts.epoch, stats.epoch],
    ];
    return pairs.flatMap(([name, sum, told]) => (sum === told ? [] : `7: ${name}: events ${sum}, stats ${told}`));
  }
}
