/** Every instrument of OpenTelemetry that thawpool has, in one table. The documentation is checked against it. */

/** Names an instrument: those of the conventions for database clients (version 1.45.0), then our own. */
export type OtelMetricName =
  | 'db.client.connection.count'
  | 'db.client.connection.idle.max'
  | 'db.client.connection.idle.min'
  | 'db.client.connection.limit'
  | 'db.client.connection.pending_requests'
  | 'db.client.connection.timeouts'
  | 'db.client.connection.create_time'
  | 'db.client.connection.wait_time'
  | 'db.client.connection.use_time'
  | 'thawpool.acquire.failures'
  | 'thawpool.connection.create_failures'
  | 'thawpool.connection.validations'
  | 'thawpool.connection.validate_time'
  | 'thawpool.connection.evictions'
  | 'thawpool.connection.leaks_reclaimed'
  | 'thawpool.connection.pins'
  | 'thawpool.credentials_renewed'
  | 'thawpool.fallbacks'
  | 'thawpool.retries'
  | 'thawpool.frozen_time';

/** States the facts of one instrument. */
export interface OtelMetricFacts {
  /** UCUM: seconds, or what is counted. */
  readonly unit: string;
  /** `observed` ones are asked for when metrics are collected, and cost nothing in between. */
  readonly kind: 'observed up-down counter' | 'observed counter' | 'counter' | 'histogram';
  readonly description: string;
  /** What it is told apart by, besides the pool's name. */
  readonly attribute?: string;
  /** Advised bounds of a histogram's buckets, seconds. */
  readonly buckets?: readonly number[];
}

/** Which conventions the names are of. */
export const otelSchemaUrl = 'https://opentelemetry.io/schemas/1.45.0';

/** The attribute that every point has. */
export const poolNameAttribute = 'db.client.connection.pool.name';

/** What `db.client.operation.duration` is advised to have (database conventions 1.45.0); the pool's times have no advice. */
const upToTenSeconds = [0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1, 5, 10];
/** Up to an hour, with 350 s among them, after which NAT and load balancers have forgotten a flow. */
const upToAnHour = [1, 10, 60, 120, 350, 600, 1800, 3600];

/** Lists every instrument, in the order of the documentation. Written out: a bundler keeps what a call would make. */
export const otelMetricTable: Readonly<Record<OtelMetricName, OtelMetricFacts>> = {
  'db.client.connection.count': {
    unit: '{connection}',
    kind: 'observed up-down counter',
    description: 'Connections that are idle, and that are in use',
    attribute: 'db.client.connection.state',
  },
  'db.client.connection.idle.max': {
    unit: '{connection}',
    kind: 'observed up-down counter',
    description: '`maxIdle`: what stays open over a freeze',
  },
  'db.client.connection.idle.min': {
    unit: '{connection}',
    kind: 'observed up-down counter',
    description: 'Always 0: nothing is opened ahead of need',
  },
  'db.client.connection.limit': {
    unit: '{connection}',
    kind: 'observed up-down counter',
    description: '`max`: the most connections there may be',
  },
  'db.client.connection.pending_requests': {
    unit: '{request}',
    kind: 'observed up-down counter',
    description: 'Acquires that wait',
  },
  'db.client.connection.timeouts': { unit: '{timeout}', kind: 'counter', description: 'Acquires whose time was up' },
  'db.client.connection.create_time': {
    unit: 's',
    kind: 'histogram',
    description: 'How long it took to make a connection, with the attempts that it needed',
    buckets: upToTenSeconds,
  },
  'db.client.connection.wait_time': {
    unit: 's',
    kind: 'histogram',
    description: 'How long whoever got a connection had waited for it',
    buckets: upToTenSeconds,
  },
  'db.client.connection.use_time': {
    unit: 's',
    kind: 'histogram',
    description: 'How long a connection was lent, from acquire to release',
    buckets: upToTenSeconds,
  },
  'thawpool.acquire.failures': {
    unit: '{acquire}',
    kind: 'observed counter',
    description: 'Acquires that ended without a connection, whatever the reason',
  },
  'thawpool.connection.create_failures': {
    unit: '{connection}',
    kind: 'observed counter',
    description: 'Connections that could not be made, all attempts together',
  },
  'thawpool.connection.validations': {
    unit: '{validation}',
    kind: 'observed counter',
    description: 'Proofs of life, answered or failed',
    attribute: 'thawpool.outcome',
  },
  'thawpool.connection.validate_time': {
    unit: 's',
    kind: 'histogram',
    description: 'How long a proof of life took that was answered',
    buckets: upToTenSeconds,
  },
  'thawpool.connection.evictions': {
    unit: '{connection}',
    kind: 'observed counter',
    description: 'Connections closed, by reason',
    attribute: 'thawpool.reason',
  },
  'thawpool.connection.leaks_reclaimed': {
    unit: '{connection}',
    kind: 'observed counter',
    description: 'Connections that an invocation had not released, and that were taken back',
  },
  'thawpool.connection.pins': {
    unit: '{statement}',
    kind: 'counter',
    description: 'Statements that keep a pooler from sharing the connection',
  },
  'thawpool.credentials_renewed': {
    unit: '{renewal}',
    kind: 'counter',
    description: 'Credentials that the server refused and that were replaced by fresh ones',
  },
  'thawpool.fallbacks': {
    unit: '{fallback}',
    kind: 'counter',
    description: 'Hosts that did not answer, so that another one was gone to',
  },
  'thawpool.retries': {
    unit: '{retry}',
    kind: 'counter',
    description: 'Attempts to connect, statements and transactions that were made again',
    attribute: 'thawpool.kind',
  },
  'thawpool.frozen_time': {
    unit: 's',
    kind: 'histogram',
    description: 'Time between the last invocation and this one, in which the process may have been frozen',
    buckets: upToAnHour,
  },
};
