/** What the demo does to its subjects, chapter by chapter. */
import type { TestPostgres } from '../../support/postgres.ts';
import { allEnded } from '../scenarios/while-frozen.ts';
import type { EventKind } from './dispatch.ts';
import type { Lane } from './lane.ts';
import type { PhaseName } from './model.ts';

/** Something that is done while every sandbox is frozen. */
export interface Harm {
  /** Stands beside the mark in the picture. */
  readonly label: string;
  /** Returns when the harm is done to every lane. */
  inflict(lanes: readonly Lane[], postgres: TestPostgres): Promise<unknown> | void;
}

/** A chapter. Each round invokes the function with these events, one after the other. */
export interface Phase {
  readonly name: PhaseName;
  readonly title: string;
  readonly rounds: readonly (readonly EventKind[])[];
  /** Each round starts a new process. */
  readonly cold?: boolean;
  /** Each round begins with a freeze during which this happens. */
  readonly harm?: Harm;
  /** Whether the server must be one that can be restarted from here. */
  readonly needsManagedServer?: boolean;
}

const MIX: readonly EventKind[] = ['create', 'get', 'consume', 'get', 'report', 'get'];
const MIXES = 4;

/** The first event after each fault is another one, so that every path through the handlers meets it. */
const AFTER_A_FAULT: readonly (readonly EventKind[])[] = [
  ['create', 'get', 'consume', 'get'],
  ['get', 'create', 'report', 'get'],
  ['consume', 'get', 'create', 'get'],
];

const killed: Harm = {
  label: 'kill',
  async inflict(lanes, postgres) {
    const sessions = await Promise.all(lanes.map(({ lab }) => lab.sessions()));
    // 5000 ms is how long the server waits for the process to be gone; it takes a few.
    const kill = (pid: number) => postgres.admin('select pg_terminate_backend($1, 5000)', [pid]);
    await Promise.all([...new Set(sessions.flat())].map(kill));
    for (const { lab } of lanes) await lab.proxy.until(allEnded);
  },
};

const reset: Harm = {
  label: 'reset',
  inflict(lanes) {
    for (const { lab } of lanes) lab.proxy.resetAll();
  },
};

const blackHole: Harm = {
  label: 'black hole',
  inflict(lanes) {
    for (const { lab } of lanes) lab.proxy.blackhole();
  },
};

const restart: Harm = {
  label: 'restart',
  async inflict(lanes, postgres) {
    await postgres.restart('fast');
    for (const { lab } of lanes) await lab.proxy.until(allEnded);
  },
};

/** Every chapter, in order. */
export const phases: readonly Phase[] = [
  { name: 'cold', title: 'cold start', cold: true, rounds: [['create'], ['get'], ['consume']] },
  { name: 'warm', title: 'warm', rounds: Array.from({ length: MIXES }, () => MIX) },
  { name: 'killed', title: 'frozen and killed', harm: killed, rounds: AFTER_A_FAULT },
  { name: 'reset', title: 'frozen and reset', harm: reset, rounds: AFTER_A_FAULT },
  { name: 'black-holed', title: 'frozen and black-holed', harm: blackHole, rounds: AFTER_A_FAULT },
  {
    name: 'restarted',
    title: 'server restarted while frozen',
    harm: restart,
    rounds: AFTER_A_FAULT,
    needsManagedServer: true,
  },
];
