// Metrics as a function writes them: through both doors, on standard output, against a real server.

import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import middy from '@middy/core';
import type { Context } from 'aws-lambda';
import { PgPool, withPool } from 'thawpool';
import { pgPool } from 'thawpool/middy';
import { emfMetrics } from 'thawpool/telemetry';
import { FakeClock, simulateFreeze } from 'thawpool/testing';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { deferred } from '../support/deferred.ts';
import { type EmfDocument, emfFaults, metricsOf } from '../unit/telemetry/emf-schema.ts';
import { makeContext, onLambda } from './invocations.ts';
import { failure, nextEvent, through, useDatabase, usePools, useProxy } from './support.ts';

const database = useDatabase();
const proxy = useProxy();
const makePool = usePools(() => ({ connectionString: database.connectionString, metrics: 'emf' }));

type Handler = (event: unknown, context: Context & { db: PgPool }) => unknown;
type Invoke = (event: unknown, context: Context) => Promise<unknown>;

const doors: [name: string, wrap: (handler: Handler, pool: PgPool) => Invoke][] = [
  ['the middleware', (handler, pool) => middy().use(pgPool({ pool })).handler(handler) as unknown as Invoke],
  ['the wrapper', (handler, pool) => withPool(handler, { pool })],
];

let lines: string[];
/** Called with each line. */
let onLine: (line: string) => void;
beforeEach(() => {
  lines = [];
  onLine = () => {};
  vi.spyOn(process.stdout, 'write').mockImplementation(((line: string, done?: () => void) => {
    if (line.startsWith('{"_aws"')) {
      lines.push(line);
      onLine(line);
    }
    if (done) process.nextTick(done);
    return true;
  }) as typeof process.stdout.write);
});
afterEach(() => vi.restoreAllMocks());

const document = (index: number): EmfDocument => JSON.parse(lines.at(index) ?? 'null') as EmfDocument;
const metrics = (index: number): Record<string, unknown> => metricsOf(lines.at(index) ?? expect.fail('no such line'));

describe.each(doors)('metrics of a handler behind %s', (_, wrap) => {
  it('are one line for each invocation, with what was done in it', async () => {
    const { pool } = makePool({ env: { AWS_LAMBDA_FUNCTION_NAME: 'orders' }, metricsNamespace: 'Shop' });
    const queries = async (event: unknown, { db }: { db: PgPool }): Promise<void> => {
      for (let count = 0; count < Number(event); count += 1) await db.query('select 1');
    };
    const handler = wrap(queries, pool);
    await handler(1, makeContext({ awsRequestId: 'first' }));
    await handler(3, makeContext({ awsRequestId: 'second' }));
    expect(lines).toHaveLength(2);
    for (const line of lines) expect(emfFaults(line)).toEqual([]);
    expect(document(0)).toMatchObject({ FunctionName: 'orders', PoolName: 'default', requestId: 'first' });
    expect(document(0)._aws.CloudWatchMetrics[0]?.Namespace).toBe('Shop');
    expect(metrics(0)).toMatchObject({ AcquireCount: 1, ConnectCount: 1, ConnectionsIdle: 1, ConnectionsLeased: 1 });
    expect(metrics(0)['ConnectTime']).toEqual([expect.any(Number)]);
    expect(document(1)['requestId']).toBe('second');
    expect(metrics(1)).toMatchObject({ AcquireCount: 3, AcquireWaitTime: [0, 0, 0] });
    expect(metrics(1)).not.toHaveProperty('ConnectCount');
    expect(metrics(1)).not.toHaveProperty('ColdStarts');
  });

  it('show a freeze, and what it did to the connection', async () => {
    const clock = new FakeClock();
    const { pool } = makePool({ clock });
    const handler = wrap((_event, { db }) => db.query('select 1'), pool);
    await handler({}, makeContext());
    simulateFreeze(pool, { forMillis: 60_000, sockets: 'alive' });
    await handler({}, makeContext());
    expect(metrics(1)).toMatchObject({ FrozenTime: [60_000], PingCount: 1, PingTime: [0], AcquireCount: 1 });
    expect(metrics(1)).not.toHaveProperty('ConnectCount');
    expect(document(1)['epoch']).toBe(1);
    simulateFreeze(pool, { forMillis: 60_000, sockets: 'reset' });
    await handler({}, makeContext());
    expect(metrics(2)).toMatchObject({ FrozenTime: [60_000], ConnectCount: 1, AcquireCount: 1 });
    const { EvictedBroken: broken = 0, EvictedInvalid: invalid = 0 } = metrics(2);
    expect(Number(broken) + Number(invalid)).toBe(1);
  });

  it('are written of an invocation that throws, leaks included', async () => {
    const { pool } = makePool();
    const handler = wrap(async (_event, { db }) => {
      await db.connect();
      throw new Error('the handler’s own');
    }, pool);
    await failure(handler({}, makeContext()));
    expect(metrics(0)).toMatchObject({ LeaksReclaimed: 1 });
  });

  it('have what was done before the first invocation', async () => {
    const { pool } = makePool();
    await pool.warm();
    await wrap(() => 'no query', pool)({}, makeContext());
    expect(metrics(0)).toMatchObject({ ConnectCount: 1, ConnectTime: [expect.any(Number)], ConnectionsIdle: 1 });
  });

  it('are nothing of a pool that nobody used, from the second line of the process on', async () => {
    const { pool } = makePool();
    await wrap((_event, { db }) => db.query('select 1'), pool)({}, makeContext());
    const { pool: unused } = makePool({ name: 'unused' });
    await wrap(() => 'no query', unused)({}, makeContext());
    expect(lines).toHaveLength(1);
  });
});

describe('metrics', () => {
  it('tell an acquire whose time was up', async () => {
    const { pool } = makePool({ max: 1, acquireTimeoutMillis: 20 });
    const handler = withPool(
      async (_event: unknown, { db }) => {
        await using lease = await db.acquire({ timeoutMillis: 5000 });
        expect(lease.client).toBeDefined();
        await failure(db.query('select 1'));
      },
      { pool },
    );
    await handler({}, makeContext());
    expect(metrics(0)).toMatchObject({ AcquireTimeouts: 1, AcquireFailures: 1, ConnectionsWaiting: 1 });
  });

  it('count a statement that was sent again', async () => {
    await database.query('create sequence attempts');
    const { pool } = makePool();
    // The first attempt ends its own session; a sequence goes on all the same.
    const text = `select case when nextval('attempts') = 1 then pg_terminate_backend(pg_backend_pid()) end`;
    await withPool((_event: unknown, { db }) => db.query({ text, idempotent: true }), { pool })({}, makeContext());
    expect(metrics(0)).toMatchObject({ Retries: 1, ConnectCount: 2 });
    expect(document(0)).toMatchObject({ statementRetries: 1 });
  });

  it('count a transaction that was begun again', async () => {
    const { pool } = makePool();
    let attempts = 0;
    const handler = withPool(
      (_event: unknown, { db }) =>
        db.transaction({ retries: 2 }, async (tx) => {
          attempts += 1;
          if (attempts < 3) await tx.query(`do $$ begin raise exception using errcode = '40001'; end $$`);
        }),
      { pool },
    );
    await handler({}, makeContext());
    expect(attempts).toBe(3);
    expect(metrics(0)).toMatchObject({ Retries: 2 });
    expect(document(0)).toMatchObject({ transactionRetries: 2 });
  });

  it('count a transaction whose BEGIN did not arrive', async () => {
    const { pool } = makePool();
    const handler = withPool(
      async (_event: unknown, { db }) => {
        await db.query('select 1');
        simulateFreeze(pool, { forMillis: 0, sockets: 'reset' });
        await db.transaction((tx) => tx.query('select 1'));
      },
      { pool },
    );
    await handler({}, makeContext());
    expect(metrics(0)).toMatchObject({ Retries: 1, ConnectCount: 2 });
    expect(document(0)).toMatchObject({ transactionRetries: 1 });
  });

  it('count attempts to connect', async () => {
    const { pool } = makePool({ connectionString: through(proxy().port, database.connectionString) });
    await proxy().refuse(true);
    const refused = nextEvent(pool, ({ type }) => type === 'noted');
    const connected = withPool((_event: unknown, { db }) => db.query('select 1'), { pool })({}, makeContext());
    await refused;
    await proxy().healed();
    await connected;
    expect(metrics(0)).toMatchObject({ Retries: expect.any(Number), ConnectCount: 1 });
    expect(Number(document(0)['connectRetries'])).toBeGreaterThan(0);
  });

  it('are a line of its own for the reader', async () => {
    const { hostname } = new URL(database.connectionString);
    const { pool } = makePool({ name: 'orders', readerHost: hostname });
    const handler = withPool(
      async (_event: unknown, { db }) => {
        await db.query('select 1');
        await db.reader.query('select 1');
        await db.reader.query('select 1');
      },
      { pool },
    );
    await handler({}, makeContext({ awsRequestId: 'a' }));
    expect([0, 1].map((index) => document(index))).toMatchObject([
      { PoolName: 'orders', AcquireCount: 1, requestId: 'a' },
      { PoolName: 'orders:reader', AcquireCount: 2, requestId: 'a' },
    ]);
    expect(pool.reader.name).toBe('orders:reader');
  });

  it('are one line for invocations that overlap', async () => {
    const { pool } = makePool({ env: { ...onLambda, AWS_LAMBDA_MAX_CONCURRENCY: '10' } });
    const gate = deferred();
    const handler = withPool(
      async (event: unknown, { db }) => {
        await db.query('select 1');
        if (event === 'long') await gate.promise;
      },
      { pool },
    );
    const long = handler('long', makeContext({ awsRequestId: 'long' }));
    await handler('short', makeContext({ awsRequestId: 'short' }));
    expect(lines).toEqual([]);
    gate.resolve();
    await long;
    expect(lines).toHaveLength(1);
    expect(document(0)).toMatchObject({ requestId: 'long', AcquireCount: 2 });
  });

  it('are written before the sandbox is killed', async () => {
    const clock = new FakeClock();
    const { pool } = makePool({ clock, env: onLambda });
    const [queried, gate] = [deferred(), deferred()];
    const handler = withPool(
      async (_event: unknown, { db }) => {
        await db.query('select 1');
        queried.resolve();
        await gate.promise;
      },
      { pool },
    );
    const written = new Promise<string>((resolve) => {
      onLine = resolve;
    });
    const over = handler({}, makeContext({ awsRequestId: 'stuck', getRemainingTimeInMillis: () => 2000 }));
    await queried.promise;
    await clock.advance(1750);
    expect(JSON.parse(await written)).toMatchObject({ requestId: 'stuck', AcquireCount: 1 });
    gate.resolve();
    await over;
  });

  it('have nobody listen where they are off', async () => {
    for (const [metrics, listeners] of [
      ['emf', 1],
      ['off', 0],
      [undefined, 0],
    ] as const) {
      const observe = vi.spyOn(PgPool.prototype, 'observe');
      const { pool } = makePool({ metrics: metrics as never });
      // The last is the helper's own.
      expect(observe).toHaveBeenCalledTimes(listeners + 1);
      await withPool((_event: unknown, { db }) => db.query('select 1'), { pool })({}, makeContext());
      if (listeners === 0) expect(observe).toHaveBeenCalledTimes(1);
      observe.mockRestore();
    }
    expect(lines).toHaveLength(1);
  });
});

describe('emfMetrics()', () => {
  it('writes by hand what happens in a pool from then on', async () => {
    const { pool } = makePool({ metrics: 'off', name: 'by-hand' });
    await pool.query('select 1');
    const written: string[] = [];
    const emf = emfMetrics(pool, { namespace: 'Jobs', functionName: 'nightly', write: (line) => written.push(line) });
    await pool.query('select 1');
    emf.flush('job-1');
    emf.stop();
    await pool.query('select 1');
    const line = written[0] ?? expect.fail('nothing was written');
    expect(emfFaults(line)).toEqual([]);
    expect(JSON.parse(line)).toMatchObject({ FunctionName: 'nightly', PoolName: 'by-hand', requestId: 'job-1' });
    expect(metricsOf(line)).toMatchObject({ AcquireCount: 1, AcquireWaitTime: [0] });
    expect(lines).toEqual([]);
  });
});

const program = fileURLToPath(new URL('children/metered.ts', import.meta.url));

/** Starts a function; `invoke` resolves with what it says on standard error. */
function start(env: Record<string, string>) {
  const child = spawn(process.execPath, ['--conditions=@thawpool/source', program], {
    stdio: 'pipe',
    env: { PATH: process.env['PATH'], DATABASE_URL: database.connectionString, ...env },
  });
  const exited = once(child, 'close');
  const answers = createInterface({ input: child.stderr })[Symbol.asyncIterator]();
  let said = '';
  child.stdout.on('data', (chunk: Buffer) => {
    said += chunk.toString();
  });
  return {
    /** Everything on standard output, when it is over. */
    async end(): Promise<{ code: unknown; lines: string[] }> {
      child.stdin.end();
      const [code] = await exited;
      return { code, lines: said.split('\n').slice(0, -1) };
    },
    deafen: () => child.stdout.destroy(),
    async invoke(word: 'talk' | 'silent'): Promise<unknown> {
      child.stdin.write(`${word}\n`);
      const { value, done } = await answers.next();
      if (done) throw new Error(`The process ended: ${JSON.stringify(await exited)}`);
      return JSON.parse(value) as unknown;
    },
  };
}

describe('a process', () => {
  it('has its metrics on standard output, each a line of JSON among its logs', async () => {
    const child = start({ THAWPOOL_METRICS: 'emf', THAWPOOL_METRICS_NAMESPACE: 'Shop' });
    for (let count = 0; count < 3; count += 1) expect(await child.invoke('talk')).toEqual({ answer: 1, loaded: true });
    const { code, lines } = await child.end();
    expect(code).toBe(0);
    expect(lines).toHaveLength(9);
    const written = lines.filter((line) => line.includes('_aws'));
    expect(written).toEqual([lines[2], lines[5], lines[8]]);
    for (const line of written) expect(emfFaults(`${line}\n`)).toEqual([]);
    const documents = written.map((line) => JSON.parse(line) as EmfDocument);
    expect(documents.map(({ requestId }) => requestId)).toEqual(['request-1', 'request-2', 'request-3']);
    expect(documents.map(({ ColdStarts }) => ColdStarts)).toEqual([1, undefined, undefined]);
    expect(documents[0]?._aws.CloudWatchMetrics[0]?.Namespace).toBe('Shop');
  });

  it('writes nothing where metrics are off, and does not load what would', async () => {
    const child = start({});
    expect(await child.invoke('talk')).toEqual({ answer: 1, loaded: false });
    const { code, lines } = await child.end();
    expect(code).toBe(0);
    expect(lines).toHaveLength(2);
    expect(lines.join('\n')).not.toContain('_aws');
  });

  it('goes on when nobody reads its output any more', async () => {
    const child = start({ THAWPOOL_METRICS: 'emf' });
    await child.invoke('silent');
    child.deafen();
    for (let count = 0; count < 3; count += 1) {
      expect(await child.invoke('silent')).toEqual({ answer: 1, loaded: true });
    }
    expect((await child.end()).code).toBe(0);
  });
});
