import { setTimeout as wait } from 'node:timers/promises';
import type { ProxyCounts } from '../chaos-proxy.ts';
import type { Lab } from '../lab.ts';
import { everyInvocationAnswers, recorder, type Scenario } from './scenario.ts';

const QUERIES = 10;
/** What was sent before the freeze is read by the proxy within this time, also on a loaded machine. */
const SETTLE_MILLIS = 5000;

/** Connections that neither side has ended, as far as the wire shows. */
function live(counts: ProxyCounts): number {
  return counts.connections.filter((each) => each.endedBy === undefined && !each.frontend['Terminate']).length;
}

async function liveWhileFrozen(lab: Lab): Promise<number> {
  await Promise.race([lab.proxy.until((counts) => live(counts) <= 1), wait(SETTLE_MILLIS)]);
  return live(lab.snapshot());
}

/** A burst in one invocation: all of it must answer, and what it opened must not stay open over the freeze. */
export const scenario: Scenario = {
  name: 'parallel-burst',
  title: `${QUERIES} parallel queries in one invocation`,
  rule: `All ${QUERIES} parallel queries answer, twice, and at most one session stays open while the sandbox is frozen.`,
  async run(lab) {
    const { invoke, invocations } = recorder(lab);
    await invoke('cold burst', { op: 'parallel', n: QUERIES });
    const sessionsWhileFrozen = await liveWhileFrozen(lab);
    await invoke('second burst', { op: 'parallel', n: QUERIES });
    return { invocations, figures: { sessionsWhileFrozen } };
  },
  judge(outcome) {
    const answered = everyInvocationAnswers(outcome);
    if (!answered.pass) return answered;
    const sessions = outcome.figures?.['sessionsWhileFrozen'] ?? 0;
    return { pass: sessions <= 1, why: `${answered.why}, and ${sessions} session(s) stayed open over the freeze` };
  },
};
