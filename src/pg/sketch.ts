import { tokensOf } from './sql-lexer.ts';

/** Enough to recognise a statement in the code. */
const longestSketch = 80;

/** A statement for a log line: its shape, with every literal replaced by `?`, because one may be somebody's secret. */
export function sketchOf(sql: string): string {
  let sketch = '';
  for (const { kind, start, end } of tokensOf(sql)) {
    if (sketch.length > longestSketch) return `${sketch.slice(0, longestSketch)}…`;
    const literal = kind === 'string' || kind === 'verbatim' || kind === 'number';
    sketch += `${sketch === '' ? '' : ' '}${literal ? '?' : sql.slice(start, end)}`;
  }
  return sketch;
}
