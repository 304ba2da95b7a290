// Puts a pool together out of options, the environment and TLS. The only place where those three meet.

import { defined, endpointsOf, type Facts, readerPlaces, writerPlaces } from './connecting.ts';
import type { CreatePoolOptions } from './create-pool-options.ts';
import { credentialsOf } from './credentials-of.ts';
import type { EnvironmentLimit } from './lambda/environment-limit.ts';
import { type Shared, shared } from './pg/lending.ts';
import type { Permits } from './pg/permits.ts';
import { PgPool } from './pg/pg-pool.ts';
import type { PinLinter, PinMode } from './pg/pin-linter.ts';
import type { PoolHooks } from './pg/pool-hooks.ts';
import { type Route, type RouteName, routes } from './pg/route.ts';
import { type Clock, PoolError, type PoolOptions, systemClock } from './pool/index.ts';
import { defaultOf, type Settings, settingsOf, warn } from './settings.ts';

/** Behind a pooler only what has slept long is asked: AWS advises against health checks there, and PgBouncer borrows a backend for one. */
const validateAfterIdleBehindPooler = 30_000;
/** And the answer may take longer: at PgBouncer it waits until a backend is free. */
const validateTimeoutBehindPooler = 1000;

/** The longest delay that a timer of Node.js can take (2^31 - 1). */
const longestTimer = 2_147_483_647;

/** What a pool is made from, and what the lifecycle needs to know besides. */
export interface PoolParts {
  readonly pool: PgPool;
  readonly clock: Clock;
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly deadlineReserveMillis: number;
  readonly onWarning: (message: string) => void;
  /** The metrics that are asked for. */
  readonly metrics: { readonly namespace: string | undefined; readonly functionName: string | undefined } | undefined;
}

/** All that the writer's pool and the reader's have in common. */
interface Plan extends Facts {
  readonly clock: Clock;
}

/**
 * Makes a pool. Nothing is opened: the first connection is made when somebody needs one.
 *
 * @throws PoolError `ERR_POOL_INVALID_OPTION` naming every bad option or variable, its value and what is allowed.
 */
export function createParts(options: CreatePoolOptions = {}): PoolParts {
  const { env = process.env, clock = systemClock } = options;
  const onWarning = options.onWarning === undefined ? warn : harmless(options.onWarning);
  const settings = settingsOf(options, env, onWarning);
  const { idleTimeoutMillis = defaultOf('idleTimeoutMillis') } = settings;
  const credentials = credentialsOf(settings, { env, onWarning });
  const plan: Plan = { options, settings, env, credentials, idleTimeoutMillis, onWarning, clock };
  tellOfStatementCache(settings, onWarning);
  const reader = settings.readerHost === undefined ? undefined : makePool(plan, true);
  const pool = makePool(plan, false, reader);
  const { deadlineReserveMillis = defaultOf('deadlineReserveMillis') } = settings;
  const functionName = env['AWS_LAMBDA_FUNCTION_NAME'];
  const metrics = settings.metrics === 'emf' ? { namespace: settings.metricsNamespace, functionName } : undefined;
  return { pool, clock, env, onWarning, deadlineReserveMillis, metrics };
}

function makePool(plan: Plan, forReader: boolean, reader?: PgPool): PgPool {
  const { options, settings, env, credentials, clock, onWarning } = plan;
  const { maxPerEnvironment: limit } = settings;
  const places = forReader ? readerPlaces : writerPlaces;
  const pool: PgPool = new PgPool({
    core: coreOptions(plan, forReader, places(settings)[0].route),
    onWarning,
    reader,
    beforeSnapshot: env['AWS_LAMBDA_INITIALIZATION_TYPE'] === 'snap-start',
    connector: {
      endpoints: endpointsOf(plan, (located) => places(settings, located), forReader),
      credentials,
      now: () => clock.now().wall,
      linterFor: linters(plan, (kind) => pool[shared].core.note('pin', kind)),
      readOnly: forReader || settings.readOnly === 'true',
      reset: checkReset(options.reset ?? 'auto'),
      statementCache: settings.statementCache ?? defaultOf('statementCache'),
      Client: options.Client,
      hooks: hooksOf(options),
      permits: limit === undefined ? undefined : permitsOf(limit, () => pool[shared].core, env),
    },
  });
  return pool;
}

function coreOptions({ options, settings, clock }: Plan, forReader: boolean, route: RouteName): PoolOptions {
  const { maxPerEnvironment: limit, readerMax } = settings;
  const { name = 'default' } = options;
  const max = forReader ? (readerMax ?? settings.max) : settings.max;
  const owned = routes[route].ownsSession;
  const least = options.min ? Math.max(options.min, settings.maxIdle ?? 1) : undefined;
  const idle = least ?? settings.maxIdle ?? (max === undefined ? undefined : 1);
  return defined<PoolOptions>({
    name: forReader ? `${name}:reader` : options.name,
    max: limit === undefined ? max : Math.min(limit, max ?? defaultOf('max')),
    maxIdle: idle === undefined ? undefined : Math.min(idle, max ?? defaultOf('max')),
    acquireTimeoutMillis: settings.acquireTimeoutMillis,
    // A creation that waits for leave serves one caller after another; the connector bounds what comes after that.
    createTimeoutMillis: limit === undefined ? undefined : longestTimer,
    validateAfterIdleMillis: settings.validateAfterIdleMillis ?? (owned ? undefined : validateAfterIdleBehindPooler),
    validateTimeoutMillis: settings.validateTimeoutMillis ?? (owned ? undefined : validateTimeoutBehindPooler),
    idleTimeoutMillis: settings.idleTimeoutMillis,
    maxLifetimeMillis: settings.maxLifetimeMillis,
    clock,
  });
}

/** What pg's `Pool` would be told besides; nothing, where nothing is asked for. */
function hooksOf({
  onConnect,
  verify,
  maxUses,
  allowExitOnIdle,
  log,
  Promise: kind,
}: PoolHooks): PoolHooks | undefined {
  const hooks = { onConnect, verify, maxUses, allowExitOnIdle, log, Promise: kind };
  return Object.values(hooks).some(Boolean) ? hooks : undefined;
}

/** Looks at statements as it was asked for; unasked only where a pooler stands between, and on Lambda without a word. */
function linters({ settings, env, onWarning }: Plan, count: (kind: string) => void) {
  const made = new Map<PinMode, Promise<PinLinter>>();
  const make = async (mode: PinMode): Promise<PinLinter> => {
    const { PinLinter } = await import('./pg/pin-linter.ts');
    return new PinLinter({ mode, onWarning, onPin: ({ kind }) => count(kind) });
  };
  const unasked: PinMode = env['AWS_LAMBDA_FUNCTION_NAME'] && !env['AWS_SAM_LOCAL'] ? 'count' : 'warn';
  return (route: Route): Promise<PinLinter> | undefined => {
    const mode = (settings.pinning as PinMode | undefined) ?? (route.ownsSession ? 'off' : unasked);
    if (mode === 'off') return undefined;
    const linter = made.get(mode) ?? make(mode);
    made.set(mode, linter);
    return linter;
  };
}

/** Asked for where nothing can be prepared: the pool works without it, and says so. */
function tellOfStatementCache(settings: Settings, onWarning: (message: string) => void): void {
  const { statementCache = 0 } = settings;
  const ways = readerPlaces(settings).map(({ route }) => routes[route]);
  if (statementCache === 0 || ways.some(({ ownsSession }) => ownsSession)) return;
  onWarning(
    `statementCache is ${statementCache} (option statementCache, environment THAWPOOL_STATEMENT_CACHE), but has no effect by way of ${ways[0]?.name}: a statement that is prepared there is not found by the next transaction, or pins the connection. Leave it out.`,
  );
}

/** Leave to open connections beside those of other threads; what sees to that is loaded when the first is asked for. */
function permitsOf(limit: number, core: () => Shared['core'], env: PoolParts['env']): Permits {
  let loaded: EnvironmentLimit | undefined;
  const load = async (): Promise<EnvironmentLimit> => {
    const { EnvironmentLimit } = await import('./lambda/environment-limit.ts');
    loaded ??= new EnvironmentLimit({ limit, pool: core(), env });
    return loaded;
  };
  return {
    take: async (context) => (loaded ?? (await load())).take(context),
    wanted: () => loaded?.wanted() ?? false,
    get connectTimeoutMillis() {
      return core().options.acquireTimeoutMillis;
    },
  };
}

function checkReset(reset: unknown): 'auto' | 'always' | 'never' {
  if (reset === 'auto' || reset === 'always' || reset === 'never') return reset;
  throw new PoolError(
    'ERR_POOL_INVALID_OPTION',
    `reset must be auto, always or never, got ${JSON.stringify(reset)}. See ERR_POOL_INVALID_OPTION.`,
  );
}

/** What the user's own listener throws fails nothing either. */
function harmless(onWarning: (message: string) => void): (message: string) => void {
  return (message) => {
    try {
      onWarning(message);
    } catch {
      warn(message);
    }
  };
}
