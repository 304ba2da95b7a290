/** How long the first invocation after a thaw takes whose connection was harmed, against a connection made afresh. */
import { type ChaosProxy, startChaosProxy } from '../../test/lab/chaos-proxy.ts';
import { fatalError } from '../../test/lab/wire.ts';
import type { TestPostgres } from '../../test/support/postgres.ts';
import { type Child, startChild } from '../child.ts';
import type { Context, Section } from '../context.ts';
import { pinServer } from '../cores.ts';
import { caseOf, interleave, type Runner, ratioFigure, type Samples, seriesOf } from '../measure.ts';
import type { Case, Figure } from '../model.ts';
import { spreadOf } from '../statistics.ts';
import type { Invoked } from '../subjects/recovery.ts';
import { exactly, figure } from '../verdict.ts';

/** Long enough to be suspect, not so long that it would be discarded unasked (300 s). */
const FREEZE_MILLIS = 60_000;
const FRESH = 'fresh pg.Client';
const OURS = 'thawpool';

interface Stage {
  readonly child: Child;
  readonly proxy: ChaosProxy;
  readonly postgres: TestPostgres;
  readonly failures: string[];
}

type Harm = (stage: Stage) => Promise<unknown> | void;

const ended = (proxy: ChaosProxy) =>
  proxy.until(({ connections }) => connections.every((each) => each.endedBy !== undefined));

/** What happens to the connection while the process is stopped. */
const HARMS: Readonly<Record<string, Harm>> = {
  async killed({ postgres, proxy }) {
    await postgres.admin(
      `select pg_terminate_backend(pid, 30000) from pg_stat_activity where usename = '${postgres.user}'`,
    );
    await ended(proxy);
  },
  reset: ({ proxy }) => proxy.resetAll(),
  expired({ proxy }) {
    proxy.answerAll(fatalError('57P05', 'terminating connection due to idle-session timeout'));
  },
  'black-holed': ({ proxy }) => proxy.blackhole(),
};

/** Does something over the connection, freezes, harms the connection, thaws, and does it again. @returns what `again` does */
async function recover(stage: Stage, harm: Harm, again: () => Promise<number>): Promise<number> {
  const { child, proxy } = stage;
  await again();
  await child.call('jump', FREEZE_MILLIS);
  process.kill(child.pid, 'SIGSTOP');
  try {
    await harm(stage);
  } finally {
    process.kill(child.pid, 'SIGCONT');
  }
  const millis = await again();
  await proxy.healed();
  return millis;
}

async function invoke({ child, failures }: Stage): Promise<number> {
  const { millis, error } = await child.call<Invoked>('invoke');
  if (error !== undefined) failures.push(error);
  return millis;
}

async function openStage(postgres: TestPostgres): Promise<Stage & AsyncDisposable> {
  const proxy = await startChaosProxy({ targetHost: postgres.host, targetPort: postgres.port });
  const url = Object.assign(new URL(postgres.connectionString), { port: String(proxy.port) });
  const child = await startChild('recovery', { env: { DATABASE_URL: url.toString() } });
  return {
    child,
    proxy,
    postgres,
    failures: [],
    async [Symbol.asyncDispose]() {
      await child.close();
      await proxy.close();
    },
  };
}

const WARM_UP_ROUNDS = 5;

/** One after the other, each in a process and behind a proxy of its own: ours, and what makes a connection anew. */
interface Stages {
  readonly ours: Stage;
  readonly floor: Stage;
}

const HARM_NAMES = Object.keys(HARMS);
const oursOf = (harm: string): string => `${harm}: ${OURS}`;
const freshOf = (harm: string): string => `${harm}: ${FRESH}`;

/** Both meet the same harm: after a server has lost a backend, or has started, connecting takes longer than else. */
function runnersOf({ ours, floor }: Stages, harms: Readonly<Record<string, Harm>>) {
  return new Map<string, Pick<Runner, 'round'>>(
    Object.entries(harms).flatMap(([name, harm]) => [
      [freshOf(name), { round: () => recover(floor, harm, () => floor.child.call('fresh')) }],
      [oursOf(name), { round: () => recover(ours, harm, () => invoke(ours)) }],
    ]),
  );
}

function caseFor(harm: string, samples: Samples): Case {
  const subjects = [
    { name: FRESH, role: 'floor' },
    { name: OURS, role: 'ours' },
  ] as const;
  const both = new Map([
    [FRESH, seriesOf(samples, freshOf(harm))],
    [OURS, seriesOf(samples, oursOf(harm))],
  ]);
  const title = `first result after a thaw, ${whatIs(harm)}`;
  return caseOf({ id: `recovery.${harm}`, title, unit: 'ms', reference: FRESH, subjects }, both);
}

const whatIs = (harm: string): string => `${harm === 'restarted' ? 'server' : 'connection'} ${harm}`;

function figureFor(harm: string, samples: Samples): Figure {
  const fresh = seriesOf(samples, freshOf(harm));
  const millis = seriesOf(samples, oursOf(harm));
  const title = `thaw, ${whatIs(harm)}`;
  const id = `recovery.${harm}`;
  if (harm !== 'black-holed') {
    const target = { at: 'most', value: 1.2 } as const;
    return ratioFigure(id, `${title}: time to result over a fresh connect’s`, millis, fresh, target);
  }
  const more = millis.map((each, round) => each - (fresh[round] as number));
  return figure(id, `${title}: time beyond a fresh connect’s`, 'ms', spreadOf(more), { at: 'most', value: 100 });
}

/** The server is restarted, and warmed by one login. */
const restarted: Harm = async ({ postgres }) => {
  await postgres.restart();
  await pinServer(postgres);
  await postgres.admin('select 1');
};

async function run({ quick, say, postgres: server }: Context) {
  const postgres = await server();
  await using ours = await openStage(postgres);
  await using floor = await openStage(postgres);
  const rounds = quick ? 5 : 30;
  const stages = { ours, floor };
  const runners = runnersOf(stages, HARMS);
  await interleave(runners, WARM_UP_ROUNDS);
  const harmed = await interleave(runners, rounds, (round) =>
    say(`thaw with a harmed connection: ${round} of ${rounds}`),
  );
  const cases = HARM_NAMES.map((harm) => caseFor(harm, harmed));
  const figures = HARM_NAMES.map((harm) => figureFor(harm, harmed));
  if (postgres.managed && !quick) {
    const restarts = 6;
    const samples = await interleave(runnersOf(stages, { restarted }), restarts, (round) =>
      say(`thaw with a restarted server: ${round} of ${restarts}`),
    );
    cases.push(caseFor('restarted', samples));
    figures.push(figureFor('restarted', samples));
  }
  const { failures } = ours;
  if (failures[0] !== undefined) say(`An invocation failed: ${failures[0]}`);
  figures.push(
    figure('recovery.failed', 'thaw, connection harmed: failed invocations', 'count', exactly(failures.length), {
      at: 'most',
      value: 0,
    }),
  );
  return { cases, figures };
}

export const recovery: Section = { name: 'recovery', title: 'After a thaw', run };
