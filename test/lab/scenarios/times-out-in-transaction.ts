import type { Lab } from '../lab.ts';
import type { Step } from '../subjects/protocol.ts';
import { allOf, openTransactions, recorder, type Scenario, settled } from './scenario.ts';

/** Short, because two invocations may use all of it; long enough for a cold start and thawpool's reserve. */
const TIMEOUT_MILLIS = 3000;
/** More than its 250 ms: on a loaded machine the server takes that long to hear of a cancel. */
const RESERVE_MILLIS = 1500;
/** What was sent before the end has reached the server within this time. */
const SETTLE_MILLIS = 2000;

const slow: readonly Step[] = [{ sql: 'insert into lab_rows values (1)' }, { sql: 'select pg_sleep(30)' }];

/** Ends what the sandboxes have left at the server: nobody else will. */
async function sweep(lab: Lab): Promise<void> {
  for (const pid of await lab.sessions()) await lab.postgres.admin('select pg_terminate_backend($1)', [pid]);
}

/** Lambda ends the sandbox at the deadline, and the server is not told: nothing is left that could say goodbye. */
export const scenario: Scenario = {
  name: 'times-out-in-transaction',
  title: 'the function times out inside a transaction',
  rule: 'When a function has timed out inside a transaction, waiting for the server or for something else, no session of it is in a transaction, although its sandbox vanishes without a goodbye.',
  lab: { env: { THAWPOOL_DEADLINE_RESERVE_MS: String(RESERVE_MILLIS) } },
  async run(lab) {
    const { invoke, invocations } = recorder(lab);
    await invoke('cold', { op: 'query', sql: 'create table if not exists lab_rows (n int)' });
    lab.sandbox.events.on('kill', () => lab.proxy.silenceExits(true));
    const gate = lab.folder.gate();
    const idle: readonly Step[] = [{ sql: 'insert into lab_rows values (1)' }, { gate: gate.path }];
    const open: number[] = [];
    try {
      for (const [label, steps] of [
        ['waits for a query', slow],
        ['waits for something else', idle],
      ] as const) {
        await invoke(label, { op: 'script', on: 'transaction', steps }, { timeoutMillis: TIMEOUT_MILLIS });
        open.push(
          await settled(
            () => openTransactions(lab),
            (n) => n === 0,
            SETTLE_MILLIS,
          ),
        );
        await sweep(lab);
        lab.proxy.silenceExits(false);
      }
    } finally {
      await sweep(lab);
    }
    const [openAfterQuery = 0, openAfterWait = 0] = open;
    return { invocations, figures: { openAfterQuery, openAfterWait } };
  },
  judge({ invocations, figures = {} }) {
    const [cold, ...late] = invocations;
    const { openAfterQuery = 0, openAfterWait = 0 } = figures;
    return allOf(
      { pass: cold?.result.ok === true, why: 'no session stayed in a transaction' },
      {
        pass: late.every(({ result }) => !result.ok),
        why: 'an invocation answered that could not have done its work',
      },
      {
        pass: openAfterQuery + openAfterWait === 0,
        why: `${openAfterQuery} session(s) stayed in a transaction after a query, ${openAfterWait} after another wait`,
      },
    );
  },
};
