// Takes an idle resource out of a pool as anybody would, to have it closed: somebody beyond the pool waits for its place.

import type { Lease, Pool } from '../pool/index.ts';

/** Of a pool what this needs: a pool of sessions is one of anything. */
export type IdlePool<T> = Pick<Pool<T>, 'acquire' | 'closed' | 'observe' | 'stats' | 'tryAcquire'>;

/**
 * Has one idle resource closed, if there is one and nobody here waits.
 *
 * @param close - gives the lease back in such a way that its resource is destroyed
 * @returns whether a place is, or was, made free
 */
export async function giveUpIdle<T>(pool: IdlePool<T>, close: (lease: Lease<T>) => void): Promise<boolean> {
  const before = pool.stats();
  if (pool.closed || before.waiting > 0 || before.idle === 0) return false;
  const fresh = pool.tryAcquire();
  if (fresh) {
    close(fresh);
    return true;
  }
  // What is overdue was closed by looking at it.
  const { idle, waiting } = pool.stats();
  if (idle < before.idle) return true;
  if (waiting > 0) return false;
  const controller = new AbortController();
  // Before the pool makes another in the place of one that turns out to be dead: nobody here needs it.
  const stop = pool.observe((event) => {
    if (event.type === 'transition' && event.from === 'validating' && event.to === 'closing') controller.abort();
  });
  try {
    close(await pool.acquire({ signal: controller.signal }));
  } catch {
    // It was dead, and is gone.
  } finally {
    stop();
  }
  return true;
}
