// The package's front door: composes the pool, the PostgreSQL connector and the Lambda lifecycle.
export type { CreatePoolOptions } from './create-pool-options.ts';
export { AmbiguousResultError } from './pg/ambiguous-result-error.ts';
export type { ConnectErrorCode } from './pg/connect-error.ts';
export type { IterateOptions } from './pg/iterate.ts';
export type { PgAcquireOptions } from './pg/lending.ts';
export type { PgLease } from './pg/pg-lease.ts';
export { type ConnectCallback, PgPool } from './pg/pg-pool.ts';
export type { PoolHooks } from './pg/pool-hooks.ts';
export { type AbortedStatement, QueryAbortedError } from './pg/query-signal.ts';
export type { Transaction, TransactionOptions } from './pg/transaction.ts';
export type { TransactionSettings } from './pg/transaction-settings.ts';
export type { PgClient, PgClientQueryConfig, PgQueryConfig } from './pg/types.ts';
export {
  AcquireError,
  type CorePoolErrorCode,
  type EvictReason,
  PoolError,
  type PoolEvent,
  type PoolObserver,
  type PoolStats,
  type TimelineEntry,
} from './pool/index.ts';
export { createPool, getPool } from './registry.ts';
export { dropResource, getResource, type ResourceOptions } from './resource.ts';
export { type WithPoolOptions, withPool } from './with-pool.ts';
