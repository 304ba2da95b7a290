/** Runs the demo: one server, two subjects in step with each other, every phase one after the other. */
import { setTimeout as wait } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import pg from 'pg';
import { migrate } from '../../../infra/orders/schema.ts';
import { startPostgres, type TestPostgres } from '../../support/postgres.ts';
import { findRuntimeClient } from '../find-runtime-client.ts';
import { Lane, type LaneOptions } from './lane.ts';
import type { Fault, PhaseSpan, Recording } from './model.ts';
import { type Phase, phases } from './phases.ts';
import type { Progress } from './progress.ts';

/** Longer than thawpool takes a connection's word for it (1000 ms): a pause that it has to ask about. */
const FREEZE_MILLIS = 1200;
/** Lambda's default function timeout. */
const TIMEOUT_MILLIS = 3000;
/** Between two invocations of a sandbox. The second subject goes half a pause behind the first, out of its way. */
const PAUSE_MILLIS = 60;
/** The same after a fault, where there are fewer of them. */
const LONG_PAUSE_MILLIS = 140;

/** Who is compared, in the order of the report. */
export const subjects = [
  { name: 'thawpool', title: 'thawpool', file: new URL('thawpool-handler.ts', import.meta.url) },
  { name: 'plain', title: 'plain pg.Pool', file: new URL('plain/handler.ts', import.meta.url) },
] as const;

interface Stage {
  readonly postgres: TestPostgres;
  readonly lanes: readonly Lane[];
  readonly progress: Progress;
  readonly now: () => number;
  readonly faults: Fault[];
}

/** A database of its own for each subject, with the order service's tables. */
async function prepareDatabase(postgres: TestPostgres, name: string): Promise<TestPostgres> {
  const connectionString = await postgres.createDatabase(`thawpool_demo_${name}_${process.pid}`);
  const client = new pg.Client({ connectionString });
  await client.connect();
  await client.query('begin');
  await migrate(client);
  await client.query('commit');
  await client.end();
  return { ...postgres, connectionString };
}

async function playRound({ lanes, progress, faults, ...stage }: Stage, phase: Phase, round: number): Promise<void> {
  const { cold, harm, name } = phase;
  const kinds = phase.rounds[round] ?? [];
  const pauseMillis = harm ? LONG_PAUSE_MILLIS : PAUSE_MILLIS;
  progress.round(round);
  if (harm) {
    progress.note(`frozen for ${FREEZE_MILLIS / 1000} s: ${harm.label}`);
    const inflicted = async () => {
      await wait(FREEZE_MILLIS / 4);
      faults.push({ phase: name, label: harm.label, at: stage.now() });
      await harm.inflict(lanes, stage.postgres);
    };
    await Promise.all([wait(FREEZE_MILLIS), inflicted()]);
    progress.note('');
  }
  const play = async (lane: Lane) => {
    for (const [index, kind] of kinds.entries()) {
      const { failure } = await lane.invoke(name, kind, harm !== undefined && index === 0);
      progress.mark(lane.name, failure === undefined);
      await wait(pauseMillis);
    }
  };
  // Who goes first changes, so that neither always finds the machine colder.
  const order = round % 2 === 0 ? lanes : lanes.toReversed();
  if (cold) {
    // One after the other: a start takes a whole processor.
    for (const lane of order) {
      await lane.endSandbox();
      await play(lane);
    }
  } else {
    await Promise.all(order.map((lane, index) => wait((index * pauseMillis) / 2).then(() => play(lane))));
  }
}

async function playPhase(stage: Stage, phase: Phase): Promise<PhaseSpan> {
  const from = stage.now();
  stage.progress.phase(phase.title, phase.rounds.length);
  for (const lane of stage.lanes) lane.beginPhase();
  for (let round = 0; round < phase.rounds.length; round += 1) await playRound(stage, phase, round);
  for (const lane of stage.lanes) await lane.endPhase(phase.name);
  stage.progress.phaseEnd();
  return { name: phase.name, title: phase.title, from, to: stage.now() };
}

/**
 * Runs every phase and returns what happened.
 *
 * @throws When the server or a sandbox cannot be started. Whatever happens, nothing is left running.
 */
export async function runDemo(progress: Progress): Promise<Recording> {
  const began = performance.now();
  const runtimeClient = findRuntimeClient();
  await using resources = new AsyncDisposableStack();
  progress.note('starting PostgreSQL');
  const postgres = resources.use(await startPostgres());
  progress.facts({ runtimeClient, postgres: postgres.version, node: process.version });
  progress.note('bundling the handlers');
  const opened = performance.now();
  const now = () => performance.now() - opened;
  const lanes: Lane[] = [];
  for (const { name, title, file } of subjects) {
    const options: LaneOptions = {
      name,
      title,
      handler: `${fileURLToPath(file)}#handler`,
      postgres: await prepareDatabase(postgres, name),
      runtimeClient,
      timeoutMillis: TIMEOUT_MILLIS,
      now,
    };
    lanes.push(resources.use(await Lane.open(options)));
  }
  progress.note('');
  const stage: Stage = { postgres, lanes, progress, now, faults: [] };
  const played: PhaseSpan[] = [];
  for (const phase of phases) {
    if (phase.needsManagedServer && !postgres.managed) progress.skip(phase.title, 'DATABASE_URL names the server');
    else played.push(await playPhase(stage, phase));
  }
  return {
    runtimeClient,
    postgres: postgres.version,
    node: process.version,
    freezeMillis: FREEZE_MILLIS,
    timeoutMillis: TIMEOUT_MILLIS,
    durationMillis: performance.now() - began,
    phases: played,
    faults: stage.faults,
    subjects: lanes.map((lane) => lane.recording()),
  };
}
