// The metrics of a pool in CloudWatch's embedded metric format. Loaded only where they are asked for.

import type { PoolEvent, PoolStats } from '../pool/index.ts';
import { emfLine } from './emf-line.ts';
import { detailNames, Fold } from './fold.ts';
import { type MeteredPool, poolsOf } from './metered-pool.ts';
import { defaultNamespace, metrics, namespacePattern } from './metric-names.ts';
import { writeToStdout } from './stdout.ts';

/** Where metrics go, and under which names. */
export interface EmfOptions {
  /** @default 'thawpool' */
  readonly namespace?: string | undefined;
  /** @default `AWS_LAMBDA_FUNCTION_NAME`; 'local' where there is none */
  readonly functionName?: string | undefined;
  /**
   * Dimensions beside `FunctionName` and `PoolName`, at most 28. Each value makes metrics of its own, which CloudWatch
   * bills: a stage or an alias, never a request.
   */
  readonly dimensions?: Readonly<Record<string, string>> | undefined;
  /** Takes a line, its end included. What it throws is told once and fails nothing. @default standard output */
  readonly write?: ((line: string) => unknown) | undefined;
  /** Hears that lines could not be written, once. @default process.emitWarning */
  readonly onWarning?: ((message: string) => void) | undefined;
}

/** The metrics of a pool. */
export interface EmfMetrics {
  /** Writes a line for each pool in which something has happened since the last one. */
  flush(requestId?: string): void;
  /** Ends it. What has not been written is not. */
  stop(): void;
}

/** What was heard before there was anybody to add it up. */
export interface Past {
  readonly stats: PoolStats;
  readonly events: readonly PoolEvent[];
}

/** CloudWatch's limit of dimensions (CloudWatch embedded metric format, DimensionSet), less our two. */
const mostDimensions = 28;

/** Whether this process has written a line: the first one tells of a cold start. */
const thisProcess = { fresh: true };

/**
 * Writes down what happens in a pool, and in its reader where that is a pool of its own, as metrics of CloudWatch: one
 * line of embedded metric format for each, whenever `flush()` is called.
 *
 * `THAWPOOL_METRICS=emf` does the same at the end of each invocation. This is for other places, and for other writers.
 *
 * @throws TypeError when the namespace or a dimension is none that CloudWatch takes
 */
export function emfMetrics(pool: MeteredPool, options: EmfOptions = {}): EmfMetrics {
  return startEmf(poolsOf(pool), options);
}

/**
 * Does what `emfMetrics()` does, for each of these pools.
 *
 * @param pasts - for each pool, what came before
 * @param coldStart - whether a line has been written by this process
 */
export function startEmf(
  pools: readonly MeteredPool[],
  options: EmfOptions,
  pasts: readonly Past[] = [],
  coldStart: { fresh: boolean } = thisProcess,
): EmfMetrics {
  const { namespace, functionName, dimensions = {}, write = writeToStdout, onWarning = warn } = options;
  const facts = {
    namespace: namespace ?? defaultNamespace,
    functionName: functionName || process.env['AWS_LAMBDA_FUNCTION_NAME'] || 'local',
    dimensions,
  };
  check(facts.namespace, dimensions);
  let warned = false;
  const failed = (error: unknown): void => {
    if (warned) return;
    warned = true;
    onWarning(`Metrics could not be written, and were left out (said once): ${String(error)}`);
  };
  const metered = pools.map((pool, index) => {
    const past = pasts[index];
    const fold = new Fold(past?.stats ?? pool.stats());
    for (const event of past?.events ?? []) fold.hear(event);
    return { pool, fold, stop: pool.observe((event) => fold.hear(event)) };
  });
  const flush = (requestId?: string): void => {
    for (const { pool, fold } of metered) {
      const stats = pool.stats();
      const folded = fold.take(stats, coldStart.fresh);
      if (folded === undefined) continue;
      if (coldStart.fresh) folded.values.ColdStarts = 1;
      coldStart.fresh = false;
      const line = emfLine(folded, { ...facts, poolName: pool.name, at: Date.now(), requestId, epoch: stats.epoch });
      try {
        // It may be an asynchronous one.
        Promise.resolve(write(line)).catch(failed);
      } catch (error) {
        failed(error);
      }
    }
  };
  const stop = (): void => {
    for (const each of metered) each.stop();
  };
  return { flush, stop };
}

function check(namespace: string, dimensions: Readonly<Record<string, string>>): void {
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

function warn(message: string): void {
  process.emitWarning(message, 'PoolWarning');
}
