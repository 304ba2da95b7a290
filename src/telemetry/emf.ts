// The metrics of a pool in CloudWatch's embedded metric format. Loaded only where they are asked for.

import type { PoolEvent, PoolStats } from '../pool/index.ts';
import { emfLine } from './emf-line.ts';
import { Fold } from './fold.ts';
import type { MeteredPool } from './metered-pool.ts';
import { defaultNamespace } from './metric-names.ts';
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
  /** Ends it: what has not been written is not any more. */
  stop(): void;
}

/** What was heard before there was anybody to add it up. */
export interface Past {
  readonly stats: PoolStats;
  readonly events: readonly PoolEvent[];
}

/** Whether this process has written a line: the first one tells of a cold start. */
const thisProcess = { fresh: true };

/**
 * Does what `emfMetrics()` does, for each of these pools, and believes its options: where metrics are switched on, they
 * have been checked before.
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
    for (const each of metered.splice(0)) each.stop();
  };
  return { flush, stop };
}

function warn(message: string): void {
  process.emitWarning(message, 'PoolWarning');
}
