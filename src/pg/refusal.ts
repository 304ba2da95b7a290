import type { Lease } from '../pool/index.ts';
import type { Session } from './session.ts';

/**
 * Why the holder of this lease must not use the connection any more: given back, or reclaimed. One that was lost under
 * its holder is nobody else's, and the driver itself says what happened to it.
 */
export function refusalOf(lease: Lease<Session>): Error | undefined {
  if (lease.held) return undefined;
  try {
    void lease.resource;
    return undefined;
  } catch (error) {
    return error as Error;
  }
}
