// IAM tokens last fifteen minutes, and a sandbox may be frozen for longer than that.

import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { whyNoCertificates } from '../../support/certificates.ts';
import type { RdsProxy } from '../../support/rds-proxy/rds-proxy.ts';
import { type Lab, openLab } from '../lab.ts';
import type { ClockOffsets } from '../sandbox-clock.ts';
import { Stage, Story } from './stage.ts';

const TWENTY_MINUTES = 1_200_000;
const freezeMillis = 60;
const caching = `${fileURLToPath(new URL('caching-handler.ts', import.meta.url))}#handler`;

const noCertificates = whyNoCertificates();

describe.skipIf(noCertificates)(`a token of IAM${noCertificates ? ` (${noCertificates})` : ''}`, () => {
  let stage: Stage;
  beforeAll(async () => {
    stage = await Stage.open();
  });
  afterAll(() => stage?.[Symbol.asyncDispose]());

  /** A sandbox that is frozen twice while its connection ends: for a moment, and for twenty minutes of its clock. */
  async function frozenTwice(subject: string, offsets: ClockOffsets) {
    let ahead = 0;
    const proxy = await stage.proxy({ now: () => Date.now() + ahead });
    const story = new Story();
    const env = { ...stage.throughProxy(proxy), PGPASSWORD: '' };
    const { postgres } = stage;
    await using lab: Lab = await openLab({ subject, postgres, libpqVariables: true, movableClock: true, env });
    const tokens: number[] = [];
    const step = async (label: string) => {
      await story.invoke(lab, label, { op: 'query' });
      tokens.push(proxy.stats().distinctTokens);
    };
    await step('cold');
    await lab.freezeFor(freezeMillis, () => proxy.killClients());
    await step('after a moment');
    await lab.freezeFor(freezeMillis, async () => {
      proxy.killClients();
      ahead = offsets.wall;
      await lab.setClock(offsets);
    });
    await step('after twenty minutes');
    return { proxy, story, tokens, told: story.told(lab, proxy) };
  }

  const reasons = ({ refusals }: RdsProxy) => refusals.map(({ code, reason }) => `${code} ${reason}`);

  it.each([
    ['the monotonic clock runs on', { wall: TWENTY_MINUTES, monotonic: TWENTY_MINUTES }],
    ['the monotonic clock stands still', { wall: TWENTY_MINUTES, monotonic: 0 }],
  ] as const)('is never sent after its time when %s in the freeze', async (_, offsets) => {
    const { proxy, story, tokens, told } = await frozenTwice('thawpool-wrapper', offsets);
    expect(story.failures, told).toEqual([]);
    expect(reasons(proxy), told).toEqual([]);
    expect(() => proxy.assertRulesKept(), told).not.toThrow();
    // The second connection has the first one's token: it is good for ten of its fifteen minutes.
    expect([tokens, proxy.stats().logins], told).toEqual([[1, 1, 2], 3]);
  });

  it('is refused as expired when it was kept for an hour', async () => {
    const offsets = { wall: TWENTY_MINUTES, monotonic: TWENTY_MINUTES };
    const { proxy, story, tokens, told } = await frozenTwice(caching, offsets);
    const failed = /^after twenty minutes: The IAM authentication failed for the role/;
    expect(story.failures, told).toEqual([expect.stringMatching(failed)]);
    expect(reasons(proxy), told).toEqual([expect.stringMatching(/^28P01 expired 30\d{4} ms ago$/)]);
    expect(tokens, told).toEqual([1, 1, 1]);
  });
});
