// Metrics as OpenTelemetry's own SDK has them, of pools that go through a script.

import { createRequire } from 'node:module';
import { metrics as api } from '@opentelemetry/api';
import {
  AggregationTemporality,
  DataPointType,
  InMemoryMetricExporter,
  InstrumentType,
  MeterProvider,
  type MetricData,
  PeriodicExportingMetricReader,
} from '@opentelemetry/sdk-metrics';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { type OtelMetrics, type OtelOptions, otelMetrics } from '../../../src/telemetry/otel-metrics.ts';
import { type OtelMetricName, otelMetricTable, poolNameAttribute } from '../../../src/telemetry/otel-names.ts';
import { deferred } from '../../support/deferred.ts';
import { type Ended, namedPool, script } from './named-pool.ts';

/** The names of the conventions, which the SDK brings along. */
const conventions = createRequire(createRequire(import.meta.url).resolve('@opentelemetry/sdk-metrics'))(
  ['@opentelemetry', 'semantic-conventions', 'incubating'].join('/'),
) as Readonly<Record<string, unknown>>;

let exporter: InMemoryMetricExporter;
let provider: MeterProvider;
let started: OtelMetrics[];
let warnings: string[];
beforeEach(() => {
  warnings = [];
  started = [];
  makeProvider(AggregationTemporality.CUMULATIVE);
});
afterEach(async () => {
  for (const each of started) each.stop();
  await provider.shutdown();
  api.disable();
  vi.restoreAllMocks();
});

/** What OTLP's exporters do when they are told to prefer delta: numbers that go up and down stay whole. */
class DeltaExporter extends InMemoryMetricExporter {
  override selectAggregationTemporality(instrument: InstrumentType): AggregationTemporality {
    const whole = [InstrumentType.UP_DOWN_COUNTER, InstrumentType.OBSERVABLE_UP_DOWN_COUNTER];
    return whole.includes(instrument) ? AggregationTemporality.CUMULATIVE : AggregationTemporality.DELTA;
  }
}

function makeProvider(temporality: AggregationTemporality): void {
  exporter =
    temporality === AggregationTemporality.DELTA
      ? new DeltaExporter(temporality)
      : new InMemoryMetricExporter(temporality);
  // Only ever asked: the interval is longer than any test.
  const reader = new PeriodicExportingMetricReader({ exporter, exportIntervalMillis: 3_600_000 });
  provider = new MeterProvider({ readers: [reader] });
}

function start(pool: Parameters<typeof otelMetrics>[0], options: OtelOptions = {}): OtelMetrics {
  const made = otelMetrics(pool, {
    meterProvider: provider,
    onWarning: (message) => warnings.push(message),
    ...options,
  });
  started.push(made);
  return made;
}

async function collected(): Promise<MetricData[]> {
  exporter.reset();
  await provider.forceFlush();
  return exporter.getMetrics().flatMap(({ scopeMetrics }) => scopeMetrics.flatMap(({ metrics }) => metrics));
}

/** Each point as `name{by}` and its value; of histograms count and sum. */
async function points(pool = 'default'): Promise<Record<string, unknown>> {
  const found: Record<string, unknown> = {};
  for (const { descriptor, dataPoints, dataPointType } of await collected()) {
    for (const { attributes, value } of dataPoints) {
      const { [poolNameAttribute]: name, ...rest } = attributes;
      if (name !== pool) continue;
      const by = Object.values(rest).join();
      const shown = dataPointType === DataPointType.HISTOGRAM ? histogram(value) : value;
      found[by === '' ? descriptor.name : `${descriptor.name}{${by}}`] = shown;
    }
  }
  return found;
}

function histogram(value: unknown): readonly [count: number, sum: number] {
  const { count, sum } = value as { count: number; sum: number };
  return [count, Math.round(sum * 1000) / 1000];
}

const options = { max: 2, maxIdle: 1, acquireTimeoutMillis: 60_000 };

describe('the metrics of a pool', () => {
  it('are what happened in it', async () => {
    const named = namedPool('default', options);
    start(named.metered);
    await script(named);
    const stats = named.pool.stats();
    expect(await points()).toEqual({
      'db.client.connection.count{idle}': stats.idle,
      'db.client.connection.count{used}': stats.leased,
      'db.client.connection.idle.max': 1,
      'db.client.connection.idle.min': 0,
      'db.client.connection.limit': 2,
      'db.client.connection.pending_requests': 0,
      'db.client.connection.timeouts': 1,
      'db.client.connection.create_time': [stats.created, 0.5],
      'db.client.connection.wait_time': [stats.acquired, 1],
      'db.client.connection.use_time': [stats.acquired, 4.25],
      'thawpool.acquire.failures': 3,
      'thawpool.connection.create_failures': 2,
      'thawpool.connection.validations{alive}': stats.validated,
      'thawpool.connection.validations{failed}': 1,
      'thawpool.connection.validate_time': [stats.validated, 0],
      'thawpool.connection.evictions{expired}': 0,
      'thawpool.connection.evictions{idle}': 0,
      'thawpool.connection.evictions{broken}': 0,
      'thawpool.connection.evictions{invalid}': 1,
      'thawpool.connection.evictions{stale-credentials}': 1,
      'thawpool.connection.evictions{surplus}': 1,
      'thawpool.connection.evictions{closed}': 0,
      'thawpool.connection.leaks_reclaimed': 1,
      'thawpool.connection.pins': 2,
      'thawpool.credentials_renewed': 1,
      'thawpool.fallbacks': 1,
      'thawpool.retries{connect}': 1,
      'thawpool.retries{statement}': 2,
      'thawpool.retries{transaction}': 1,
      'thawpool.frozen_time': [3, 9],
    });
    expect([stats.created, stats.acquired, stats.validated]).toEqual([3, 5, 2]);
    named.check();
  });

  it('are all those of the table, with its units, kinds and bounds', async () => {
    const named = namedPool('default', options);
    start(named.metered);
    await script(named);
    const kinds: Record<number, string> = {
      [DataPointType.HISTOGRAM]: 'histogram',
      [DataPointType.SUM]: 'sum',
    };
    const got = (await collected()).map((metric) => {
      const { descriptor, dataPointType } = metric;
      const monotonic = dataPointType === DataPointType.SUM && metric.isMonotonic;
      const { unit, name, description } = descriptor;
      const bounds = dataPointType === DataPointType.HISTOGRAM ? metric.dataPoints[0]?.value.buckets.boundaries : [];
      return { name, unit, description, kind: kinds[dataPointType], monotonic, bounds };
    });
    const wanted = Object.entries(otelMetricTable).map(([name, facts]) => ({
      name,
      unit: facts.unit,
      description: facts.description,
      kind: facts.kind === 'histogram' ? 'histogram' : 'sum',
      monotonic: facts.kind === 'counter' || facts.kind === 'observed counter',
      bounds: facts.buckets ?? [],
    }));
    expect(got.toSorted(byName)).toEqual(wanted.toSorted(byName));
  });

  it('have the names that the conventions have', () => {
    const known = new Set<unknown>(Object.values(conventions));
    const names = Object.keys(otelMetricTable).filter((name) => name.startsWith('db.'));
    expect(names).toHaveLength(9);
    expect(names.filter((name) => !known.has(name))).toEqual([]);
    expect([
      conventions['METRIC_DB_CLIENT_CONNECTION_LIMIT'],
      conventions['ATTR_DB_CLIENT_CONNECTION_POOL_NAME'],
    ]).toEqual(['db.client.connection.limit' satisfies OtelMetricName, poolNameAttribute]);
    expect(otelMetricTable['db.client.connection.count'].attribute).toBe(
      conventions['ATTR_DB_CLIENT_CONNECTION_STATE'],
    );
  });

  it('are of the scope thawpool, and say which conventions they follow', async () => {
    const { metered } = namedPool('default');
    start(metered);
    await provider.forceFlush();
    const scopes = exporter.getMetrics().flatMap(({ scopeMetrics }) => scopeMetrics.map(({ scope }) => scope));
    expect(scopes).toEqual([
      expect.objectContaining({ name: 'thawpool', schemaUrl: 'https://opentelemetry.io/schemas/1.45.0' }),
    ]);
  });

  it('show what is lent and who waits at this moment', async () => {
    const { metered, pool } = namedPool('default', { max: 1 });
    start(metered);
    const lease = await pool.acquire();
    const waiting = pool.acquire();
    expect(await points()).toMatchObject({
      'db.client.connection.count{used}': 1,
      'db.client.connection.count{idle}': 0,
      'db.client.connection.pending_requests': 1,
    });
    lease.release();
    (await waiting).release();
    expect(await points()).toMatchObject({
      'db.client.connection.count{used}': 0,
      'db.client.connection.count{idle}': 1,
      'db.client.connection.pending_requests': 0,
    });
  });

  it('count each use once, by the clock on which more has passed', async () => {
    const { metered, pool, clock } = namedPool('default', { max: 1 });
    start(metered);
    const lease = await pool.acquire();
    const next = pool.acquire();
    await clock.advance(100);
    lease.release();
    const second = await next;
    clock.freeze(5000, { monotonicRuns: false });
    second.release();
    expect((await points())['db.client.connection.use_time']).toEqual([2, 5.1]);
  });

  it('tell with delta temporality what came since the last export', async () => {
    await provider.shutdown();
    makeProvider(AggregationTemporality.DELTA);
    const { metered, pool, settle } = namedPool('default', { max: 1 });
    (await pool.acquire()).release();
    pool.evict('expired');
    await settle();
    start(metered);
    expect(await points()).toMatchObject({ 'thawpool.connection.evictions{expired}': 1 });
    (await pool.acquire()).release();
    pool.evict('expired');
    await settle();
    const second = await points();
    expect(second).toMatchObject({ 'thawpool.connection.evictions{expired}': 1, 'db.client.connection.limit': 1 });
    expect(second['db.client.connection.wait_time']).toEqual([1, 0]);
    expect((await points())['db.client.connection.wait_time']).toBeUndefined();
  });

  it('have the attributes that were asked for, and are told apart by pool', async () => {
    const reader = namedPool('default:reader');
    const writer = namedPool('default', { max: 2 }, { reader: reader.metered });
    start(writer.metered, { attributes: { stage: 'test' } });
    (await reader.pool.acquire()).release();
    const found = await points('default:reader');
    expect(found).toMatchObject({ 'db.client.connection.wait_time{test}': [1, 0] });
    expect((await points('default'))['db.client.connection.wait_time{test}']).toBeUndefined();
    expect(await points('default')).toMatchObject({ 'db.client.connection.limit{test}': 2 });
  });

  it('end with stop()', async () => {
    const { metered, pool } = namedPool('default');
    let asked = 0;
    const watched = { ...metered, stats: () => (asked++, metered.stats()) };
    const metrics = start(watched);
    (await pool.acquire()).release();
    expect((await points())['db.client.connection.wait_time']).toEqual([1, 0]);
    expect(asked).toBe(1);
    metrics.stop();
    (await pool.acquire()).release();
    expect((await points())['db.client.connection.wait_time']).toEqual([1, 0]);
    expect(asked).toBe(1);
  });
});

describe('the provider that is registered', () => {
  it('is used where none is given, with what happened before it was found', async () => {
    api.setGlobalMeterProvider(provider);
    const named = namedPool('default', options);
    const metrics = start(named.metered, { meterProvider: undefined });
    // In this very turn, in which nothing can have been loaded.
    named.pool.note('pin');
    await script(named);
    await metrics.flush();
    expect(await points()).toMatchObject({
      'db.client.connection.wait_time': [5, 1],
      'db.client.connection.use_time': [5, 4.25],
      'thawpool.retries{statement}': 2,
      'thawpool.connection.pins': 3,
    });
    expect(warnings).toEqual([]);
  });

  it('gets nothing when it was stopped before', async () => {
    api.setGlobalMeterProvider(provider);
    const { metered, pool } = namedPool('default');
    const metrics = start(metered, { meterProvider: undefined });
    metrics.stop();
    await metrics.flush();
    (await pool.acquire()).release();
    expect(await collected()).toEqual([]);
  });

  it('may fail, which is said once and stops no pool', async () => {
    api.setGlobalMeterProvider({
      getMeter: () => {
        throw new Error('no meters today');
      },
    });
    const { metered, pool } = namedPool('default');
    const metrics = start(metered, { meterProvider: undefined });
    await metrics.flush();
    await metrics.flush();
    (await pool.acquire()).release();
    expect(warnings).toHaveLength(1);
    expect(warnings[0]).toContain('no meters today');
  });
});

describe('an instrument that throws', () => {
  it('costs no acquire', async () => {
    const { metered, pool, warnings: told } = namedPool('default');
    start(metered);
    const broken = {
      getMeter: () => ({
        ...fakeMeter(),
        createHistogram: () => ({
          record: () => {
            throw new Error('full');
          },
        }),
      }),
    };
    start(metered, { meterProvider: broken });
    const lease = await pool.acquire();
    lease.release();
    expect(told).toHaveLength(1);
    expect(told[0]).toContain('full');
    expect((await points())['db.client.connection.wait_time']).toEqual([1, 0]);
  });
});

describe('a flush', () => {
  const flushing = (forceFlush: () => Promise<unknown>) => ({ getMeter: fakeMeter, forceFlush });

  it('has the provider export', async () => {
    const { metered, pool } = namedPool('default');
    const metrics = start(metered);
    (await pool.acquire()).release();
    await metrics.flush();
    expect(exporter.getMetrics()).toHaveLength(1);
  });

  it('has both providers export, whatever becomes of one', async () => {
    const flushed: string[] = [];
    const { metered } = namedPool('default');
    const metrics = start(metered, {
      meterProvider: flushing(() => Promise.reject(new Error('no collector'))),
      tracerProvider: { getTracer: fakeTracer, forceFlush: async () => flushed.push('traces') },
    });
    await metrics.flush();
    await metrics.flush();
    expect(flushed).toEqual(['traces', 'traces']);
    expect(warnings).toEqual([expect.stringContaining('no collector')]);
  });

  it('reaches the provider for which the API stands', async () => {
    const flushed: string[] = [];
    const { metered } = namedPool('default');
    const delegate = { forceFlush: async () => flushed.push('traces') };
    const metrics = start(metered, { tracerProvider: { getTracer: fakeTracer, getDelegate: () => delegate } });
    await metrics.flush();
    expect(flushed).toEqual(['traces']);
  });

  it('never rejects, whatever a provider does', async () => {
    const broken = () => {
      throw new Error('no delegate');
    };
    const metrics = start(namedPool('default').metered, {
      tracerProvider: { getTracer: fakeTracer, getDelegate: broken },
    });
    await expect(metrics.flush()).resolves.toBeUndefined();
  });

  it('is given up after its time', async () => {
    const never = deferred<unknown>();
    const { metered } = namedPool('default');
    const metrics = start(metered, { meterProvider: flushing(() => never.promise), flushTimeoutMillis: 5 });
    await metrics.flush();
    never.resolve(undefined);
  });

  it.each([-1, Number.NaN, 'soon' as unknown as number])('refuses %s as its time', (flushTimeoutMillis) => {
    expect(() => otelMetrics(namedPool('default').metered, { meterProvider: provider, flushTimeoutMillis })).toThrow(
      'flushTimeoutMillis must be a number from 0 on',
    );
  });
});

describe('the end of an invocation', () => {
  const counted = () => {
    const calls: string[] = [];
    return { calls, meterProvider: { getMeter: fakeMeter, forceFlush: async () => calls.push('flush') } };
  };

  it('flushes where that was asked for, until stop()', async () => {
    const meters = new Set<Ended>();
    const { metered } = namedPool('default', {}, { meters });
    const { calls, meterProvider } = counted();
    const metrics = start(metered, { meterProvider, flush: true });
    for (const ended of meters) await ended('1', true);
    expect(calls).toEqual(['flush']);
    // Others run: it is not frozen.
    for (const ended of meters) await ended('2', false);
    expect(calls).toEqual(['flush']);
    metrics.stop();
    expect(meters.size).toBe(0);
  });

  it('flushes nothing where it was not asked for', () => {
    const meters = new Set<Ended>();
    start(namedPool('default', {}, { meters }).metered);
    expect(meters.size).toBe(0);
  });

  it('is not held up beyond its deadline', async () => {
    const never = deferred<unknown>();
    const meters = new Set<Ended>();
    const { metered } = namedPool('default', {}, { meters });
    const meterProvider = { getMeter: fakeMeter, forceFlush: () => never.promise };
    start(metered, { meterProvider, flush: true, flushTimeoutMillis: 2_000_000_000 });
    // Neither resolves otherwise: the flush never ends, and its own time is weeks.
    for (const ended of meters) await ended('1', true, Date.now() - 1);
    for (const ended of meters) await ended('2', true, Date.now() + 5);
    expect(meters.size).toBe(1);
  });
});

function byName(a: { readonly name: string }, b: { readonly name: string }): number {
  return a.name.localeCompare(b.name);
}

function fakeMeter() {
  const observable = { addCallback: () => {} };
  return {
    createHistogram: () => ({ record: () => {} }),
    createCounter: () => ({ add: () => {} }),
    createObservableCounter: () => observable,
    createObservableUpDownCounter: () => observable,
    addBatchObservableCallback: () => {},
    removeBatchObservableCallback: () => {},
  };
}

function fakeTracer() {
  return { startSpan: () => ({ setAttribute: () => {}, setStatus: () => {}, end: () => {} }) };
}
