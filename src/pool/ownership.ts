// Who has what: leases belong to whoever acquired them, never to "the current" anybody.

import type { Lease } from './lease.ts';
import type { SlotTable } from './slot.ts';

/** What this owner has acquired and not given back. */
export function leasesOf<T>(slots: SlotTable<T>, owner: object): Lease<T>[] {
  const leases: Lease<T>[] = [];
  for (const { lease } of slots) if (lease?.owner === owner && lease.held) leases.push(lease);
  return leases;
}

/** A check that throws has found nothing fit, and keeps no other lease from being taken back. */
export function isFit<T>(resource: T, fit: (resource: T) => boolean): boolean {
  try {
    return fit(resource);
  } catch {
    return false;
  }
}
