// Two hundred client connections share ten backends, behind RDS Proxy and behind PgBouncer, at a server that has no more.

import { setTimeout as wait } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import pg from 'pg';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { whyNoCertificates } from '../../support/certificates.ts';
import { startPgBouncer, type TestPgBouncer, whyNoPgBouncer } from '../../support/pgbouncer.ts';
import { openLab } from '../lab.ts';
import type { ManyResult } from './many-handler.ts';
import { Stage, Story } from './stage.ts';

const subject = `${fileURLToPath(new URL('many-handler.ts', import.meta.url))}#handler`;
const functions = 200;
const backends = 10;
const ROUNDS = 4;
const freezeMillis = 60;
const LOOK_MILLIS = 50;
/** Ten for the pooler, three that PostgreSQL keeps for superusers, and three to spare. */
const maxConnections = 16;

interface Visits {
  /** Ends their connections. */
  readonly endAll?: () => unknown;
  /** Is called again and again while they are invoked. */
  readonly look?: () => Promise<void>;
  readonly rounds?: number;
}

async function again(look: () => Promise<void>, over: AbortSignal): Promise<void> {
  while (!over.aborted) {
    await look();
    // Looking costs a login: not so often that it is in the way.
    await wait(LOOK_MILLIS);
  }
}

const noCertificates = whyNoCertificates();

describe.skipIf(noCertificates)(`two hundred pools${noCertificates ? ` (${noCertificates})` : ''}`, () => {
  let stage: Stage;

  beforeAll(async () => {
    stage = await Stage.open({ maxConnections });
    const client = new pg.Client({ connectionString: stage.postgres.connectionString });
    await client.connect();
    await client.query('create table visits (function int, round int)');
    await client.end();
  });
  afterAll(() => stage?.[Symbol.asyncDispose]());

  /** Invokes all of them several times, with freezes in between; before the third round their connections are ended. */
  async function visits(env: Record<string, string>, { endAll, look, rounds = ROUNDS }: Visits) {
    const { postgres } = stage;
    await postgres.admin('truncate visits');
    const story = new Story();
    const all = { THAWPOOL_MAX: '1', THAWPOOL_ACQUIRE_TIMEOUT_MS: '15000', ...env };
    await using lab = await openLab({ subject, postgres, libpqVariables: true, env: all });
    const results: ManyResult[] = [];
    for (let round = 1; round <= rounds; round += 1) {
      const invoked = story.invoke(lab, `round ${round}`, { functions, round }, 20_000);
      const over = new AbortController();
      const watched = look && again(look, over.signal);
      const { payload } = await invoked;
      over.abort();
      await watched;
      story.note(`round ${round}: ${JSON.stringify(payload)}`);
      results.push(payload as ManyResult);
      await lab.freezeFor(freezeMillis, () => round === 2 && endAll?.());
    }
    return { results, story, told: (more: string) => `${story.told(lab)}\n${more}` };
  }

  const allAnswered = Array.from({ length: ROUNDS }, () => ({ answered: functions, failures: [] }));

  it('share ten backends behind RDS Proxy', async () => {
    const proxy = await stage.proxy({ maxBackends: backends });
    const env = { ...stage.throughProxy(proxy), PGPASSWORD: '' };
    const { results, story, told } = await visits(env, { endAll: () => proxy.killClients() });
    const figures = told(story.told(undefined, proxy));
    expect(results, figures).toEqual(allAnswered);
    const { clients, backends: used, borrowTimeouts, logins } = proxy.stats();
    expect({ most: clients.most, logins, borrowTimeouts }, figures).toEqual({
      most: functions,
      logins: 2 * functions,
      borrowTimeouts: 0,
    });
    expect(used.most, figures).toBeLessThanOrEqual(backends);
    expect(() => proxy.assertRulesKept(), figures).not.toThrow();
  });

  it('share ten backends behind PgBouncer', async ({ skip }) => {
    const no = whyNoPgBouncer();
    if (no !== undefined) return skip(no);
    const target = stage.postgres;
    const bouncer: TestPgBouncer = stage.use(
      await startPgBouncer({ target, defaultPoolSize: backends, maxClientConn: functions + 10 }),
    );
    const most = { clients: 0, servers: 0 };
    const look = async () => {
      const pools = await bouncer.admin('show pools');
      const sum = (prefix: string) =>
        pools
          .filter(({ database }) => database !== 'pgbouncer')
          .flatMap((pool) => Object.entries(pool).filter(([name]) => name.startsWith(prefix)))
          .reduce((total, [, value]) => total + Number(value), 0);
      most.clients = Math.max(most.clients, sum('cl_'));
      most.servers = Math.max(most.servers, sum('sv_'));
    };
    const env = { THAWPOOL_ROUTE: 'pgbouncer', THAWPOOL_PROXY_HOST: `${bouncer.host}:${bouncer.port}` };
    const restart = async () => {
      await bouncer.stop();
      await bouncer.start();
    };
    const { results, told } = await visits(env, { endAll: restart, look });
    await look();
    const figures = told(`${JSON.stringify(most)}\n${bouncer.log.join('\n')}`);
    expect(results, figures).toEqual(allAnswered);
    expect(most.clients, figures).toBe(functions);
    expect(most.servers, figures).toBeLessThanOrEqual(backends);
  });

  // Else it would show nothing that the others answer.
  it('are too many for the server itself', async () => {
    const { results, told } = await visits({ THAWPOOL_ACQUIRE_TIMEOUT_MS: '300' }, { rounds: 1 });
    expect(results[0]?.answered, told('')).toBeLessThanOrEqual(maxConnections);
    expect(await stage.postgres.log()).toMatch(/too many clients|connection slots are reserved/);
  });
});
