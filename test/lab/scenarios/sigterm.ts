import { once } from 'node:events';
import { allEnded, recorder, type Scenario, soon } from './scenario.ts';

/**
 * Lambda gives a runtime 300 ms between SIGTERM and SIGKILL where no extension asks for more (AWS documentation). That is
 * less than a loaded machine may keep a process waiting: here it has as long as it does not end by itself, within this.
 */
const GRACE_MILLIS = 5000;
const BURST = 3;

/** Lambda ends a sandbox: where an extension is registered, the runtime hears of it. */
export const scenario: Scenario = {
  name: 'sigterm',
  title: 'SIGTERM',
  rule: 'After SIGTERM every open session is told goodbye (Terminate).',
  async run(lab) {
    const { invoke, invocations } = recorder(lab);
    await invoke('cold');
    await invoke('burst', { op: 'parallel', n: BURST });
    const open = lab.snapshot().connections.filter((each) => each.endedBy === undefined && !each.frontend['Terminate']);
    const ids = new Set(open.map(({ id }) => id));
    const ended = once(lab.sandbox.events, 'exit').then(() => lab.proxy.until(allEnded));
    lab.sandbox.terminate();
    const told = () => lab.snapshot().connections.filter(({ id, frontend }) => ids.has(id) && frontend['Terminate']);
    await soon(Promise.race([lab.proxy.until(() => told().length === ids.size), ended]), GRACE_MILLIS);
    const sessionsToldGoodbye = told().length;
    lab.sandbox.kill();
    return { invocations, figures: { sessions: ids.size, sessionsToldGoodbye } };
  },
  judge({ invocations, figures = {} }) {
    const { sessions = 0, sessionsToldGoodbye = 0 } = figures;
    const failed = invocations.find(({ result }) => !result.ok);
    if (failed) return { pass: false, why: `"${failed.label}" failed before the signal came` };
    return {
      pass: sessions > 0 && sessionsToldGoodbye === sessions,
      why: `${sessionsToldGoodbye} of ${sessions} session(s) were told goodbye`,
    };
  },
};
