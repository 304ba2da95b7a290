/** Writes results down: the JSON, the pictures beside it, and what the documentation says of them. */
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { dirname, join, relative, resolve } from 'node:path';
import { isDeepStrictEqual } from 'node:util';
import type { Results } from './model.ts';
import { picture } from './picture.ts';
import { conditionsOf, insertInto, overviewOf, pageSection, readmeSection } from './publish.ts';

const ROOT = join(import.meta.dirname, '..');

/** The results that the documentation speaks of, and the guard compares with. */
export const LATEST: string = join(ROOT, 'bench', 'results', 'latest.json');

/** Reads results. @returns `undefined` when there is no such file */
export async function readResults(file: string): Promise<Results | undefined> {
  try {
    return JSON.parse(await readFile(file, 'utf8')) as Results;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw error;
  }
}

/**
 * Returns these results with those sections of the file that were not measured this time.
 *
 * @throws when the file's were measured on another machine, or with another Node.js
 */
export async function merged(
  file: string,
  results: Results,
  order: readonly { readonly name: string }[],
): Promise<Results> {
  const now = new Map(results.sections.map((section) => [section.name, section]));
  const before = now.size === order.length ? undefined : await readResults(file);
  if (before === undefined) return results;
  const alike =
    isDeepStrictEqual(before.machine, results.machine) && before.versions['node'] === results.versions['node'];
  if (!alike)
    throw new Error(`${file} was measured on another machine or Node.js: measure all sections, or name another file.`);
  const then = new Map(before.sections.map((section) => [section.name, section]));
  return { ...results, sections: order.flatMap(({ name }) => now.get(name) ?? then.get(name) ?? []) };
}

async function rewrite(page: string, text: string): Promise<string> {
  const file = join(ROOT, page);
  await writeFile(file, insertInto(await readFile(file, 'utf8'), text));
  return file;
}

/** Writes the JSON and the pictures and, of the latest results, what README and documentation say. @returns the files */
export async function writeResults(given: string, results: Results): Promise<string[]> {
  const file = resolve(given);
  const folder = dirname(file);
  await mkdir(folder, { recursive: true });
  await writeFile(file, `${JSON.stringify(results, null, 2)}\n`);
  const files = [file];
  const draw = async (name: string, title: string, cases: Parameters<typeof picture>[2]) => {
    if (cases.length === 0) return;
    files.push(join(folder, `${name}.svg`));
    await writeFile(join(folder, `${name}.svg`), picture(title, conditionsOf(results), cases));
  };
  await draw('speed', 'What it costs', overviewOf(results));
  for (const { name, title, cases } of results.sections) await draw(name, title, cases);
  if (file === LATEST) {
    files.push(await rewrite('README.md', readmeSection(results)));
    files.push(await rewrite(join('docs', 'benchmarks.md'), pageSection(results)));
  }
  return files.map((each) => relative(process.cwd(), each));
}
