// The part of `@opentelemetry/api` that is used, so that neither this package nor its declarations need it installed.

/** Attributes of OpenTelemetry, as far as we make some. */
export type OtelAttributes = Readonly<Record<string, string | number | boolean>>;

/** A `MeterProvider` of `@opentelemetry/api` or of an SDK. */
export interface OtelMeterProvider {
  getMeter(name: string, version?: string, options?: { schemaUrl?: string }): OtelMeter;
  /** An SDK has it, the API has not. */
  forceFlush?(): Promise<unknown>;
}

/** A `Meter` of `@opentelemetry/api`. */
export interface OtelMeter {
  createHistogram(name: string, options?: OtelInstrumentOptions): OtelHistogram;
  createCounter(name: string, options?: OtelInstrumentOptions): OtelCounter;
  createObservableCounter(name: string, options?: OtelInstrumentOptions): OtelObservable;
  createObservableUpDownCounter(name: string, options?: OtelInstrumentOptions): OtelObservable;
  addBatchObservableCallback(callback: (result: OtelObservations) => void, observables: OtelObservable[]): void;
  removeBatchObservableCallback(callback: (result: OtelObservations) => void, observables: OtelObservable[]): void;
}

/** What an instrument is told about itself. */
export interface OtelInstrumentOptions {
  description?: string;
  unit?: string;
  advice?: { explicitBucketBoundaries?: number[] };
}

/** A `Histogram`. */
export interface OtelHistogram {
  record(value: number, attributes?: OtelAttributes): void;
}

/** A `Counter`. */
export interface OtelCounter {
  add(value: number, attributes?: OtelAttributes): void;
}

/** An `Observable`: its value is asked for when metrics are collected. */
export interface OtelObservable {
  addCallback(callback: (result: { observe(value: number, attributes?: OtelAttributes): void }) => void): void;
}

/** A `BatchObservableResult`. */
export interface OtelObservations {
  observe(observable: OtelObservable, value: number, attributes?: OtelAttributes): void;
}

/** A `TracerProvider` of `@opentelemetry/api` or of an SDK. */
export interface OtelTracerProvider {
  getTracer(name: string, version?: string, options?: { schemaUrl?: string }): OtelTracer;
  /** An SDK has it, the API has not. */
  forceFlush?(): Promise<unknown>;
  /** The API's own provider stands for one that is registered. */
  getDelegate?(): { forceFlush?(): Promise<unknown> };
}

/** A `Tracer` of `@opentelemetry/api`. */
export interface OtelTracer {
  startSpan(name: string, options?: { kind?: number; startTime?: number; attributes?: OtelAttributes }): OtelSpan;
}

/** A `Span` of `@opentelemetry/api`. */
export interface OtelSpan {
  setAttribute(key: string, value: string): unknown;
  setStatus(status: { code: number; message?: string }): unknown;
  end(endTime?: number): void;
}

/** What is taken from the package `@opentelemetry/api` where no provider is handed in. */
export interface OtelApi {
  readonly metrics: { getMeterProvider(): OtelMeterProvider };
  readonly trace: { getTracerProvider(): OtelTracerProvider };
}

/**
 * Loads the package `@opentelemetry/api`, an optional peer.
 *
 * @throws whatever the import fails with
 */
export async function loadOtelApi(): Promise<OtelApi> {
  // Inside a try, so that a bundler takes it for optional: whoever wants other metrics has not installed it.
  try {
    // oxlint-disable-next-line no-restricted-imports -- loaded on first use only
    return await import('@opentelemetry/api');
  } catch (error) {
    throw new Error('The package @opentelemetry/api could not be loaded', { cause: error });
  }
}
