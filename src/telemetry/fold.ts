// Adds up what happens in one pool until somebody takes it. Heard in the middle of the pool's bookkeeping, so it makes
// nothing per event: numbers go up, and times into arrays.

import type { PoolEvent, PoolStats } from '../pool/index.ts';
import type { MetricName } from './metric-names.ts';
import { Samples } from './samples.ts';

/** What has happened, by metric. What has not happened is not there. */
export type Values = Partial<Record<MetricName, number | readonly number[]>>;

/** What a pool has to say of an interval: the metrics, and details that are none. */
export interface Folded {
  readonly values: Values;
  readonly details: Readonly<Record<string, number>>;
}

/** Notes that mean that something was done again, and the detail that counts each. */
const retries: ReadonlyMap<string, string> = new Map([
  ['connect-retried', 'connectRetries'],
  ['statement-retried', 'statementRetries'],
  ['transaction-retried', 'transactionRetries'],
]);

/** What a line may say that is no metric. */
export const detailNames: readonly string[] = [...retries.values()];

/** Other notes, and the metric that counts each. */
const notes: ReadonlyMap<string, MetricName> = new Map<string, MetricName>([
  ['fallback', 'Fallbacks'],
  ['credentials-renewed', 'CredentialsRenewed'],
  ['pin', 'Pins'],
]);

/** Counts what the pool counts as well from its own numbers, and times, peaks and the rest from its events. */
export class Fold {
  readonly #waited: Samples;
  readonly #connected: Samples;
  readonly #pinged: Samples;
  readonly #frozen: Samples;
  #before: PoolStats;
  #timeouts = 0;
  readonly #noted = new Map<string, number>();
  #open: number;
  #leased: number;
  #mostOpen: number;
  #mostLeased: number;
  #mostWaiting = 0;
  #touched = false;

  /** @param before - the pool's numbers from which on it counts */
  constructor(before: PoolStats, random: () => number = Math.random) {
    this.#waited = new Samples(random);
    this.#connected = new Samples(random);
    this.#pinged = new Samples(random);
    this.#frozen = new Samples(random);
    this.#before = before;
    this.#open = before.total;
    this.#leased = before.leased;
    this.#mostOpen = this.#open;
    this.#mostLeased = this.#leased;
  }

  hear(event: PoolEvent): void {
    switch (event.type) {
      case 'thaw':
        if (event.frozenMillis !== undefined && event.frozenMillis > 0) this.#frozen.add(event.frozenMillis);
        return;
      case 'freeze':
      case 'epoch':
        return;
      case 'transition':
        this.#moved(event.from, event.to);
        break;
      case 'acquired':
        this.#waited.add(event.waitedMillis);
        break;
      case 'created':
        this.#connected.add(event.millis);
        break;
      case 'validated':
        if (event.alive) this.#pinged.add(event.millis);
        break;
      case 'queued':
        if (event.waiting > this.#mostWaiting) this.#mostWaiting = event.waiting;
        break;
      case 'acquire-failed':
        if (event.code.endsWith('_TIMEOUT')) this.#timeouts += 1;
        break;
      case 'noted':
        this.#noted.set(event.what, (this.#noted.get(event.what) ?? 0) + 1);
        break;
      default:
    }
    this.#touched = true;
  }

  /**
   * Hands out what has happened since it was last asked, and begins anew. Nothing of a pool in which nothing has happened
   * and that holds no connection.
   *
   * @param always - counts that as something to tell, too
   */
  take(now: PoolStats, always: boolean): Folded | undefined {
    const quiet = !this.#touched && now.total === 0 && !always;
    const folded = quiet ? undefined : this.#fold(now);
    if (quiet) this.#frozen.take();
    this.#before = now;
    this.#timeouts = 0;
    this.#noted.clear();
    this.#open = now.total;
    this.#leased = now.leased;
    this.#mostOpen = this.#open;
    this.#mostLeased = this.#leased;
    this.#mostWaiting = now.waiting;
    this.#touched = false;
    return folded;
  }

  #moved(from: string | undefined, to: string): void {
    if (from === undefined) this.#open += 1;
    else if (from === 'leased') this.#leased -= 1;
    if (to === 'leased') this.#leased += 1;
    else if (to === 'gone') this.#open -= 1;
    if (this.#open > this.#mostOpen) this.#mostOpen = this.#open;
    if (this.#leased > this.#mostLeased) this.#mostLeased = this.#leased;
  }

  #fold(now: PoolStats): Folded {
    const values: Values = { ...countsBetween(this.#before, now), AcquireTimeouts: this.#timeouts };
    const details: Record<string, number> = {};
    let again = 0;
    for (const [what, count] of this.#noted) {
      const detail = retries.get(what);
      const metric = notes.get(what);
      if (metric !== undefined) values[metric] = count;
      if (detail === undefined) continue;
      details[detail] = count;
      again += count;
    }
    values.Retries = again;
    for (const name of Object.keys(values) as MetricName[]) if (values[name] === 0) delete values[name];
    const times: Values = defined({
      AcquireWaitTime: this.#waited.take(),
      ConnectTime: this.#connected.take(),
      PingTime: this.#pinged.take(),
      FrozenTime: this.#frozen.take(),
    });
    const gauges: Values = {
      ConnectionsOpen: this.#mostOpen,
      ConnectionsIdle: now.idle,
      ConnectionsLeased: this.#mostLeased,
    };
    if (this.#mostWaiting > 0) gauges.ConnectionsWaiting = this.#mostWaiting;
    return { values: { ...values, ...times, ...gauges }, details };
  }
}

/** What the pool has counted between two moments. */
function countsBetween(before: PoolStats, now: PoolStats): Values {
  const evicted = (reason: keyof PoolStats['destroyed']): number => now.destroyed[reason] - before.destroyed[reason];
  return {
    AcquireCount: now.acquired - before.acquired,
    AcquireFailures: now.acquireFailed - before.acquireFailed,
    ConnectCount: now.created - before.created,
    ConnectFailures: now.createFailed - before.createFailed,
    PingCount: now.validated - before.validated + now.invalidated - before.invalidated,
    FailedProofsOfLife: now.invalidated - before.invalidated,
    EvictedExpired: evicted('expired'),
    EvictedIdle: evicted('idle'),
    EvictedBroken: evicted('broken'),
    EvictedInvalid: evicted('invalid'),
    EvictedStaleCredentials: evicted('stale-credentials'),
    EvictedSurplus: evicted('surplus'),
    EvictedClosed: evicted('closed'),
    LeaksReclaimed: now.reclaimed - before.reclaimed,
  };
}

function defined(values: Record<string, number[] | undefined>): Values {
  return Object.fromEntries(Object.entries(values).filter(([, value]) => value !== undefined));
}
