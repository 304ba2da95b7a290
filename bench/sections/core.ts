/** The generic pool alone: what one acquire and release costs, with nobody waiting and with many. */
import { startChild } from '../child.ts';
import type { Context, Section } from '../context.ts';
import { type Measured, type Runner, ratioFigure, type Spec, type Subject, seriesOf } from '../measure.ts';
import type { Case, Figure, Role } from '../model.ts';
import { exactly, figure } from '../verdict.ts';

const SLOTS = [1, 10, 100, 1000];
const WAITERS = [1, 100, 10_000];
/** One round of 100,000 takes two of the peers several seconds each. */
const CROWD_ROUNDS = 3;
const PEERS = ['pg-pool', 'tarn', 'generic-pool'];

interface Round {
  readonly call: 'cycle' | 'attempt' | 'burst';
  readonly slots: number;
  readonly waiters?: number;
  readonly millis: number;
}

async function startPool(pool: string, { call, slots, waiters = 0, millis }: Round): Promise<Runner> {
  const child = await startChild('core');
  await child.call('open', pool, slots, millis);
  return { round: () => child.call(call, waiters), close: () => child.close() };
}

function subject(name: string, role: Role, round: Round, pool = name): Subject {
  return { name, role, start: () => startPool(pool, round) };
}

/** The floor of what a caller awaits who need not wait. */
const AWAITED = 'array pop + push, awaited';
/** The floor of what makes callers wait. */
const QUEUE = 'promise queue';

const peers = (round: Round) => PEERS.map((name) => subject(name, 'peer', round));

/** Acquire and release of an idle resource. */
export function idleSpec(slots: number, millis: number, withPeers = true): Spec {
  const round: Round = { call: 'cycle', slots, millis };
  return {
    id: `core.idle.${slots}`,
    title: `acquire + release, ${slots} idle`,
    unit: 'ns',
    reference: AWAITED,
    subjects: [
      subject(AWAITED, 'floor', round, 'array'),
      subject(QUEUE, 'floor', round),
      subject('thawpool', 'ours', round),
      ...(withPeers ? peers(round) : []),
    ],
  };
}

/** The same in one turn; pg-pool's acquire beside it, which has no such way. */
export function attemptSpec(millis: number, withPeers = true): Spec {
  const round: Round = { call: 'attempt', slots: 1, millis };
  const awaited: Round = { ...round, call: 'cycle' };
  return {
    id: 'core.attempt',
    title: 'tryAcquire + release',
    unit: 'ns',
    reference: AWAITED,
    subjects: [
      subject('array pop + push', 'floor', round, 'array'),
      subject(AWAITED, 'floor', awaited, 'array'),
      subject('thawpool', 'ours', round),
      ...(withPeers ? [subject('pg-pool', 'peer', awaited)] : []),
    ],
  };
}

/** Everything is held, so many callers ask at once, and each gives back what it gets. */
export function contendedSpec(waiters: number, slots: number, millis: number, withPeers = true): Spec {
  const round: Round = { call: 'burst', slots, waiters, millis };
  const suffix = slots === 1 ? '' : `, ${slots.toLocaleString('en')} slots`;
  return {
    id: `core.contended.${waiters}${slots === 1 ? '' : `.${slots}`}`,
    title: `acquire + release, ${waiters.toLocaleString('en')} waiting${suffix}`,
    unit: 'ns',
    reference: QUEUE,
    subjects: [subject(QUEUE, 'floor', round), subject('thawpool', 'ours', round), ...(withPeers ? peers(round) : [])],
  };
}

function idleFigures({ samples }: Measured): Figure[] {
  const ours = seriesOf(samples, 'thawpool');
  return [
    ratioFigure('core.idle.rate', 'acquire + release: rate over pg-pool’s', seriesOf(samples, 'pg-pool'), ours, {
      at: 'least',
      value: 10,
    }),
    ratioFigure(
      'core.idle.cost',
      'acquire + release: cost over an array’s pop and push, awaited',
      ours,
      seriesOf(samples, AWAITED),
      {
        at: 'most',
        value: 2,
      },
    ),
  ];
}

async function attemptFigures({ samples }: Measured): Promise<Figure[]> {
  const child = await startChild('core');
  await child.call('open', 'thawpool', 1, 1);
  await child.call('promisesPerAttempt');
  const promises = await child.call('promisesPerAttempt');
  await child.close();
  return [
    ratioFigure(
      'core.attempt.rate',
      'tryAcquire + release: rate over pg-pool’s acquire + release',
      seriesOf(samples, 'pg-pool'),
      seriesOf(samples, 'thawpool'),
      { at: 'least', value: 30 },
    ),
    figure('core.attempt.promises', 'tryAcquire + release: promises made', 'count', exactly(promises), {
      at: 'most',
      value: 0,
    }),
  ];
}

const FEW = 100;
const MANY = 100_000;
const named = (name: string, waiters: number) => `${name}, ${waiters.toLocaleString('en')} waiting`;

/** Few and many waiting, in the same rounds. */
function growthSpec(millis: number): Spec {
  const at = (waiters: number) => {
    const round: Round = { call: 'burst', slots: 1, waiters, millis };
    return [
      subject(named(QUEUE, waiters), 'floor', round, QUEUE),
      subject(named('thawpool', waiters), 'ours', round, 'thawpool'),
    ];
  };
  return {
    id: 'core.growth',
    title: 'acquire + release, 100 and 100,000 waiting',
    unit: 'ns',
    reference: named(QUEUE, FEW),
    subjects: [...at(FEW), ...at(MANY)],
  };
}

/** Those who take seconds for one round. */
function crowdSpec(millis: number): Spec {
  const round: Round = { call: 'burst', slots: 1, waiters: MANY, millis };
  const { id, title, unit } = contendedSpec(MANY, 1, millis);
  return { id, title, unit, reference: 'thawpool', subjects: [subject('thawpool', 'ours', round), ...peers(round)] };
}

function growthFigures({ samples }: Measured): Figure[] {
  const of = (name: string, waiters: number) => seriesOf(samples, named(name, waiters));
  const cost = (waiters: number) =>
    ratioFigure(
      `core.contended.${waiters}.cost`,
      `acquire + release, ${waiters.toLocaleString('en')} waiting: cost over a promise queue’s`,
      of('thawpool', waiters),
      of(QUEUE, waiters),
      { at: 'most', value: 1.5 },
    );
  const growth = (name: string) => [of(name, MANY), of(name, FEW)] as const;
  return [
    cost(FEW),
    cost(MANY),
    ratioFigure('core.growth.ours', 'cost of one acquire, 100,000 waiting over 100', ...growth('thawpool'), {
      at: 'most',
      value: 1.5,
    }),
    ratioFigure('core.growth.floor', 'the same of the promise queue', ...growth(QUEUE)),
  ];
}

async function run(context: Context) {
  const { quick } = context;
  const millis = quick ? 10 : 40;
  const rounds = quick ? 5 : 21;
  const cases: Case[] = [];
  const figures: Figure[] = [];
  const take = async (spec: Spec, count = rounds): Promise<Measured> => {
    const measured = await context.measure(spec, count);
    cases.push(measured.case);
    return measured;
  };
  for (const slots of quick ? [1] : SLOTS) {
    const measured = await take(idleSpec(slots, millis));
    if (slots === 1) figures.push(...idleFigures(measured));
  }
  figures.push(...(await attemptFigures(await take(attemptSpec(millis)))));
  figures.push(...growthFigures(await take(growthSpec(millis))));
  for (const waiters of quick ? [10_000] : WAITERS) await take(contendedSpec(waiters, 1, millis));
  if (!quick) {
    await take(contendedSpec(10_000, 1000, millis));
    await take(crowdSpec(millis), CROWD_ROUNDS);
  }
  return { cases, figures };
}

export const core: Section = { name: 'core', title: 'The generic pool', run };
