import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { findRuntimeClient, type RuntimeClient } from '../lab/find-runtime-client.ts';
import { runScenario } from '../lab/run-scenario.ts';
import { findScenario, scenarios } from '../lab/scenarios/index.ts';
import type { Scenario } from '../lab/scenarios/scenario.ts';
import { findSubject } from '../lab/subjects/index.ts';
import { startPostgres, type TestPostgres } from '../support/postgres.ts';

/** AWS's own client wherever it is installed, else the small one; the run says which, and why. */
const runtimeClient: RuntimeClient = findRuntimeClient();

/** The wrapper shares everything with the middleware but the way in and out: these go through that. */
const CORE = [
  'warm',
  'killed-while-frozen',
  'black-holed-while-frozen',
  'expired-at-first-statement',
  'frozen-in-connect',
  'killed-in-transaction',
  'throws-in-transaction',
  'forgets-to-release',
  'unawaited-query',
  'times-out-in-transaction',
  'streaming-cursor',
  'killed-while-streaming',
  'concurrent-invocations',
];

const doors: readonly (readonly [subject: string, scenarios: readonly Scenario[]])[] = [
  ['thawpool', scenarios],
  ['thawpool-wrapper', CORE.map(findScenario)],
];

/** Twice what an acquire may take by default: who runs into it hangs, and a loaded machine does not. */
const timeoutMillis = 10_000;

let postgres: TestPostgres;

beforeAll(async () => {
  const { name, version, why } = runtimeClient;
  process.stdout.write(`Runtime client: ${name} ${version}${why === undefined ? '' : ` (${why})`}\n`);
  postgres = await startPostgres();
});
afterAll(() => postgres?.close());

describe.each(doors)('a handler with %s', (name, stories) => {
  const subject = findSubject(name);

  for (const scenario of stories) {
    it(`${scenario.name}: ${scenario.rule}`, async ({ skip }) => {
      const { verdict, why, output } = await runScenario(scenario, subject, { postgres, runtimeClient, timeoutMillis });
      if (verdict === 'skip') return skip(why);
      expect(verdict, `${why}\n${output}`).toBe('pass');
    });
  }
});

// A scenario that nobody fails shows nothing.
describe('a handler with a plain pg.Pool', () => {
  it.each(['killed-while-frozen', 'black-holed-while-frozen'])('fails %s', async (name) => {
    const scenario = findScenario(name);
    const { verdict } = await runScenario(scenario, findSubject('pg-pool'), { postgres, runtimeClient });
    expect(verdict).toBe('fail');
  });
});
