import { everyInvocationAnswers, limitedTo, recorder, type Scenario } from './scenario.ts';
import { SHORT_MILLIS } from './while-frozen.ts';

/** A handler answers before the connection it asked for is there; what comes of the handshake is lost in the freeze. */
export const scenario: Scenario = {
  name: 'frozen-in-connect',
  title: 'frozen in the middle of a connect',
  rule: 'No invocation fails, although the sandbox is frozen in the middle of a connect that is then lost on the way, and the pool has room for one.',
  lab: { env: limitedTo(1) },
  needs: 'lazy',
  async run(lab) {
    const { invoke, invocations } = recorder(lab);
    lab.proxy.hold('toClient');
    await invoke('does not wait for it', { op: 'leave', sql: 'select 1 as one', caught: true });
    await lab.freezeFor(SHORT_MILLIS, () => {
      lab.proxy.blackhole();
      lab.proxy.letGo();
    });
    await invoke('after 0.1 s');
    await invoke('warm again');
    return { invocations };
  },
  judge: everyInvocationAnswers,
};
