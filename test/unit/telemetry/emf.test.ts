import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import type { PoolOptions } from '../../../src/pool/index.ts';
import { type EmfOptions, startEmf } from '../../../src/telemetry/emf.ts';
import { emfLine } from '../../../src/telemetry/emf-line.ts';
import { emfMetrics } from '../../../src/telemetry/emf-metrics.ts';
import type { Values } from '../../../src/telemetry/fold.ts';
import type { MeteredPool } from '../../../src/telemetry/metered-pool.ts';
import { type MetricName, metrics } from '../../../src/telemetry/metric-names.ts';
import { type Harness, harness } from '../pool/harness.ts';
import { type EmfDocument, emfFaults, metricsOf } from './emf-schema.ts';

interface Named extends Harness {
  readonly metered: MeteredPool;
}

function named(name: string, options: PoolOptions = {}, reader?: MeteredPool): Named {
  const made = harness(options);
  const { pool } = made;
  const metered: MeteredPool = {
    name,
    ...(reader && { reader }),
    stats: () => pool.stats(),
    observe: (observer) => pool.observe(observer),
  };
  return { ...made, metered };
}

let lines: string[];
let warnings: string[];
beforeEach(() => {
  lines = [];
  warnings = [];
});
afterEach(() => vi.unstubAllEnvs());

const options = (more: EmfOptions = {}): EmfOptions => ({
  write: (line) => lines.push(line),
  onWarning: (message) => warnings.push(message),
  ...more,
});
const documents = (): EmfDocument[] => lines.map((line) => JSON.parse(line) as EmfDocument);

async function once(more: EmfOptions = {}): Promise<EmfDocument> {
  const { pool, metered } = named('default');
  const emf = emfMetrics(metered, options(more));
  (await pool.acquire()).release();
  emf.flush('request-1');
  const [document] = documents();
  return document ?? expect.fail('no line was written');
}

describe('a line', () => {
  it('is what CloudWatch makes metrics of', async () => {
    await once();
    expect(emfFaults(lines[0] ?? '')).toEqual([]);
    expect(metricsOf(lines[0] ?? '')).toMatchObject({ AcquireCount: 1, ConnectCount: 1, ConnectionsIdle: 1 });
  });

  it('names the function, the pool, the request and the epoch', async () => {
    const document = await once({ functionName: 'orders', namespace: 'Shop' });
    expect(document).toMatchObject({ FunctionName: 'orders', PoolName: 'default', requestId: 'request-1', epoch: 0 });
    expect(document._aws.CloudWatchMetrics).toMatchObject([
      { Namespace: 'Shop', Dimensions: [['FunctionName', 'PoolName']] },
    ]);
    expect(Math.abs(document._aws.Timestamp - Date.now())).toBeLessThan(3_600_000);
  });

  it('takes names by default from Lambda, and says local elsewhere', async () => {
    vi.stubEnv('AWS_LAMBDA_FUNCTION_NAME', 'billing');
    expect(await once()).toMatchObject({ FunctionName: 'billing' });
    expect(documents()[0]?._aws.CloudWatchMetrics[0]?.Namespace).toBe('thawpool');
    vi.stubEnv('AWS_LAMBDA_FUNCTION_NAME', '');
    lines = [];
    expect(await once()).toMatchObject({ FunctionName: 'local' });
  });

  it('has further dimensions where these are given', async () => {
    const document = await once({ dimensions: { Stage: 'test' } });
    expect(document).toMatchObject({ Stage: 'test' });
    expect(document._aws.CloudWatchMetrics[0]?.Dimensions).toEqual([['FunctionName', 'PoolName', 'Stage']]);
    expect(emfFaults(lines[0] ?? '')).toEqual([]);
  });

  it('has the metrics in the order of the table', async () => {
    await once();
    const names = Object.keys(metricsOf(lines[0] ?? ''));
    expect(names).toEqual(Object.keys(metrics).filter((name) => names.includes(name)));
  });

  it.each([
    ['Bestände', 'Best_nde'],
    ['', 'unnamed'],
    [' ', 'unnamed'],
    ['x'.repeat(2000), 'x'.repeat(1024)],
  ])('has a name for a pool named %j that CloudWatch takes', async (name, shown) => {
    const { pool, metered } = named(name);
    const emf = emfMetrics(metered, options());
    (await pool.acquire()).release();
    emf.flush();
    expect(documents()[0]?.['PoolName']).toBe(shown);
    expect(emfFaults(lines[0] ?? '')).toEqual([]);
  });

  it('keeps within the limits with everything in it at once', () => {
    const values: Values = {};
    for (const [name, { kind }] of Object.entries(metrics)) {
      values[name as MetricName] = kind === 'time' ? Array.from({ length: 100 }, () => 123_456.789) : 9_999_999;
    }
    const line = emfLine(
      { values, details: { connectRetries: 1 } },
      {
        namespace: 'x'.repeat(255),
        functionName: 'x'.repeat(64),
        poolName: 'x'.repeat(255),
        dimensions: Object.fromEntries(Array.from({ length: 28 }, (_, n) => [`d${n}`, 'x'.repeat(1024)])),
        at: 1_700_000_000_000.5,
        requestId: 'x'.repeat(64),
        epoch: 1,
      },
    );
    expect(emfFaults(line)).toEqual([]);
    expect(Object.keys(metricsOf(line))).toEqual(Object.keys(metrics));
  });
});

describe('metrics', () => {
  it('are a line for each flush, with what has happened since the last one', async () => {
    const { pool, metered } = named('default');
    const emf = emfMetrics(metered, options());
    (await pool.acquire()).release();
    emf.flush();
    for (let count = 0; count < 2; count += 1) (await pool.acquire()).release();
    emf.flush();
    expect(lines.map((line) => metricsOf(line)['AcquireCount'])).toEqual([1, 2]);
    expect(metricsOf(lines[1] ?? '')).not.toHaveProperty('ConnectCount');
  });

  it('are a line of its own for a reader that is another pool', async () => {
    const reader = named('default:reader');
    const { pool, metered } = named('default', {}, reader.metered);
    const emf = emfMetrics(metered, options());
    (await pool.acquire()).release();
    (await reader.pool.acquire()).release();
    (await reader.pool.acquire()).release();
    emf.flush();
    expect(documents().map((document) => [document['PoolName'], document['AcquireCount']])).toEqual([
      ['default', 1],
      ['default:reader', 2],
    ]);
  });

  it('are not said twice of a pool that is its own reader', async () => {
    const { pool, metered } = named('default');
    const own: MeteredPool = { ...metered };
    Object.assign(own, { reader: own });
    const emf = emfMetrics(own, options());
    (await pool.acquire()).release();
    emf.flush();
    expect(lines).toHaveLength(1);
  });

  it('count a cold start once in a process, whatever the pools', async () => {
    const coldStart = { fresh: true };
    const [first, second] = [named('a'), named('b')];
    const emf = startEmf([first.metered, second.metered], options(), [], coldStart);
    (await second.pool.acquire()).release();
    emf.flush();
    emf.flush();
    startEmf([named('c').metered], options(), [], coldStart).flush();
    expect(documents().map((document) => [document['PoolName'], document['ColdStarts']])).toEqual([
      ['a', 1],
      ['b', undefined],
      ['b', undefined],
    ]);
    expect(emfFaults(lines[0] ?? '')).toEqual([]);
  });

  it('end when they are stopped', async () => {
    const { pool, metered } = named('default');
    const emf = startEmf([metered], options(), [], { fresh: false });
    emf.stop();
    await pool.acquire();
    emf.flush();
    expect(lines).toEqual([]);
  });

  it.each([
    [
      'throws',
      () => {
        throw new Error('EPIPE');
      },
    ],
    ['rejects', () => Promise.reject(new Error('EPIPE'))],
  ])('fail nothing where the writer %s, and say so once', async (_, write) => {
    const { pool, metered } = named('default');
    const emf = emfMetrics(metered, options({ write }));
    for (let count = 0; count < 2; count += 1) {
      (await pool.acquire()).release();
      expect(() => emf.flush()).not.toThrow();
      await new Promise((resolve) => void setImmediate(resolve));
    }
    expect(warnings).toEqual(['Metrics could not be written, and were left out (said once): Error: EPIPE']);
  });
});

describe('what CloudWatch would not take', () => {
  it.each(['', 'AWS/RDS', 'x'.repeat(256), 'a"b', 'ä'])('is refused as a namespace: %s', (namespace) => {
    expect(() => emfMetrics(named('default').metered, options({ namespace }))).toThrow(
      /^namespace must be 1 to 255 .*, got "/,
    );
  });

  it.each([
    [{ '': 'x' }, 'printable ASCII'],
    [{ ':a': 'x' }, 'printable ASCII'],
    [{ a: '' }, 'printable ASCII'],
    [{ a: ' ' }, 'printable ASCII'],
    [{ a: 'ä' }, 'printable ASCII'],
    [{ a: 'x'.repeat(1025) }, 'its value 1024'],
    [{ PoolName: 'x' }, 'must not have PoolName'],
    [{ ConnectCount: 'x' }, 'must not have ConnectCount'],
    [{ connectRetries: 'x' }, 'must not have connectRetries'],
    [{ _aws: 'x' }, 'must not have _aws'],
    [Object.fromEntries(Array.from({ length: 29 }, (_, n) => [`d${n}`, 'x'])), '28 dimensions besides ours, got 29'],
  ])('is refused as dimensions: %j', (dimensions, words) => {
    expect(() => emfMetrics(named('default').metered, options({ dimensions }))).toThrow(words);
  });
});
