import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';
import { renderOptions } from '../../docs/generate-options.ts';
import { variables } from '../../src/env.ts';

const generator = fileURLToPath(new URL('../../docs/generate-options.ts', import.meta.url));
const page = renderOptions();
const rows = page.split('\n').filter((line) => line.startsWith('| `'));

describe('docs/options.md', () => {
  it('is what `node docs/generate-options.ts` writes', () => {
    expect(readFileSync(new URL('../../docs/options.md', import.meta.url), 'utf8')).toBe(page);
  });

  it('passes its own check, as the continuous integration runs it', () => {
    expect(() => execFileSync(process.execPath, [generator, '--check'], { stdio: 'pipe' })).not.toThrow();
  });

  it('has one row of five cells for every variable', () => {
    expect(rows).toHaveLength(variables.length);
    for (const row of rows) expect(row.split(' | ')).toHaveLength(5);
    const named = new Set(rows.map((line) => line.split(' | ')[1]));
    expect(named).toStrictEqual(new Set(variables.map(({ name }) => `\`${name}\``)));
  });
});
