import { recorder, type Scenario, soon } from './scenario.ts';

/** What Lambda gives a runtime between SIGTERM and SIGKILL where no extension asks for more (AWS documentation). */
const GRACE_MILLIS = 300;
const BURST = 3;

/** Lambda ends a sandbox: where an extension is registered, the runtime hears of it. */
export const scenario: Scenario = {
  name: 'sigterm',
  title: 'SIGTERM',
  rule: `Within the ${GRACE_MILLIS} ms after SIGTERM every open session is told goodbye (Terminate).`,
  async run(lab) {
    const { invoke, invocations } = recorder(lab);
    await invoke('cold');
    await invoke('burst', { op: 'parallel', n: BURST });
    const open = lab.snapshot().connections.filter((each) => each.endedBy === undefined && !each.frontend['Terminate']);
    const ids = new Set(open.map(({ id }) => id));
    lab.sandbox.terminate();
    const told = () => lab.snapshot().connections.filter(({ id, frontend }) => ids.has(id) && frontend['Terminate']);
    await soon(
      lab.proxy.until(() => told().length === ids.size),
      GRACE_MILLIS,
    );
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
