import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import type { Results } from '../../../bench/model.ts';
import { picture } from '../../../bench/picture.ts';
import { conditionsOf, insertInto, overviewOf, pageSection, readmeSection } from '../../../bench/publish.ts';
import { idle, results } from './results.ts';

const read = (path: string) => readFileSync(new URL(`../../../${path}`, import.meta.url), 'utf8');
const latest = JSON.parse(read('bench/results/latest.json')) as Results;

describe('what is published', () => {
  it('is in the README as bench/results/latest.json has it', () => {
    const readme = read('README.md');
    expect(insertInto(readme, readmeSection(latest))).toBe(readme);
  });

  it('is in docs/benchmarks.md as bench/results/latest.json has it', () => {
    const page = read('docs/benchmarks.md');
    expect(insertInto(page, pageSection(latest))).toBe(page);
  });

  it('is in the pictures as bench/results/latest.json has it', () => {
    expect(read('bench/results/speed.svg')).toBe(picture('What it costs', conditionsOf(latest), overviewOf(latest)));
    for (const { name, title, cases } of latest.sections) {
      if (cases.length === 0) continue;
      expect(read(`bench/results/${name}.svg`), name).toBe(picture(title, conditionsOf(latest), cases));
    }
  });
});

describe('readmeSection', () => {
  it('leaves out the sentences whose figures were not measured', () => {
    expect(readmeSection(results)).toBe(
      `
![acquire & release, <1> idle: floor 50 ns, thawpool 100 ns, pg-pool 2 µs.](bench/results/speed.svg)

Acquiring an idle resource and releasing it costs 100 ns, with pg-pool 2 µs. Medians on A processor, 2 cores, Node.js 24.0.0, PostgreSQL 18.4 on the same machine, 2026-11-01.

\`npm run bench\` measures yours. [Benchmarks](docs/benchmarks.md) has every figure, what was to be reached, and how it was measured.`.trimStart(),
    );
  });

  it('says of a query what it takes with the statement cache, where that was measured', () => {
    const ways = ['pg.Client', 'postgres.js', 'thawpool', 'thawpool, statement cache'];
    const rows = ways.map((subject, at) => ({
      subject,
      role: 'ours' as const,
      median: at + 1,
      low: 1,
      high: 9,
      best: 1,
    }));
    const of = (count: number): Results => {
      const query = { ...idle, id: 'query.1', unit: 'µs' as const, rows: rows.slice(0, count) };
      return { ...results, sections: results.sections.map((section) => ({ ...section, cases: [query] })) };
    };
    expect(readmeSection(of(4))).toContain(
      'A query by primary key takes 3 µs (4 µs with the statement cache), on a bare `pg.Client` 1 µs, with postgres.js 2 µs.',
    );
    expect(readmeSection(of(3))).toContain('takes 3 µs, on a bare');
  });
});

describe('insertInto', () => {
  const page = 'before\n<!-- bench: generated from bench/results/latest.json -->\nold\n<!-- /bench -->\nafter\n';

  it('replaces what stands between the marks, and nothing else', () => {
    const once = insertInto(page, 'new');
    expect(once).toBe(
      'before\n<!-- bench: generated from bench/results/latest.json -->\n\nnew\n\n<!-- /bench -->\nafter\n',
    );
    expect(insertInto(once, 'new')).toBe(once);
  });

  it('throws when the marks are not there', () => {
    expect(() => insertInto('nothing', 'new')).toThrow('The page lacks the lines');
  });
});

describe('conditionsOf', () => {
  it('gives the date of the latest section, and says when one was measured in haste', () => {
    const [section] = results.sections;
    if (section === undefined) throw new Error('The results have a section.');
    const later = { ...section, date: '2026-11-20T00:00:00.000Z' };
    const line = 'A processor, 2 cores, Node.js 24.0.0, PostgreSQL 18.4 on the same machine';
    expect(conditionsOf({ ...results, sections: [later, section] })).toBe(`${line}, 2026-11-20`);
    expect(conditionsOf({ ...results, sections: [section, { ...later, quick: true }] })).toBe(
      `${line}, 2026-11-20, a quick run`,
    );
  });
});
