/** What is worth another attempt. */
import { PoolError } from 'thawpool';

/**
 * SQLSTATEs of two that change one role at once from two databases, whose locks do not know each other:
 * unique_violation, duplicate_object, "tuple concurrently updated" (XX000), deadlock_detected, serialization_failure.
 */
const collisions = new Set(['23505', '42710', 'XX000', '40P01', '40001']);

/** What no waiting mends: the properties are wrong, or the name of the database, or who is trusted. */
const lasting = new Set(['ERR_POOL_INVALID_OPTION', 'ERR_POOL_CONNECT_DATABASE', 'ERR_POOL_CONNECT_TLS']);

/** Whether an error may be gone at the next attempt: while a cluster starts, or a secret is not attached yet. */
export function passes(error: unknown): boolean {
  if (error instanceof PoolError) return !lasting.has(error.code);
  const { code } = error as { code?: unknown };
  return typeof code === 'string' && (collisions.has(code) || /^(?:08|57P)/.test(code));
}
