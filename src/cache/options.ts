import { PoolError } from '../pool/index.ts';

/** The error for an option, or an argument, that cannot be used. */
export function refusal(problem: string): PoolError {
  return new PoolError('ERR_POOL_INVALID_OPTION', `${problem}. See ERR_POOL_INVALID_OPTION.`);
}

export function wholeNumber(value: unknown, least: number, most: number): boolean {
  return Number.isInteger(value) && (value as number) >= least && (value as number) <= most;
}

/** @throws PoolError `ERR_POOL_INVALID_OPTION` unless it is a duration; `Infinity` is one. */
export function checkTtl(ttlMillis: unknown): number {
  if (typeof ttlMillis === 'number' && ttlMillis >= 0) return ttlMillis;
  throw refusal(
    `ttlMillis must be a number of milliseconds, 0 or more (0 keeps nothing, Infinity keeps for good), got ${String(ttlMillis)}`,
  );
}
