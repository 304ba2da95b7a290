// The generic pool: `thawpool/core`. It pools any resource behind a factory of four functions.
export { type Clock, elapsedMillis, type Instant, systemClock } from './clock.ts';
export { AcquireError, type CorePoolErrorCode, PoolError, type TimelineEntry } from './errors.ts';
export type { EvictReason, PoolEvent, PoolObserver, SlotState } from './events.ts';
export type { CreateContext, ResourceFactory, StepContext } from './factory.ts';
export type { Lease, ReleaseOptions } from './lease.ts';
export type { PoolOptions } from './options.ts';
export { Pool } from './pool.ts';
export type { PoolStats } from './stats.ts';
export type { AcquireOptions } from './waits.ts';
