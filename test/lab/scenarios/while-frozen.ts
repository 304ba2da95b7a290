/** The pattern of the freeze scenarios: harm done during a short freeze and during a long one, an invocation after each. */
import type { Lab } from '../lab.ts';
import { everyInvocationAnswers, recorder, type Scenario } from './scenario.ts';

export { allEnded } from './scenario.ts';

/** Steady traffic: shorter than thawpool's `validateAfterIdleMillis` (1000), so nothing is asked of the server. */
export const SHORT_MILLIS = 100;
/** A pause: longer than that, and shorter than the idle timeouts of all subjects. */
export const LONG_MILLIS = 1100;

/** What is particular to one freeze scenario. */
export interface Harm extends Pick<Scenario, 'name' | 'title' | 'unable' | 'lab'> {
  /** Completes `… while the sandbox is frozen`. */
  readonly what: string;
  /** Nothing arrives in the socket, so that only a round trip can tell: no short freeze then. @default false */
  readonly silent?: boolean;
  /** Runs during each freeze, and returns when the harm is done. */
  harm(lab: Lab): Promise<void> | void;
}

/** Makes a scenario that passes when no invocation fails. */
export function whileFrozen({ what, harm, silent = false, ...rest }: Harm): Scenario {
  return {
    ...rest,
    rule: `No invocation fails, although ${what} while the sandbox is frozen.`,
    async run(lab) {
      const { invoke, invocations } = recorder(lab);
      await invoke('cold');
      await invoke('warm');
      if (!silent) {
        await lab.freezeFor(SHORT_MILLIS, () => harm(lab));
        await invoke('after 0.1 s');
        await invoke('warm again');
      }
      await lab.freezeFor(LONG_MILLIS, () => harm(lab));
      await invoke('after 1.1 s');
      await invoke('warm again');
      return { invocations };
    },
    judge: everyInvocationAnswers,
  };
}
