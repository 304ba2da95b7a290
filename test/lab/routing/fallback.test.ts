// A proxy that hangs, is gone and comes back, all while the sandbox is frozen.

import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { whyNoCertificates } from '../../support/certificates.ts';
import type { RdsProxy } from '../../support/rds-proxy/rds-proxy.ts';
import { type Lab, openLab } from '../lab.ts';
import { allEnded, reasonOf } from '../scenarios/scenario.ts';
import { Stage, Story } from './stage.ts';

const freezeMillis = 60;
/** A place that did not answer is left alone for 5 s, then for 10 s: src/pg/ways.ts. */
const PAST_FIRST_PAUSE = 6_000;
const PAST_SECOND_PAUSE = 60_000;

const noCertificates = whyNoCertificates();

describe.skipIf(noCertificates)(`a proxy that does not answer${noCertificates ? ` (${noCertificates})` : ''}`, () => {
  let stage: Stage;
  beforeAll(async () => {
    stage = await Stage.open();
  });
  afterAll(() => stage?.[Symbol.asyncDispose]());

  /** The server knows no IAM, so both ways have the same password here. */
  const passwordProxy = () => {
    const { user, password } = stage.postgres;
    return stage.proxy({ auth: { kind: 'password', users: { [user]: password } }, requireTls: false });
  };

  const open = (proxy: RdsProxy, env: Record<string, string>): Promise<Lab> => {
    const { postgres } = stage;
    const all = { THAWPOOL_PROXY_HOST: `localhost:${proxy.port}`, ...env };
    return openLab({ subject: 'thawpool-wrapper', postgres, libpqVariables: true, movableClock: true, env: all });
  };

  it('is gone around with THAWPOOL_PROXY_FALLBACK, and gone through again when it is back', async () => {
    const proxy = await passwordProxy();
    await using lab = await open(proxy, { THAWPOOL_PROXY_FALLBACK: 'direct' });
    const story = new Story();
    const steps: string[] = [];
    const step = async (label: string) => {
      await story.invoke(lab, label, { op: 'query' });
      const { logins, hung, clients } = proxy.stats();
      const { opened } = lab.snapshot();
      steps.push(`${label}: ${logins} logins at the proxy, ${hung} hung, ${opened} direct`);
      story.note(`${steps.at(-1)}, ${clients.now} at the proxy now`);
    };
    const later = (millis: number) => lab.setClock({ wall: millis, monotonic: millis });

    await step('well');
    await lab.freezeFor(freezeMillis, () => {
      proxy.hang();
      proxy.killClients();
    });
    await step('hangs');
    await lab.freezeFor(freezeMillis, () => lab.proxy.closeAll());
    await step('is left alone');
    await lab.freezeFor(freezeMillis, async () => {
      await proxy.stop();
      lab.proxy.closeAll();
      await later(PAST_FIRST_PAUSE);
    });
    await step('is gone');
    await lab.freezeFor(freezeMillis, async () => {
      proxy.unhang();
      await proxy.start();
      await later(PAST_SECOND_PAUSE);
    });
    await step('is back');
    await lab.freezeFor(freezeMillis);
    await step('is used again');
    await lab.freezeFor(freezeMillis);
    await step('and again');

    expect(story.failures, story.told(lab, proxy)).toEqual([]);
    expect(steps, story.told(lab, proxy)).toEqual([
      'well: 1 logins at the proxy, 0 hung, 0 direct',
      'hangs: 1 logins at the proxy, 1 hung, 1 direct',
      'is left alone: 1 logins at the proxy, 1 hung, 2 direct',
      'is gone: 1 logins at the proxy, 1 hung, 3 direct',
      // The connection that stood in answers once more, and is not kept after that.
      'is back: 1 logins at the proxy, 1 hung, 3 direct',
      'is used again: 2 logins at the proxy, 1 hung, 3 direct',
      'and again: 2 logins at the proxy, 1 hung, 3 direct',
    ]);
    await lab.proxy.until(allEnded);
    expect(() => proxy.assertRulesKept(), story.told(lab, proxy)).not.toThrow();
  });

  it.each([
    ['hangs', (proxy: RdsProxy) => proxy.hang()],
    ['is gone', (proxy: RdsProxy) => proxy.stop()],
  ] as const)('is named in the error when it %s and there is no other way', async (_, harm) => {
    const proxy = await passwordProxy();
    await using lab = await open(proxy, { THAWPOOL_ACQUIRE_TIMEOUT_MS: '2000' });
    const story = new Story();
    await story.invoke(lab, 'well', { op: 'query' });
    await lab.freezeFor(freezeMillis, async () => {
      await harm(proxy);
      proxy.killClients();
    });
    const reason = reasonOf(await story.invoke(lab, 'not well', { op: 'query' }));
    expect(story.failures, story.told(lab, proxy)).toHaveLength(1);
    expect(lab.snapshot().opened, story.told(lab, proxy)).toBe(0);
    expect(reason).toContain(`localhost:${proxy.port}`);
    expect(reason).toMatch(/Check /);
  });
});
