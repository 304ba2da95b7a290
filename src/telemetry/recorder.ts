// Switches metrics on: keeps what happens while the code that adds it up is being loaded, and tells it when to write.

import type { Meter } from '../lambda/lifecycle.ts';
import type { PoolEvent } from '../pool/index.ts';
import type { EmfMetrics, EmfOptions, Past } from './emf.ts';
import { type MeteredPool, poolsOf } from './metered-pool.ts';

/** Where some invocation is always under way, a line is written this often: CloudWatch keeps one figure for each minute. */
const longestIntervalMillis = 60_000;

/**
 * Begins to hear the pool, and its reader, in this turn: nothing that happens in INIT is missed.
 *
 * @param now - the wall clock, milliseconds
 */
export function startMeter(
  pool: MeteredPool,
  options: EmfOptions & { readonly onWarning: (message: string) => void },
  now: () => number,
): Meter {
  const recorders = poolsOf(pool).map(record);
  let metrics: EmfMetrics | undefined;
  let writtenAt = now();
  const load = async (): Promise<void> => {
    try {
      const { startEmf } = await import('./emf.ts');
      metrics = startEmf(
        recorders.map((recorder) => recorder.pool),
        options,
        recorders.map(({ past }) => past),
      );
    } catch (error) {
      options.onWarning(`Metrics could not be loaded, and none are written: ${String(error)}`);
    } finally {
      for (const { stop } of recorders) stop();
    }
  };
  const loaded = load();
  return {
    ended(requestId, alone) {
      const at = now();
      if (!alone && at - writtenAt < longestIntervalMillis) return undefined;
      writtenAt = at;
      if (metrics) return metrics.flush(requestId);
      return loaded.then(() => metrics?.flush(requestId));
    },
  };
}

function record(pool: MeteredPool): { readonly pool: MeteredPool; readonly past: Past; readonly stop: () => void } {
  const events: PoolEvent[] = [];
  const past: Past = { stats: pool.stats(), events };
  return { pool, past, stop: pool.observe((event) => events.push(event)) };
}
