/** Handlers that do not give back what they have taken. */
import { ON_PURPOSE } from '../subjects/protocol.ts';
import {
  allOf,
  everyInvocationAnswers,
  killSessions,
  limitedTo,
  type Outcome,
  openTransactions,
  reasonOf,
  recorder,
  type Scenario,
  settled,
  type Verdict,
} from './scenario.ts';
import { SHORT_MILLIS } from './while-frozen.ts';

/** What a hang costs; nothing else takes as long on a loaded machine. */
const HANG_MILLIS = 8000;
/** What was sent before the freeze has reached the server within this time. */
const SETTLE_MILLIS = 5000;
const ROWS = 'select count(*)::int as n from lab_rows';

/** A thrown error leaves BEGIN without its end, on a connection that nobody releases. */
export const throwsInTransaction: Scenario = {
  name: 'throws-in-transaction',
  title: 'the handler throws with an open transaction',
  rule: "The failure is the handler's own error, no transaction stays open while frozen, nothing of it is committed, and the other invocations answer.",
  lab: { env: limitedTo(2) },
  async run(lab) {
    const { invoke, invocations } = recorder(lab);
    await invoke('cold', { op: 'query', sql: 'create table if not exists lab_rows (n int)' });
    await invoke('empty', { op: 'query', sql: 'truncate lab_rows' });
    let open = 0;
    const steps = [{ sql: 'begin' }, { sql: 'insert into lab_rows values (1)' }];
    for (let round = 1; round <= 3; round += 1) {
      await invoke(
        `throws ${round}`,
        { op: 'script', on: 'client', steps, end: 'throw' },
        { timeoutMillis: HANG_MILLIS },
      );
      open = Math.max(
        open,
        await settled(
          () => openTransactions(lab),
          (n) => n === 0,
          SETTLE_MILLIS,
        ),
      );
    }
    const last = await invoke('answers', { op: 'query', sql: ROWS }, { timeoutMillis: HANG_MILLIS });
    const rows = (last.payload as { rows?: { n: number }[] } | undefined)?.rows?.[0]?.n ?? 0;
    return { invocations, figures: { openTransactionsWhileFrozen: open, rows } };
  },
  judge({ invocations, figures = {} }) {
    const wrong = invocations.find(({ event, result }) =>
      event.op === 'script' ? result.error?.errorMessage !== ON_PURPOSE : !result.ok,
    );
    if (wrong) return { pass: false, why: `"${wrong.label}": ${reasonOf(wrong.result)}` };
    const open = figures['openTransactionsWhileFrozen'] ?? 0;
    const rows = figures['rows'] ?? 0;
    return allOf(
      { pass: open === 0, why: `${open} transaction(s) stayed open while frozen` },
      { pass: rows === 0, why: `${rows} row(s) were committed` },
    );
  },
};

/** Each invocation keeps a connection. */
export const forgetsToRelease: Scenario = {
  name: 'forgets-to-release',
  title: 'the handler forgets to release',
  rule: 'Every invocation answers, although each keeps the connection that it has borrowed and the pool has room for two.',
  lab: { env: limitedTo(2) },
  needs: 'lends',
  async run(lab) {
    const { invoke, invocations } = recorder(lab);
    const steps = [{ sql: 'select 1 as one' }];
    for (let round = 1; round <= 4; round += 1) {
      await invoke(
        `keeps ${round}`,
        { op: 'script', on: 'client', steps, end: 'keep' },
        { timeoutMillis: HANG_MILLIS },
      );
    }
    return { invocations };
  },
  judge: everyInvocationAnswers,
};

/** A query that nobody waits for, and whose failure nobody would hear of: the process must not end for it. */
export const unawaitedQuery: Scenario = {
  name: 'unawaited-query',
  title: 'the handler leaves an unawaited query behind',
  rule: 'No invocation fails, although the first leaves a query behind that nobody awaits, and its session is killed while the sandbox is frozen.',
  async run(lab) {
    const { invoke, invocations } = recorder(lab);
    await invoke('cold');
    await invoke('leaves it behind', { op: 'leave', sql: 'select pg_sleep(0.05)', caught: false });
    await lab.freezeFor(SHORT_MILLIS, () => killSessions(lab));
    await invoke('the next one');
    await invoke('warm again');
    return { invocations };
  },
  judge: everyInvocationAnswers,
};

/** A middleware answers in the handler's place: Middy then skips every `after` and `onError`. */
export const earlyReturn: Scenario = {
  name: 'middy-early-return',
  title: 'a middleware answers early, with a connection in hand',
  rule: 'No invocation fails, although a middleware answers early without releasing its connection, which is then killed in the freeze, and the pool has room for one.',
  lab: { env: limitedTo(1) },
  needs: 'middy',
  async run(lab) {
    const { invoke, invocations } = recorder(lab);
    await invoke('cold');
    for (let round = 1; round <= 2; round += 1) {
      await invoke(`answers early ${round}`, { op: 'early-return' });
      await invoke(`the next one ${round}`);
    }
    await invoke('answers early 3', { op: 'early-return' });
    await lab.freezeFor(SHORT_MILLIS, () => killSessions(lab));
    await invoke('after 0.1 s');
    return { invocations };
  },
  judge: (outcome: Outcome): Verdict => everyInvocationAnswers(outcome),
};
