/** Draws cases as a picture: a panel for each, a bar for each subject, whiskers for the spread. Pure. */
import { element, escapeXml, label } from '../test/lab/demo/svg.ts';
import { formatValue } from './format.ts';
import type { Case, Role, Row, Unit } from './model.ts';

const WIDTH = 1000;
const MARGIN = 20;
const GAP = 24;
const COLUMNS = 2;
const PANEL = (WIDTH - 2 * MARGIN - (COLUMNS - 1) * GAP) / COLUMNS;
const HEAD = 82;
const PANEL_HEAD = 40;
const ROW = 22;
const BAR = 12;
const LABELS = 236;
const VALUES = 84;
const BARS = PANEL - LABELS - VALUES;
/** The longest bar; what is right of it is for its whisker. */
const LONGEST = BARS * 0.82;

/** It has a ground of its own, so that it looks right wherever it is put. */
const STYLE = `
.tp-card{fill:#fff;stroke:#d0d7de}.tp-title{fill:#1f2328;font-weight:600;font-size:17px}
.tp-note{fill:#59636e;font-size:12px}.tp-phase{fill:#1f2328;font-weight:600;font-size:12.5px}
.tp-name{fill:#1f2328;font-size:11.5px}.tp-own{fill:#1f2328;font-weight:600;font-size:11.5px}
.tp-ours{fill:#0969da}.tp-peer{fill:#8c959f}.tp-floor{fill:#d0d7de}.tp-whisker{stroke:#1f2328;stroke-width:1.2}
@media (prefers-color-scheme:dark){
.tp-card{fill:#0d1117;stroke:#30363d}.tp-title,.tp-phase,.tp-name,.tp-own{fill:#e6edf3}.tp-note{fill:#9198a1}
.tp-ours{fill:#58a6ff}.tp-peer{fill:#6e7681}.tp-floor{fill:#3d444d}.tp-whisker{stroke:#e6edf3}}
`.trim();

const LEGEND =
  'Bars are medians, lines reach from 10 % to 90 % of the rounds. Blue: thawpool. Faint: the least that it could cost.';

/** What is more of when it is better. */
const MORE_IS_BETTER: ReadonlySet<Unit> = new Set(['per second', 'count']);

/** Returns a panel's heading and what to make of its bars. */
export function panelTitle({ title, unit }: Pick<Case, 'title' | 'unit'>): string {
  return `${title} (${MORE_IS_BETTER.has(unit) ? 'more' : 'less'} is better)`;
}

/** Says in words what the picture shows, for who cannot see it. */
export function describeCases(cases: readonly Case[]): string {
  const words = ({ title, unit, rows }: Case) =>
    `${title}: ${rows.map((row) => `${row.subject} ${formatValue(row.median, unit)}`).join(', ')}`;
  return `${cases.map(words).join('. ')}.`;
}

const classOf: Readonly<Record<Role, string>> = { ours: 'tp-ours', peer: 'tp-peer', floor: 'tp-floor' };

/** What reaches beyond the panel ends at its border, without a cap. */
function whisker({ low, high }: Row, x: number, y: number, scale: number): string {
  if (low === high) return '';
  const most = BARS - 2;
  const at = (value: number) => (x + Math.min(most, value * scale)).toFixed(1);
  const middle = y + BAR / 2;
  const cap = (value: number) => (value * scale > most ? '' : `M${at(value)} ${middle - 3}v6`);
  return element('path', { class: 'tp-whisker', d: `M${at(low)} ${middle}H${at(high)}${cap(low)}${cap(high)}` });
}

function bar(row: Row, unit: Unit, x: number, y: number, scale: number): string {
  const value = formatValue(row.median, unit);
  const text = y + BAR - 2;
  const barX = x + LABELS;
  const rect = { x: barX, y, width: Math.max(1, row.median * scale), height: BAR, rx: 2, class: classOf[row.role] };
  return [
    label(barX - 8, text, row.role === 'ours' ? 'tp-own' : 'tp-name', row.subject, { 'text-anchor': 'end' }),
    element('rect', rect, element('title', {}, escapeXml(`${row.subject}: ${value}`))),
    whisker(row, barX, y, scale),
    label(x + PANEL, text, 'tp-note', value, { 'text-anchor': 'end' }),
  ].join('');
}

function panel(each: Case, x: number, y: number): string {
  const most = Math.max(...each.rows.map(({ median }) => median));
  const scale = most > 0 ? LONGEST / most : 0;
  const bars = each.rows.map((row, at) => bar(row, each.unit, x, y + PANEL_HEAD + at * ROW - 12, scale));
  return [label(x, y + 12, 'tp-phase', panelTitle(each)), ...bars].join('');
}

const heightOf = ({ rows }: Case) => PANEL_HEAD + rows.length * ROW;

/** Draws the picture, two panels beside each other. */
export function picture(title: string, note: string, cases: readonly Case[]): string {
  const lines = Array.from({ length: Math.ceil(cases.length / COLUMNS) }, (_, at) =>
    cases.slice(at * COLUMNS, (at + 1) * COLUMNS),
  );
  const panels: string[] = [];
  let y = HEAD;
  for (const line of lines) {
    for (const [at, each] of line.entries()) panels.push(panel(each, MARGIN + at * (PANEL + GAP), y + 12));
    y += Math.max(...line.map(heightOf));
  }
  const height = y + MARGIN;
  const attributes = {
    xmlns: 'http://www.w3.org/2000/svg',
    width: WIDTH,
    height,
    viewBox: `0 0 ${WIDTH} ${height}`,
    role: 'img',
    'font-family': 'system-ui,-apple-system,"Segoe UI",Roboto,"Helvetica Neue",Arial,sans-serif',
  };
  const content = [
    element('title', {}, escapeXml(title)),
    element('desc', {}, escapeXml(describeCases(cases))),
    element('style', {}, STYLE),
    element('rect', { x: 0.5, y: 0.5, width: WIDTH - 1, height: height - 1, rx: 10, class: 'tp-card' }),
    label(MARGIN, 34, 'tp-title', title),
    label(MARGIN, 54, 'tp-note', note),
    label(MARGIN, 71, 'tp-note', LEGEND),
    ...panels,
  ];
  return `${element('svg', attributes, ...content)}\n`;
}
