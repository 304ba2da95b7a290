import { describe, expect, it } from 'vitest';
import { describeCases, panelTitle, picture } from '../../../bench/picture.ts';
import { idle } from './results.ts';

/** Widths of the bars, in order. */
function barWidths(svg: string): number[] {
  return [...svg.matchAll(/<rect [^>]*width="([\d.]+)"[^>]*class="tp-(?:ours|peer|floor)"/g)].map(([, width]) =>
    Number(width),
  );
}

describe('picture', () => {
  const svg = picture('A "title" & <more>', 'a note', [idle]);

  it('escapes what it is given', () => {
    expect(svg).toContain('<title>A &quot;title&quot; &amp; &lt;more&gt;</title>');
    expect(svg).toContain('acquire &amp; release, &lt;1&gt; idle');
    expect(svg.replaceAll(/<\/?[a-z]+(?: [\w:-]+="[^"<>]*")*\/?>/g, '')).not.toMatch(
      /<(?!\/?style)|&(?!amp;|lt;|gt;|quot;)/,
    );
  });

  it('says in words what it shows', () => {
    expect(svg).toContain('role="img"');
    expect(svg).toContain(
      '<desc>acquire &amp; release, &lt;1&gt; idle: floor 50 ns, thawpool 100 ns, pg-pool 2 µs.</desc>',
    );
  });

  it('has colours for a dark ground too', () => {
    expect(svg).toContain('@media (prefers-color-scheme:dark)');
  });

  it('draws bars as long as the medians say, and the whiskers no further than the panel', () => {
    const [floor = 0, ours = 0, peer = 0] = barWidths(svg);
    expect(ours / floor).toBeCloseTo(2, 1);
    expect(peer / ours).toBeCloseTo(20, 0);
    const ends = [...svg.matchAll(/d="M([\d.]+) [\d.]+H([\d.]+)/g)].map(([, , to]) => Number(to));
    expect(ends).toHaveLength(3);
    expect(Math.max(...ends)).toBeLessThanOrEqual(500);
  });

  it('grows with its panels, two beside each other', () => {
    const heightOf = (count: number) => {
      const [, height] =
        /height="(\d+)"/.exec(
          picture(
            '',
            '',
            Array.from({ length: count }, () => idle),
          ),
        ) ?? [];
      return Number(height);
    };
    expect(heightOf(2)).toBe(heightOf(1));
    expect(heightOf(3)).toBeGreaterThan(heightOf(2));
  });

  it('draws what costs nothing as a thin line, and no whisker where nothing varies', () => {
    const row = { subject: 'nothing', role: 'ours', median: 0, low: 0, high: 0, best: 0 } as const;
    const empty = picture('', '', [{ ...idle, rows: [row] }]);
    expect(barWidths(empty)).toEqual([1]);
    expect(empty).not.toContain('class="tp-whisker" d=');
    expect(empty).not.toMatch(/NaN|Infinity/);
  });
});

describe('panelTitle', () => {
  it('says which way is better', () => {
    expect(panelTitle({ title: 'cost', unit: 'ns' })).toBe('cost (less is better)');
    expect(panelTitle({ title: 'throughput', unit: 'per second' })).toBe('throughput (more is better)');
  });
});

describe('describeCases', () => {
  it('names every subject with its median', () => {
    expect(describeCases([idle, { ...idle, title: 'again' }])).toBe(
      'acquire & release, <1> idle: floor 50 ns, thawpool 100 ns, pg-pool 2 µs. again: floor 50 ns, thawpool 100 ns, pg-pool 2 µs.',
    );
  });
});
