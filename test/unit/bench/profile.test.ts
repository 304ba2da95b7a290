import { describe, expect, it } from 'vitest';
import { type CpuProfile, profileText } from '../../../bench/profile.ts';

const frame = (id: number, functionName: string, url = '', lineNumber = -1) => ({
  id,
  callFrame: { functionName, url, lineNumber },
});

const profile: CpuProfile = {
  nodes: [
    frame(1, '(root)'),
    frame(2, '(idle)'),
    frame(3, '(garbage collector)'),
    frame(4, 'acquire', 'file:///home/me/thawpool/src/pool/pool.ts', 99),
    frame(5, 'query', 'file:///home/me/thawpool/node_modules/pg/lib/client.js', 666),
    frame(6, 'writev'),
    frame(7, '', 'file:///home/me/thawpool/bench/subjects/core.ts', 4),
    frame(8, 'acquire', 'file:///home/me/thawpool/src/pool/pool.ts', 99),
    frame(10, 'post', 'node:inspector', 114),
    frame(9, 'of', 'file:///home/me/thawpool/node_modules/@a/b/node_modules/@c/d/index.js', 0),
  ],
  // The last is of a process that was stopped.
  samples: [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 6],
  timeDeltas: [500, 9000, 100, 300, 200, 150, 50, 100, 100, 7000, 30_000],
};

describe('the summary of a profile', () => {
  it('adds up the time at work by whose code it was, the largest share first', () => {
    const [title, ...lines] = profileText('core', profile).split('\n');
    expect(title).toBe('core');
    expect(lines.slice(0, lines.indexOf(''))).toEqual([
      '   40.0 %  thawpool',
      '   20.0 %  pg',
      '   15.0 %  Node.js',
      '   10.0 %  garbage collector',
      '   10.0 %  @c/d',
      '    5.0 %  benchmark',
    ]);
  });

  it('names the functions that took most by themselves, one that was called from several places once', () => {
    const text = profileText('core', profile, 2);
    expect(text.split('\n').slice(8, -1)).toEqual([
      '   40.0 %  acquire pool/pool.ts:100',
      '   20.0 %  query lib/client.js:667',
    ]);
    expect(profileText('core', profile)).toContain('    5.0 %  (anonymous) subjects/core.ts:5');
  });
});
