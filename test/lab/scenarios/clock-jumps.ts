/** Freezes in which the sandbox's clocks do what they should not, while the way forgets its connection. */
import type { ClockOffsets } from '../sandbox-clock.ts';
import { everyInvocationAnswers, recorder, type Scenario } from './scenario.ts';
import { LONG_MILLIS, SHORT_MILLIS } from './while-frozen.ts';

const TEN_MINUTES = 600_000;

interface Jump extends Pick<Scenario, 'name' | 'title'> {
  /** Completes `… and its connection is lost on the way`. */
  readonly what: string;
  readonly offsets: ClockOffsets;
  /** How long the freeze really takes. */
  readonly millis: number;
}

function jump({ what, offsets, millis, ...rest }: Jump): Scenario {
  return {
    ...rest,
    rule: `No invocation fails, although ${what} and its connection is lost on the way meanwhile.`,
    lab: { movableClock: true },
    async run(lab) {
      const { invoke, invocations } = recorder(lab);
      await invoke('cold');
      await invoke('warm');
      await lab.freezeFor(millis, async () => {
        lab.proxy.blackhole();
        await lab.setClock(offsets);
      });
      await invoke('after the jump');
      await invoke('warm again');
      return { invocations };
    },
    judge: everyInvocationAnswers,
  };
}

/** A long freeze on a platform whose monotonic clock runs on. */
export const bothJump = jump({
  name: 'ten-minutes-frozen',
  title: 'ten minutes pass, the monotonic clock runs on',
  what: 'ten minutes pass on both clocks in a freeze',
  offsets: { wall: TEN_MINUTES, monotonic: TEN_MINUTES },
  millis: SHORT_MILLIS,
});

/** The same where the monotonic clock stands still, and every timer with it. */
export const monotonicStops = jump({
  name: 'ten-minutes-frozen-monotonic-stopped',
  title: 'ten minutes pass, the monotonic clock stands still',
  what: 'ten minutes pass in a freeze of which only the wall clock tells',
  offsets: { wall: TEN_MINUTES, monotonic: 0 },
  millis: SHORT_MILLIS,
});

/** Somebody sets the clock right, backwards: no time at all seems to have passed. */
export const setBack = jump({
  name: 'clock-set-back',
  title: 'the wall clock is set back by ten minutes',
  what: 'the wall clock is set back by ten minutes in a freeze of 1.1 s',
  offsets: { wall: -TEN_MINUTES, monotonic: 0 },
  millis: LONG_MILLIS,
});
