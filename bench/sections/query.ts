/** `query()` end to end on a real server: one caller, eight, and sixty-four. */
import type { TestPostgres } from '../../test/support/postgres.ts';
import { cacheEnv, hasStatementCache } from '../cache.ts';
import { startChild } from '../child.ts';
import type { Context, Section } from '../context.ts';
import { type Measured, type Runner, ratioFigure, type Spec, type Subject, seriesOf } from '../measure.ts';
import type { Case, Figure, Role } from '../model.ts';

const CALLERS = [8, 64];

interface Round {
  readonly callers: number;
  readonly count: number;
  /** Which of the times is taken, from 0 to 1. @default the median */
  readonly share?: number;
}

async function start(
  postgres: TestPostgres,
  way: string,
  cache: boolean,
  { callers, count, share = 0.5 }: Round,
): Promise<Runner> {
  const child = await startChild('query', {
    env: { DATABASE_URL: postgres.connectionString, ...cacheEnv(cache) },
    // A bare client asked by several at once queues them, and says that one should not.
    flags: ['--no-deprecation'],
  });
  await child.call('open', way, callers);
  const round = () => (callers === 1 ? child.call('latency', count, share) : child.call('throughput', callers, count));
  return { round, close: () => child.close() };
}

/** A second process of the same: how far apart two of a kind come out. */
const TWIN = 'pg.Pool, another process';

/** The name of ours with the cache on. */
export const CACHED = 'thawpool, statement cache';

/** One way or several at once. */
export function querySpec(postgres: TestPostgres, round: Round, withPeers = true): Spec {
  const subject = (name: string, role: Role, way = name, cache = false): Subject => ({
    name,
    role,
    start: () => start(postgres, way, cache, round),
  });
  const { callers } = round;
  return {
    id: `query.${callers}`,
    title: callers === 1 ? 'query(): median, 1 caller' : `query(): throughput, ${callers} callers`,
    unit: callers === 1 ? 'µs' : 'per second',
    reference: 'pg.Client',
    subjects: [
      subject('pg.Client', 'floor'),
      ...(withPeers ? [subject('pg.Pool', 'peer'), subject('postgres.js', 'peer')] : []),
      ...(withPeers && callers > 1 ? [subject(TWIN, 'peer', 'pg.Pool')] : []),
      subject('thawpool', 'ours'),
      ...(hasStatementCache ? [subject(CACHED, 'ours', 'thawpool', true)] : []),
    ],
  };
}

function latencyFigures({ samples }: Measured): Figure[] {
  const of = (subject: string) => seriesOf(samples, subject);
  const over = (id: string, title: string, ours: string, other: string, most: number) =>
    ratioFigure(`query.1.${id}`, title, of(ours), of(other), { at: 'most', value: most });
  const plain = over('plain', 'query(): median over a bare client’s', 'thawpool', 'pg.Client', 1.03);
  if (!hasStatementCache) return [plain];
  return [
    plain,
    over('cached', 'query() with the statement cache: median over a bare client’s', CACHED, 'pg.Client', 0.93),
    over('postgres-js', 'query() with the statement cache: median over postgres.js’s', CACHED, 'postgres.js', 1),
  ];
}

function throughputFigures({ samples, case: { id } }: Measured, callers: number): Figure[] {
  const of = (subject: string) => seriesOf(samples, subject);
  const over = ratioFigure(
    `${id}.pg-pool`,
    `query(), ${callers} callers: throughput over pg.Pool’s`,
    of('thawpool'),
    of('pg.Pool'),
    {
      at: 'least',
      value: 1,
    },
  );
  const twin = ratioFigure(
    `${id}.twin`,
    `query(), ${callers} callers: throughput of another process of pg.Pool’s over pg.Pool’s`,
    of(TWIN),
    of('pg.Pool'),
  );
  if (!hasStatementCache) return [over, twin];
  const cached = ratioFigure(
    `${id}.postgres-js`,
    `query() with the statement cache, ${callers} callers: throughput over postgres.js’s`,
    of(CACHED),
    of('postgres.js'),
  );
  return [over, twin, cached];
}

async function run(context: Context) {
  const postgres = await context.postgres();
  const rounds = context.quick ? 7 : 61;
  const cases: Case[] = [];
  const figures: Figure[] = [];
  const one = await context.measure(querySpec(postgres, { callers: 1, count: context.quick ? 100 : 300 }), rounds);
  cases.push(one.case);
  figures.push(...latencyFigures(one));
  for (const callers of CALLERS) {
    const round = { callers, count: context.quick ? 2000 : 6000 };
    const measured = await context.measure(querySpec(postgres, round), Math.ceil(rounds / 3));
    cases.push(measured.case);
    figures.push(...throughputFigures(measured, callers));
  }
  return { cases, figures };
}

export const query: Section = { name: 'query', title: 'query() on a real server', run };
