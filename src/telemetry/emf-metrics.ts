// Metrics by hand, and what may be asked for there. Apart from the rest, which is loaded where metrics are switched on.

import { type EmfMetrics, type EmfOptions, startEmf } from './emf.ts';
import { detailNames } from './fold.ts';
import { type MeteredPool, poolsOf } from './metered-pool.ts';
import { defaultNamespace, metrics, namespacePattern } from './metric-names.ts';

/** CloudWatch's limit of dimensions (CloudWatch embedded metric format, DimensionSet), less our two. */
const mostDimensions = 28;

/**
 * Writes down what happens in a pool, and in its reader where that is a pool of its own, as metrics of CloudWatch: one
 * line of embedded metric format for each, whenever `flush()` is called.
 *
 * `THAWPOOL_METRICS=emf` does the same at the end of each invocation. This is for other places, and for other writers.
 *
 * @throws TypeError when the namespace or a dimension is none that CloudWatch takes
 */
export function emfMetrics(pool: MeteredPool, options: EmfOptions = {}): EmfMetrics {
  check(options);
  return startEmf(poolsOf(pool), options);
}

function check({ namespace = defaultNamespace, dimensions = {} }: EmfOptions): void {
  if (!namespacePattern.test(namespace)) {
    throw new TypeError(
      `namespace must be 1 to 255 letters, digits, blanks or . - _ / # : and not begin with AWS/, got ${JSON.stringify(namespace)}`,
    );
  }
  const entries = Object.entries(dimensions);
  if (entries.length > mostDimensions) {
    throw new TypeError(`CloudWatch takes ${mostDimensions} dimensions besides ours, got ${entries.length}`);
  }
  const properties = ['_aws', 'FunctionName', 'PoolName', 'requestId', 'epoch', ...detailNames];
  const taken = new Set([...properties, ...Object.keys(metrics)]);
  for (const [name, value] of entries) {
    if (taken.has(name)) throw new TypeError(`dimensions must not have ${name}, which the line has a use for`);
    // CloudWatch API reference, Dimension: printable ASCII, not only blanks; names do not begin with a colon.
    if (!/^(?!:)(?=.*\S)[\x20-\x7e]{1,255}$/.test(name) || !/^(?=.*\S)[\x20-\x7e]{1,1024}$/.test(value)) {
      throw new TypeError(
        `dimension ${JSON.stringify(name)} must be of printable ASCII, 255 characters at most and its value 1024, got ${JSON.stringify(value)}`,
      );
    }
  }
}
