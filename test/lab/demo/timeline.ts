/** Draws a recording as a picture: a lane for each subject, a panel for each phase. Pure. */
import { figuresOf, millisText, type SubjectFigures } from './figures.ts';
import type { Fault, InvocationMark, Recording, SubjectRecording } from './model.ts';
import { element, escapeXml, label } from './svg.ts';
import { barHeight, laneTop, type Panel, panelsOf, pictureHeight, SIZE, titleLines } from './timeline-layout.ts';

/** Shorter freezes, between two invocations in a row, would only be a flicker between the bars. */
const SHOWN_FREEZE_MILLIS = 300;
const NARROWEST_BAR = 2.4;
/** A bar this wide has room for words along it. */
const WORD_HEIGHT = 14;
/** Of a fault's label, in the widest font it may meet. */
const LABEL_CHARACTER_WIDTH = 6.6;
const LABEL_GAP = 6;

/** It has a ground of its own, so that it looks right wherever it is put. */
const STYLE = `
.tp-card{fill:#fff;stroke:#d0d7de}.tp-panel{fill:#f6f8fa}.tp-grid{stroke:#d8dee4;stroke-width:1}
.tp-title{fill:#1f2328;font-weight:600;font-size:17px}.tp-name{fill:#1f2328;font-weight:600;font-size:14px}
.tp-phase{fill:#1f2328;font-weight:600;font-size:12px}.tp-note{fill:#59636e;font-size:12px}
.tp-small{fill:#59636e;font-size:10.5px}.tp-ok{fill:#1a7f37}.tp-bad{fill:#cf222e}.tp-count{font-size:12px;font-weight:600}
.tp-ice{fill:#e6f0fa}.tp-hatch{stroke:#9cc0e6;stroke-width:1.6}.tp-start{fill:#eac54f}.tp-open{fill:#0969da}
.tp-fault{stroke:#8250df;stroke-width:1.2;stroke-dasharray:3 3}.tp-flash{fill:#8250df}
.tp-harm{fill:#8250df;font-size:10.5px;font-weight:600}.tp-cross{fill:none;stroke:#cf222e;stroke-width:2.2;stroke-linecap:round}
.tp-inside{fill:#fff;font-size:11.5px;font-weight:600}
@media (prefers-color-scheme:dark){
.tp-card{fill:#0d1117;stroke:#30363d}.tp-panel{fill:#161b22}.tp-grid{stroke:#2a313a}
.tp-title,.tp-name,.tp-phase{fill:#e6edf3}.tp-note,.tp-small{fill:#9198a1}.tp-ok{fill:#3fb950}.tp-bad{fill:#f85149}
.tp-cross{stroke:#f85149}
.tp-ice{fill:#15263a}.tp-hatch{stroke:#33577f}.tp-start{fill:#9e6a03}.tp-open{fill:#58a6ff}
.tp-fault{stroke:#bc8cff}.tp-flash,.tp-harm{fill:#bc8cff}.tp-inside{fill:#0d1117}}
`.trim();

const HATCH = element(
  'pattern',
  { id: 'tp-cold', width: 6, height: 6, patternUnits: 'userSpaceOnUse', patternTransform: 'rotate(45)' },
  element('rect', { width: 6, height: 6, class: 'tp-ice' }),
  element('line', { x1: 0, y1: 0, x2: 0, y2: 6, class: 'tp-hatch' }),
);

/** One invocation in words, for the pointer that rests on it. */
export function invocationTitle({ kind, failure, durationMillis, messages }: InvocationMark): string {
  const outcome = failure === undefined ? 'answered' : `failed: ${failure}`;
  return `${kind}, ${millisText(durationMillis)} ms, ${messages} protocol messages, ${outcome}`;
}

function cross(x: number, y: number): string {
  const [left, right, top, bottom] = [x - 3.5, x + 3.5, y - 3.5, y + 3.5].map((value) => value.toFixed(1));
  return element('path', {
    d: `M${left} ${top}L${right} ${bottom}M${left} ${bottom}L${right} ${top}`,
    class: 'tp-cross',
  });
}

function bar(mark: InvocationMark, panel: Panel, bottom: number): string {
  const height = barHeight(mark.durationMillis);
  const from = panel.at(mark.from);
  const width = Math.max(NARROWEST_BAR, panel.at(mark.to) - from);
  const x = Math.min(from, panel.x + panel.width - width);
  const top = bottom - height;
  const failed = mark.failure !== undefined;
  const rect = { x, y: top, width, height, rx: 0.8, class: failed ? 'tp-bad' : 'tp-ok' };
  const parts = [element('rect', rect, element('title', {}, escapeXml(invocationTitle(mark))))];
  const middle = x + width / 2;
  if (mark.outcome === 'timeout' && width >= WORD_HEIGHT) {
    const [wordX, wordY] = [(middle + 4).toFixed(1), (bottom - height / 2).toFixed(1)];
    const turned = { transform: `rotate(-90 ${wordX} ${wordY})`, 'text-anchor': 'middle' };
    parts.push(label(Number(wordX), Number(wordY), 'tp-inside', 'function timeout', turned));
  } else if (failed) {
    parts.push(cross(middle, top - 7));
  }
  return parts.join('');
}

function panelOf(panels: readonly Panel[], time: number): Panel | undefined {
  return panels.find(({ phase }) => time >= phase.from && time <= phase.to);
}

/** A span may reach over the border between two panels. */
function spanRects(panels: readonly Panel[], { what, from, to }: SubjectRecording['spans'][number], top: number) {
  if (what === 'frozen' && to - from < SHOWN_FREEZE_MILLIS) return [];
  return panels.flatMap((panel) => {
    const [x, end] = [panel.at(from), panel.at(to)];
    if (end - x < 0.5) return [];
    const area = { x, y: top, width: end - x, height: SIZE.laneHeight };
    if (what === 'frozen') return [element('rect', { ...area, fill: 'url(#tp-cold)' })];
    const title = element('title', {}, `cold start, ${millisText(to - from)} ms`);
    return [element('rect', { ...area, class: 'tp-start' }, title)];
  });
}

function laneLabels(figures: SubjectFigures, top: number): string {
  const { title, invocations, failures, coldStarts } = figures;
  const answered = `${invocations - failures} of ${invocations} answered`;
  return [
    label(16, top + 18, 'tp-name', title),
    label(16, top + 38, `tp-count ${failures === 0 ? 'tp-ok' : 'tp-bad'}`, answered),
    label(16, top + 56, 'tp-small', `${coldStarts} cold starts`),
  ].join('');
}

function grid(top: number): string {
  const end = SIZE.width - SIZE.right;
  const lines = [10, 100, 1000].map((millis) => {
    const y = top + SIZE.laneHeight - barHeight(millis);
    const text = millis === 1000 ? '1 s' : `${millis} ms`;
    return (
      element('line', { x1: SIZE.left, y1: y, x2: end, y2: y, class: 'tp-grid' }) +
      label(end + 6, y + 3.5, 'tp-small', text)
    );
  });
  return lines.join('');
}

function lane(subject: SubjectRecording, figures: SubjectFigures, panels: readonly Panel[], top: number): string {
  const bottom = top + SIZE.laneHeight;
  const parts = panels.map(({ x, width }) =>
    element('rect', { x, y: top, width, height: SIZE.laneHeight, class: 'tp-panel' }),
  );
  for (const span of subject.spans) parts.push(...spanRects(panels, span, top));
  parts.push(grid(top), laneLabels(figures, top));
  for (const mark of subject.invocations) {
    const panel = panelOf(panels, mark.from);
    if (panel) parts.push(bar(mark, panel, bottom));
  }
  for (const open of subject.opens) {
    const x = panelOf(panels, open)?.at(open);
    if (x !== undefined) parts.push(element('rect', { x, y: bottom + 3, width: 2, height: 7, class: 'tp-open' }));
  }
  return parts.join('\n');
}

/** The marks of one phase. Where their labels would touch each other the first one speaks for all. */
function faultMarks(faults: readonly Fault[], panel: Panel, bottom: number): string {
  const own = faults.filter(({ phase }) => phase === panel.phase.name);
  const places = own.map(({ at }) => panel.at(at));
  const room = Math.min(...places.slice(1).map((x, index) => x - (places[index] ?? 0)));
  const crowded = own.some(({ label: text }) => text.length * LABEL_CHARACTER_WIDTH > room - LABEL_GAP);
  const top = SIZE.faultTop + 4;
  return own
    .map(({ label: text }, index) => {
      const x = places[index] ?? 0;
      const mark =
        element('line', { x1: x, y1: top, x2: x, y2: bottom, class: 'tp-fault' }) +
        element('path', { d: `M${(x - 4).toFixed(1)} ${top}h8l-4 6z`, class: 'tp-flash' });
      return crowded && index > 0 ? mark : mark + label(x - 4, SIZE.faultTop, 'tp-harm', text);
    })
    .join('');
}

function panelHead({ phase, x, width }: Panel, bottom: number): string {
  const middle = { 'text-anchor': 'middle' };
  const lines = titleLines(phase.title, width).map((line, index) =>
    line === '' ? '' : label(x + width / 2, SIZE.phaseTop + index * 15, 'tp-phase', line, middle),
  );
  const seconds = `${((phase.to - phase.from) / 1000).toFixed(1)} s`;
  return lines.join('') + label(x + width / 2, bottom + 12, 'tp-small', seconds, middle);
}

function legend(y: number): string {
  const swatch = (x: number, attributes: Readonly<Record<string, string | number>>) =>
    element('rect', { x, y: y - 10, width: 12, height: 12, ...attributes });
  const entries: readonly [width: number, text: string, swatch: (x: number) => string][] = [
    [98, 'answered', (x) => swatch(x, { class: 'tp-ok', rx: 1 })],
    [76, 'failed', (x) => swatch(x, { class: 'tp-bad', rx: 1 })],
    [80, 'frozen', (x) => swatch(x, { fill: 'url(#tp-cold)' })],
    [98, 'cold start', (x) => swatch(x, { class: 'tp-start' })],
    [148, 'connection opened', (x) => swatch(x + 5, { class: 'tp-open', width: 2, y: y - 8, height: 8 })],
    [0, 'fault, while frozen', (x) => element('path', { d: `M${x + 2} ${y - 8}h8l-4 6z`, class: 'tp-flash' })],
  ];
  let x: number = SIZE.left;
  return entries
    .map(([width, text, draw]) => {
      const entry = draw(x) + label(x + 18, y, 'tp-note', text);
      x += width;
      return entry;
    })
    .join('');
}

/** Draws the recording. The result stands on its own, and fits into an HTML page as well. */
export function timelineSvg(recording: Recording): string {
  const { subjects, phases, faults } = recording;
  const figures = figuresOf(recording);
  const panels = panelsOf(phases);
  const height = pictureHeight(subjects.length);
  const bottom = height - SIZE.footer;
  const title = 'What a freeze does to a connection pool';
  const subtitle =
    'The same handlers, events and faults. Each bar is one invocation, its height the latency on a logarithmic scale.';
  const description = figures.map((each) => `${each.title}: ${each.failures} of ${each.invocations} failed`).join('; ');
  const lanes = subjects.map((subject, index) => {
    const own = figures[index];
    return own ? lane(subject, own, panels, laneTop(index)) : '';
  });
  const size = { width: SIZE.width, height, viewBox: `0 0 ${SIZE.width} ${height}` };
  const font = 'system-ui,-apple-system,"Segoe UI",Roboto,"Helvetica Neue",Arial,sans-serif';
  const root = { xmlns: 'http://www.w3.org/2000/svg', ...size, role: 'img', 'font-family': font };
  const card = { x: 0.5, y: 0.5, width: SIZE.width - 1, height: height - 1, rx: 10, class: 'tp-card' };
  return element(
    'svg',
    root,
    element('title', {}, escapeXml(title)),
    element('desc', {}, escapeXml(description)),
    element('style', {}, STYLE),
    element('defs', {}, HATCH),
    element('rect', card),
    label(16, 32, 'tp-title', title),
    label(16, 52, 'tp-note', subtitle),
    ...panels.map((panel) => panelHead(panel, bottom)),
    ...lanes,
    ...panels.map((panel) => faultMarks(faults, panel, bottom - SIZE.strip)),
    legend(height - 18),
  );
}
