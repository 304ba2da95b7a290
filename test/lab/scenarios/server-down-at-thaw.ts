import { setTimeout as wait } from 'node:timers/promises';
import { everyInvocationAnswers, needsOwnServer, recorder, type Scenario } from './scenario.ts';
import { SHORT_MILLIS } from './while-frozen.ts';

const DOWN_MILLIS = 2000;
/** Longer than the server is away, however long a loaded machine takes to start it. */
const TIMEOUT_MILLIS = 30_000;

/** A failover that is not over yet at the thaw: nobody listens at first, then the server is back. */
export const scenario: Scenario = {
  name: 'server-down-at-thaw',
  title: 'the server is down at the thaw and back two seconds later',
  rule: 'No invocation fails, although at the thaw the server is down and comes back two seconds later.',
  lab: { env: { THAWPOOL_ACQUIRE_TIMEOUT_MS: String(TIMEOUT_MILLIS) } },
  unable: needsOwnServer,
  async run(lab) {
    const { invoke, invocations } = recorder(lab);
    await invoke('cold');
    try {
      await lab.freezeFor(SHORT_MILLIS, async () => {
        await lab.proxy.refuse(true);
        await lab.postgres.stop();
      });
      const meanwhile = async () => {
        await wait(DOWN_MILLIS);
        await lab.postgres.start();
        await lab.proxy.refuse(false);
      };
      await invoke('down for 2 s', { op: 'query' }, { meanwhile, timeoutMillis: TIMEOUT_MILLIS });
      await invoke('warm again');
    } finally {
      await lab.postgres.start();
    }
    return { invocations };
  },
  judge: everyInvocationAnswers,
};
