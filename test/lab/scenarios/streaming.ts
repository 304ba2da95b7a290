/** Streaming handlers that read their response from a cursor. */
import type { InvocationResult } from '../invocation.ts';
import {
  allOf,
  everyInvocationAnswers,
  killSessions,
  openTransactions,
  reasonOf,
  recorder,
  type Scenario,
  STEADY_TRAFFIC,
  settled,
  soon,
} from './scenario.ts';

const ROWS = 1000;
const BATCH = 100;
const EVENT = { op: 'stream', rows: ROWS, batch: BATCH } as const;
const SETTLE_MILLIS = 5000;

function isWhole({ payload }: InvocationResult): boolean {
  return payload === Array.from({ length: ROWS }, (_, n) => `${n + 1}\n`).join('');
}

/** The body is read after the handler has returned, where Middy is in front of it. */
export const streamingCursor: Scenario = {
  name: 'streaming-cursor',
  title: 'a streamed response reads from a cursor',
  rule: `Each streamed response holds all ${ROWS} rows of its cursor, all use one connection, and no transaction is open while frozen.`,
  lab: { streaming: true, env: STEADY_TRAFFIC },
  async run(lab) {
    const { invoke, invocations } = recorder(lab);
    let open = 0;
    let whole = 0;
    for (let round = 1; round <= 3; round += 1) {
      whole += Number(isWhole(await invoke(`stream ${round}`, EVENT)));
      open += await settled(
        () => openTransactions(lab),
        (n) => n === 0,
        SETTLE_MILLIS,
      );
    }
    return { invocations, figures: { whole, openTransactionsWhileFrozen: open } };
  },
  judge(outcome) {
    const { whole = 0, openTransactionsWhileFrozen: open = 0 } = outcome.figures ?? {};
    const reopened = outcome.invocations.slice(1).reduce((sum, { wire }) => sum + wire.opened, 0);
    return allOf(
      everyInvocationAnswers(outcome),
      {
        pass: whole === outcome.invocations.length,
        why: `${whole} of ${outcome.invocations.length} bodies were whole`,
      },
      { pass: open === 0, why: `${open} transaction(s) stayed open while frozen` },
      { pass: reopened === 0, why: `${reopened} connection(s) were opened again` },
    );
  },
};

/** Half a body is on its way when its session ends: the caller must be told that the rest is missing. */
export const killedWhileStreaming: Scenario = {
  name: 'killed-while-streaming',
  title: 'the session is killed while a response is streamed from it',
  rule: 'The response that is cut short ends as an error and the process survives it, and the next one is whole.',
  lab: { streaming: true },
  needs: 'writes',
  async run(lab) {
    const { invoke, invocations } = recorder(lab);
    await invoke('whole', EVENT);
    const gate = lab.folder.gate();
    await invoke(
      'cut short',
      { ...EVENT, gate: gate.path },
      {
        async meanwhile() {
          await soon(gate.reached());
          await killSessions(lab);
          await gate.open();
        },
      },
    );
    const next = await invoke('whole again', EVENT);
    return { invocations, figures: { nextIsWhole: Number(isWhole(next)) } };
  },
  judge({ invocations, figures = {} }) {
    const [first, cut, next] = invocations;
    if (!first?.result.ok) return { pass: false, why: `the first stream failed` };
    const how = cut?.result.outcome;
    if (how !== 'error')
      return { pass: false, why: how === 'exit' ? 'the process ended' : `the cut response ended as ${how}` };
    if (!next?.result.ok) return { pass: false, why: `the next response failed: ${next && reasonOf(next.result)}` };
    const whole = figures['nextIsWhole'] === 1;
    return {
      pass: whole,
      why: whole ? `error "${cut && reasonOf(cut.result)}", and the next was whole` : 'the next was not whole',
    };
  },
};
