// How metrics are switched on: nothing is lost while the code is loaded, and when a line is due.

import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { Lifecycle, type LifecycleOptions } from '../../../src/lambda/lifecycle.ts';
import { startMeter } from '../../../src/telemetry/recorder.ts';
import { deferred } from '../../support/deferred.ts';
import { FakeClock, settle } from '../../support/fake-clock.ts';
import { type Harness, harness } from '../pool/harness.ts';
import { metricsOf } from './emf-schema.ts';

let lines: string[];
let warnings: string[];
let now: number;
beforeEach(() => {
  lines = [];
  warnings = [];
  now = 1_000_000;
});
afterEach(() => {
  vi.doUnmock('../../../src/telemetry/emf.ts');
  vi.resetModules();
});

function start({ pool }: Harness, write: (line: string) => unknown = (line) => lines.push(line)) {
  const metered = {
    name: 'default',
    stats: () => pool.stats(),
    observe: pool.observe.bind(pool),
  };
  return startMeter(metered, { write, onWarning: (message) => warnings.push(message) }, () => now);
}
const counts = (name: string): unknown[] => lines.map((line) => metricsOf(line)[name]);

describe('a meter', () => {
  it('has what happened before its code was loaded, times included', async () => {
    const made = harness({ max: 2 });
    const meter = start(made);
    made.factory.hold('create');
    const lease = made.pool.acquire();
    await made.clock.advance(20);
    made.factory.resume('create');
    (await lease).release();
    await meter.ended('a', true);
    expect(metricsOf(lines[0] ?? '')).toMatchObject({ ConnectCount: 1, ConnectTime: [20], AcquireWaitTime: [20] });
  });

  it('hears each event once when its code has been loaded', async () => {
    const made = harness();
    const meter = start(made);
    (await made.pool.acquire()).release();
    await meter.ended('a', true);
    (await made.pool.acquire()).release();
    await meter.ended('b', true);
    expect(counts('AcquireWaitTime')).toEqual([[0], [0]]);
    expect(counts('AcquireCount')).toEqual([1, 1]);
  });

  it('writes at once from then on', async () => {
    const made = harness();
    const meter = start(made);
    await made.pool.warm();
    await meter.ended('a', true);
    expect(meter.ended('b', true)).toBeUndefined();
    expect(lines).toHaveLength(2);
  });

  it('waits while others are under way, for a minute at most', async () => {
    const made = harness();
    const meter = start(made);
    await made.pool.warm();
    now += 59_999;
    await meter.ended('a', false);
    expect(lines).toEqual([]);
    now += 1;
    await meter.ended('b', false);
    expect(lines).toHaveLength(1);
    now += 59_999;
    await meter.ended('c', false);
    expect(lines).toHaveLength(1);
    await meter.ended('d', true);
    expect(lines.map((line) => (JSON.parse(line) as { requestId: string }).requestId)).toEqual(['b', 'd']);
  });

  it('says that its code could not be loaded, and fails nothing', async () => {
    vi.resetModules();
    vi.doMock('../../../src/telemetry/emf.ts', () => {
      throw new Error('not in this bundle');
    });
    const recorder = await import('../../../src/telemetry/recorder.ts');
    const { pool } = harness();
    const stopped = vi.fn<() => void>();
    const metered = { name: 'default', stats: () => pool.stats(), observe: () => stopped };
    const meter = recorder.startMeter(metered, { onWarning: (message) => warnings.push(message) }, () => now);
    await meter.ended('a', true);
    await meter.ended('b', true);
    expect(warnings).toEqual([expect.stringMatching(/^Metrics could not be loaded, and none are written: /)]);
    expect(stopped).toHaveBeenCalledOnce();
  });
});

describe('the end of an invocation', () => {
  const told: unknown[][] = [];
  let clock: FakeClock;
  /** How long the pool takes at the deadline. */
  let expired: Promise<void>;
  beforeEach(() => {
    told.length = 0;
    expired = Promise.resolve();
    clock = new FakeClock();
  });

  function lifecycle(env: LifecycleOptions['env'], written?: Promise<void>): Lifecycle {
    return new Lifecycle(
      {
        thaw: async () => {},
        freeze: async () => void told.push(['freeze']),
        reclaim: () => {
          told.push(['reclaim']);
          return [];
        },
        expire: () => {
          told.push(['expire']);
          return expired;
        },
      },
      {
        clock,
        env,
        deadlineReserveMillis: 250,
        onWarning: () => {},
        meter: {
          ended(requestId, alone) {
            told.push([requestId, alone]);
            return written;
          },
        },
      },
    );
  }
  const lambda = { AWS_LAMBDA_RUNTIME_API: '127.0.0.1:9001' };

  it('is told after the pool is ready to be frozen', async () => {
    const life = lifecycle(lambda);
    await life.end(await life.begin({ awsRequestId: 'a' }));
    expect(told).toEqual([['reclaim'], ['freeze'], ['a', true]]);
  });

  it('waits until the line is written', async () => {
    const written = deferred();
    const life = lifecycle(lambda, written.promise);
    let over = false;
    const ended = life.end(await life.begin({ awsRequestId: 'a' })).then(() => {
      over = true;
    });
    await settle();
    expect(over).toBe(false);
    written.resolve();
    await ended;
  });

  it('says which of several that overlap is the last', async () => {
    const life = lifecycle({ ...lambda, AWS_LAMBDA_MAX_CONCURRENCY: '10' });
    const [a, b] = [await life.begin({ awsRequestId: 'a' }), await life.begin({ awsRequestId: 'b' })];
    await life.end(a);
    await life.end(b);
    expect(told).toEqual([['reclaim'], ['a', false], ['reclaim'], ['freeze'], ['b', true]]);
  });

  it('is told once of an invocation behind two wrappers', async () => {
    const life = lifecycle(lambda);
    const context = { awsRequestId: 'a' };
    const invocation = await life.begin(context);
    await life.begin(context);
    await life.end(invocation);
    expect(told).toEqual([]);
    await life.end(invocation);
    expect(told.at(-1)).toEqual(['a', true]);
  });

  it('is told before the sandbox is killed, when the deadline has come', async () => {
    const life = lifecycle(lambda);
    const invocation = await life.begin({ awsRequestId: 'a', getRemainingTimeInMillis: () => 1000 });
    await clock.advance(750);
    await settle();
    expect(told).toEqual([['expire'], ['a', true]]);
    await life.end(invocation);
    expect(told.slice(2)).toEqual([['reclaim'], ['freeze'], ['a', true]]);
  });

  it('is not told a second time where the deadline ends it', async () => {
    const life = lifecycle(lambda);
    const invocation = await life.begin({ awsRequestId: 'a', getRemainingTimeInMillis: () => 1000 });
    const { promise, resolve } = deferred();
    expired = promise;
    await clock.advance(750);
    await life.end(invocation);
    resolve();
    await settle();
    expect(told[0]).toEqual(['expire']);
    expect(told.filter(([what]) => what === 'a')).toEqual([['a', true]]);
  });
});
