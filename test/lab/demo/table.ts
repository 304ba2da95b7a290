/** The figures as a table: cells for every form of it, and text for a terminal. Pure. */
import { millisText, type SubjectFigures } from './figures.ts';

/** One phase: a line for each subject, beginning with its title. */
export interface TableGroup {
  readonly title: string;
  readonly rows: readonly (readonly string[])[];
}

/** A table of texts. The first column holds words, the others numbers. */
export interface Table {
  readonly columns: readonly string[];
  readonly groups: readonly TableGroup[];
}

/** The column of failures, whose numbers are good or bad. */
export const FAILURES_COLUMN = 2;

/** Puts the figures into rows, phase by phase, the subjects below each other. */
export function tableOf(subjects: readonly SubjectFigures[]): Table {
  const titles = subjects[0]?.phases.map(({ title }) => title) ?? [];
  const groups = titles.map((title, index) => ({
    title,
    rows: subjects.flatMap(({ title: subject, phases }) => {
      const phase = phases[index];
      if (!phase) return [];
      const { invocations, failures, p50Millis, p99Millis, connectionsOpened, messagesPerInvocation } = phase;
      const millis = [p50Millis, p99Millis].map(millisText);
      return [
        [
          subject,
          String(invocations),
          String(failures),
          ...millis,
          String(connectionsOpened),
          messagesPerInvocation.toFixed(1),
        ],
      ];
    }),
  }));
  return {
    columns: ['', 'invocations', 'failures', 'p50 ms', 'p99 ms', 'connects', 'messages/inv.'],
    groups,
  };
}

/** How parts of the text are set off from each other. */
export interface TableStyle {
  readonly heading: (text: string) => string;
  readonly good: (text: string) => string;
  readonly bad: (text: string) => string;
}

const PLAIN: TableStyle = { heading: (text) => text, good: (text) => text, bad: (text) => text };
const INDENT = '  ';

/** Renders the table for a terminal; it fits into 80 columns. */
export function tableText({ columns, groups }: Table, style: TableStyle = PLAIN): string {
  const rows = groups.flatMap((group) => group.rows);
  const widths = columns.map((name, at) => Math.max(name.length, ...rows.map((row) => row[at]?.length ?? 0)));
  const cell = (text: string, at: number) =>
    at === 0 ? `${INDENT}${text}`.padEnd((widths[0] ?? 0) + INDENT.length) : text.padStart(widths[at] ?? 0);
  const line = (row: readonly string[]) =>
    row
      .map((text, at) => {
        const padded = cell(text, at);
        if (at !== FAILURES_COLUMN) return padded;
        return text === '0' ? style.good(padded) : style.bad(padded);
      })
      .join('  ');
  const head = style.heading(columns.map(cell).join('  '));
  return [head, ...groups.flatMap((group) => [style.heading(group.title), ...group.rows.map(line)])].join('\n');
}
