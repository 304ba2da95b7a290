import { FakeClock as PublicFakeClock } from '../../src/testing/fake-clock.ts';

export { settle } from '../../src/testing/fake-clock.ts';

/** The clock that users get, for tests in which nothing is real: the event loop, too, turns when it is told to. */
export class FakeClock extends PublicFakeClock {
  constructor() {
    super({ holdTurns: true });
  }
}
