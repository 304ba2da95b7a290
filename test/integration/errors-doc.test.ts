// `docs/errors.md` against the sources: no code without a chapter, no chapter without a code.

import { readdirSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';

const root = fileURLToPath(new URL('../..', import.meta.url));
const page = readFileSync(`${root}/docs/errors.md`, 'utf8');
const sources = readdirSync(`${root}/src`, { recursive: true, encoding: 'utf8' })
  .filter((path) => path.endsWith('.ts'))
  .map((path) => readFileSync(`${root}/src/${path}`, 'utf8'))
  .join('\n');

const found = (text: string, pattern: RegExp): string[] =>
  [...new Set([...text.matchAll(pattern)].map((match) => match[1] as string))].toSorted();

describe('the page of errors', () => {
  it('has a chapter for each code in the sources, and for no other', () => {
    const codes = found(sources, /['`](ERR_POOL_[A-Z_]+)['`]/g);
    expect(codes.length).toBeGreaterThan(15);
    expect(found(page, /^### (ERR_POOL_[A-Z_]+)$/gm)).toEqual(codes);
  });

  it('shows messages as they are in the sources', () => {
    const words = (text: string): string => text.replaceAll(/[`'"’]|\s+/g, ' ').replaceAll(/ +/g, ' ');
    const all = words(sources);
    for (const start of [
      'Release called on client which has already been released to the pool',
      'Nothing was committed: a statement of the transaction had failed',
      'The nested transaction was rolled back: a statement of it had failed',
      'This transaction has ended: nothing more can run in it',
      'Stopped because the invocation is nearly over',
      'Called end on pool more than once: the pool is closed or closing',
      'The pool option takes a pool made by createPool() or getPool(); this one was not',
      'A connection was released with an open transaction, which was rolled back',
      'That was taken back. Release what you acquire and await what you start',
      'and has no effect',
    ]) {
      expect(page).toContain(start);
      expect(all.replaceAll('${this.#host.noun}', 'connection').replaceAll('${noun}', 'connection')).toContain(
        words(start),
      );
    }
  });
});
