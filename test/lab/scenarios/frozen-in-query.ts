import { allOf, everyInvocationAnswers, limitedTo, recorder, rowsOf, type Scenario } from './scenario.ts';
import { SHORT_MILLIS } from './while-frozen.ts';

/** Longer than the invocation that leaves it behind, shorter than the freeze. */
const LEFT_BEHIND = 'select pg_sleep(0.05), 1 as one';

/** A handler answers before its query does; the answer is lost in the freeze. */
export const scenario: Scenario = {
  name: 'frozen-in-query',
  title: 'frozen in the middle of a query',
  rule: 'No invocation fails or gets another’s answer, although the sandbox is frozen in the middle of a query whose connection is then lost on the way, and the pool has room for one.',
  lab: { env: limitedTo(1) },
  async run(lab) {
    const { invoke, invocations } = recorder(lab);
    await invoke('cold');
    await invoke('does not wait for it', { op: 'leave', sql: LEFT_BEHIND, caught: true });
    await lab.freezeFor(SHORT_MILLIS, () => lab.proxy.blackhole());
    const after = await invoke('after 0.1 s', { op: 'query', sql: 'select 2 as two' });
    await invoke('warm again');
    return { invocations, figures: { ownAnswer: Number(rowsOf(after)[0]?.['two'] === 2) } };
  },
  judge(outcome) {
    const own = outcome.figures?.['ownAnswer'] === 1;
    return allOf(everyInvocationAnswers(outcome), { pass: own, why: 'an invocation got the answer of another' });
  },
};
