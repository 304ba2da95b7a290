import {
  everyInvocationAnswers,
  recorder,
  type Scenario,
  type ScenarioInvocation,
  STEADY_TRAFFIC,
} from './scenario.ts';

const WARM_INVOCATIONS = 20;

function addsMessages({ wire }: ScenarioInvocation): boolean {
  return wire.opened > 0 || JSON.stringify(wire.frontend) !== '{"Query":1}';
}

/** Warm invocations one after the other: a pool must cost nothing on the wire. */
export const scenario: Scenario = {
  name: 'warm',
  title: `${WARM_INVOCATIONS} warm invocations`,
  rule: "No invocation fails, and a warm one sends no protocol message but the handler's own (one Query).",
  lab: { env: STEADY_TRAFFIC },
  async run(lab) {
    const { invoke, invocations } = recorder(lab);
    let last = await invoke('cold');
    for (let i = 1; i <= WARM_INVOCATIONS && last.ok; i += 1) last = await invoke(`warm ${i}`);
    return { invocations };
  },
  judge(outcome) {
    const answered = everyInvocationAnswers(outcome);
    if (!answered.pass) return answered;
    const guilty = outcome.invocations.slice(1).filter(addsMessages);
    const first = guilty[0];
    if (first === undefined) return { pass: true, why: `${answered.why}, each warm one with one Query` };
    const sent = JSON.stringify(first.wire.frontend);
    return {
      pass: false,
      why: `${guilty.length} warm invocations sent more than one Query; "${first.label}": ${sent}`,
    };
  },
};
