/** The results as text for a terminal and as Markdown. Pure. */
import { formatSpread, formatTarget, formatValue, markOf } from './format.ts';
import type { Case, Figure, SectionResult } from './model.ts';

/** How parts of the text are set off from each other. */
export interface TableStyle {
  readonly heading: (text: string) => string;
  readonly good: (text: string) => string;
  readonly bad: (text: string) => string;
}

const PLAIN: TableStyle = { heading: (text) => text, good: (text) => text, bad: (text) => text };

/** Subject, value with spread, and the ratio to the reference. */
function caseCells({ rows, unit }: Case): string[][] {
  return rows.map((row) => [
    row.subject,
    formatSpread(row, unit),
    row.ratio === undefined ? '' : formatValue(row.ratio.median, 'ratio'),
  ]);
}

function figureCells(figure: Figure): string[] {
  const target = figure.target === undefined ? '' : formatTarget(figure.target, figure.unit);
  return [markOf(figure), figure.title, formatSpread(figure, figure.unit), target];
}

/** Puts cells under each other; the last column of figures stays ragged. */
function align(rows: readonly (readonly string[])[]): string[] {
  const widths = (rows[0] ?? []).map((_, at) => Math.max(...rows.map((row) => row[at]?.length ?? 0)));
  return rows.map((row) => `  ${row.map((cell, at) => cell.padEnd(widths[at] ?? 0)).join('  ')}`.trimEnd());
}

function caseText(each: Case, { heading }: TableStyle): string[] {
  const { title, reference, rounds } = each;
  const how = rounds === 1 ? '' : `, ${rounds} rounds`;
  const to = each.rows.some(({ ratio }) => ratio) ? `, ratios to ${reference}` : '';
  return [heading(`${title}${how}${to}`), ...align(caseCells(each)), ''];
}

/** Renders the cases of a section for a terminal. */
export function sectionText({ title, cases }: SectionResult, style: TableStyle = PLAIN): string {
  return [style.heading(`== ${title}`), '', ...cases.flatMap((each) => caseText(each, style))].join('\n');
}

/** Renders all figures that have a target or explain one, with a mark each. */
export function figuresText(sections: readonly SectionResult[], style: TableStyle = PLAIN): string {
  const figures = sections.flatMap((section) => section.figures);
  const lines = align(figures.map(figureCells)).map((line, at) => {
    const pass = figures[at]?.pass;
    if (pass === undefined) return line;
    return pass ? style.good(line) : style.bad(line);
  });
  const judged = figures.filter(({ pass }) => pass !== undefined);
  const reached = judged.filter(({ pass }) => pass).length;
  return [style.heading('== What is to be reached'), '', ...lines, '', `${reached} of ${judged.length} reached.`].join(
    '\n',
  );
}

function markdownTable(head: readonly string[], rows: readonly (readonly string[])[]): string {
  const line = (cells: readonly string[]) => `| ${cells.join(' | ')} |`;
  return [line(head), `|${'---|'.repeat(head.length)}`, ...rows.map(line)].join('\n');
}

/** Renders all results as Markdown: the figures first, then every case. */
export function resultsMarkdown(sections: readonly SectionResult[]): string {
  const figures = sections.flatMap((section) => section.figures).map(figureCells);
  const parts = [markdownTable(['', 'figure', 'median (10 % to 90 %)', 'target'], figures)];
  for (const { title, cases, date } of sections) {
    if (cases.length === 0) continue;
    parts.push(`### ${title}`, `Measured on ${date.slice(0, 10)}.`);
    for (const each of cases) {
      const ratio = each.rows.some((row) => row.ratio) ? `over ${each.reference}` : '';
      parts.push(markdownTable([each.title, 'median (10 % to 90 %)', ratio], caseCells(each)));
    }
  }
  return parts.join('\n\n');
}
