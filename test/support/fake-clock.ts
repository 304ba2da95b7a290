import type { Instant } from '../../src/pool/index.ts';
import { FakeClock as PublicFakeClock } from '../../src/testing/fake-clock.ts';

export { settle } from '../../src/testing/fake-clock.ts';

/** The clock that users get, for tests in which nothing is real: the event loop, too, turns when it is told to. */
export class FakeClock extends PublicFakeClock {
  #last: Instant | undefined;

  constructor() {
    super({ holdTurns: true });
  }

  /** The same object as long as neither clock has moved, as the pool's own clock may give in a burst. */
  override now(): Instant {
    const now = super.now();
    const last = this.#last;
    if (last?.wall === now.wall && last.monotonic === now.monotonic) return last;
    this.#last = now;
    return now;
  }
}
