// Metrics and traces of a pool for OpenTelemetry. Nothing of it is loaded or heard where nobody asks for it.

import type { Instant, PoolEvent, PoolObserver } from '../pool/index.ts';
import { atInvocationEnd, budgetBefore, within } from './invocation-end.ts';
import { type MeteredPool, poolsOf } from './metered-pool.ts';
import {
  loadOtelApi,
  type OtelAttributes,
  type OtelMeterProvider,
  type OtelTracer,
  type OtelTracerProvider,
} from './otel-api.ts';
import { OtelInstruments, OtelRecorder } from './otel-instruments.ts';
import { otelSchemaUrl, poolNameAttribute } from './otel-names.ts';
import { PoolSpans, type SpanFailure, type SpanStep, type StartSpan } from './pool-spans.ts';

/** Where metrics and spans go. */
export interface OtelOptions {
  /** @default the one that is registered, by the package `@opentelemetry/api`, which is loaded then */
  readonly meterProvider?: OtelMeterProvider | undefined;
  /** Gets spans. @default with `traces`, the one that is registered */
  readonly tracerProvider?: OtelTracerProvider | undefined;
  /**
   * Makes a span of each acquire that waits, each connection made and each proof of life, below the active span.
   *
   * @default whether a `tracerProvider` is given
   */
  readonly traces?: boolean | undefined;
  /** Further attributes of every point and span. Each value makes series of its own: a stage, never a request. */
  readonly attributes?: OtelAttributes | undefined;
  /**
   * Has the providers export at the end of each invocation, which waits for it. Leave it off where something else
   * flushes: OpenTelemetry's instrumentation of Lambda does.
   *
   * @default false
   */
  readonly flush?: boolean | undefined;
  /**
   * The longest that a flush holds anybody up, milliseconds, and never beyond the invocation's deadline. What is not
   * done in time goes on in the background.
   *
   * @default 500: an exporter that is well answers within some tens
   */
  readonly flushTimeoutMillis?: number | undefined;
  /** Hears that OpenTelemetry could not be loaded or failed, once. @default process.emitWarning */
  readonly onWarning?: ((message: string) => void) | undefined;
}

/** Metrics of a pool that go to OpenTelemetry. */
export interface OtelMetrics {
  /** Has the providers export what there is. Resolves when that is done or takes too long, and never rejects. */
  flush(): Promise<void>;
  /** Ends it: what has not been collected is not any more. */
  stop(): void;
}

interface Providers {
  readonly meters: OtelMeterProvider;
  readonly traces: OtelTracerProvider | undefined;
}

/**
 * Tells OpenTelemetry what happens in a pool, and in its reader where that is a pool of its own: as metrics of the
 * conventions for database clients, with some of our own, and on demand as spans.
 *
 * Providers that are registered must be so before this is called: an instrument made earlier stays without effect.
 *
 * @throws TypeError when `flushTimeoutMillis` is no number from 0 on
 */
export function otelMetrics(pool: MeteredPool, options: OtelOptions = {}): OtelMetrics {
  const { flush: atEnd = false, flushTimeoutMillis: most = 500 } = options;
  if (!(most >= 0)) throw new TypeError(`flushTimeoutMillis must be a number from 0 on, got ${String(most)}`);
  const telling = new Telling(poolsOf(pool), options);
  const flush = (budgetMillis: number): Promise<void> => within(budgetMillis, telling.flush());
  const leave = atEnd
    ? atInvocationEnd(pool, (_, alone, deadline) => (alone ? flush(budgetBefore(deadline, most)) : undefined))
    : undefined;
  return {
    flush: () => flush(most),
    stop: () => {
      leave?.();
      telling.stop();
    },
  };
}

/** Hears some pools from its making on, and tells providers of it once there are some. */
class Telling {
  readonly #options: OtelOptions;
  readonly #stops: (() => void)[] = [];
  #providers: Providers | undefined;
  readonly #ready: Promise<void> | undefined;
  #warned = false;
  #stopped = false;

  constructor(pools: readonly MeteredPool[], options: OtelOptions) {
    this.#options = options;
    const { meterProvider, tracerProvider, traces = tracerProvider !== undefined } = options;
    if (meterProvider && (!traces || tracerProvider)) {
      this.#begin(
        pools.map((pool) => ({ pool, past: [] })),
        { meters: meterProvider, traces: traces ? tracerProvider : undefined },
      );
      return;
    }
    this.#ready = this.#load(pools.map(record), traces);
  }

  async flush(): Promise<void> {
    await this.#ready;
    if (!this.#providers || this.#stopped) return;
    const { meters, traces } = this.#providers;
    const delegate = traces?.getDelegate?.();
    // Each whatever becomes of the other.
    const ends = await Promise.allSettled([
      (async () => meters.forceFlush?.())(),
      (async () => (delegate ?? traces)?.forceFlush?.())(),
    ]);
    for (const end of ends) if (end.status === 'rejected') this.#warn('could not be flushed', end.reason);
  }

  stop(): void {
    this.#stopped = true;
    for (const stop of this.#stops.splice(0)) stop();
  }

  async #load(recordings: readonly Recording[], traces: boolean): Promise<void> {
    const { meterProvider, tracerProvider } = this.#options;
    try {
      const api = await loadOtelApi();
      if (this.#stopped) return;
      this.#begin(recordings, {
        meters: meterProvider ?? api.metrics.getMeterProvider(),
        traces: traces ? (tracerProvider ?? api.trace.getTracerProvider()) : undefined,
      });
    } catch (error) {
      this.#warn('could not be loaded, and is told nothing: install @opentelemetry/api, or give meterProvider', error);
    } finally {
      for (const { stop } of recordings) stop?.();
    }
  }

  #begin(recordings: readonly Recording[], providers: Providers): void {
    this.#providers = providers;
    const about = ['thawpool', undefined, { schemaUrl: otelSchemaUrl }] as const;
    const instruments = new OtelInstruments(providers.meters.getMeter(...about));
    const tracer = providers.traces?.getTracer(...about);
    const { attributes = {} } = this.#options;
    for (const { pool, past } of recordings) {
      const recorder = new OtelRecorder(instruments, pool, attributes);
      for (const { event, at } of past) recorder.hear(event, at);
      this.#stops.push(
        pool.observe((event, at) => recorder.hear(event, at)),
        instruments.collect((tell) => recorder.observe(tell)),
      );
      if (tracer) this.#trace(pool, tracer, { ...attributes, [poolNameAttribute]: pool.name });
    }
  }

  /** Apart from the metrics: a tracer that throws costs none of them. */
  #trace(pool: MeteredPool, tracer: OtelTracer, attributes: OtelAttributes): void {
    const now = { wall: Date.now(), monotonic: performance.now() };
    const spans = new PoolSpans(spansOf(tracer, attributes), () => pool.stats(), now);
    this.#stops.push(
      pool.observe((event, at) => spans.hear(event, at)),
      () => spans.stop(Date.now()),
    );
  }

  #warn(what: string, error: unknown): void {
    if (this.#warned) return;
    this.#warned = true;
    const { onWarning = (message: string): void => process.emitWarning(message, 'PoolWarning') } = this.#options;
    try {
      onWarning(`OpenTelemetry ${what} (said once): ${String(error)}`);
    } catch {
      // Nobody is left to tell.
    }
  }
}

interface Recording {
  readonly pool: MeteredPool;
  readonly past: readonly { readonly event: PoolEvent; readonly at: Instant }[];
  readonly stop?: () => void;
}

function record(pool: MeteredPool): Recording {
  const past: { readonly event: PoolEvent; readonly at: Instant }[] = [];
  const keep: PoolObserver = (event, at) => void past.push({ event, at });
  return { pool, past, stop: pool.observe(keep) };
}

/** `SpanKind` INTERNAL and CLIENT, and `SpanStatusCode` ERROR, of `@opentelemetry/api`. */
const kinds: Readonly<Record<SpanStep, number>> = { acquire: 0, connect: 2, validate: 2 };
const failed = 2;

function spansOf(tracer: OtelTracer, attributes: OtelAttributes): StartSpan {
  return (step, startTime) => {
    const span = tracer.startSpan(`thawpool.${step}`, { kind: kinds[step], startTime, attributes });
    return {
      end(at: number, failure?: SpanFailure): void {
        if (failure) {
          span.setAttribute('error.type', failure.type);
          const message = failure.error instanceof Error ? failure.error.message : undefined;
          span.setStatus({ code: failed, ...(message !== undefined && { message }) });
        }
        span.end(at);
      },
    };
  };
}
