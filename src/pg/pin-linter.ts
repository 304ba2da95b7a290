// Says which statements of the user's would pin an RDS Proxy session, in the way that was asked for. What pins is known in
// pins.ts; it must not know of connections, nor which statements are the pool's own: session.ts does.

import { PoolError } from '../pool/errors.ts';
import { type Pin, pinsOf } from './pins.ts';
import { sketchOf } from './sketch.ts';
import { memoByText } from './sql-lexer.ts';

/**
 * What becomes of a statement that would pin: nothing, it is counted, counted and named in a warning, or refused. Those of
 * which AWS does not say whether they pin are counted, and no more.
 */
export type PinMode = 'off' | 'count' | 'warn' | 'error';

/** Who is told. */
export interface PinLinterOptions {
  readonly mode: PinMode;
  /** Hears of each sort of statement once: of each kind of pin in each shape, whatever its literals. */
  readonly onWarning: (message: string) => void;
  /** Hears of each pin of each statement that is sent, in every mode but `off`. The text may hold secrets. */
  readonly onPin: (pin: Pin, sql: string) => void;
}

/** Looks at each statement before it is sent. One serves all the connections of a pool. */
export class PinLinter {
  readonly #options: PinLinterOptions;
  /** Bounded: after some hundreds of others a warning may come a second time. */
  readonly #warn: (message: string) => true;

  constructor(options: PinLinterOptions) {
    this.#options = options;
    this.#warn = memoByText((message) => {
      options.onWarning(message);
      return true;
    });
  }

  /** @returns `ERR_POOL_PINNED` when the statement must not be sent: in mode `error`, for what AWS documents to pin. */
  check(sql: string): PoolError | undefined {
    const { mode, onPin } = this.#options;
    if (mode === 'off') return undefined;
    const pins = pinsOf(sql);
    if (pins.length === 0) return undefined;
    const known = documentedPins(pins);
    if (mode === 'error' && known.length > 0) return pinnedError(sql, known);
    for (const pin of pins) onPin(pin, sql);
    if (mode === 'warn' && known.length > 0) {
      const sketch = sketchOf(sql);
      for (const pin of known)
        this.#warn(
          `A statement pins its session behind RDS Proxy: ${describePins(sketch, [pin])} See ERR_POOL_PINNED.`,
        );
    }
    return undefined;
  }
}

/** Leaves out what AWS does not say to pin: part of it is the way around the rest. */
export function documentedPins(pins: readonly Pin[]): Pin[] {
  return pins.filter(({ certainty }) => certainty === 'documented');
}

/** Returns the statement's sketch, and of each pin why and what to do instead. */
export function describePins(sketch: string, pins: readonly Pin[]): string {
  return `${JSON.stringify(sketch)}. ${pins.map(({ reason, fix }) => `${reason} ${fix}`).join(' ')}`;
}

function pinnedError(sql: string, pins: readonly Pin[]): PoolError {
  return new PoolError(
    'ERR_POOL_PINNED',
    `The statement was not sent, because it would pin its session behind RDS Proxy: ${describePins(sketchOf(sql), pins)} See ERR_POOL_PINNED.`,
  );
}
