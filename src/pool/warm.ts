import type { Pool } from './pool.ts';
import type { AcquireOptions } from './waits.ts';

/** Acquires so many at once and gives them back. @throws what the first of those that failed threw, once all have ended */
export async function warmUp<T>(pool: Pool<T>, count: number, options: AcquireOptions | undefined): Promise<void> {
  const results = await Promise.allSettled(Array.from({ length: count }, () => pool.acquire(options)));
  // Being warmed proves nothing beyond what the acquire has proven.
  for (const result of results) if (result.status === 'fulfilled') result.value.release({ proven: false });
  const failed = results.find((result) => result.status === 'rejected');
  if (failed) throw failed.reason;
}
