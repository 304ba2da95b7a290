import { PoolError } from '../pool/index.ts';

/** The refusal of a server that cannot be written to, by a pool that is for writing. */
export function readOnlyServerError(standby: boolean): PoolError {
  return new PoolError(
    'ERR_POOL_CONNECT_READ_ONLY',
    standby
      ? 'The server is a standby and cannot be written to: a failover may be under way, or the host is a reader endpoint. For a pool that only reads, set readOnly (THAWPOOL_READ_ONLY=true)'
      : 'The server makes every transaction read-only (default_transaction_read_only): a failover may be under way, or the role is set so. For a pool that only reads, set readOnly (THAWPOOL_READ_ONLY=true)',
  );
}
