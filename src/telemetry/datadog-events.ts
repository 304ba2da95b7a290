// What is worth an event in Datadog: what somebody should look at, not what belongs to the day. Told seldom.

import type { PoolEvent } from '../pool/index.ts';
import type { DatadogClient } from './datadog-client.ts';

type Kind = 'generation' | 'failed-proof' | 'leak' | 'stale-credentials';

/** One event of each kind in so long: a failover is one story, however many invocations tell it. */
const quietMillis = 60_000;

const texts: Readonly<Record<Kind, readonly [title: string, text: (count: number) => string]>> = {
  generation: [
    'thawpool: a generation of connections is suspect',
    (count) =>
      `A connection was found dead, and every other of its age is proven alive before its next use (${count} times since the last event). A failover, a restart or a network that forgets idle flows.`,
  ],
  'failed-proof': [
    'thawpool: connections failed their proof of life',
    (count) => `${count} connections did not answer and were replaced, before anybody was handed one.`,
  ],
  leak: [
    'thawpool: connections leaked',
    (count) =>
      `${count} connections were not released by the invocation that had acquired them, and were taken back. The function's log says where they were acquired.`,
  ],
  'stale-credentials': [
    'thawpool: credentials have been replaced',
    (count) => `${count} connections were closed because they had been made with the old ones.`,
  ],
};

/** Counts what is worth an event, and tells it. */
export class DatadogEvents {
  readonly #pool: string;
  readonly #counts = new Map<Kind, number>();
  readonly #toldAt = new Map<Kind, number>();

  /** @param pool - the pool's name, as a tag has it */
  constructor(pool: string) {
    this.#pool = pool;
  }

  hear(event: PoolEvent): void {
    if (event.type === 'epoch' && event.cause === 'failed-proof') this.#count('generation');
    else if (event.type === 'validated' && !event.alive) this.#count('failed-proof');
    else if (event.type === 'reclaimed') this.#count('leak');
    else if (event.type === 'transition' && event.to === 'closing' && event.reason === 'stale-credentials') {
      this.#count('stale-credentials');
    }
  }

  /** Tells what there is, unless the like of it was told just now: then it is added to the next. */
  tell(client: DatadogClient, tags: readonly string[], now: number): void {
    for (const [kind, count] of this.#counts) {
      if (Math.abs(now - (this.#toldAt.get(kind) ?? Number.NEGATIVE_INFINITY)) < quietMillis) continue;
      this.#toldAt.set(kind, now);
      this.#counts.delete(kind);
      const [title, text] = texts[kind];
      client.event?.(title, text(count), { alert_type: 'warning', aggregation_key: `${this.#pool}-${kind}` }, [
        ...tags,
      ]);
    }
  }

  #count(kind: Kind): void {
    this.#counts.set(kind, (this.#counts.get(kind) ?? 0) + 1);
  }
}
