/** What the documentation says of the results: the section of the README and the tables of `docs/benchmarks.md`. Pure. */
import { formatValue } from './format.ts';
import type { Case, Results, Row } from './model.ts';
import { describeCases } from './picture.ts';
import { resultsMarkdown } from './table.ts';

/** The cases of the picture in the README. */
const OVERVIEW = ['core.idle.1', 'core.contended.10000', 'query.1', 'warm', 'import.bundle', 'recovery.killed'];

/** Returns the cases of the README's picture, as far as they were measured. */
export function overviewOf({ sections }: Results): readonly Case[] {
  const cases = sections.flatMap((section) => section.cases);
  return OVERVIEW.flatMap((id) => cases.find((each) => each.id === id) ?? []);
}

/** Returns what the results were measured on, in a line. */
export function conditionsOf({ machine: { cpu, cores }, versions, sections }: Results): string {
  const server =
    versions['postgresql'] === undefined ? '' : `, PostgreSQL ${versions['postgresql']} on the same machine`;
  const date =
    sections
      .map((section) => section.date.slice(0, 10))
      .toSorted()
      .at(-1) ?? '';
  const quick = sections.some((section) => section.quick) ? ', a quick run' : '';
  return `${cpu}, ${cores} cores, Node.js ${versions['node']}${server}, ${date}${quick}`;
}

type Say = (row: (subject: string) => string | undefined) => (string | undefined)[];

/** A sentence is left out when a figure of it was not measured. */
function sentence(results: Results, id: string, say: Say): string | undefined {
  const found = results.sections.flatMap(({ cases }) => cases).find((each) => each.id === id);
  if (found === undefined) return undefined;
  const value = (subject: string) => {
    const row: Row | undefined = found.rows.find((each) => each.subject === subject);
    return row && formatValue(row.median, found.unit);
  };
  const words = say(value);
  return words.includes(undefined) ? undefined : words.join('');
}

function sentences(results: Results): string[] {
  const cached = sentence(results, 'query.1', (of) => [
    ' (',
    of('thawpool, statement cache'),
    ' with the statement cache)',
  ]);
  const blackHoled = sentence(results, 'recovery.black-holed', (of) => [
    '; with a black-holed one ',
    of('thawpool'),
    ' and ',
    of('fresh pg.Client'),
  ]);
  const all = [
    sentence(results, 'core.idle.1', (of) => [
      'Acquiring an idle resource and releasing it costs ',
      of('thawpool'),
      ', with pg-pool ',
      of('pg-pool'),
      '.',
    ]),
    sentence(results, 'query.1', (of) => [
      'A query by primary key takes ',
      of('thawpool'),
      cached ?? '',
      ', on a bare `pg.Client` ',
      of('pg.Client'),
      ', with postgres.js ',
      of('postgres.js'),
      '.',
    ]),
    sentence(results, 'warm', (of) => [
      'A warm invocation that does one takes ',
      of('withPool'),
      ', with a bare client at module scope ',
      of('bare pg.Client'),
      '.',
    ]),
    sentence(results, 'recovery.killed', (of) => [
      'After a thaw with a killed connection the first one takes ',
      of('thawpool'),
      ', on a connection made for it ',
      of('fresh pg.Client'),
      blackHoled ?? '',
      '.',
    ]),
  ];
  return all.filter((each) => each !== undefined);
}

/** Renders the section of the README, without its heading. */
export function readmeSection(results: Results): string {
  const picture = `![${describeCases(overviewOf(results))}](bench/results/speed.svg)`;
  return [
    picture,
    `${sentences(results).join(' ')} Medians on ${conditionsOf(results)}.`,
    '`npm run bench` measures yours. [Benchmarks](docs/benchmarks.md) has every figure, what was to be reached, and how it was measured.',
  ].join('\n\n');
}

/** Renders the results for `docs/benchmarks.md`. */
export function pageSection(results: Results): string {
  return `${conditionsOf(results)}.\n\n${resultsMarkdown(results.sections)}`;
}

const BEGIN = '<!-- bench: generated from bench/results/latest.json -->';
const END = '<!-- /bench -->';

/**
 * Puts the text between the two marks of a page.
 *
 * @throws when the page has no such marks
 */
export function insertInto(page: string, text: string): string {
  const from = page.indexOf(BEGIN);
  const to = page.indexOf(END);
  if (from < 0 || to < from) throw new Error(`The page lacks the lines ${BEGIN} and ${END}.`);
  return `${page.slice(0, from)}${BEGIN}\n\n${text}\n\n${page.slice(to)}`;
}
