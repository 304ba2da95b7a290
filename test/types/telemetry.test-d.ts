// `thawpool/telemetry` as users write it. Each block names the mistake it guards against.

import type { MeterProvider, TracerProvider } from '@opentelemetry/api';
import type { MeterProvider as SdkMeterProvider } from '@opentelemetry/sdk-metrics';
import { type CreatePoolOptions, getPool } from 'thawpool';
import { getRedis, type RedisPool } from 'thawpool/redis';
import {
  type DatadogClient,
  type DatadogMetrics,
  type DatadogTracer,
  datadogMetrics,
  type EmfMetrics,
  emfMetrics,
  type MeteredPool,
  type MetricName,
  type OtelMeterProvider,
  type OtelMetrics,
  type OtelTracerProvider,
  otelMetrics,
} from 'thawpool/telemetry';
import { expectTypeOf, test } from 'vitest';

test('a PgPool, its reader and a view of it have what metrics need', () => {
  const db = getPool();
  expectTypeOf(db).toExtend<MeteredPool>();
  expectTypeOf(emfMetrics(db.reader)).toEqualTypeOf<EmfMetrics>();
  expectTypeOf(db.name).toEqualTypeOf<string>();
});

test('values of dimensions are texts: a number would be no dimension', () => {
  emfMetrics(getPool(), { dimensions: { Stage: 'test' } });
  // @ts-expect-error -- a number
  emfMetrics(getPool(), { dimensions: { Stage: 1 } });
});

test('a writer may be asynchronous, and answer anything', () => {
  emfMetrics(getPool(), { write: async (line) => void line.length });
  emfMetrics(getPool(), { write: (line) => process.stdout.write(line) });
});

test('metrics are switched by a word that exists', () => {
  expectTypeOf<CreatePoolOptions['metrics']>().toEqualTypeOf<'off' | 'emf' | undefined>();
  // @ts-expect-error -- no such exporter
  getPool({ metrics: 'statsd' });
});

test('names of metrics are a closed list', () => {
  expectTypeOf<'ConnectCount'>().toExtend<MetricName>();
  expectTypeOf<string>().not.toExtend<MetricName>();
});

test('providers of OpenTelemetry fit as they are, of its API and of its SDK', () => {
  expectTypeOf<MeterProvider>().toExtend<OtelMeterProvider>();
  expectTypeOf<SdkMeterProvider>().toExtend<OtelMeterProvider>();
  expectTypeOf<TracerProvider>().toExtend<OtelTracerProvider>();
  expectTypeOf(otelMetrics(getPool())).toEqualTypeOf<OtelMetrics>();
  // @ts-expect-error -- an exporter is no provider
  otelMetrics(getPool(), { meterProvider: { export: () => {} } });
});

test('a pool of Redis has what metrics need', () => {
  expectTypeOf<RedisPool>().toExtend<MeteredPool>();
  expectTypeOf(datadogMetrics(getRedis())).toEqualTypeOf<DatadogMetrics>();
});

test('clients of hot-shots and tracers of dd-trace fit as they are declared', () => {
  // As in the declarations of hot-shots 14 and dd-trace 5.
  type Tags = { [key: string]: string } | string[];
  type Callback = (error?: Error, bytes?: number) => void;
  interface HotShots {
    increment(stat: string): void;
    increment(stat: string | string[], value: number, sampleRate?: number, tags?: Tags, callback?: Callback): void;
    increment(stat: string | string[], value: number, tags?: Tags, callback?: Callback): void;
    gauge(stat: string | string[], value: number, sampleRate?: number, tags?: Tags, callback?: Callback): void;
    gauge(stat: string | string[], value: number, tags?: Tags, callback?: Callback): void;
    distribution(stat: string | string[], value: number, sampleRate?: number, tags?: Tags, callback?: Callback): void;
    distribution(stat: string | string[], value: number, tags?: Tags, callback?: Callback): void;
    event(
      title: string,
      text?: string,
      options?: { aggregation_key?: string; alert_type?: 'info' | 'warning' | 'success' | 'error'; hostname?: string },
      tags?: Tags,
      callback?: Callback,
    ): void;
  }
  interface Span {
    context(): object;
    setTag(key: string, value: unknown): this;
    finish(finishTime?: number): void;
  }
  interface Tracer {
    startSpan(
      name: string,
      options?: { childOf?: Span | object | null; startTime?: number; tags?: { [key: string]: unknown } },
    ): Span;
    scope(): { active(): Span | null };
  }
  expectTypeOf<HotShots>().toExtend<DatadogClient>();
  expectTypeOf<Tracer>().toExtend<DatadogTracer>();
  // @ts-expect-error -- a number is no tag
  datadogMetrics(getPool(), { tags: { stage: 1 } });
  // @ts-expect-error -- no client: it takes nothing
  datadogMetrics(getPool(), { client: {} });
});
