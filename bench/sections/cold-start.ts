/** What importing the package costs, in time and in the size of a bundle. */
import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import type { Context, Section } from '../context.ts';
import { type Bundle, bundle, type Installed, install } from '../installed.ts';
import { type Measured, ratioFigure, type Spec, type Subject, seriesOf } from '../measure.ts';
import type { Case, Figure } from '../model.ts';
import { countedRow, exactly, figure } from '../verdict.ts';

const run = promisify(execFile);

/** Imports a module in a fresh process. @returns milliseconds for the import alone */
async function importMillis({ folder }: Installed, specifier: string): Promise<number> {
  const code = `const from = performance.now();
    await import(${JSON.stringify(specifier)});
    process.stdout.write(String(performance.now() - from));`;
  const { PATH, HOME } = process.env;
  // Lambda starts Node with this flag.
  const args = ['--no-experimental-require-module', '--input-type=module', '--eval', code];
  const { stdout } = await run(process.execPath, args, { cwd: folder, env: { PATH, HOME } });
  return Number(stdout);
}

function importSpec(id: string, title: string, modules: ReadonlyMap<string, string>, installed: Installed): Spec {
  const subjects = [...modules].map(([name, specifier]): Subject => {
    const runner = { round: () => importMillis(installed, specifier), close: async () => {} };
    return { name, role: name === 'pg' ? 'floor' : 'ours', start: async () => runner };
  });
  return { id, title, unit: 'ms', reference: 'pg', subjects };
}

/** The subpaths that a handler starts with. */
const DOORS = ['thawpool', 'thawpool/middy'];

function importFigures({ samples, case: { id } }: Measured, how: string): Figure[] {
  return DOORS.map((door) =>
    ratioFigure(
      `${id}.${door}`,
      `import of ${door}, ${how}: over pg alone`,
      seriesOf(samples, door),
      seriesOf(samples, 'pg'),
      {
        at: 'most',
        value: 1.15,
      },
    ),
  );
}

interface Weighed {
  readonly name: string;
  readonly split: Bundle;
  readonly one: Bundle;
}

async function weigh(installed: Installed, name: string, code: string): Promise<Weighed> {
  const file = name.replaceAll(/\W/g, '-');
  return { name, split: await bundle(installed, file, code, true), one: await bundle(installed, file, code, false) };
}

const PG = "export { default as pg } from 'pg';";

/** Each subpath with pg beside it, so that all are weighed on top of the same. */
async function weighAll(installed: Installed): Promise<[floor: Weighed, ...Weighed[]]> {
  const floor = await weigh(installed, 'pg', PG);
  const all: Weighed[] = [];
  for (const name of installed.subpaths) all.push(await weigh(installed, name, `${PG}\nexport * from '${name}';`));
  return [floor, ...all];
}

function sizeCase(
  id: string,
  title: string,
  [floor, ...all]: [Weighed, ...Weighed[]],
  of: (each: Weighed) => number,
): Case {
  const rows = all.map((each) => countedRow(each.name, 'ours', of(each) - of(floor)));
  const reference = countedRow('pg', 'floor', of(floor));
  return { id, title, unit: 'bytes', rounds: 1, reference: 'pg', rows: [reference, ...rows] };
}

const LIMIT = 15 * 1024;

function sizeFigures({ rows }: Case): Figure[] {
  return rows
    .filter(({ subject }) => DOORS.includes(subject))
    .map(({ subject, median }) =>
      figure(`size.${subject}`, `bundle of ${subject}: bytes on top of pg, loaded at once`, 'bytes', exactly(median), {
        at: 'most',
        value: LIMIT,
      }),
    );
}

async function measureAll(context: Context) {
  const rounds = context.quick ? 5 : 30;
  context.say('building');
  await using installed = await install();
  const weighed = await weighAll(installed);
  const eager = sizeCase('size.eager', 'min + gzip on top of pg, loaded at once', weighed, ({ split }) => split.eager);
  const all = sizeCase('size.all', 'min + gzip on top of pg, in one file', weighed, ({ one }) => one.all);
  const names = context.quick ? DOORS : installed.subpaths;
  const sources = new Map(['pg', ...names].map((name) => [name, name]));
  const bundles = new Map(
    weighed.filter(({ name }) => name === 'pg' || names.includes(name)).map(({ name, split }) => [name, split.file]),
  );
  const unbundled = await context.measure(
    importSpec('import.files', 'import, as installed', sources, installed),
    rounds,
  );
  const bundled = await context.measure(importSpec('import.bundle', 'import, bundled', bundles, installed), rounds);
  return {
    cases: [unbundled.case, bundled.case, eager, all],
    figures: [...importFigures(unbundled, 'as installed'), ...importFigures(bundled, 'bundled'), ...sizeFigures(eager)],
  };
}

export const coldStart: Section = { name: 'cold-start', title: 'Cold start', run: measureAll };
