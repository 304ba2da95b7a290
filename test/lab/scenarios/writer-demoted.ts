/** Failovers in which the old writer lives on as a reader, and is written to. */
import { setTimeout as wait } from 'node:timers/promises';
import { startPostgres, type TestPostgres } from '../../support/postgres.ts';
import type { Lab } from '../lab.ts';
import {
  allOf,
  everyInvocationAnswers,
  killSessions,
  needsOwnServer,
  type Outcome,
  recorder,
  type Scenario,
  settled,
} from './scenario.ts';
import { SHORT_MILLIS } from './while-frozen.ts';

const TABLE = 'create table if not exists lab_writes (n int); truncate lab_writes; grant all on lab_writes to public';
const WRITE = { op: 'query', sql: 'insert into lab_writes values (1)' } as const;
/** How long a host name may lead to the old writer after a failover has begun. */
const OLD_NAME_MILLIS = 500;
const RELOAD_LIMIT_MILLIS = 30_000;

let second: Promise<TestPostgres> | undefined;

/** The server that becomes the writer: one for all runs of this process, and gone with it. */
function otherServer(): Promise<TestPostgres> {
  second ??= startPostgres();
  return second;
}

async function setReadOnly(server: TestPostgres, on: boolean): Promise<void> {
  const value = on ? 'on' : 'off';
  await server.admin(`alter system set default_transaction_read_only = ${value}`);
  await server.admin('select pg_reload_conf()');
  const ask = async () => (await server.admin('show default_transaction_read_only')).rows[0] as object;
  await settled(ask, (row) => Object.values(row)[0] === value, RELOAD_LIMIT_MILLIS);
}

async function failover(lab: Lab, story: (to: TestPostgres) => Promise<void>): Promise<number> {
  const to = await otherServer();
  for (const server of [lab.postgres, to]) await server.admin(TABLE);
  try {
    await story(to);
  } finally {
    await setReadOnly(lab.postgres, false);
  }
  return Number(((await to.admin('select count(*) as n from lab_writes')).rows[0] as { n: string }).n);
}

function judge(outcome: Outcome) {
  const writes = outcome.figures?.['writesAtTheNewWriter'] ?? 0;
  return allOf(everyInvocationAnswers(outcome), {
    pass: writes === 2,
    why: `${writes} of 2 writes reached the new writer`,
  });
}

/** The session survives the demotion: only a write finds out. */
export const demoted: Scenario = {
  name: 'writer-demoted',
  title: 'the writer is demoted, its sessions live on',
  rule: 'No write fails (25006), and each reaches the new writer once, although the session still leads to the old one.',
  unable: needsOwnServer,
  async run(lab) {
    const { invoke, invocations } = recorder(lab);
    const writesAtTheNewWriter = await failover(lab, async (to) => {
      await invoke('cold', WRITE);
      await lab.freezeFor(SHORT_MILLIS, async () => {
        await setReadOnly(lab.postgres, true);
        lab.proxy.retarget(to.host, to.port);
      });
      await invoke('after the failover', WRITE);
      await invoke('warm again', WRITE);
    });
    return { invocations, figures: { writesAtTheNewWriter } };
  },
  judge,
};

/** The session ends, and the name leads to the old writer for a while: a new session there is of no use. */
export const oldName: Scenario = {
  name: 'name-leads-to-old-writer',
  title: 'the name leads to the demoted writer for half a second more',
  rule: 'No write fails, and each reaches the new writer once, although the name leads to the old one until 0.5 s after the thaw.',
  unable: needsOwnServer,
  async run(lab) {
    const { invoke, invocations } = recorder(lab);
    const writesAtTheNewWriter = await failover(lab, async (to) => {
      await invoke('cold', WRITE);
      await lab.freezeFor(SHORT_MILLIS, async () => {
        await setReadOnly(lab.postgres, true);
        await killSessions(lab);
      });
      await invoke('after the failover', WRITE, {
        async meanwhile() {
          await wait(OLD_NAME_MILLIS);
          lab.proxy.retarget(to.host, to.port);
        },
      });
      await invoke('warm again', WRITE);
    });
    return { invocations, figures: { writesAtTheNewWriter } };
  },
  judge,
};
