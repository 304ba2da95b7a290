/** The report as one HTML page that needs nothing else. Pure. */
import { type SubjectFigures, sentencesOf } from './figures.ts';
import type { Recording } from './model.ts';
import { factsLine } from './progress.ts';
import { element, escapeXml } from './svg.ts';
import { FAILURES_COLUMN, tableOf } from './table.ts';

const STYLE = `
:root{color-scheme:light dark;--fg:#1f2328;--dim:#59636e;--bg:#fff;--line:#d0d7de;--card:#f6f8fa;--ok:#1a7f37;--bad:#cf222e}
@media (prefers-color-scheme:dark){:root{--fg:#e6edf3;--dim:#9198a1;--bg:#010409;--line:#30363d;--card:#0d1117;--ok:#3fb950;--bad:#f85149}}
*{box-sizing:border-box}
body{margin:0 auto;max-width:1064px;padding:32px 16px 48px;background:var(--bg);color:var(--fg);font:16px/1.55 system-ui,-apple-system,"Segoe UI",Roboto,sans-serif}
h1{font-size:clamp(1.4rem,4.5vw,2rem);line-height:1.2;margin:0 0 4px}h2{font-size:1.1rem;margin:36px 0 8px}
p{margin:8px 0;max-width:46em}.dim{color:var(--dim)}.ok{color:var(--ok)}.bad{color:var(--bad)}
.score{display:grid;grid-template-columns:repeat(auto-fit,minmax(240px,1fr));gap:12px;margin:20px 0}
.score div{background:var(--card);border:1px solid var(--line);border-radius:10px;padding:14px 18px}
.score strong{display:block;font-size:2rem;line-height:1.2}
.wide{overflow-x:auto;-webkit-overflow-scrolling:touch}
.wide svg{display:block;width:100%;min-width:760px;height:auto}
table{border-collapse:collapse;width:100%;font-size:.9rem;font-variant-numeric:tabular-nums}
th,td{padding:4px 8px;text-align:right}thead th{color:var(--dim);font-weight:500;font-size:.8rem;vertical-align:bottom}
th:first-child,td:first-child{text-align:left}td:first-child{white-space:nowrap;padding-left:20px}
tbody th{border-top:1px solid var(--line);font-weight:600;padding-top:9px}
@media(max-width:560px){th,td{padding:4px 3px;font-size:.78rem}thead th{font-size:.68rem;hyphens:auto}td:first-child{padding-left:6px}}
`.trim();

function score({ title, invocations, failures, coldStarts }: SubjectFigures): string {
  return element(
    'div',
    {},
    escapeXml(title),
    element('strong', { class: failures === 0 ? 'ok' : 'bad' }, `${failures} failed`),
    element('span', { class: 'dim' }, `of ${invocations} invocations, ${coldStarts} cold starts`),
  );
}

/** Each phase has a heading row of its own, so that the figures fit on a narrow screen. */
function table(figures: readonly SubjectFigures[]): string {
  const { columns, groups } = tableOf(figures);
  const head = columns.map((name) => element('th', { scope: 'col' }, escapeXml(name)));
  const line = (row: readonly string[]) => {
    const cells = row.map((text, at) => {
      const kind: Record<string, string> = at === FAILURES_COLUMN ? { class: text === '0' ? 'ok' : 'bad' } : {};
      return element('td', kind, escapeXml(text));
    });
    return element('tr', {}, ...cells);
  };
  const bodies = groups.map(({ title, rows }) => {
    const heading = element('th', { colspan: columns.length, scope: 'rowgroup' }, escapeXml(title));
    return element('tbody', {}, element('tr', {}, heading), ...rows.map(line));
  });
  return element('table', {}, element('thead', {}, element('tr', {}, ...head)), ...bodies);
}

function method({ freezeMillis, timeoutMillis }: Recording): string {
  return `Each subject has a sandbox, a proxy and a database of its own on one PostgreSQL server. The sandbox is a real process that
is stopped (SIGSTOP) between invocations, and for at least ${freezeMillis / 1000} s around each fault; the function's timeout is ${timeoutMillis / 1000} s, and a process
that crashed or timed out is replaced by a new one. Times are those of the Runtime API: from the event, and the thaw, to the complete
answer, without the start of the process. Messages are PostgreSQL protocol messages from the sandbox, those of connecting included. An
invocation that answers with an error, or hands messages back, counts as failed too.`;
}

/** Makes the page. `svg` is the timeline. */
export function htmlReport(recording: Recording, figures: readonly SubjectFigures[], svg: string): string {
  const title = 'An order service over freeze and thaw';
  const sentences = sentencesOf(recording, figures).map((sentence) => element('p', {}, escapeXml(sentence)));
  const facts = `${factsLine(recording)} · ${(recording.durationMillis / 1000).toFixed(0)} s`;
  const head = [
    '<meta charset="utf-8">',
    '<meta name="viewport" content="width=device-width,initial-scale=1">',
    element('title', {}, `${title}: thawpool and a plain pg.Pool`),
    element('style', {}, STYLE),
  ];
  const body = [
    element('h1', {}, title),
    element('p', { class: 'dim' }, escapeXml(facts)),
    element('div', { class: 'score' }, ...figures.map(score)),
    ...sentences,
    element('h2', {}, 'Timeline'),
    element('div', { class: 'wide' }, svg),
    element('h2', {}, 'Figures'),
    element('div', { class: 'wide' }, table(figures)),
    element('h2', {}, 'How it was measured'),
    element('p', { class: 'dim' }, escapeXml(method(recording))),
  ];
  return `<!doctype html>\n<html lang="en">\n<head>\n${head.join('\n')}\n</head>\n<body>\n${body.join('\n')}\n</body>\n</html>\n`;
}
