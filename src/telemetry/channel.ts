// The events of every pool on `diagnostics_channel`, one channel for each kind: `thawpool:pool:acquired` and so on. A pool is
// observed only while somebody subscribes, so that its hot path pays nothing otherwise.

import type { Channel } from 'node:diagnostics_channel';
import type { Instant, PoolEvent } from '../pool/index.ts';
import { type MeteredPool, poolsOf } from './metered-pool.ts';

/** What is published. */
export interface PoolMessage {
  readonly pool: MeteredPool;
  /** The pool's name; a reader's ends in `:reader`. */
  readonly name: string;
  readonly event: PoolEvent;
  readonly at: Instant;
}

const types: Record<PoolEvent['type'], true> = {
  transition: true,
  created: true,
  'create-failed': true,
  validated: true,
  acquired: true,
  released: true,
  queued: true,
  'acquire-failed': true,
  epoch: true,
  thaw: true,
  freeze: true,
  reclaimed: true,
  noted: true,
};

let channels: Map<string, Channel> | undefined;

/** Pools to which nobody listens, of all copies of this package in the process: each is called when somebody does. */
function unheard(): Set<() => void> {
  const holder = globalThis as { [key: symbol]: Set<() => void> | undefined };
  return (holder[Symbol.for('thawpool.unheard')] ??= new Set());
}

/** Has a pool, and its reader, publish what happens to it as long as somebody subscribes, now or later. */
export function announce(pool: MeteredPool): void {
  channels ??= makeChannels();
  for (const each of poolsOf(pool)) {
    if (isHeard()) publish(each);
    else publishLater(each);
  }
}

function makeChannels(): Map<string, Channel> {
  const { channel } = process.getBuiltinModule('node:diagnostics_channel');
  const made = new Map<string, Channel>();
  for (const type of Object.keys(types)) {
    const one = channel(`thawpool:pool:${type}`);
    tellOfSubscribers(one);
    made.set(type, one);
  }
  return made;
}

/**
 * Node tells nobody that there is a subscriber. Its own methods are called as they stand at that moment, because a channel
 * changes its prototype with its first subscriber and with its last.
 */
function tellOfSubscribers(one: Channel): void {
  for (const method of ['subscribe', 'bindStore'] as const) {
    Object.defineProperty(one, method, {
      configurable: true,
      writable: true,
      value: function subscribed(this: Channel, ...args: unknown[]): unknown {
        const prototype = Object.getPrototypeOf(this) as Record<typeof method, (...all: unknown[]) => unknown>;
        const result = prototype[method].apply(this, args);
        const waiting = [...unheard()];
        unheard().clear();
        for (const begin of waiting) begin();
        return result;
      },
    });
  }
}

function isHeard(): boolean {
  for (const one of channels?.values() ?? []) if (one.hasSubscribers) return true;
  return false;
}

function publishLater(pool: MeteredPool): void {
  // Not kept alive by this.
  const weak = new WeakRef(pool);
  unheard().add(() => {
    const alive = weak.deref();
    if (alive) publish(alive);
  });
}

function publish(pool: MeteredPool): void {
  const stop = pool.observe((event, at) => {
    const one = channels?.get(event.type);
    if (one?.hasSubscribers) return one.publish({ pool, name: pool.name, event, at } satisfies PoolMessage);
    if (isHeard()) return undefined;
    stop();
    return publishLater(pool);
  });
}
