// What takes metrics and spans for Datadog, as far as it is used: the packages hot-shots and dd-trace have it as they are.

/**
 * A client of DogStatsD. One of the package `hot-shots` is one; of `datadog-lambda-js` make one:
 * `{ distribution: (name, value, tags) => sendDistributionMetric(name, value, ...tags) }`.
 */
export interface DatadogClient {
  distribution(name: string, value: number, tags: string[]): unknown;
  /** Without it, gauges are sent as distributions. */
  gauge?(name: string, value: number, tags: string[]): unknown;
  /** Without it, counts are sent as distributions. */
  increment?(name: string, value: number, tags: string[]): unknown;
  /** Without it, there are no events. */
  event?(title: string, text: string, options: DatadogEventOptions, tags: string[]): unknown;
}

/** What is said of an event. */
export interface DatadogEventOptions {
  alert_type: 'warning';
  aggregation_key: string;
}

/** The tracer of the package `dd-trace`. */
export interface DatadogTracer {
  startSpan(name: string, options: DatadogSpanOptions): DatadogSpan;
  scope(): { active(): object | null };
}

/** What a span is told about itself. */
export interface DatadogSpanOptions {
  /** Milliseconds since 1970. */
  startTime?: number;
  tags?: { [key: string]: string };
  /** A span of the tracer's own. */
  childOf?: object;
}

/** A span of the package `dd-trace`. */
export interface DatadogSpan {
  setTag(key: string, value: unknown): unknown;
  /** @param finishTime - milliseconds since 1970 */
  finish(finishTime?: number): void;
}
