import { allOf, everyInvocationAnswers, recorder, type Scenario } from './scenario.ts';
import { LONG_MILLIS } from './while-frozen.ts';

/** A proof of life has 50 ms at least, and a loaded machine may take longer to freeze: it must not run out before. */
const SLOWER = 10;
/** Longer than the longest that thawpool gives a proof of life (250 ms, of such a slow clock). */
const OVERDUE_MILLIS = 260 * SLOWER;

/**
 * At a thaw every timer is overdue, and fires before the event loop has looked at its sockets. An invocation that has no
 * use for the database leaves a proof of life behind; its answer arrives in the freeze.
 */
export const scenario: Scenario = {
  name: 'overdue-timers',
  title: 'every timer is overdue at the thaw',
  rule: 'An answer that lies in the socket at the thaw counts, although its time is over: no invocation fails, and none opens another connection.',
  lab: { movableClock: true, env: { LAB_TIMERS_SLOWER: String(SLOWER) } },
  async run(lab) {
    const { invoke, invocations } = recorder(lab);
    await invoke('cold');
    await lab.freezeFor(LONG_MILLIS, () => lab.proxy.hold('toClient'));
    await invoke('no use for it', { op: 'nothing' });
    await lab.freezeFor(OVERDUE_MILLIS, () => lab.proxy.letGo());
    await invoke('after 2.6 s');
    await invoke('warm again');
    return { invocations };
  },
  judge(outcome) {
    const opened = outcome.invocations.slice(1).reduce((sum, { wire }) => sum + wire.opened, 0);
    return allOf(everyInvocationAnswers(outcome), {
      pass: opened === 0,
      why: `${opened} sound connection(s) were taken for dead`,
    });
  },
};
