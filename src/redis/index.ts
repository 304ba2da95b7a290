// `thawpool/redis`: pools of connections to Redis, clients of the package `redis`. PostgreSQL is not loaded with it.

export type { PoolMiddleware as RedisPoolMiddleware } from '../middy/hooks.ts';
export {
  AcquireError,
  PoolError,
  type PoolEvent,
  type PoolObserver,
  type PoolStats,
  type TimelineEntry,
} from '../pool/index.ts';
export type { RedisClientSettings, RedisPoolOptions } from './options.ts';
export type { RedisAcquireOptions, RedisLease, RedisPool } from './redis-pool.ts';
export { createRedisPool, getRedis } from './registry.ts';
export type { RedisClient } from './session.ts';
export { redisPool, type WithRedisOptions, withRedis } from './with-redis.ts';
