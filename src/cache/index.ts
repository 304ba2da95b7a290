// `thawpool/cache`: what was made is kept for a while, in memory or in Redis, and made once however many ask.
export {
  type Cache,
  type CacheEvent,
  type CacheObserver,
  type CacheOptions,
  type CacheStats,
  createCache,
} from './cache.ts';
export { type CachedFunction, type CachedOptions, cached } from './cached.ts';
export { type MemoryStoreOptions, memoryStore } from './memory-store.ts';
export { type RedisStoreClient, type RedisStoreOptions, type RedisStorePool, redisStore } from './redis-store.ts';
export type { CacheStore, StoreContext, StoredValue } from './store.ts';
