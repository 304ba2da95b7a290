// `thawpool/telemetry`: what happens in a pool, as metrics.
export type { PoolMessage } from './channel.ts';
export type {
  DatadogClient,
  DatadogEventOptions,
  DatadogSpan,
  DatadogSpanOptions,
  DatadogTracer,
} from './datadog-client.ts';
export { type DatadogMetrics, type DatadogOptions, datadogMetrics } from './datadog-metrics.ts';
export type { EmfMetrics, EmfOptions } from './emf.ts';
export { emfMetrics } from './emf-metrics.ts';
export type { MeteredPool } from './metered-pool.ts';
export type { MetricName } from './metric-names.ts';
export type {
  OtelAttributes,
  OtelMeterProvider,
  OtelTracerProvider,
} from './otel-api.ts';
export { type OtelMetrics, type OtelOptions, otelMetrics } from './otel-metrics.ts';
export type { OtelMetricName } from './otel-names.ts';
