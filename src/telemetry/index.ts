// `thawpool/telemetry`: what happens in a pool, as metrics.
export type { EmfMetrics, EmfOptions } from './emf.ts';
export { emfMetrics } from './emf-metrics.ts';
export type { MeteredPool } from './metered-pool.ts';
export type { MetricName } from './metric-names.ts';
