import { recorder, type Scenario } from './scenario.ts';

/** Handlers that throw after their query, between others that do not. */
export const scenario: Scenario = {
  name: 'handler-throws',
  title: 'the handler throws',
  rule: "Each failure is the handler's own error, and all other invocations answer on the same connection.",
  async run(lab) {
    const { invoke, invocations } = recorder(lab);
    await invoke('cold');
    for (let round = 1; round <= 3; round += 1) {
      await invoke(`throws ${round}`, { op: 'throw' });
      await invoke(`answers ${round}`);
    }
    return { invocations };
  },
  judge({ invocations }) {
    const wrong = invocations.find(({ event, result }) =>
      event.op === 'throw' ? result.error?.errorMessage !== 'The handler failed on purpose.' : !result.ok,
    );
    if (wrong) return { pass: false, why: `"${wrong.label}": ${wrong.result.error?.errorMessage ?? 'no error'}` };
    const reopened = invocations.slice(1).reduce((sum, { wire }) => sum + wire.opened, 0);
    return {
      pass: reopened === 0,
      why: `${invocations.length} invocations, ${reopened} new connections after the first`,
    };
  },
};
