// The order service moves from a direct connection with a password to RDS Proxy with IAM, and back, by its environment.

import { createHash } from 'node:crypto';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { Order } from '../../../infra/orders/order.ts';
import { whyNoCertificates } from '../../support/certificates.ts';
import { startPgBouncer, whyNoPgBouncer } from '../../support/pgbouncer.ts';
import type { TestPostgres } from '../../support/postgres.ts';
import { bundleHandler } from '../bundle.ts';
import { createEvent, eventOf, getEvent } from '../demo/events.ts';
import { type Lab, openLab } from '../lab.ts';
import { killSessions, STEADY_TRAFFIC } from '../scenarios/scenario.ts';
import { bytesOf, Stage, Story } from './stage.ts';

const file = fileURLToPath(new URL('../demo/thawpool-handler.ts', import.meta.url));
const subject = { name: 'orders', title: 'the order service', handler: `${file}#handler` };
const freezeMillis = 60;
/** Stays as it is: the last two go into the startup packet, where no pooler lets them through. */
const common = { ...STEADY_TRAFFIC, THAWPOOL_STATEMENT_TIMEOUT_MS: '4000', PGOPTIONS: '-c work_mem=8MB' };

/** What the sandboxes run, in one word. */
async function fingerprint(): Promise<string> {
  const { taskRoot } = await bundleHandler(file);
  return createHash('sha256')
    .update(await bytesOf(join(taskRoot, 'index.mjs')))
    .digest('hex');
}

const noCertificates = whyNoCertificates();

describe.skipIf(noCertificates)(`the order service${noCertificates ? ` (${noCertificates})` : ''}`, () => {
  let stage: Stage;
  let postgres: TestPostgres;
  const known: string[] = [];

  beforeAll(async () => {
    stage = await Stage.open();
    postgres = await stage.orders(`move_${process.pid}`);
  });
  afterAll(() => stage?.[Symbol.asyncDispose]());

  const idOf = (payload: unknown) => (JSON.parse((payload as { body: string }).body) as Order).id;

  /** All that the service does, with freezes in between, in one of which its connections are ended. */
  async function live(story: Story, label: string, env: Record<string, string>, harm: (lab: Lab) => unknown) {
    await using lab = await openLab({ subject, postgres, libpqVariables: true, env: { ...common, ...env } });
    for (const id of known) await story.invoke(lab, `${label}: get an earlier order`, getEvent(id));
    const { payload } = await story.invoke(lab, `${label}: create`, createEvent());
    if (story.failures.length > 0) throw new Error(story.told(lab));
    known.push(idOf(payload));
    await lab.freezeFor(freezeMillis);
    await story.invoke(lab, `${label}: get`, getEvent(known.at(-1) ?? ''));
    await lab.freezeFor(freezeMillis, () => harm(lab));
    await story.invoke(lab, `${label}: consume, after its connection was ended`, eventOf('consume', ''));
    await lab.freezeFor(freezeMillis);
    const { payload: report } = await story.invoke(lab, `${label}: report`, eventOf('report', ''));
    story.note(`${label}: ${JSON.stringify(report)}, ${lab.snapshot().opened} direct connections`);
    expect(lab.sandbox.starts, story.told(lab)).toBe(1);
    return lab.snapshot().opened;
  }

  it('goes from direct with a password to RDS Proxy with IAM and back by its environment alone', async () => {
    const proxy = await stage.proxy();
    const story = new Story();
    const code = await fingerprint();
    const before = await live(story, 'direct', {}, killSessions);
    const away = await live(story, 'RDS Proxy', { ...stage.throughProxy(proxy), PGPASSWORD: '' }, () =>
      proxy.killClients(),
    );
    const logins = proxy.stats().logins;
    const back = await live(story, 'direct again', {}, killSessions);

    expect(story.failures, story.told(undefined, proxy)).toEqual([]);
    expect(() => proxy.assertRulesKept(), story.told(undefined, proxy)).not.toThrow();
    expect(proxy.suspicions, story.told(undefined, proxy)).toEqual([]);
    // Everywhere once, and again after the connection was ended.
    expect([before, away, back], story.told(undefined, proxy)).toEqual([2, 0, 2]);
    expect([logins, proxy.stats().logins], story.told(undefined, proxy)).toEqual([2, 2]);
    expect(await fingerprint()).toBe(code);
  });

  it('goes through PgBouncer by its environment alone', async ({ skip }) => {
    const no = whyNoPgBouncer();
    if (no !== undefined) return skip(no);
    const bouncer = stage.use(await startPgBouncer({ target: postgres }));
    const story = new Story();
    const env = { THAWPOOL_ROUTE: 'pgbouncer', THAWPOOL_PROXY_HOST: `${bouncer.host}:${bouncer.port}` };
    const ended = async () => {
      await bouncer.stop();
      await bouncer.start();
    };
    const count = known.length;
    const direct = await live(story, 'PgBouncer', env, ended);
    expect(story.failures, `${story.told()}\n${bouncer.log.join('\n')}`).toEqual([]);
    expect([direct, known.length]).toEqual([0, count + 1]);
    expect(bouncer.log.filter((line) => /unsupported startup parameter/.test(line))).toEqual([]);
  });
});
