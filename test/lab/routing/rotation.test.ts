// A secret is rotated while a sandbox that logs in with it is invoked again and again, and its connections are ended.

import { once } from 'node:events';
import pg from 'pg';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { startPostgres, type TestPostgres } from '../../support/postgres.ts';
import type { StoredSecret } from '../../support/secrets-manager/secret-store.ts';
import { SecretsManagerDouble } from '../../support/secrets-manager/secrets-manager.ts';
import { type Lab, openLab } from '../lab.ts';
import { endSessions, region, Story } from './stage.ts';

type Fields = Readonly<Record<string, string>>;

/** One step of a rotation, in words, and what it does. */
type Step = readonly [label: string, run: () => unknown];

/** Whom a rotation gives a new password, and the steps in their order. */
interface Order {
  readonly title: string;
  /** The role whose password comes next; the one that is current is the other where there are two. */
  readonly roles: readonly [string, ...string[]];
  steps(secret: StoredSecret, next: Fields): readonly Step[];
}

const ROTATIONS = 2;
const parallel = 3;

describe('a secret that is rotated', () => {
  let postgres: TestPostgres;
  let manager: SecretsManagerDouble;

  beforeAll(async () => {
    postgres = await startPostgres();
    manager = await SecretsManagerDouble.start(region);
  });
  afterAll(async () => {
    await manager?.[Symbol.asyncDispose]();
    await postgres?.close();
  });

  const setPassword = async ({ username, password }: Fields): Promise<void> => {
    await postgres.admin(`alter role "${username}" password '${password}'`);
  };

  /** Step 3 of a rotation function: it logs in with what is pending. */
  async function login({ username: user, password }: Fields): Promise<void> {
    const { host, port, database } = postgres;
    const client = new pg.Client({ host, port, database, user, password });
    await client.connect();
    await client.end();
  }

  /** The four steps of AWS's rotation functions (AWS Secrets Manager User Guide, "Lambda rotation functions"). */
  const fourSteps = (secret: StoredSecret, next: Fields): readonly Step[] => [
    ['createSecret', () => secret.createSecret(next)],
    ['setSecret', () => secret.setSecret((fields) => setPassword(fields))],
    ['testSecret', () => secret.testSecret(login)],
    ['finishSecret', () => secret.finishSecret()],
  ];

  const orders: readonly (Order & { readonly stages: readonly string[] })[] = [
    {
      title: 'for one user: the password changes before the stage',
      roles: ['single'],
      steps: fourSteps,
      stages: ['AWSCURRENT', 'AWSPENDING'],
    },
    {
      title: 'for two users in turn: the password of one is good meanwhile',
      roles: ['even', 'odd'],
      steps: fourSteps,
      stages: ['AWSCURRENT'],
    },
  ];
  /** No rotation function does this, but people do. */
  const byHand: Order = {
    title: 'by hand: the stage changes before the password',
    roles: ['by_hand'],
    steps: (secret, next) => [
      ['PutSecretValue', () => secret.put(next)],
      ['ALTER ROLE', () => setPassword(next)],
    ],
  };

  const asked = () => manager.calls.map(({ stage }) => stage);

  async function prepare({ roles }: Order) {
    manager.calls.length = 0;
    for (const role of roles) await postgres.admin(`create role "${role}" login password 'first of ${role}'`);
    const secret = manager.store.create(roles.join('-'), { username: roles[0], password: `first of ${roles[0]}` });
    const env = { ...manager.environment, THAWPOOL_SECRET_ARN: secret.arn, PGUSER: '', PGPASSWORD: '' };
    const open = () => openLab({ subject: 'thawpool-wrapper', postgres, libpqVariables: true, env });
    const next = (count: number): Fields => {
      const username = roles[count % roles.length] ?? '';
      return { username, password: `number ${count} of ${username}` };
    };
    return { secret, open, next };
  }

  /** Several connections at once, all of which have to be made. */
  async function invoke(story: Story, lab: Lab, label: string): Promise<void> {
    await lab.freezeFor(0, () => endSessions(lab));
    await story.invoke(lab, label, { op: 'parallel', n: parallel });
  }

  /** Its next invocation is a cold start. */
  async function end({ sandbox }: Lab): Promise<void> {
    const ended = once(sandbox.events, 'exit');
    sandbox.kill();
    await ended;
  }

  it.each(orders)('fails no invocation $title', async (order) => {
    const { secret, open, next } = await prepare(order);
    const story = new Story();
    await using warm = await open();
    await using cold = await open();
    await invoke(story, warm, 'before');
    for (let count = 1; count <= ROTATIONS; count += 1) {
      for (const [label, run] of order.steps(secret, next(count))) {
        const at = `rotation ${count}, ${label}`;
        // Both begin at once: the step falls on any moment of the login.
        await Promise.all([invoke(story, warm, `${at} (meanwhile)`), run()]);
        await invoke(story, warm, `${at} (after)`);
        if (count > 1) continue;
        await end(cold);
        await invoke(story, cold, `${at} (cold)`);
      }
    }
    story.note(`asked for: ${asked().join(' ')}`);
    expect(story.failures, story.told(warm)).toEqual([]);
    expect(warm.sandbox.starts, story.told(warm)).toBe(1);
    expect([...new Set(asked())], story.told(warm)).toEqual(order.stages);
  });

  it(`fails no invocation ${byHand.title}`, async () => {
    const { secret, open, next } = await prepare(byHand);
    const story = new Story();
    await using warm = await open();
    await using cold = await open();
    await invoke(story, warm, 'before');
    for (let count = 1; count <= ROTATIONS; count += 1) {
      for (const [label, run] of byHand.steps(secret, next(count))) {
        await run();
        await invoke(story, warm, `rotation ${count}, ${label}`);
        await end(cold);
        await invoke(story, cold, `rotation ${count}, ${label} (cold)`);
      }
    }
    story.note(`asked for: ${asked().join(' ')}`);
    expect(story.failures, story.told(warm)).toEqual([]);
    // A cold start in between finds the password at the stage from which it was just moved.
    expect(asked(), story.told(warm)).toContain('AWSPREVIOUS');
  });
});
