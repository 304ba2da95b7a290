/** How long the first invocation after a thaw takes whose connection was harmed, against a connection made afresh. */
import { type ChaosProxy, startChaosProxy } from '../../test/lab/chaos-proxy.ts';
import { fatalError } from '../../test/lab/wire.ts';
import type { TestPostgres } from '../../test/support/postgres.ts';
import { type Child, startChild } from '../child.ts';
import type { Context, Section } from '../context.ts';
import { caseOf, interleave, type Runner, ratioFigure, type Samples, seriesOf } from '../measure.ts';
import type { Case, Figure } from '../model.ts';
import { spreadOf } from '../statistics.ts';
import type { Invoked } from '../subjects/recovery.ts';
import { exactly, figure } from '../verdict.ts';

/** Long enough to be suspect, not so long that it would be discarded unasked (300 s). */
const FREEZE_MILLIS = 60_000;
const FRESH = 'fresh pg.Client';

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

/** Invokes, freezes, harms, thaws, and invokes again. @returns milliseconds to the second result */
async function recover(stage: Stage, harm: Harm): Promise<number> {
  const { child, proxy, failures } = stage;
  const told = async (): Promise<number> => {
    const { millis, error } = await child.call<Invoked>('invoke');
    if (error !== undefined) failures.push(error);
    return millis;
  };
  await told();
  await child.call('jump', FREEZE_MILLIS);
  process.kill(child.pid, 'SIGSTOP');
  try {
    await harm(stage);
  } finally {
    process.kill(child.pid, 'SIGCONT');
  }
  const millis = await told();
  await proxy.healed();
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

const WARM_UP_ROUNDS = 2;

/** All harms but a restart, which the others would have to wait for. */
async function harmAll(stage: Stage, rounds: number, say: (round: number) => void): Promise<Samples> {
  const runners = new Map<string, Pick<Runner, 'round'>>([
    [FRESH, { round: () => stage.child.call('fresh') }],
    ...Object.entries(HARMS).map(([name, harm]) => [name, { round: () => recover(stage, harm) }] as const),
  ]);
  await interleave(runners, WARM_UP_ROUNDS);
  return interleave(runners, rounds, say);
}

/** The server is restarted, warmed by one login, and then both are asked. */
async function restartAll(stage: Stage, rounds: number, say: (round: number) => void): Promise<Samples> {
  const restart: Harm = async ({ postgres }) => {
    await postgres.restart();
    await postgres.admin('select 1');
  };
  const runners = new Map<string, Pick<Runner, 'round'>>([
    [FRESH, { round: () => stage.child.call('fresh') }],
    ['restarted', { round: () => recover(stage, restart) }],
  ]);
  return interleave(runners, rounds, say);
}

function toCase(id: string, title: string, samples: Samples): Case {
  const subjects = [...samples.keys()].map((name) => ({ name, role: name === FRESH ? 'floor' : 'ours' }) as const);
  return caseOf({ id, title, unit: 'ms', reference: FRESH, subjects }, samples);
}

function figuresOf(samples: Samples): Figure[] {
  const fresh = seriesOf(samples, FRESH);
  return [...samples]
    .filter(([name]) => name !== FRESH)
    .map(([name, millis]) => {
      const title = `thaw, ${name === 'restarted' ? 'server' : 'connection'} ${name}`;
      const id = `recovery.${name}`;
      if (name !== 'black-holed') {
        return ratioFigure(id, `${title}: time to result over a fresh connect’s`, millis, fresh, {
          at: 'most',
          value: 1.2,
        });
      }
      const more = millis.map((each, round) => each - (fresh[round] as number));
      return figure(id, `${title}: time beyond a fresh connect’s`, 'ms', spreadOf(more), { at: 'most', value: 100 });
    });
}

async function run({ quick, say, postgres: server }: Context) {
  const postgres = await server();
  await using stage = await openStage(postgres);
  const rounds = quick ? 5 : 30;
  const harmed = await harmAll(stage, rounds, (round) => say(`thaw with a harmed connection: ${round} of ${rounds}`));
  const cases = [toCase('recovery', 'first result after a thaw', harmed)];
  const figures = figuresOf(harmed);
  if (postgres.managed && !quick) {
    const restarts = 6;
    const restarted = await restartAll(stage, restarts, (round) =>
      say(`thaw with a restarted server: ${round} of ${restarts}`),
    );
    cases.push(toCase('recovery.restart', 'first result after a restart', restarted));
    figures.push(...figuresOf(restarted));
  }
  const { failures } = stage;
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
