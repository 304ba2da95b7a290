// A pool's numbers as instruments of OpenTelemetry: what the pool counts is read from it when metrics are collected, the
// rest is recorded as it happens.

import type { EvictReason, Instant, PoolEvent, PoolStats } from '../pool/index.ts';
import type { MeteredPool } from './metered-pool.ts';
import type {
  OtelAttributes,
  OtelCounter,
  OtelHistogram,
  OtelInstrumentOptions,
  OtelMeter,
  OtelObservable,
  OtelObservations,
} from './otel-api.ts';
import { type OtelMetricName, otelMetricTable, poolNameAttribute } from './otel-names.ts';
import { elapsedBetween } from './pool-spans.ts';

/** Notes that are counted, and what by. */
const notes: ReadonlyMap<string, readonly [name: OtelMetricName, kind?: string]> = new Map<
  string,
  readonly [OtelMetricName, string?]
>([
  ['connect-retried', ['thawpool.retries', 'connect']],
  ['statement-retried', ['thawpool.retries', 'statement']],
  ['transaction-retried', ['thawpool.retries', 'transaction']],
  ['fallback', ['thawpool.fallbacks']],
  ['credentials-renewed', ['thawpool.credentials_renewed']],
  ['pin', ['thawpool.connection.pins']],
]);

/** The instruments of one meter, for any number of pools. */
export class OtelInstruments {
  readonly counters: Map<OtelMetricName, OtelCounter> = new Map();
  readonly histograms: Map<OtelMetricName, OtelHistogram> = new Map();
  readonly #meter: OtelMeter;
  readonly #observed = new Map<OtelMetricName, OtelObservable>();

  constructor(meter: OtelMeter) {
    this.#meter = meter;
    for (const name of Object.keys(otelMetricTable) as OtelMetricName[]) this.#create(name);
  }

  /** Has it called when metrics are collected. @returns stops that */
  collect(
    observe: (tell: (name: OtelMetricName, value: number, attributes: OtelAttributes) => void) => void,
  ): () => void {
    const callback = (result: OtelObservations): void =>
      observe((name, value, attributes) => {
        const observable = this.#observed.get(name);
        if (observable) result.observe(observable, value, attributes);
      });
    const observables = [...this.#observed.values()];
    this.#meter.addBatchObservableCallback(callback, observables);
    return () => this.#meter.removeBatchObservableCallback(callback, observables);
  }

  #create(name: OtelMetricName): void {
    const { kind, unit, description, buckets } = otelMetricTable[name];
    const options: OtelInstrumentOptions = { unit, description };
    if (buckets) options.advice = { explicitBucketBoundaries: [...buckets] };
    if (kind === 'histogram') this.histograms.set(name, this.#meter.createHistogram(name, options));
    else if (kind === 'counter') this.counters.set(name, this.#meter.createCounter(name, options));
    else if (kind === 'observed counter') this.#observed.set(name, this.#meter.createObservableCounter(name, options));
    else this.#observed.set(name, this.#meter.createObservableUpDownCounter(name, options));
  }
}

/** Records what happens in one pool. */
export class OtelRecorder {
  readonly #instruments: OtelInstruments;
  readonly #pool: MeteredPool;
  readonly #attributes: OtelAttributes;
  /** When what is lent was lent, by slot. */
  readonly #lent = new Map<number, Instant>();

  constructor(instruments: OtelInstruments, pool: MeteredPool, attributes: OtelAttributes) {
    this.#instruments = instruments;
    this.#pool = pool;
    this.#attributes = { ...attributes, [poolNameAttribute]: pool.name };
  }

  hear(event: PoolEvent, at: Instant): void {
    switch (event.type) {
      case 'transition':
        if (event.from === 'leased') this.#givenBack(event.slot, at);
        if (event.to === 'leased') this.#lent.set(event.slot, at);
        return;
      case 'acquired':
        return this.#took('db.client.connection.wait_time', event.waitedMillis);
      case 'created':
        return this.#took('db.client.connection.create_time', event.millis);
      case 'validated':
        if (event.alive) this.#took('thawpool.connection.validate_time', event.millis);
        return;
      case 'thaw':
        if (event.frozenMillis !== undefined && event.frozenMillis > 0) {
          this.#took('thawpool.frozen_time', event.frozenMillis);
        }
        return;
      case 'acquire-failed':
        if (event.code.endsWith('_TIMEOUT')) this.#count('db.client.connection.timeouts');
        return;
      case 'noted': {
        const [name, kind] = notes.get(event.what) ?? [];
        if (name) this.#count(name, kind);
        return;
      }
      default:
    }
  }

  /** Tells what the pool counts itself. */
  observe(tell: (name: OtelMetricName, value: number, attributes: OtelAttributes) => void): void {
    const stats = this.#pool.stats();
    for (const [name, value, by] of observations(stats)) tell(name, value, this.#by(name, by));
  }

  #givenBack(slot: number, at: Instant): void {
    const since = this.#lent.get(slot);
    this.#lent.delete(slot);
    if (since) this.#took('db.client.connection.use_time', elapsedBetween(since, at));
  }

  #took(name: OtelMetricName, millis: number): void {
    this.#instruments.histograms.get(name)?.record(millis / 1000, this.#attributes);
  }

  #count(name: OtelMetricName, by?: string): void {
    this.#instruments.counters.get(name)?.add(1, this.#by(name, by));
  }

  #by(name: OtelMetricName, value: string | undefined): OtelAttributes {
    const { attribute } = otelMetricTable[name];
    return attribute === undefined || value === undefined
      ? this.#attributes
      : { ...this.#attributes, [attribute]: value };
  }
}

function observations(stats: PoolStats): (readonly [OtelMetricName, number, string?])[] {
  const evicted = Object.entries(stats.destroyed) as [EvictReason, number][];
  return [
    ['db.client.connection.count', stats.idle, 'idle'],
    ['db.client.connection.count', stats.leased, 'used'],
    ['db.client.connection.idle.max', stats.maxIdle],
    ['db.client.connection.idle.min', 0],
    ['db.client.connection.limit', stats.max],
    ['db.client.connection.pending_requests', stats.waiting],
    ['thawpool.acquire.failures', stats.acquireFailed],
    ['thawpool.connection.create_failures', stats.createFailed],
    ['thawpool.connection.validations', stats.validated, 'alive'],
    ['thawpool.connection.validations', stats.invalidated, 'failed'],
    ...evicted.map(([reason, count]) => ['thawpool.connection.evictions', count, reason] as const),
    ['thawpool.connection.leaks_reclaimed', stats.reclaimed],
  ];
}
