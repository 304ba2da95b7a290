// Metrics of a sandbox that is really frozen and really killed, from a bundle, by way of each runtime client.

import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { startPostgres, type TestPostgres } from '../support/postgres.ts';
import { type EmfDocument, emfFaults } from '../unit/telemetry/emf-schema.ts';
import { findRuntimeClient, type RuntimeClient } from './find-runtime-client.ts';
import { type Lab, openLab } from './lab.ts';

let postgres: TestPostgres;
beforeAll(async () => {
  postgres = await startPostgres();
});
afterAll(() => postgres.close());

const subject = `${join(import.meta.dirname, 'fixtures', 'metered.ts')}#handler`;
const found = findRuntimeClient();
const clients: readonly RuntimeClient[] = [
  findRuntimeClient('small'),
  ...(found.name === 'aws-lambda-ric' ? [found] : []),
];

/** The lines of metrics, once there are as many; what a process has written reaches this one a little later. */
async function written({ sandbox }: Lab, count: number): Promise<EmfDocument[]> {
  const lines = (): string[] => sandbox.stdout.split('\n').filter((line) => line.includes('_aws'));
  await expect.poll(() => lines().length).toBe(count);
  expect(lines().flatMap((line) => emfFaults(`${line}\n`))).toEqual([]);
  return lines().map((line) => JSON.parse(line) as EmfDocument);
}

describe.each(clients)('a sandbox with the runtime client $name', (runtimeClient) => {
  it('writes a line for each invocation, alone on its line, that shows the freeze before it', async () => {
    const env = { THAWPOOL_METRICS: 'emf', THAWPOOL_VALIDATE_AFTER_IDLE_MS: '50' };
    await using lab = await openLab({ subject, postgres, runtimeClient, env, timeoutMillis: 30_000 });
    const first = await lab.invoke({});
    await lab.freezeFor(200, () =>
      postgres.admin(`select pg_terminate_backend(pid, 30000) from pg_stat_activity
      where application_name = 'lab-sandbox'`),
    );
    const second = await lab.invoke({});
    expect([first.outcome, second.outcome]).toEqual(['ok', 'ok']);
    const [cold, thawed] = await written(lab, 2);
    expect(cold).toMatchObject({ requestId: first.requestId, FunctionName: 'lab', ColdStarts: 1, ConnectCount: 1 });
    expect(thawed).toMatchObject({ requestId: second.requestId, ConnectCount: 1, AcquireCount: 1 });
    // Its end is seen by whoever reads first: the pool, or the proof of life.
    const {
      EvictedBroken: broken = 0,
      EvictedInvalid: invalid = 0,
      FrozenTime: [frozen] = [],
    } = thawed as Record<string, unknown> & { FrozenTime?: number[] };
    expect(Number(broken) + Number(invalid)).toBe(1);
    expect(frozen).toBeGreaterThanOrEqual(200);
    expect(thawed).not.toHaveProperty('ColdStarts');
  });

  it('writes the line of an invocation that is killed', async () => {
    const env = { THAWPOOL_METRICS: 'emf', THAWPOOL_DEADLINE_RESERVE_MS: '2000' };
    await using lab = await openLab({ subject, postgres, runtimeClient, env });
    const result = await lab.invoke({ hang: true }, { timeoutMillis: 4000 });
    expect(result.outcome).toBe('timeout');
    const [line] = await written(lab, 1);
    expect(line).toMatchObject({ requestId: result.requestId, AcquireCount: 1, ConnectionsIdle: 1 });
  });
});
