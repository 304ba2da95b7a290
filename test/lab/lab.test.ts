import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { startPostgres, type TestPostgres } from '../support/postgres.ts';
import { findRuntimeClient, type RuntimeClient } from './find-runtime-client.ts';
import { type Lab, openLab } from './lab.ts';
import { runScenario } from './run-scenario.ts';
import { startRuntimeApi } from './runtime-api.ts';
import { startSandbox } from './sandbox.ts';
import { findScenario } from './scenarios/index.ts';
import { findSubject } from './subjects/index.ts';

let postgres: TestPostgres;

beforeAll(async () => {
  postgres = await startPostgres();
});
afterAll(() => postgres.close());

const fixture = (name: string) => `${join(import.meta.dirname, 'fixtures', 'handlers.ts')}#${name}`;

function stateOf(pid: number | undefined): string {
  const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
  return stat.charAt(stat.lastIndexOf(')') + 2);
}

/** AWS's client is tested too wherever it is installed. */
const found = findRuntimeClient();
const installed: readonly RuntimeClient[] = [
  findRuntimeClient('small'),
  ...(found.name === 'aws-lambda-ric' ? [found] : []),
];

describe.each(installed)('a sandbox with the runtime client $name', (runtimeClient) => {
  const lab = (handler: string): Promise<Lab> => openLab({ subject: fixture(handler), postgres, runtimeClient });

  it('gives the handler its event, its context and a clean environment', async () => {
    await using it = await lab('echo');
    const result = await it.invoke({ hello: 'world' }, { timeoutMillis: 10_000 });
    expect(result).toMatchObject({ ok: true, outcome: 'ok', payload: { event: { hello: 'world' } } });
    const { context, remaining, env } = result.payload as Record<string, never>;
    expect(context).toMatchObject({ awsRequestId: result.requestId, functionName: 'lab', memoryLimitInMB: '512' });
    expect(context).not.toHaveProperty('callbackWaitsForEmptyEventLoop');
    expect(Number(remaining)).toBeGreaterThan(0);
    expect(Number(remaining)).toBeLessThanOrEqual(10_000);
    expect(env).toContain('AWS_LAMBDA_INITIALIZATION_TYPE');
    expect(env).not.toContain('HOME');
    expect(it.sandbox.stdout).toContain('echo was called');
  });

  it('collects a streamed response, and the error of a broken one', async () => {
    await using whole = await lab('stream');
    const result = await whole.invoke({});
    expect(result).toMatchObject({ ok: true, payload: `{"statusCode":201}${'\0'.repeat(8)}one,two` });
    expect(result.stream?.contentType).toBe('application/vnd.awslambda.http-integration-response');
    await using broken = await lab('brokenStream');
    expect(await broken.invoke({})).toMatchObject({
      outcome: 'error',
      payload: 'half',
      error: { errorType: 'TypeError', errorMessage: 'the other half is missing' },
    });
  });

  it('gives several invocations at once to one worker, and to several', async () => {
    // Several workers get one each at least; who gets the others is for them to settle.
    for (const [workers, others] of [
      [1, 6],
      [3, 1],
    ] as const) {
      await using it = await openLab({
        subject: fixture('meet'),
        postgres,
        runtimeClient,
        concurrency: { workers, invocations: 6 },
      });
      const results = await Promise.all(Array.from({ length: 6 }, () => it.invoke({ others })));
      expect(results.map(({ outcome }) => outcome)).toEqual(Array.from({ length: 6 }, () => 'ok'));
      expect(new Set(results.map(({ payload }) => (payload as { thread: number }).thread)).size).toBe(workers);
      expect(it.sandbox.starts).toBe(1);
    }
  });

  it('moves the clocks of the sandbox, and its deadlines with them', async () => {
    await using it = await openLab({ subject: fixture('clocks'), postgres, runtimeClient, movableClock: true });
    interface Clocks {
      readonly now: number;
      readonly date: number;
      readonly fixed: string;
      readonly monotonic: number;
      readonly remaining: number;
    }
    const first = (await it.invoke({})).payload as Clocks;
    await it.setClock({ wall: 600_000, monotonic: 300_000 });
    const second = (await it.invoke({})).payload as Clocks;
    // No machine is so slow that it takes five minutes more.
    expect(second.now - first.now).toBeGreaterThanOrEqual(600_000);
    expect(second.date - first.date).toBeGreaterThanOrEqual(600_000);
    expect(second.monotonic - first.monotonic).toBeGreaterThanOrEqual(300_000);
    expect(second.monotonic - first.monotonic).toBeLessThan(600_000);
    expect(second.fixed).toBe('1970-01-01T00:00:00.000Z');
    expect(second.remaining).toBeGreaterThan(0);
    expect(second.remaining).toBeLessThanOrEqual(3000);
  });

  it('refuses a handler that takes a callback', async () => {
    await expect(lab('callback')).rejects.toThrow('Runtime.CallbackHandlerDeprecated');
  });

  it('kills the process at the deadline, and starts cold for the next invocation', async () => {
    await using it = await lab('hang');
    const result = await it.invoke({}, { timeoutMillis: 100 });
    expect(result).toMatchObject({ ok: false, outcome: 'timeout' });
    expect(result.error?.errorMessage).toContain('Task timed out after 0.10 seconds');
    expect(it.sandbox.exit).toEqual({ code: null, signal: 'SIGKILL' });
    await it.invoke({}, { timeoutMillis: 100 });
    expect(it.sandbox.starts).toBe(2);
  });

  it('reports a process that ends during its invocation', async () => {
    await using it = await lab('crash');
    const result = await it.invoke({});
    expect(result).toMatchObject({ outcome: 'exit', error: { errorType: 'Runtime.ExitError' } });
    expect(result.error?.errorMessage).toContain('Runtime exited with error: exit status 1');
    expect(it.sandbox.stderr).toContain('nobody catches this');
  });

  it.runIf(process.platform === 'linux')('is stopped between invocations', async () => {
    await using it = await lab('echo');
    expect(stateOf(it.sandbox.pid)).toBe('T');
    await it.invoke({});
    expect(stateOf(it.sandbox.pid)).toBe('T');
    it.sandbox.thaw();
    await expect.poll(() => stateOf(it.sandbox.pid)).not.toBe('T');
    await it.freezeFor(1, () => expect(stateOf(it.sandbox.pid)).toBe('T'));
    expect(await it.invoke({ again: true })).toMatchObject({ ok: true, payload: { event: { again: true } } });
  });

  it('leaves a pg.Pool with its defaults failing when its session is killed in a freeze', async () => {
    const report = await runScenario(findScenario('killed-while-frozen'), findSubject('pg-pool'), {
      postgres,
      runtimeClient,
    });
    expect(report.verdict).toBe('fail');
    expect(report.why).toContain('invocations failed, the first "after 0.1 s"');
  });

  it('leaves even a careful pg.Pool hanging when its connection is black-holed in a freeze', async () => {
    const report = await runScenario(findScenario('black-holed-while-frozen'), findSubject('pg-pool-careful'), {
      postgres,
      runtimeClient,
    });
    expect(report.verdict).toBe('fail');
    expect(report.why).toContain('Task timed out after 3.00 seconds');
  });

  it('lets a pg.Pool pass where nothing is broken', async () => {
    const report = await runScenario(findScenario('warm'), findSubject('pg-pool'), { postgres, runtimeClient });
    expect(report).toMatchObject({ verdict: 'pass' });
    expect(report.outcome.invocations).toHaveLength(21);
  });
});

describe('a sandbox', () => {
  it('ends on SIGTERM, also from a freeze, and tells of it', async () => {
    await using api = await startRuntimeApi();
    await using sandbox = await startSandbox({
      handler: fixture('echo'),
      api,
      runtimeClient: findRuntimeClient('small'),
    });
    const ended = new Promise((resolve) => sandbox.events.once('exit', resolve));
    sandbox.terminate();
    expect(await ended).toEqual({ code: null, signal: 'SIGTERM' });
  });

  it('says what is wrong with a handler that cannot be loaded', async () => {
    await using api = await startRuntimeApi();
    await expect(startSandbox({ handler: fixture('missing'), api })).rejects.toThrow('Runtime.HandlerNotFound');
  });
});

describe('a lab', () => {
  it('knows its sessions at the server and leaves none behind', async () => {
    const lab = await openLab({ subject: 'pg-client', postgres });
    await lab.invoke({ op: 'query' });
    expect(await lab.sessions()).toHaveLength(1);
    await lab.close();
    await expect.poll(() => lab.sessions()).toEqual([]);
    expect(lab.sandbox.pid).toBeUndefined();
  });

  it('names the subjects and scenarios there are when one is unknown', async () => {
    await expect(openLab({ subject: 'nobody', postgres })).rejects.toThrow(
      /no subject "nobody"\. Known: thawpool, thawpool-wrapper, pg-pool/,
    );
    expect(() => findScenario('nothing')).toThrow(/no scenario "nothing"\. Known: warm, killed-while-frozen/);
  });
});
