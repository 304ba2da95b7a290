/** What is asked of every pool of the core section. Each subject writes its own loops: shared ones would be megamorphic. */

/** A pool filled with idle resources. */
export interface CorePool {
  /** Acquires and releases so many times, one after the other. */
  cycle(count: number): Promise<void>;
  /** The same without a promise, where there is such a way. */
  attempt?(count: number): void;
  /** With every resource held, has so many callers ask at once, and serves them all. */
  burst(callers: number): Promise<void>;
  /** Has so many callers ask who are never served. */
  wait(callers: number): Promise<void>;
}

/** Opens a pool and makes its resources. */
export type OpenCorePool = (slots: number) => Promise<CorePool> | CorePool;

/** Takes every resource, and returns them all. */
export function hold<T>(slots: number, acquire: () => Promise<T>): Promise<T[]> {
  return Promise.all(Array.from({ length: slots }, acquire));
}
