/** Thaws at which the server is there and lets nobody in yet. */
import { setTimeout as wait } from 'node:timers/promises';
import type { Lab } from '../lab.ts';
import { fatalError } from '../wire.ts';
import { everyInvocationAnswers, killSessions, needsOwnServer, recorder, type Scenario } from './scenario.ts';
import { SHORT_MILLIS } from './while-frozen.ts';

const UNAVAILABLE_MILLIS = 500;
const STARTING_UP = { answer: fatalError('57P03', 'the database system is starting up') };

interface Refusal extends Pick<Scenario, 'name' | 'title' | 'unable'> {
  /** Completes `… in the first half second after the thaw`. */
  readonly what: string;
  refuse(lab: Lab, on: boolean): Promise<unknown>;
}

function notYet({ what, refuse, ...rest }: Refusal): Scenario {
  return {
    ...rest,
    rule: `No invocation fails, although its session is gone at the thaw and ${what} in the first half second.`,
    async run(lab) {
      const { invoke, invocations } = recorder(lab);
      await invoke('cold');
      try {
        await lab.freezeFor(SHORT_MILLIS, async () => {
          await refuse(lab, true);
          await killSessions(lab);
        });
        await invoke(
          'not yet',
          { op: 'query' },
          {
            async meanwhile() {
              await wait(UNAVAILABLE_MILLIS);
              await refuse(lab, false);
            },
          },
        );
        await invoke('warm again');
      } finally {
        await refuse(lab, false);
      }
      return { invocations };
    },
    judge: everyInvocationAnswers,
  };
}

/** Too many others are connected: here, the role's own limit is used up. */
export const outOfSlots = notYet({
  name: 'out-of-slots',
  title: 'the server has no connection slots left for a while',
  what: 'the server has no slot (53300)',
  unable: needsOwnServer,
  refuse: ({ postgres }, on) => postgres.admin(`alter role "${postgres.user}" connection limit ${on ? 0 : -1}`),
});

/** The server recovers from a crash. The proxy says its words, since a real recovery takes no time on an empty server. */
export const startingUp = notYet({
  name: 'server-starting-up',
  title: 'the server is starting up',
  what: 'the server is starting up (57P03)',
  async refuse({ proxy }, on) {
    proxy.onMessage(on ? ({ name }) => (name === 'Startup' ? STARTING_UP : undefined) : undefined);
  },
});
