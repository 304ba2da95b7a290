// For tests of what stands on this package: `thawpool/testing`. It knows no test framework.
export type { Clock, Instant } from '../pool/index.ts';
export { expectNoPinning } from './expect-no-pinning.ts';
export { FakeClock, type FakeClockOptions } from './fake-clock.ts';
export { type SimulateFreezeOptions, simulateFreeze } from './simulate-freeze.ts';
export type { SocketFate } from './sockets.ts';
