import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { describe, expect, it } from 'vitest';

const root = join(import.meta.dirname, '../..');
const read = (path: string): string => readFileSync(join(root, path), 'utf8');
/** The targets of a page's links to files of the project, as paths from the root. */
const linksOf = (page: string, text: string): string[] =>
  [...text.matchAll(/\]\((?!https?:|#)([^)#]+)/g)].map(([, target]) => join(dirname(page), String(target)));

const tests = readdirSync(join(root, 'test/integration/ecosystem'))
  .filter((file) => file.endsWith('.test.ts'))
  .map((file) => file.replace('.test.ts', ''));
const { devDependencies } = JSON.parse(read('package.json')) as { devDependencies: Record<string, string> };

describe('the table of libraries in README.md', () => {
  const table = read('README.md').split('## Works with')[1]?.split('\n## ')[0] ?? '';
  const rows = table.split('\n').filter((line) => line.startsWith('| ['));

  it('has a row for every library that is tested, and no other', () => {
    const listed = rows.map((row) => /test\/integration\/ecosystem\/([\w-]+)\.test\.ts/.exec(row)?.[1]);
    expect(new Set(listed)).toEqual(new Set(tests));
    expect(listed).toHaveLength(tests.length);
  });

  it.each(rows)('names the version that is installed: %s', (row) => {
    const [, name, version] = /`([^`]+)` ([\d.]+) \|/.exec(row) ?? [];
    expect(devDependencies[String(name)]).toBe(version);
  });
});

describe('docs/orms.md', () => {
  const page = read('docs/orms.md');
  const blocks = [...page.matchAll(/```ts\n(.*?)```/gs)];

  it('has a section with code for every library that is tested', () => {
    const linked = blocks.map(({ index }) => linksOf('docs/orms.md', page.slice(0, index)).at(-1)?.split('/')[1]);
    expect(new Set(linked)).toEqual(new Set(tests));
  });

  it.each(blocks.map(({ 1: code = '', index }) => ({ code, index, first: code.split('\n')[0] })))(
    'has code out of the example before it: $first',
    ({ code, index }) => {
      expect(read(String(linksOf('docs/orms.md', page.slice(0, index)).at(-1)))).toContain(code);
    },
  );
});

it.each(['README.md', 'docs/orms.md', 'examples/README.md'])('has no link in %s that leads nowhere', (page) => {
  expect(linksOf(page, read(page)).filter((target) => !existsSync(join(root, target)))).toEqual([]);
});

it('lists every example in examples/README.md', () => {
  const folders = readdirSync(join(root, 'examples'), { withFileTypes: true }).filter((entry) => entry.isDirectory());
  const listed = linksOf('examples/README.md', read('examples/README.md')).map((target) => target.split('/')[1]);
  expect(folders.map(({ name }) => name).filter((name) => !listed.includes(name))).toEqual([]);
});
