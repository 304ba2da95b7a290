/**
 * Fails when a ratio has become twice what is recorded in `bench/results/latest.json`: `npm run bench:guard`.
 *
 * Ratios to a floor that is measured beside them, not times: so it holds on other machines. The best round of each, and
 * the best of three attempts: so it holds on busy ones.
 */
import { openContext } from './context.ts';
import { formatValue } from './format.ts';
import { type Samples, type Spec, seriesOf } from './measure.ts';
import type { Case, Results } from './model.ts';
import { attemptSpec, contendedSpec, idleSpec } from './sections/core.ts';
import { querySpec } from './sections/query.ts';
import { warmSpec } from './sections/warm.ts';
import { bestOf } from './statistics.ts';
import { guardVerdict, TOLERATED } from './verdict.ts';
import { LATEST, readResults } from './write.ts';

const ATTEMPTS = 3;
const ROUNDS = 15;
/** Shorter than the turns that a busy machine gives to its processes: some rounds are then not interrupted. */
const ROUND_MILLIS = 3;
/** As long as in the full benchmark: with a burst or two in a round it is the garbage collector that is measured. */
const BURST_MILLIS = 40;
/** Queries and invocations in a round, and which of their times is taken: a low one, for the same reason. */
const COUNT = 50;
const SHARE = 0.1;

/** One ratio that is looked at. */
interface Guarded {
  readonly case: string;
  readonly subject: string;
  readonly recorded: number;
}

/** What there is to guard of a case: every subject of ours that was measured then and is now. */
function guarded({ sections }: Results, { id, reference, subjects }: Spec): Guarded[] {
  const found: Case | undefined = sections.flatMap((section) => section.cases).find((each) => each.id === id);
  const floor = found?.rows.find(({ subject }) => subject === reference);
  if (found === undefined || floor === undefined) return [];
  return found.rows
    .filter(({ subject, role }) => role === 'ours' && subjects.some(({ name }) => name === subject))
    .map(({ subject, best }) => ({ case: found.title, subject, recorded: best / floor.best }));
}

/** Its best round over the floor's best. */
function ratioOf(samples: Samples, { unit, reference }: Spec, subject: string): number {
  return bestOf(seriesOf(samples, subject), unit) / bestOf(seriesOf(samples, reference), unit);
}

/** Measures until every ratio is within its bound, three times at most. @returns one line for each that never was */
async function check(
  spec: Spec,
  ratios: readonly Guarded[],
  measure: (spec: Spec) => Promise<Samples>,
): Promise<string[]> {
  const attempts = new Map(ratios.map(({ subject }): [string, number[]] => [subject, []]));
  const verdictOf = ({ subject, recorded }: Guarded) => guardVerdict(recorded, attempts.get(subject) ?? []);
  for (let attempt = 1; attempt <= ATTEMPTS; attempt += 1) {
    const samples = await measure(spec);
    for (const [subject, values] of attempts) values.push(ratioOf(samples, spec, subject));
    if (ratios.every((ratio) => verdictOf(ratio).pass)) break;
  }
  return ratios.flatMap((ratio) => {
    const { pass, bound, best: lowest } = verdictOf(ratio);
    const [now, then, most] = [lowest, ratio.recorded, bound].map((value) => formatValue(value, 'ratio'));
    const line = `${ratio.case}, ${ratio.subject}: ${now} what ${spec.reference} costs; recorded ${then}, bound ${most}`;
    process.stdout.write(`${pass ? 'ok  ' : 'SLOW'}  ${line}\n`);
    return pass ? [] : [line];
  });
}

async function main(): Promise<void> {
  const results = await readResults(LATEST);
  if (results === undefined) throw new Error(`${LATEST} is missing: npm run bench -- --json bench/results/latest.json`);
  await using context = openContext(true, () => {});
  const postgres = await context.postgres();
  const specs: readonly (readonly [section: string, spec: Spec])[] = [
    ['core', idleSpec(1, ROUND_MILLIS, false)],
    ['core', attemptSpec(ROUND_MILLIS, false)],
    ['core', contendedSpec(10_000, 1, BURST_MILLIS, false)],
    ['query', querySpec(postgres, { callers: 1, count: COUNT, share: SHARE }, false)],
    ['warm', warmSpec(postgres, COUNT, SHARE)],
  ];
  let seen = 0;
  for (const [section, spec] of specs) {
    const ratios = guarded(results, spec);
    seen += ratios.length;
    if (ratios.length === 0) continue;
    const slow = await check(spec, ratios, async (each) => (await context.measure(each, ROUNDS)).samples);
    if (slow.length === 0) continue;
    process.exitCode = 1;
    process.stdout.write(
      `More than ${TOLERATED} times what is recorded, in the best of ${ATTEMPTS} attempts. Look closer: npm run bench -- --only ${section}\n`,
    );
  }
  if (seen === 0) throw new Error(`${LATEST} holds none of the guarded ratios: measure anew.`);
}

process.once('SIGTERM', () => process.exit(143)); // 128 and the signal's number.
await main();
