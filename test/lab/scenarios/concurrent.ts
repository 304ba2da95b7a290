/** AWS's multi-concurrency mode (Lambda Managed Instances): several invocations at once in one process. */
import type { Lab } from '../lab.ts';
import { ON_PURPOSE, type SubjectEvent } from '../subjects/protocol.ts';
import {
  allOf,
  type LabNeeds,
  limitedTo,
  type Outcome,
  rowsOf,
  type Scenario,
  type ScenarioInvocation,
} from './scenario.ts';

const INVOCATIONS = 10;
const POOL = 4;
const WORKERS = 3;
/** Two rounds in all, so that invocations end while others are at work. */
const ROUNDS = 2;

const TABLE = 'create table if not exists lab_own (n int); truncate lab_own; grant all on lab_own to public';

/** A transaction that takes a while, leaves a row and says whose it is; every second one fails and leaves nothing. */
function work(n: number): SubjectEvent {
  const sql = ['select pg_sleep(0.02)', `insert into lab_own values (${n})`, `select ${n} as n`];
  const steps = sql.map((each) => ({ sql: each }));
  return { op: 'script', on: 'transaction', steps, ...(fails(n) ? { end: 'throw' } : {}) };
}

const fails = (n: number) => n % 2 === 1;

/** All at once; each is started again when it has answered, while others are at work. */
async function together(lab: Lab): Promise<Outcome> {
  const invocations: ScenarioInvocation[] = [];
  let own = 0;
  await lab.postgres.admin(TABLE);
  const one = async (n: number) => {
    for (let round = 1; round <= ROUNDS; round += 1) {
      const before = lab.snapshot();
      const event = work(n);
      const result = await lab.invoke(event);
      own += Number(fails(n) ? result.error?.errorMessage === ON_PURPOSE : rowsOf(result)[0]?.['n'] === n);
      invocations.push({ label: `invocation ${n}, round ${round}`, event, result, wire: lab.since(before) });
    }
  };
  await Promise.all(Array.from({ length: INVOCATIONS }, (_, n) => one(n)));
  const mostConnectionsAtOnce = lab.proxy.peak;
  const { rows } = await lab.postgres.admin('select n from lab_own');
  const strayRows = rows.filter(({ n }: { n: number }) => fails(n)).length;
  const figures = { mostConnectionsAtOnce, ownAnswers: own, rows: rows.length - strayRows, strayRows };
  return { invocations, figures };
}

function judge({ figures = {} }: Outcome) {
  const { mostConnectionsAtOnce: most = 0, ownAnswers = 0, rows = 0, strayRows = 0 } = figures;
  const all = INVOCATIONS * ROUNDS;
  return allOf(
    {
      pass: ownAnswers === all,
      why: `${ownAnswers} of ${all} invocations got what is theirs, over ${most} connection(s)`,
    },
    { pass: strayRows === 0, why: `${strayRows} row(s) of failed invocations were committed` },
    { pass: rows === all / 2, why: `${rows} of ${all / 2} rows were committed` },
    { pass: most <= POOL, why: `${most} connections were open at once` },
  );
}

function needs(workers: number, env: Record<string, string>): LabNeeds {
  return { concurrency: { workers, invocations: INVOCATIONS }, env: { ...limitedTo(POOL), ...env } };
}

/** One worker: all invocations share one pool. */
export const concurrentInvocations: Scenario = {
  name: 'concurrent-invocations',
  title: `${INVOCATIONS} concurrent invocations on a pool of ${POOL}`,
  rule: `${INVOCATIONS} concurrent invocations, each with a transaction of which every second one fails, get and leave what is theirs, over ${POOL} connections at most.`,
  lab: needs(1, {}),
  run: together,
  judge,
};

/** Several workers: each has a module scope, and so a pool, of its own. */
export const severalWorkers: Scenario = {
  name: 'several-workers',
  title: `${INVOCATIONS} concurrent invocations over ${WORKERS} worker threads`,
  rule: `${INVOCATIONS} concurrent invocations over ${WORKERS} worker threads, of which every second one fails, get and leave what is theirs, over ${POOL} connections of the whole process at most.`,
  lab: needs(WORKERS, { THAWPOOL_MAX_PER_ENVIRONMENT: String(POOL) }),
  run: together,
  judge,
};
