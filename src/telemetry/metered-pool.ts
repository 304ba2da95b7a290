import type { PoolObserver, PoolStats } from '../pool/index.ts';

/** What is needed of a pool: a `PgPool` has it. */
export interface MeteredPool {
  readonly name: string;
  /** The pool for what only reads, or the pool itself. */
  readonly reader?: MeteredPool;
  stats(): PoolStats;
  observe(observer: PoolObserver): () => void;
}

/** The pool, and its reader where that is another one. */
export function poolsOf(pool: MeteredPool): MeteredPool[] {
  const { reader = pool } = pool;
  return reader === pool ? [pool] : [pool, reader];
}
