/** The handler that is soaked: it does what the lab's subjects do, and tells what its process holds. */
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { withPool } from 'thawpool';
import { run, type SubjectEvent } from '../subjects/protocol.ts';
import type { Gauges } from './gauges.ts';

/** Beside what subjects are asked: what the process holds. */
export type SoakEvent = SubjectEvent | { readonly op: 'gauges' };

setFlagsFromString('--expose-gc');
const collectGarbage = runInNewContext('gc') as () => void;

/** What Node keeps for diagnostics, without a name in its documentation. */
const { _getActiveHandles: activeHandles } = process as unknown as { _getActiveHandles(): object[] };

function gauges(stats: Gauges['stats']): Gauges {
  collectGarbage();
  const { heapUsed, rss } = process.memoryUsage();
  const resources: Record<string, number> = {};
  for (const name of process.getActiveResourcesInfo()) resources[name] = (resources[name] ?? 0) + 1;
  return { stats, handles: activeHandles.call(process).length, resources, heapUsed, rss };
}

export const handler = withPool(async (event: SoakEvent, { db }) => {
  return event.op === 'gauges' ? gauges(db.stats()) : run(event, db);
});
