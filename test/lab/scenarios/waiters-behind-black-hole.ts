import { everyInvocationAnswers, limitedTo, recorder, type Scenario } from './scenario.ts';
import { LONG_MILLIS } from './while-frozen.ts';

const QUERIES = 5;

/** Whoever queues behind a connection that turns out to be dead must not wait for its funeral. */
export const scenario: Scenario = {
  name: 'waiters-behind-black-hole',
  title: 'several wait behind a connection that is forgotten on the way',
  rule: `All ${QUERIES} parallel queries answer, although the only connection of a pool of one starts to swallow every byte while the sandbox is frozen.`,
  lab: { env: limitedTo(1) },
  async run(lab) {
    const { invoke, invocations } = recorder(lab);
    await invoke('cold');
    await lab.freezeFor(LONG_MILLIS, () => lab.proxy.blackhole());
    await invoke('burst after 1.1 s', { op: 'parallel', n: QUERIES });
    await invoke('warm again');
    return { invocations };
  },
  judge: everyInvocationAnswers,
};
