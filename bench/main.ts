/** The benchmark's command line: `npm run bench`. */
import { resolve } from 'node:path';
import { parseArgs } from 'node:util';
import { isRich, painter } from '../test/lab/demo/progress.ts';
import { type Context, openContext, type Section } from './context.ts';
import { machine, versions } from './machine.ts';
import type { Results, SectionResult } from './model.ts';
import { PROFILE_FOLDER, profilesText } from './profile.ts';
import { showProgress } from './progress.ts';
import { coldStart } from './sections/cold-start.ts';
import { core } from './sections/core.ts';
import { memory } from './sections/memory.ts';
import { query } from './sections/query.ts';
import { recovery } from './sections/recovery.ts';
import { sandboxes } from './sections/sandboxes.ts';
import { warm } from './sections/warm.ts';
import { figuresText, sectionText } from './table.ts';
import { merged, writeResults } from './write.ts';

const SECTIONS: readonly Section[] = [core, query, warm, coldStart, memory, recovery, sandboxes];

const HELP = `Measures thawpool beside other pools and drivers, and beside the least that it could cost, in the same run.

  npm run bench                                     every figure, as tables; under 8 minutes on two cores
  npm run bench -- --quick                          fewer rounds, under 90 seconds; for development, not for publishing
  npm run bench -- --only core --only query         some sections: ${SECTIONS.map(({ name }) => name).join(', ')}
  npm run bench -- --json FILE                      writes the figures as JSON too, and pictures (SVG) beside it;
                                                    with --only into what the file holds of the other sections
  npm run bench -- --json bench/results/latest.json rewrites the figures in README.md and docs/benchmarks.md as well
  npm run bench -- --only warm --profile FOLDER     where the time goes: CPU profiles of the subjects, and their summary;
                                                    its figures are those of a profiled process
  npm run bench -- --help

PostgreSQL is started for it, or taken from DATABASE_URL. docs/benchmarks.md says how everything is measured.`;

function chosen(only: readonly string[]): readonly Section[] {
  const unknown = only.filter((name) => !SECTIONS.some((section) => section.name === name));
  if (unknown.length === 0) return only.length === 0 ? SECTIONS : SECTIONS.filter(({ name }) => only.includes(name));
  throw new Error(`No such section: ${unknown.join(', ')}. Sections: ${SECTIONS.map(({ name }) => name).join(', ')}.`);
}

/** Runs a section. One that fails costs the others nothing. */
async function runSection({ name, title, run }: Section, context: Context): Promise<SectionResult | undefined> {
  try {
    const { cases, figures } = await run(context);
    return { name, title, date: new Date().toISOString(), quick: context.quick, cases, figures };
  } catch (error) {
    process.exitCode = 1;
    process.stderr.write(`\n${name} failed: ${(error as Error).stack}\n`);
    return undefined;
  }
}

async function runAll(sections: readonly Section[], quick: boolean, print: (text: string) => void): Promise<Results> {
  const progress = showProgress(process.stderr);
  const style = painter(isRich(process.stdout));
  const tableStyle = { heading: style.bold, good: style.green, bad: style.red };
  const results: SectionResult[] = [];
  let server: string | undefined;
  try {
    await using context = openContext(quick, progress.say);
    for (const section of sections) {
      const result = await runSection(section, context);
      progress.clear();
      if (result === undefined) continue;
      results.push(result);
      if (result.cases.length > 0) print(sectionText(result, tableStyle));
    }
    server = (await context.postgres()).version;
  } finally {
    progress.clear();
  }
  print(`${figuresText(results, tableStyle)}\n`);
  return { machine: machine(), versions: await versions(server), sections: results };
}

async function main(): Promise<void> {
  const { values } = parseArgs({
    options: {
      json: { type: 'string' },
      only: { type: 'string', multiple: true, default: [] },
      quick: { type: 'boolean', default: false },
      profile: { type: 'string' },
      help: { type: 'boolean', default: false },
    },
  });
  const print = (text: string): void => void process.stdout.write(`${text}\n`);
  if (values.help) return print(HELP);
  process.stdout.once('error', () => process.exit(141)); // `| head` reads no further: 128 and SIGPIPE's number.
  // Subjects and server are guarded: they end as soon as this process has ended. 128 and the signal's number, as shells have it.
  process.once('SIGINT', () => process.exit(130));
  process.once('SIGTERM', () => process.exit(143));
  const sections = chosen(values.only);
  if (values.profile !== undefined) {
    if (values.json !== undefined)
      throw new Error('Figures of profiled processes are not written down: leave out --json.');
    process.env[PROFILE_FOLDER] = resolve(values.profile);
  }
  const results = await runAll(sections, values.quick, print);
  if (values.profile !== undefined) print(`\n${profilesText(values.profile)}`);
  if (values.json === undefined) return;
  for (const file of await writeResults(values.json, await merged(values.json, results, SECTIONS)))
    print(`wrote ${file}`);
}

try {
  await main();
} catch (error) {
  process.stderr.write(`${(error as Error).message}\n`);
  process.exitCode = 2;
}
