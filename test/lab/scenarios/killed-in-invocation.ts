/** Sessions that the server terminates while an invocation is at work with them. */
import type { Lab } from '../lab.ts';
import type { Step, SubjectEvent } from '../subjects/protocol.ts';
import {
  allOf,
  everyInvocationAnswers,
  killSessions,
  type Outcome,
  recorder,
  type Scenario,
  soon,
} from './scenario.ts';

const TABLE = 'create table if not exists lab_rows (n int)';
const ROWS = 'select count(*)::int as n from lab_rows';

/** Invokes `steps` with a kill in their middle, between two of plain queries, and counts the rows that came of it. */
async function killMidway(
  lab: Lab,
  on: 'pool' | 'transaction',
  steps: (gate: Step) => readonly Step[],
): Promise<Outcome> {
  const { invoke, invocations } = recorder(lab);
  await invoke('cold', { op: 'query', sql: TABLE });
  await invoke('empty', { op: 'query', sql: 'truncate lab_rows' });
  const gate = lab.folder.gate();
  const event: SubjectEvent = { op: 'script', on, steps: steps({ gate: gate.path }) };
  await invoke('killed midway', event, {
    async meanwhile() {
      await soon(gate.reached());
      await killSessions(lab);
      await gate.open();
    },
  });
  const starts = lab.sandbox.starts;
  const after = await invoke('the next one', { op: 'query', sql: ROWS });
  const rows = (after.payload as { rows?: { n: number }[] } | undefined)?.rows?.[0]?.n ?? -1;
  return { invocations, figures: { rows, processes: starts, crashed: Number(lab.sandbox.starts !== starts) } };
}

/** Nobody holds a connection at that moment: the pool's own business, and none of the handler's. */
export const betweenQueries: Scenario = {
  name: 'killed-between-queries',
  title: 'the session is killed between two queries of one invocation',
  rule: 'No invocation fails, although the server terminates its session between two of its queries.',
  run: (lab) =>
    killMidway(lab, 'pool', (gate) => [
      { sql: 'insert into lab_rows values (1)' },
      gate,
      { sql: 'insert into lab_rows values (2)' },
    ]),
  judge(outcome) {
    const rows = outcome.figures?.['rows'];
    return allOf(everyInvocationAnswers(outcome), { pass: rows === 2, why: `${rows} of 2 rows were written` });
  },
};

/** What a transaction has done is gone with its session: only its handler can know what to do about that. */
export const inTransaction: Scenario = {
  name: 'killed-in-transaction',
  title: 'the session is killed in the middle of a transaction',
  rule: 'Its invocation gets an error and the process survives it; nothing of the transaction stays, and the next invocation answers.',
  run: (lab) =>
    killMidway(lab, 'transaction', (gate) => [
      { sql: 'insert into lab_rows values (1)' },
      gate,
      { sql: 'insert into lab_rows values (2)' },
    ]),
  judge({ invocations, figures }) {
    const [killed, next] = invocations.slice(-2);
    const how = killed?.result.outcome;
    if (how !== 'error') {
      const text =
        how === 'ok' ? 'its invocation answered as if nothing had happened' : `its invocation ended as ${how}`;
      return { pass: false, why: how === 'exit' ? 'the process ended with its invocation' : text };
    }
    if (!next?.result.ok)
      return { pass: false, why: `the next invocation failed: ${next?.result.error?.errorMessage}` };
    const rows = figures?.['rows'];
    return {
      pass: rows === 0,
      why: rows === 0 ? `error "${killed?.result.error?.errorMessage}", and nothing stayed` : `${rows} row(s) stayed`,
    };
  },
};
