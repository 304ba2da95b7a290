// Pages as a whole: every link leads somewhere, every page can be found, and what two pages say is the same.

import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { dirname, join, relative, resolve } from 'node:path';
import { describe, expect, it } from 'vitest';

const root = join(import.meta.dirname, '../..');
const read = (path: string): string => readFileSync(join(root, path), 'utf8');
const pagesIn = (folder: string): string[] =>
  readdirSync(join(root, folder))
    .filter((name) => name.endsWith('.md'))
    .map((name) => join(folder, name));
const guides = pagesIn('docs');
const decisions = pagesIn('docs/decisions').filter((path) => /\/\d{4}-/.test(path));
const pages = [...pagesIn('.'), ...guides, ...pagesIn('docs/decisions'), 'examples/README.md'];

/** A page without its code, in which a bracket is no link and a # no heading. */
const prose = (path: string): string => read(path).replaceAll(/^ *```.*?^ *```/gms, '');

/** The anchors of a page, as GitHub makes them of its headings. */
const anchorsOf = (path: string): string[] =>
  [...prose(path).matchAll(/^#+ (.+)$/gm)].map(([, heading = '']) =>
    heading
      .toLowerCase()
      .replaceAll(/[^\p{L}\p{N}\s_-]/gu, '')
      .replaceAll(' ', '-'),
  );

/** What a page links to in the project, and where in it. */
const linksOf = (path: string): { link: string; file: string; anchor: string | undefined }[] =>
  [...prose(path).matchAll(/\]\((?!https?:)([^)\s]*)\)/g)].map(([, link = '']) => {
    const [file = '', anchor] = link.split('#');
    return { link, file: file === '' ? path : relative(root, resolve(root, dirname(path), file)), anchor };
  });

describe('links', () => {
  it.each(pages)('of %s lead somewhere', (path) => {
    const broken = linksOf(path).filter(
      ({ file, anchor }) =>
        !existsSync(join(root, file)) ||
        (anchor !== undefined && file.endsWith('.md') && !anchorsOf(file).includes(anchor)),
    );
    expect(broken.map(({ link }) => link)).toEqual([]);
  });

  it('are found', () => {
    expect(pages.flatMap(linksOf).length).toBeGreaterThan(300);
    expect(pages.flatMap(linksOf).filter(({ anchor }) => anchor !== undefined).length).toBeGreaterThan(30);
  });
});

describe('the index', () => {
  const [, index = ''] = read('README.md').split('\n## Documentation\n');
  const listed = [...index.matchAll(/\]\(([^)]*)\)/g)].map(([, link = '']) => link);

  it('of README.md has every page of docs, once', () => {
    expect(listed.filter((link) => guides.includes(link)).toSorted()).toEqual(guides.toSorted());
    expect(new Set(listed).size).toBe(listed.length);
  });

  it('of the decisions has every decision, once', () => {
    const named = linksOf('docs/decisions/README.md').map(({ file }) => file);
    expect(named.toSorted()).toEqual(decisions.toSorted());
  });

  it('of commands, on whatever page, names none that is not there', () => {
    const { scripts } = JSON.parse(read('package.json')) as { scripts: Record<string, string> };
    const named = ['README.md', 'CONTRIBUTING.md', ...guides].flatMap((path) =>
      [...read(path).matchAll(/npm run (?:--silent )?([a-z][\w:-]*)/g)].map(([, name = '']) => name),
    );
    expect(named.filter((name) => !Object.hasOwn(scripts, name))).toEqual([]);
  });
});

it('the counts in README.md are those of the table in docs/reliability.md', () => {
  const rows = read('docs/reliability.md')
    .split('\n')
    .filter((line) => /^\| \[.*\]\(#/.test(line))
    .map((line) =>
      line
        .split('|')
        .slice(2, -1)
        .map((cell) => cell.trim()),
    );
  const counts = (rows[0] ?? []).map((_, column) => {
    const cells = rows.map((row) => row[column]);
    return `${cells.filter((cell) => cell === '✓').length} of ${cells.filter((cell) => cell !== '–').length}`;
  });
  const [, section = ''] = read('README.md').split('\n## Against the alternatives\n');
  expect([...section.matchAll(/^\|.*\| (\d+ of \d+) \|$/gm)].map(([, count]) => count)).toEqual(counts);
  expect(section).toMatch(new RegExp(`^\\n${rows.length} ways `));
});

it('troubleshooting.md has a row for each code of errors.md, and for no other', () => {
  const codes = [...read('docs/errors.md').matchAll(/^### (ERR_POOL_\w+)$/gm)].map(([, code = '']) => code);
  const [, table = ''] = read('docs/troubleshooting.md').split('## Errors of thawpool');
  expect([...table.matchAll(/^\| \[`(ERR_POOL_\w+)`\]/gm)].map(([, code = '']) => code).toSorted()).toEqual(
    codes.toSorted(),
  );
});
