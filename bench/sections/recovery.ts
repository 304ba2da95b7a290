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
  /** What its process does after a thaw. */
  readonly again: 'invoke' | 'fresh';
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

/** Does something over the connection, freezes, harms the connection, thaws, and does it again. */
async function recover(stage: Stage, harm: Harm): Promise<Invoked> {
  const { child, proxy } = stage;
  await ask(stage);
  await child.call('jump', FREEZE_MILLIS);
  process.kill(child.pid, 'SIGSTOP');
  try {
    await harm(stage);
  } finally {
    process.kill(child.pid, 'SIGCONT');
  }
  const invoked = await ask(stage);
  await proxy.healed();
  return invoked;
}

async function ask({ child, again, failures }: Stage): Promise<Invoked> {
  const invoked = await child.call<Invoked>(again);
  if (invoked.error !== undefined) failures.push(invoked.error);
  return invoked;
}

async function openStage(postgres: TestPostgres, again: Stage['again']): Promise<Stage & AsyncDisposable> {
  const proxy = await startChaosProxy({ targetHost: postgres.host, targetPort: postgres.port });
  const url = Object.assign(new URL(postgres.connectionString), { port: String(proxy.port) });
  const child = await startChild('recovery', { env: { DATABASE_URL: url.toString() } });
  return {
    child,
    proxy,
    postgres,
    failures: [],
    again,
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

/** Milliseconds until the connection was begun, of each round, by the names of the runners. */
type Begun = Map<string, number[]>;

function runnerOf(name: string, stage: Stage, harm: Harm, begun: Begun): [string, Pick<Runner, 'round'>] {
  const round = async (): Promise<number> => {
    const { millis, begunMillis } = await recover(stage, harm);
    begun.set(name, [...(begun.get(name) ?? []), begunMillis]);
    return millis;
  };
  return [name, { round }];
}

/** Both meet the same harm: after a server has lost a backend, or has started, connecting takes longer than else. */
function runnersOf({ ours, floor }: Stages, harms: Readonly<Record<string, Harm>>, begun: Begun) {
  return new Map(
    Object.entries(harms).flatMap(([name, harm]) => [
      runnerOf(freshOf(name), floor, harm, begun),
      runnerOf(oursOf(name), ours, harm, begun),
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

function figuresFor(harm: string, samples: Samples, begun: Begun): Figure[] {
  const of = (values: Samples) => [seriesOf(values, oursOf(harm)), seriesOf(values, freshOf(harm))] as const;
  const [ours, fresh] = of(samples);
  const title = `thaw, ${whatIs(harm)}`;
  const id = `recovery.${harm}`;
  const beyond = ([one, other]: readonly [readonly number[], readonly number[]]) =>
    spreadOf(one.map((each, round) => each - (other[round] as number)));
  if (harm === 'black-holed') {
    const target = { at: 'most', value: 100 } as const;
    return [figure(id, `${title}: time beyond a fresh connect’s`, 'ms', beyond([ours, fresh]), target)];
  }
  const target = { at: 'most', value: 1.2 } as const;
  return [
    ratioFigure(id, `${title}: time to result over a fresh connect’s`, ours, fresh, target),
    figure(`${id}.beyond`, `${title}: time beyond a fresh connect’s`, 'ms', beyond([ours, fresh])),
    figure(`${id}.begun`, `${title}: of that, until a new connection is begun`, 'ms', beyond(of(begun))),
  ];
}

/** The server is restarted, and warmed by one login. */
const restarted: Harm = async ({ postgres }) => {
  await postgres.restart();
  await pinServer(postgres);
  await postgres.admin('select 1');
};

async function run({ quick, say, postgres: server }: Context) {
  const postgres = await server();
  await using ours = await openStage(postgres, 'invoke');
  await using floor = await openStage(postgres, 'fresh');
  const rounds = quick ? 5 : 30;
  const stages = { ours, floor };
  const begun: Begun = new Map();
  const runners = runnersOf(stages, HARMS, begun);
  await interleave(runners, WARM_UP_ROUNDS);
  begun.clear();
  const harmed = await interleave(runners, rounds, (round) =>
    say(`thaw with a harmed connection: ${round} of ${rounds}`),
  );
  const cases = HARM_NAMES.map((harm) => caseFor(harm, harmed));
  const figures = HARM_NAMES.flatMap((harm) => figuresFor(harm, harmed, begun));
  if (postgres.managed && !quick) {
    const restarts = 6;
    const samples = await interleave(runnersOf(stages, { restarted }, begun), restarts, (round) =>
      say(`thaw with a restarted server: ${round} of ${restarts}`),
    );
    cases.push(caseFor('restarted', samples));
    figures.push(...figuresFor('restarted', samples, begun));
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
