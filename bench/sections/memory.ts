/** What a pool holds in memory, and what it allocates. */
import { startChild } from '../child.ts';
import type { Context, Section } from '../context.ts';
import type { Runner, Spec, Subject } from '../measure.ts';
import type { Case, Role } from '../model.ts';

/** In MiB: far more than is allocated while it is counted. */
const YOUNG_GENERATION = 128;
const FLAGS = [`--min-semi-space-size=${YOUNG_GENERATION}`, `--max-semi-space-size=${YOUNG_GENERATION}`];

const SLOTS = 5000;
const WAITERS = 20_000;
const CYCLES = 5000;

const ARRAY = 'array pop + push, awaited';
const QUEUE = 'promise queue';

type Question = 'perSlot' | 'perWaiter' | 'perCycle' | 'perAttempt';

/** Each round in a fresh process: what one has allocated changes where the next one's objects are. */
async function ask(question: Question, pool: string, count: number): Promise<number> {
  const child = await startChild('memory', { flags: FLAGS });
  try {
    return await child.call(question, pool, count);
  } finally {
    await child.close();
  }
}

function subject(question: Question, count: number, name: string, role: Role, pool = name): Subject {
  const runner: Runner = { round: () => ask(question, pool, count), close: async () => {} };
  return { name, role, start: async () => runner };
}

function spec(question: Question, title: string, count: number, floor: string): Spec {
  const of = (name: string, role: Role, pool = name) => subject(question, count, name, role, pool);
  return {
    id: `memory.${question}`,
    title,
    unit: 'bytes',
    reference: floor,
    cold: true,
    subjects: [
      of(floor, 'floor', floor === ARRAY ? 'array' : floor),
      of('thawpool', 'ours'),
      ...(question === 'perAttempt' ? [] : ['pg-pool', 'tarn', 'generic-pool'].map((name) => of(name, 'peer'))),
    ],
  };
}

async function run(context: Context) {
  const rounds = context.quick ? 1 : 3;
  const specs = [
    spec('perSlot', 'bytes for an idle slot', SLOTS, QUEUE),
    spec('perWaiter', 'bytes for a waiter', WAITERS, QUEUE),
    spec('perCycle', 'bytes allocated by acquire + release', CYCLES, ARRAY),
    spec('perAttempt', 'bytes allocated by tryAcquire + release', CYCLES, ARRAY),
  ];
  const cases: Case[] = [];
  for (const each of specs) cases.push((await context.measure(each, rounds)).case);
  return { cases, figures: [] };
}

export const memory: Section = { name: 'memory', title: 'Memory', run };
