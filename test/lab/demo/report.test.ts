import { describe, expect, it } from 'vitest';
import { figuresOf, percentile, sentencesOf } from './figures.ts';
import { htmlReport } from './html.ts';
import { type Output, showProgress } from './progress.ts';
import { recording } from './recording.fixture.ts';
import { tableOf, tableText } from './table.ts';
import { timelineSvg } from './timeline.ts';
import { panelsOf, SIZE, titleLines } from './timeline-layout.ts';

const figures = figuresOf(recording);

describe('the figures', () => {
  it('takes percentiles by nearest rank', () => {
    const values = Array.from({ length: 200 }, (_, index) => 200 - index);
    expect([50, 99, 100].map((percent) => percentile(values, percent))).toEqual([100, 198, 200]);
    expect(percentile([7], 99)).toBe(7);
    expect(percentile([], 50)).toBe(0);
  });

  it('counts failures by how they ended, and messages per invocation', () => {
    const [ours, theirs] = figures;
    expect(ours).toMatchObject({ invocations: 4, failures: 0, coldStarts: 1 });
    expect(theirs).toMatchObject({ invocations: 5, failures: 2, crashes: 1, timeouts: 1, coldStarts: 3 });
    expect(ours?.phases[0]).toMatchObject({ p50Millis: 4, p99Millis: 6, connectionsOpened: 1 });
    expect(ours?.phases.map((phase) => phase.messagesPerInvocation)).toEqual([5, 8]);
  });

  it('says what they mean', () => {
    expect(sentencesOf(recording, figures)).toEqual([
      "thawpool answered all 4 invocations; the plain pg.Pool failed 2 of 5 invocations: 1 to a process that ended over its dead connection, 1 to a wait that only the function's timeout of 3 s ended.",
      'After a thaw that found the connection dead, 1 of 1 first invocations on thawpool succeeded, in 20 ms at the median and 20 ms at worst, reconnect included; on the plain pool 0 of 1 did.',
      'Warm, both send 5.0 protocol messages an invocation, and take 4.0 and 3.0 ms at the median.',
    ]);
  });

  it('fits as a table into 80 columns', () => {
    const lines = tableText(tableOf(figures)).split('\n');
    expect(lines[1]).toBe('warm');
    expect(lines[2]?.split(/\s{2,}/)).toEqual(['', 'thawpool', '3', '0', '4.0', '6.0', '1', '5.0']);
    expect(new Set(lines.filter((line) => line.startsWith('  ')).map((line) => line.length)).size).toBe(1);
    expect(Math.max(...lines.map((line) => line.length))).toBeLessThan(80);
  });
});

/** Throws unless every tag is closed in order and every `&` begins an entity. */
function assertWellFormed(xml: string): void {
  const open: string[] = [];
  const tag = /<(\/?)([a-zA-Z][\w-]*)((?:\s+[\w:-]+="[^"<]*")*)\s*(\/?)>/y;
  for (let at = 0; at < xml.length; ) {
    const next = xml.indexOf('<', at);
    const text = xml.slice(at, next === -1 ? undefined : next);
    if (/&(?!(?:amp|lt|gt|quot);)/.test(text)) throw new Error(`Bare & in ${JSON.stringify(text)}`);
    if (next === -1) break;
    tag.lastIndex = next;
    const [whole, end, name = '', , alone] = tag.exec(xml) ?? [];
    if (whole === undefined) throw new Error(`Not a tag: ${xml.slice(next, next + 80)}`);
    if (end && open.pop() !== name) throw new Error(`</${name}> closes another element`);
    if (!end && !alone) open.push(name);
    at = next + whole.length;
  }
  if (open.length > 0) throw new Error(`Not closed: ${open.join(', ')}`);
}

describe('the picture', () => {
  const svg = timelineSvg(recording);

  it('is well-formed, whatever an error message holds', () => {
    expect(() => assertWellFormed(svg)).not.toThrow();
    expect(() => assertWellFormed(svg.replace('</svg>', ''))).toThrow('Not closed');
    expect(svg).toContain('failed: it said &quot;&lt;no&gt;&quot; &amp;  left');
    expect(svg).not.toContain('\u0007');
  });

  it('needs nothing from elsewhere', () => {
    const page = htmlReport(recording, figures, svg);
    expect(page.replaceAll('http://www.w3.org/2000/svg', '')).not.toMatch(/https?:|src=|@import|<link/);
    expect(page).toContain('prefers-color-scheme:dark');
  });

  it('draws every invocation, fault and connection', () => {
    const count = (pattern: RegExp) => svg.match(pattern)?.length ?? 0;
    const bars = recording.subjects.flatMap((subject) => subject.invocations).length;
    expect(count(/protocol messages, /g)).toBe(bars);
    expect(count(/class="tp-fault"/g)).toBe(1);
    expect(count(/height="7" class="tp-open"/g)).toBe(3);
    expect(count(/function timeout<\/text>/g)).toBe(1);
  });

  it('fills its width with panels that do not overlap', () => {
    const phases = Array.from({ length: 6 }, (_, index) => ({
      ...recording.phases[0]!,
      from: 0,
      to: 10 ** index,
    }));
    const panels = panelsOf(phases);
    for (const [index, { x }] of panels.slice(1).entries()) {
      expect(x).toBeCloseTo((panels[index]?.x ?? 0) + (panels[index]?.width ?? 0) + SIZE.gap);
    }
    const last = panels.at(-1);
    expect((last?.x ?? 0) + (last?.width ?? 0)).toBeCloseTo(SIZE.width - SIZE.right);
    expect(titleLines('server restarted while frozen', 145)).toEqual(['server restarted', 'while frozen']);
    expect(titleLines('warm', 80)).toEqual(['', 'warm']);
  });
});

describe('the progress display', () => {
  const rows = recording.subjects;

  function play(output: Partial<Output>): string {
    let written = '';
    const progress = showProgress({ ...output, write: (text) => (written += text) }, rows);
    progress.facts(recording);
    progress.phase('frozen and killed', 2);
    for (const round of [0, 1]) {
      progress.round(round);
      progress.note('frozen for 1.2 s: kill');
      for (const { name } of rows) for (let n = 0; n < 9; n += 1) progress.mark(name, n > 0);
    }
    progress.phaseEnd();
    progress.close();
    return written;
  }

  it('is plain lines where there is no terminal', () => {
    expect(play({})).toBe(
      [
        'a small runtime client (as 4.0.2) · PostgreSQL 18.4 · Node 24.21.0',
        '',
        'frozen and killed',
        '  thawpool       ✗✓✓✓✓✓✓✓✓ ✗✓✓✓✓✓✓✓✓',
        '  plain pg.Pool  ✗✓✓✓✓✓✓✓✓ ✗✓✓✓✓✓✓✓✓',
        '',
      ].join('\n'),
    );
  });

  it('never writes a line of the display that would wrap, and gives the cursor back', () => {
    const written = play({ isTTY: true, columns: 32 });
    // oxlint-disable-next-line no-control-regex -- the terminal's own sequences take no room
    const lines = written.replace(/\x1b\[\??\d*[A-Za-z]|\r/g, '').split('\n');
    const display = lines.filter((line) => !line.includes('PostgreSQL'));
    expect(Math.max(...display.map((line) => line.length))).toBeLessThan(32);
    expect(written.endsWith('\x1b[?25h')).toBe(true);
  });
});
