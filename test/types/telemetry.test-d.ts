// `thawpool/telemetry` as users write it. Each block names the mistake it guards against.
import { type CreatePoolOptions, getPool } from 'thawpool';
import { type EmfMetrics, emfMetrics, type MeteredPool, type MetricName } from 'thawpool/telemetry';
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
