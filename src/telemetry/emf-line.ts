// One line of CloudWatch's embedded metric format. Pure: numbers in, text out.

import type { Folded } from './fold.ts';
import { dimensions, type MetricName, metrics } from './metric-names.ts';

/** What a line says besides its metrics. */
export interface LineFacts {
  readonly namespace: string;
  readonly functionName: string;
  readonly poolName: string;
  /** Dimensions beside the function's name and the pool's. */
  readonly dimensions: Readonly<Record<string, string>>;
  /** Milliseconds since 1970. */
  readonly at: number;
  readonly requestId: string | undefined;
  readonly epoch: number;
}

/**
 * Writes the metrics down, in the order of the table and with the line's end. Within CloudWatch's limits, whatever has
 * happened: there are fewer than 100 metrics, and at most 100 values of each of four, some 5 KB of 1 MB (256 KB until 2025;
 * CloudWatch embedded metric format, specification).
 */
export function emfLine({ values, details }: Folded, facts: LineFacts): string {
  const names = (Object.keys(metrics) as MetricName[]).filter((name) => values[name] !== undefined);
  const line: Record<string, unknown> = {
    _aws: {
      Timestamp: Math.trunc(facts.at),
      CloudWatchMetrics: [
        {
          Namespace: facts.namespace,
          Dimensions: dimensions.map((set) => [...set, ...Object.keys(facts.dimensions)]),
          Metrics: names.map((name) => ({ Name: name, Unit: metrics[name].unit })),
        },
      ],
    },
    // First, so that no dimension of the user's takes the place of a metric.
    ...facts.dimensions,
    FunctionName: facts.functionName,
    PoolName: dimensionOf(facts.poolName),
    requestId: facts.requestId,
    epoch: facts.epoch,
    ...details,
  };
  for (const name of names) line[name] = values[name];
  return `${JSON.stringify(line)}\n`;
}

/** A pool may have any name; CloudWatch takes up to 1024 characters of printable ASCII, and not none (API reference, Dimension). */
function dimensionOf(name: string): string {
  return (
    name
      .replaceAll(/[^\x20-\x7e]/g, '_')
      .slice(0, 1024)
      .trim() || 'unnamed'
  );
}
