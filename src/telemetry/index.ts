// `thawpool/telemetry`: what happens in a pool, as metrics.
export { type EmfMetrics, type EmfOptions, emfMetrics } from './emf.ts';
export type { MeteredPool } from './metered-pool.ts';
export type { MetricName } from './metric-names.ts';
