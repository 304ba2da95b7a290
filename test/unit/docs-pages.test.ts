// Pages that are mostly links: each leads somewhere, and none of the codes is left out.

import { existsSync, readFileSync } from 'node:fs';
import { dirname, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';

const docs = fileURLToPath(new URL('../../docs', import.meta.url));
const read = (path: string): string => readFileSync(path, 'utf8');

/** The anchors of a page, as GitHub makes them of its headings. */
const anchorsOf = (page: string): string[] =>
  [...page.matchAll(/^#+ (.+)$/gm)].map(([, heading = '']) =>
    heading
      .toLowerCase()
      .replaceAll(/[^\p{L}\p{N}\s_-]/gu, '')
      .replaceAll(' ', '-'),
  );

describe.each(['sizing.md', 'troubleshooting.md'])('%s', (name) => {
  const path = resolve(docs, name);
  const page = read(path);

  it('has links that lead somewhere', () => {
    const links = [...page.matchAll(/\]\((?!https?:)([^)]*)\)/g)].map(([, link = '']) => link);
    expect(links.length).toBeGreaterThan(10);
    const broken = links.filter((link) => {
      const [file = '', anchor] = link.split('#');
      const target = file === '' ? path : resolve(dirname(path), file);
      return !existsSync(target) || (anchor !== undefined && !anchorsOf(read(target)).includes(anchor));
    });
    expect(broken).toEqual([]);
  });

  it('is named in the README', () => {
    expect(read(resolve(docs, '..', 'README.md'))).toContain(`(docs/${name})`);
  });
});

it('troubleshooting.md has a row for each code of errors.md, and for no other', () => {
  const codes = [...read(resolve(docs, 'errors.md')).matchAll(/^### (ERR_POOL_\w+)$/gm)].map(([, code = '']) => code);
  const [, table = ''] = read(resolve(docs, 'troubleshooting.md')).split('## Errors of thawpool');
  expect([...table.matchAll(/^\| \[`(ERR_POOL_\w+)`\]/gm)].map(([, code = '']) => code).toSorted()).toEqual(
    codes.toSorted(),
  );
});
