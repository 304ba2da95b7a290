import { setTimeout as wait } from 'node:timers/promises';
import { everyInvocationAnswers, killSessions, recorder, type Scenario } from './scenario.ts';
import { LONG_MILLIS } from './while-frozen.ts';

/** The network's round trip within a region, an availability zone away, and a machine that is slow to wake. */
const LATE_MILLIS = [1, 10, 50, 150] as const;

/** A paused machine receives nothing while it sleeps: what was sent to it comes when the handler is at work already. */
export const scenario: Scenario = {
  name: 'fin-after-thaw',
  title: 'the end of the session arrives only after the thaw',
  rule: `No invocation fails, although the server ended its session in the freeze and the sandbox hears of it ${LATE_MILLIS.join(', ')} ms after the thaw.`,
  async run(lab) {
    const { invoke, invocations } = recorder(lab);
    for (const lateMillis of LATE_MILLIS) {
      await invoke('before');
      await lab.freezeFor(LONG_MILLIS, async () => {
        lab.proxy.hold('toClient');
        await killSessions(lab);
      });
      await invoke(
        `FIN ${lateMillis} ms late`,
        { op: 'query' },
        {
          async meanwhile() {
            await wait(lateMillis);
            lab.proxy.letGo();
          },
        },
      );
    }
    return { invocations };
  },
  judge: everyInvocationAnswers,
};
