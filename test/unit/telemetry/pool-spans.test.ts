// Spans of a pool, as OpenTelemetry's API and Datadog's tracer get them.

import { AsyncLocalStorage } from 'node:async_hooks';
import {
  type Context,
  type ContextManager,
  context,
  ROOT_CONTEXT,
  type Span,
  type SpanContext,
  SpanKind,
  type SpanOptions,
  SpanStatusCode,
  type Tracer,
  type TracerProvider,
  trace,
} from '@opentelemetry/api';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { DatadogTracer } from '../../../src/telemetry/datadog-client.ts';
import { datadogMetrics } from '../../../src/telemetry/datadog-metrics.ts';
import { type OtelMetrics, otelMetrics } from '../../../src/telemetry/otel-metrics.ts';
import { namedPool } from './named-pool.ts';

interface Recorded {
  readonly name: string;
  readonly parent: string | undefined;
  readonly kind: SpanKind | undefined;
  readonly start: unknown;
  readonly attributes: Record<string, unknown>;
  end?: unknown;
  status?: unknown;
}

class AsyncContexts implements ContextManager {
  readonly #storage = new AsyncLocalStorage<Context>();
  active = (): Context => this.#storage.getStore() ?? ROOT_CONTEXT;
  with: ContextManager['with'] = (active, fn, self, ...args) =>
    this.#storage.run(active, () => fn.call(self as ThisParameterType<typeof fn>, ...args));
  bind<T>(_: Context, target: T): T {
    return target;
  }
  enable(): this {
    return this;
  }
  disable(): this {
    return this;
  }
}

/** Keeps spans as they are told, and fails on what no SDK takes. */
class Spans implements TracerProvider {
  readonly all: Recorded[] = [];
  readonly #ids = new Map<Span, string>();

  getTracer(name: string): Tracer {
    expect(name).toBe('thawpool');
    return { startSpan: this.#start, startActiveSpan: () => expect.fail('not used') };
  }

  /** A span that is active while `fn` runs. */
  within<T>(name: string, fn: () => T): T {
    const span = { spanContext: () => ({ spanId: name }) as SpanContext } as Span;
    this.#ids.set(span, name);
    return context.with(trace.setSpan(context.active(), span), fn);
  }

  readonly #start = (name: string, options: SpanOptions = {}, active: Context = context.active()): Span => {
    const parent = trace.getSpan(active);
    const recorded: Recorded = {
      name,
      parent: parent && this.#ids.get(parent),
      kind: options.kind,
      start: options.startTime,
      attributes: { ...options.attributes },
    };
    this.all.push(recorded);
    const span = {
      setAttribute: (key: string, value: unknown) => {
        recorded.attributes[key] = value;
        return span;
      },
      setStatus: (status: unknown) => {
        recorded.status = status;
        return span;
      },
      end: (at: unknown) => {
        expect(recorded.end, `${name} ended twice`).toBeUndefined();
        recorded.end = at;
      },
    } as unknown as Span;
    return span;
  };
}

const noMeters = {
  getMeter: () => ({
    createHistogram: () => ({ record: () => {} }),
    createCounter: () => ({ add: () => {} }),
    createObservableCounter: () => ({ addCallback: () => {} }),
    createObservableUpDownCounter: () => ({ addCallback: () => {} }),
    addBatchObservableCallback: () => {},
    removeBatchObservableCallback: () => {},
  }),
};

let spans: Spans;
let stops: (() => void)[];
beforeEach(() => {
  spans = new Spans();
  stops = [];
  context.setGlobalContextManager(new AsyncContexts());
});
afterEach(() => {
  for (const stop of stops) stop();
  context.disable();
  trace.disable();
});

function traced(options: Parameters<typeof namedPool>[1] = {}, more: Parameters<typeof otelMetrics>[1] = {}) {
  const named = namedPool('default', options);
  const metrics: OtelMetrics = otelMetrics(named.metered, {
    meterProvider: noMeters,
    tracerProvider: spans,
    ...more,
  });
  stops.push(metrics.stop);
  return { ...named, metrics };
}

const poolName = { 'db.client.connection.pool.name': 'default' };
const told = () => spans.all.map(({ name, parent, start, end }) => [name, parent, start, end]);

describe('the spans of a pool', () => {
  it('show a wait and the making of a connection below what is active', async () => {
    const { pool, factory, clock } = traced();
    const begun = clock.now().wall;
    factory.hold('create');
    const waiting = spans.within('request', () => pool.acquire());
    await clock.advance(40);
    factory.resume('create');
    (await waiting).release();
    expect(spans.all).toEqual([
      {
        name: 'thawpool.acquire',
        parent: 'request',
        kind: SpanKind.INTERNAL,
        start: begun,
        end: begun + 40,
        attributes: poolName,
      },
      {
        name: 'thawpool.connect',
        parent: 'request',
        kind: SpanKind.CLIENT,
        start: begun,
        end: begun + 40,
        attributes: poolName,
      },
    ]);
  });

  it('are none for an acquire that is served at once', async () => {
    const { pool } = traced();
    (await pool.acquire()).release();
    spans.all.length = 0;
    (await pool.acquire()).release();
    expect(spans.all).toEqual([]);
  });

  it('belong to the request that waits, not to the one that releases', async () => {
    const { pool, clock } = traced({ max: 1 });
    const lease = await spans.within('first', () => pool.acquire());
    spans.all.length = 0;
    const at = clock.now().wall;
    const second = spans.within('second', () => pool.acquire());
    await clock.advance(5);
    const third = spans.within('third', () => pool.acquire());
    await clock.advance(5);
    spans.within('first', () => lease.release());
    (await second).release();
    (await third).release();
    expect(told()).toEqual([
      ['thawpool.acquire', 'second', at, at + 10],
      ['thawpool.acquire', 'third', at + 5, at + 10],
    ]);
  });

  it('end with the wait that failed, whoever else waits', async () => {
    const { pool, clock } = traced({ max: 1, acquireTimeoutMillis: 60_000 });
    const lease = await pool.acquire();
    spans.all.length = 0;
    const at = clock.now().wall;
    const patient = spans.within('patient', () => pool.acquire());
    await clock.advance(10);
    const hasty = spans.within('hasty', () => pool.acquire({ timeoutMillis: 20 }));
    const lost = hasty.catch((error: unknown) => error);
    // Refused before it waits: there is no span to end.
    await pool.acquire({ signal: AbortSignal.abort() }).catch((error: unknown) => error);
    await clock.advance(20);
    await lost;
    expect(spans.all.find(({ parent }) => parent === 'hasty')).toMatchObject({
      start: at + 10,
      end: at + 30,
      status: { code: SpanStatusCode.ERROR },
      attributes: { ...poolName, 'error.type': 'ERR_POOL_ACQUIRE_TIMEOUT' },
    });
    await clock.advance(10);
    lease.release();
    (await patient).release();
    expect(told()).toEqual([
      ['thawpool.acquire', 'patient', at, at + 40],
      ['thawpool.acquire', 'hasty', at + 10, at + 30],
    ]);
    expect(spans.all[0]?.status).toBeUndefined();
  });

  it('say why a connection could not be made', async () => {
    const { pool, factory } = traced();
    factory.onCreate = () => {
      throw Object.assign(new Error('no route to 10.0.0.1'), { code: 'EHOSTUNREACH' });
    };
    await spans.within('request', () => pool.acquire()).catch((error: unknown) => error);
    const failures = spans.all.map(({ name, parent, status, attributes }) => [
      name,
      parent,
      status,
      attributes['error.type'],
    ]);
    expect(failures).toEqual([
      ['thawpool.acquire', 'request', { code: SpanStatusCode.ERROR }, 'ERR_POOL_CREATE_FAILED'],
      ['thawpool.connect', 'request', { code: SpanStatusCode.ERROR, message: 'no route to 10.0.0.1' }, 'EHOSTUNREACH'],
    ]);
  });

  it('show proofs of life, answered and failed, below the request that asked', async () => {
    const { pool, factory, clock } = traced({ validateAfterIdleMillis: 10 });
    (await pool.acquire()).release();
    await clock.advance(20);
    spans.all.length = 0;
    const at = clock.now().wall;
    factory.hold('validate');
    const asked = spans.within('asks', () => pool.acquire());
    await clock.advance(7);
    factory.resume('validate');
    (await asked).release();
    expect(told()).toEqual([
      ['thawpool.acquire', 'asks', at, at + 7],
      ['thawpool.validate', 'asks', at, at + 7],
    ]);
    await clock.advance(20);
    spans.all.length = 0;
    factory.onValidate = () => false;
    (await pool.acquire()).release();
    const proof = spans.all.find(({ name }) => name === 'thawpool.validate');
    expect(proof).toMatchObject({ status: { code: SpanStatusCode.ERROR }, attributes: { 'error.type': '_OTHER' } });
  });

  it('are none for a reset', async () => {
    const { pool, factory, clock } = traced({ reset: true });
    factory.onReset = () => Promise.resolve(true);
    (await pool.acquire()).release();
    await clock.advance(1);
    expect(spans.all.map(({ name }) => name)).toEqual(['thawpool.acquire', 'thawpool.connect']);
    expect(spans.all.map(({ end }) => end)).not.toContain(undefined);
  });

  it('end with stop(), what is waited for included', async () => {
    const { pool, metrics } = traced({ max: 1 });
    const lease = await pool.acquire();
    spans.all.length = 0;
    const waiting = pool.acquire();
    metrics.stop();
    lease.release();
    (await waiting).release();
    expect(spans.all).toHaveLength(1);
    expect(spans.all[0]?.end).toBeTypeOf('number');
  });

  it('leave out who waited already', async () => {
    const named = namedPool('default', { max: 1 });
    const lease = await named.pool.acquire();
    const before = named.pool.acquire();
    const metrics = otelMetrics(named.metered, { meterProvider: noMeters, tracerProvider: spans });
    stops.push(metrics.stop);
    const at = named.clock.now().wall;
    const after = named.pool.acquire();
    lease.release();
    const second = await before;
    expect(spans.all[0]?.end).toBeUndefined();
    await named.clock.advance(3);
    second.release();
    (await after).release();
    expect(told()).toEqual([['thawpool.acquire', undefined, at, at + 3]]);
  });

  it('are none unless somebody asked for them', async () => {
    const { pool } = traced({}, { traces: false });
    (await pool.acquire()).release();
    expect(spans.all).toEqual([]);
  });

  it('go to the provider that is registered, on demand', async () => {
    trace.setGlobalTracerProvider(spans);
    const { pool, metrics } = traced({}, { tracerProvider: undefined, traces: true });
    await metrics.flush();
    (await pool.acquire()).release();
    expect(spans.all.map(({ name }) => name)).toEqual(['thawpool.acquire', 'thawpool.connect']);
  });

  it('cost no acquire when the tracer throws', async () => {
    const broken = () => {
      throw new Error('no spans');
    };
    const { pool, warnings } = traced({ max: 1 }, { tracerProvider: { getTracer: () => ({ startSpan: broken }) } });
    const lease = await pool.acquire();
    const waiting = pool.acquire();
    lease.release();
    (await waiting).release();
    expect(warnings).toEqual([expect.stringContaining('no spans')]);
  });
});

describe('spans for Datadog', () => {
  interface DatadogRecorded {
    readonly name: string;
    readonly options: Parameters<DatadogTracer['startSpan']>[1];
    readonly tags: Record<string, unknown>;
    finish?: number | undefined;
  }
  const client = { distribution: () => {} };
  let all: DatadogRecorded[];
  let active: object | null;
  const tracer: DatadogTracer = {
    startSpan: (name, options) => {
      const recorded: DatadogRecorded = { name, options, tags: {} };
      all.push(recorded);
      return {
        setTag: (key, value) => {
          recorded.tags[key] = value;
        },
        finish: (at) => {
          expect(recorded.finish, 'finished twice').toBeUndefined();
          recorded.finish = at;
        },
      };
    },
    scope: () => ({ active: () => active }),
  };
  beforeEach(() => {
    all = [];
    active = null;
  });

  it('are children of the active one, with the service and the tags', async () => {
    const { metered, pool, clock } = namedPool('default');
    stops.push(datadogMetrics(metered, { service: 'orders', tags: { stage: 'test' }, client, tracer }).stop);
    const at = clock.now().wall;
    active = { request: 1 };
    (await pool.acquire()).release();
    const tags = {
      service: 'orders',
      stage: 'test',
      pool: 'default',
      component: 'thawpool',
      'resource.name': 'default',
    };
    expect(all).toEqual([
      { name: 'thawpool.acquire', options: { startTime: at, childOf: active, tags }, tags: {}, finish: at },
      { name: 'thawpool.connect', options: { startTime: at, childOf: active, tags }, tags: {}, finish: at },
    ]);
  });

  it('are roots where nothing is active, and say what failed', async () => {
    const { metered, pool, factory } = namedPool('default');
    stops.push(datadogMetrics(metered, { client, tracer }).stop);
    const error = Object.assign(new Error('refused'), { code: 'ECONNREFUSED' });
    factory.onCreate = () => {
      throw error;
    };
    await pool.acquire().catch((reason: unknown) => reason);
    const by = (name: string) => all.find((span) => span.name === name) ?? expect.fail(name);
    expect(by('thawpool.acquire').options).not.toHaveProperty('childOf');
    expect(by('thawpool.acquire').tags).toEqual({ error: true, 'error.type': 'ERR_POOL_CREATE_FAILED' });
    expect(by('thawpool.connect').tags).toEqual({ error, 'error.type': 'ECONNREFUSED' });
    expect(all.map(({ finish }) => finish)).not.toContain(undefined);
  });

  it('are none without a tracer, and end with stop()', async () => {
    const { metered, pool } = namedPool('default', { max: 1 });
    const metrics = datadogMetrics(metered, { client, tracer });
    const lease = await pool.acquire();
    all.length = 0;
    const waiting = pool.acquire();
    metrics.stop();
    lease.release();
    (await waiting).release();
    expect(all).toHaveLength(1);
    expect(all[0]?.finish).toBeTypeOf('number');
  });
});
