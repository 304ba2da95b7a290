// Metrics for OpenTelemetry and Datadog as a function sends them: through both doors, against a real server.

import middy from '@middy/core';
import {
  AggregationTemporality,
  InMemoryMetricExporter,
  MeterProvider,
  PeriodicExportingMetricReader,
} from '@opentelemetry/sdk-metrics';
import type { Context } from 'aws-lambda';
import { type PgPool, withPool } from 'thawpool';
import { pgPool } from 'thawpool/middy';
import { datadogMetrics, otelMetrics } from 'thawpool/telemetry';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { deferred } from '../support/deferred.ts';
import { DogStatsd } from '../unit/telemetry/dogstatsd.ts';
import { makeContext } from './invocations.ts';
import { useDatabase, usePools } from './support.ts';

const database = useDatabase();
const makePool = usePools(() => ({ connectionString: database.connectionString }));

type Handler = (event: unknown, context: Context & { db: PgPool }) => unknown;
type Invoke = (event: unknown, context: Context) => Promise<unknown>;

const doors: [name: string, wrap: (handler: Handler, pool: PgPool) => Invoke][] = [
  ['the middleware', (handler, pool) => middy().use(pgPool({ pool })).handler(handler) as unknown as Invoke],
  ['the wrapper', (handler, pool) => withPool(handler, { pool })],
];

const select: Handler = async (_, { db }) => {
  await db.query('select 1');
};

let exporter: InMemoryMetricExporter;
let provider: MeterProvider;
let server: DogStatsd;
beforeEach(async () => {
  exporter = new InMemoryMetricExporter(AggregationTemporality.DELTA);
  const reader = new PeriodicExportingMetricReader({ exporter, exportIntervalMillis: 3_600_000 });
  provider = new MeterProvider({ readers: [reader] });
  server = await DogStatsd.start();
});
afterEach(async () => {
  await provider.shutdown();
  await server.stop();
  expect(server.faults).toEqual([]);
});

const exported = (): string[] =>
  exporter
    .getMetrics()
    .flatMap(({ scopeMetrics }) => scopeMetrics.flatMap(({ metrics }) => metrics.map((one) => one.descriptor.name)));

describe.each(doors)('a handler behind %s', (_, wrap) => {
  it('has its metrics exported by OpenTelemetry when it answers', async () => {
    const { pool } = makePool();
    const metrics = otelMetrics(pool, { meterProvider: provider, flush: true });
    const handler = wrap(select, pool);
    await handler(null, makeContext());
    expect(exporter.getMetrics()).toHaveLength(1);
    expect(exported()).toEqual(
      expect.arrayContaining(['db.client.connection.create_time', 'db.client.connection.use_time']),
    );
    await handler(null, makeContext());
    expect(exporter.getMetrics()).toHaveLength(2);
    metrics.stop();
    await handler(null, makeContext());
    expect(exporter.getMetrics()).toHaveLength(2);
  });

  it('answers however OpenTelemetry fails', async () => {
    const { pool } = makePool();
    const warnings: string[] = [];
    const failing = Object.assign(Object.create(provider) as MeterProvider, {
      getMeter: provider.getMeter.bind(provider),
      forceFlush: () => Promise.reject(new Error('no collector')),
    });
    const metrics = otelMetrics(pool, {
      meterProvider: failing,
      flush: true,
      onWarning: (text) => warnings.push(text),
    });
    await wrap(select, pool)(null, makeContext());
    await wrap(select, pool)(null, makeContext());
    expect(warnings).toEqual([expect.stringContaining('no collector')]);
    metrics.stop();
  });

  it('answers before its deadline however long an export takes', async () => {
    const { pool } = makePool();
    const never = deferred();
    const slow = { getMeter: provider.getMeter.bind(provider), forceFlush: () => never.promise };
    const metrics = otelMetrics(pool, { meterProvider: slow, flush: true, flushTimeoutMillis: 2_000_000_000 });
    // Without the deadline this would take weeks.
    await wrap(select, pool)(null, makeContext({ getRemainingTimeInMillis: () => 400 }));
    metrics.stop();
  });

  it('has its metrics sent to Datadog when it answers', async () => {
    const { pool } = makePool();
    const metrics = datadogMetrics(pool, { service: 'orders', host: '127.0.0.1', port: server.port });
    await wrap(select, pool)(null, makeContext());
    await server.until(() => server.metrics.some(({ name }) => name === 'thawpool.connections.max'));
    const connects = server.metrics.filter(({ name }) => name === 'thawpool.connect.count');
    expect(connects.map(({ value, tags }) => [value, tags])).toEqual([[1, ['service:orders', `pool:${pool.name}`]]]);
    metrics.stop();
  });
});
