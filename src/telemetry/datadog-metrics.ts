// Metrics, events and traces of a pool for Datadog. Nothing of it is loaded or heard where nobody asks for it.

import type { DatadogClient, DatadogTracer } from './datadog-client.ts';
import { DatadogEvents } from './datadog-events.ts';
import { datadogNames, limitName } from './datadog-names.ts';
import { type DatadogAddress, type DatadogWriter, datadogWriter } from './datadog-socket.ts';
import { checkTags, tagOf, tagsOfEnv } from './datadog-tags.ts';
import { Fold, type Folded } from './fold.ts';
import { atInvocationEnd, budgetBefore, within } from './invocation-end.ts';
import { type MeteredPool, poolsOf } from './metered-pool.ts';
import { type MetricName, metrics } from './metric-names.ts';
import { PoolSpans, type SpanFailure, type StartSpan } from './pool-spans.ts';

/** Where metrics go, and what they are tagged with. */
export interface DatadogOptions {
  /** The tag `service`, and the service of spans. @default `DD_SERVICE`; no tag without it */
  readonly service?: string | undefined;
  /** Tags of every metric, event and span. Each value makes metrics of its own, which Datadog bills: never a request. */
  readonly tags?: Readonly<Record<string, string>> | undefined;
  /**
   * Takes the metrics.
   *
   * @default UDP to `DD_AGENT_HOST` (127.0.0.1) and `DD_DOGSTATSD_PORT` (8125), where the Lambda extension listens
   */
  readonly client?: DatadogClient | undefined;
  /** Where DogStatsD listens, without a `client`. @default `DD_AGENT_HOST` */
  readonly host?: string | undefined;
  /** @default `DD_DOGSTATSD_PORT` */
  readonly port?: number | undefined;
  /** Gets a span of each acquire that waits, each connection made and each proof of life. @default no spans */
  readonly tracer?: DatadogTracer | undefined;
  /**
   * Sends counts and gauges as distributions, which Datadog adds up over all senders. Of counts and gauges of the same
   * second and tags it keeps one, so that on Lambda those of other sandboxes would be lost.
   *
   * @default whether this is Lambda
   */
  readonly distributions?: boolean | undefined;
  /** Hears that metrics could not be sent, once. @default process.emitWarning */
  readonly onWarning?: ((message: string) => void) | undefined;
}

/** Metrics of a pool that go to Datadog. */
export interface DatadogMetrics {
  /** Sends what has happened since the last time. Resolves when it is sent or takes too long, and never rejects. */
  flush(): Promise<void>;
  /** Ends it: what has not been sent is not any more. */
  stop(): void;
}

/** Where nobody says that an invocation ends, metrics are sent as often as DogStatsD passes them on. */
const intervalMillis = 10_000;
/** What a flush may take, milliseconds. To hand some datagrams to the kernel takes a fraction of one. */
const flushMillis = 100;

/**
 * Tells Datadog what happens in a pool, and in its reader where that is a pool of its own: as metrics and events, and as
 * spans where there is a tracer. Sent at the end of each invocation; without a lifecycle, every ten seconds.
 *
 * @throws TypeError when a tag or the port is none
 */
export function datadogMetrics(pool: MeteredPool, options: DatadogOptions = {}): DatadogMetrics {
  const { env } = process;
  const { client: given, tracer, distributions = Boolean(env['AWS_LAMBDA_FUNCTION_NAME']) } = options;
  const failed = warnOnce(options.onWarning);
  const { client, send, close } = given ? sentAtOnce(given) : datadogWriter(addressOf(options, env), failed);
  const tags = tagsOf(options, env);
  const tellers = poolsOf(pool).map((each) => new Teller(each, { ...options, client, distributions, tags, failed }));
  const stops = tracer ? poolsOf(pool).map((each) => trace(each, tracer, tags)) : [];
  let sentAt = Date.now();
  const flush = (budgetMillis: number): Promise<void> => {
    sentAt = Date.now();
    for (const teller of tellers) teller.tell(sentAt);
    return within(budgetMillis, send());
  };
  const leave = atInvocationEnd(pool, (_, alone, deadline) =>
    alone || Date.now() - sentAt >= intervalMillis ? flush(budgetBefore(deadline, flushMillis)) : undefined,
  );
  const timer = leave ? undefined : setInterval(() => void flush(flushMillis), intervalMillis).unref();
  return {
    flush: () => flush(flushMillis),
    stop: () => {
      leave?.();
      clearInterval(timer);
      for (const stop of [...stops.splice(0), ...tellers.splice(0).map((teller) => teller.stop)]) stop();
      close();
    },
  };
}

interface TellerOptions {
  readonly client: DatadogClient;
  readonly distributions: boolean;
  readonly tags: ReadonlyMap<string, string>;
  readonly failed: (error: unknown) => void;
}

/** A client that was handed in sends by itself. */
function sentAtOnce(client: DatadogClient): DatadogWriter {
  return { client, send: () => Promise.resolve(), close: () => {} };
}

/** Adds up what happens in one pool, and tells it. */
class Teller {
  readonly stop: () => void;
  readonly #pool: MeteredPool;
  readonly #options: TellerOptions;
  readonly #fold: Fold;
  readonly #events: DatadogEvents;
  readonly #tags: readonly string[];

  constructor(pool: MeteredPool, options: TellerOptions) {
    this.#pool = pool;
    this.#options = options;
    this.#fold = new Fold(pool.stats());
    const poolTag = tagOf('pool', pool.name);
    this.#tags = [...[...options.tags].map(([key, value]) => tagOf(key, value)), poolTag];
    this.#events = new DatadogEvents(poolTag.replace(':', '-'));
    this.stop = pool.observe((event) => {
      this.#fold.hear(event);
      this.#events.hear(event);
    });
  }

  tell(now: number): void {
    const stats = this.#pool.stats();
    const folded = this.#fold.take(stats, false);
    try {
      if (folded) this.#send(folded, stats.max);
      this.#events.tell(this.#options.client, this.#tags, now);
    } catch (error) {
      this.#options.failed(error);
    }
  }

  #send({ values }: Folded, max: number): void {
    for (const [name, { name: sent, tag }] of Object.entries(datadogNames)) {
      const value = values[name as MetricName];
      if (value === undefined) continue;
      const tags = tag === undefined ? this.#tags : [...this.#tags, tag];
      for (const each of typeof value === 'number' ? [value] : value) {
        this.#sendOne(sent, metrics[name as MetricName].kind, each, tags);
      }
    }
    this.#sendOne(limitName, 'gauge', max, this.#tags);
  }

  #sendOne(name: string, kind: 'count' | 'time' | 'gauge', value: number, tags: readonly string[]): void {
    const { client, distributions } = this.#options;
    const own = [...tags];
    if (kind === 'gauge' && client.gauge && !distributions) this.#heed(client.gauge(name, value, own));
    else if (kind === 'count' && client.increment && !distributions) this.#heed(client.increment(name, value, own));
    else this.#heed(client.distribution(name, value, own));
  }

  /** It may be an asynchronous one. */
  #heed(sent: unknown): void {
    if (sent instanceof Promise) sent.catch(this.#options.failed);
  }
}

function tagsOf({ client, service, tags = {} }: DatadogOptions, env: NodeJS.ProcessEnv): ReadonlyMap<string, string> {
  checkTags({ ...(service !== undefined && { service }), ...tags });
  const known = new Map(tagsOfEnv(env));
  // Clients put the environment's tags upon everything themselves, and the service is asked for here.
  if (client) for (const key of known.keys()) if (key !== 'service') known.delete(key);
  for (const [key, value] of Object.entries(tags)) known.set(key, value);
  if (service !== undefined) known.set('service', service);
  return known;
}

/** @throws TypeError when the port is none */
function addressOf({ host, port }: DatadogOptions, env: NodeJS.ProcessEnv): DatadogAddress {
  const said = port ?? (env['DD_DOGSTATSD_PORT'] || 8125);
  const number = Number(said);
  if (!Number.isInteger(number) || number < 1 || number > 65_535) {
    const what = port === undefined ? 'DD_DOGSTATSD_PORT' : 'port';
    throw new TypeError(`${what} must be a number from 1 to 65535, got ${JSON.stringify(said)}`);
  }
  return { host: host ?? (env['DD_AGENT_HOST'] || '127.0.0.1'), port: number };
}

function warnOnce(onWarning = (message: string): void => process.emitWarning(message, 'PoolWarning')) {
  let warned = false;
  return (error: unknown): void => {
    if (warned) return;
    warned = true;
    try {
      onWarning(`Metrics could not be sent to Datadog, and were left out (said once): ${String(error)}`);
    } catch {
      // Nobody is left to tell.
    }
  };
}

function trace(pool: MeteredPool, tracer: DatadogTracer, tags: ReadonlyMap<string, string>): () => void {
  const own = { ...Object.fromEntries(tags), pool: pool.name };
  const now = { wall: Date.now(), monotonic: performance.now() };
  const spans = new PoolSpans(spansOf(tracer, own), () => pool.stats(), now);
  const stop = pool.observe((event, at) => spans.hear(event, at));
  return () => {
    stop();
    spans.stop(Date.now());
  };
}

function spansOf(tracer: DatadogTracer, tags: Record<string, string>): StartSpan {
  return (step, startTime) => {
    // dd-trace makes a trace of its own of a span that is not told whose child it is.
    const active = tracer.scope().active();
    const own = { ...tags, component: 'thawpool', 'resource.name': tags['pool'] ?? '' };
    const span = tracer.startSpan(`thawpool.${step}`, { startTime, tags: own, ...(active && { childOf: active }) });
    return {
      end(at: number, failure?: SpanFailure): void {
        if (failure?.error instanceof Error) span.setTag('error', failure.error);
        else if (failure) span.setTag('error', true);
        if (failure) span.setTag('error.type', failure.type);
        span.finish(at);
      },
    };
  };
}
