/**
 * A Lambda in miniature: one sandbox, its Runtime API, a chaos proxy, and PostgreSQL behind it, opened and closed as one.
 */
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { startPostgres, type TestPostgres } from '../support/postgres.ts';
import { type ChaosProxy, type ProxyCounts, startChaosProxy } from './chaos-proxy.ts';
import type { RuntimeClient } from './find-runtime-client.ts';
import type { InvocationResult } from './invocation.ts';
import { type Concurrency, type RuntimeApi, startRuntimeApi } from './runtime-api.ts';
import { Sandbox } from './sandbox.ts';
import type { ClockOffsets } from './sandbox-clock.ts';
import { SandboxFolder } from './sandbox-folder.ts';
import { findSubject, type Subject } from './subjects/index.ts';

/** What a lab is made of. */
export interface LabOptions {
  /** A subject, its name, or any handler as `/path/to/file.ts#export`. */
  readonly subject: Subject | string;
  /** The server to use; the lab does not close it. Without one the lab starts its own. */
  readonly postgres?: TestPostgres;
  readonly runtimeClient?: RuntimeClient;
  readonly nodeBinary?: string;
  /** The function's timeout, where an invocation does not say otherwise. @default Lambda's own, 3000 */
  readonly timeoutMillis?: number;
  /** More environment for the sandbox, beside `DATABASE_URL`. */
  readonly env?: Readonly<Record<string, string>>;
  /** Keeps a protocol trace. @default false */
  readonly trace?: boolean;
  /** Freezes the sandbox after each invocation, as Lambda does. @default true */
  readonly freezeWhenIdle?: boolean;
  /** AWS's multi-concurrency mode: worker threads, several invocations at once, no freeze. */
  readonly concurrency?: Concurrency;
  /** Runs the subject's streaming handler. @default false */
  readonly streaming?: boolean;
  /** Makes the sandbox's clocks movable by `setClock()`. @default false */
  readonly movableClock?: boolean;
  /** Tells the place by `PGHOST` and so on, and the password by a file that subjects read for each connection. @default false */
  readonly passwordFile?: boolean;
  /** Tells place and password by `PGHOST` and so on instead of `DATABASE_URL`. @default false */
  readonly libpqVariables?: boolean;
}

/** An open lab. `await using` closes it. */
export interface Lab extends AsyncDisposable {
  readonly subject: Subject;
  readonly sandbox: Sandbox;
  readonly proxy: ChaosProxy;
  readonly postgres: TestPostgres;
  readonly api: RuntimeApi;
  /** Gates and files that the handler sees. */
  readonly folder: SandboxFolder;
  /** Moves the clocks of the sandbox, and those by which its deadlines are told. */
  setClock(offsets: ClockOffsets): Promise<void>;
  /** Invokes the handler: cold start if need be, thaw, event, and freeze again. */
  invoke(event: unknown, options?: { readonly timeoutMillis?: number }): Promise<InvocationResult>;
  /** Keeps the sandbox frozen for `millis` while `whileFrozen` runs; it stays so until the next invocation. */
  freezeFor(millis: number, whileFrozen?: () => unknown): Promise<void>;
  /** The proxy's counts up to now. */
  snapshot(): ProxyCounts;
  /** The proxy's counts since `earlier`. */
  since(earlier: ProxyCounts): ProxyCounts;
  /** The sandbox's sessions at the server, by process id. */
  sessions(): Promise<number[]>;
  /** Ends everything, whatever state it is in. */
  close(): Promise<void>;
}

/** What the sandbox calls itself at the server, so that its sessions can be told from those of the tests. */
const APPLICATION_NAME = 'lab-sandbox';

type Closer = () => Promise<void>;

function toSubject(subject: Subject | string): Subject {
  if (typeof subject !== 'string') return subject;
  return subject.includes('#') ? { name: subject, title: subject, handler: subject } : findSubject(subject);
}

function databaseUrl(postgres: TestPostgres, proxy: ChaosProxy): string {
  const url = new URL(postgres.connectionString);
  url.hostname = proxy.host;
  url.port = String(proxy.port);
  return url.toString();
}

/** Where the database is, for drivers that are told the password in another way. */
function libpqPlace(postgres: TestPostgres, proxy: ChaosProxy): Record<string, string> {
  return { PGHOST: proxy.host, PGPORT: String(proxy.port), PGUSER: postgres.user, PGDATABASE: postgres.database };
}

/** How the sandbox is told where the database is, and the password. */
function told(options: LabOptions, postgres: TestPostgres, proxy: ChaosProxy, folder: SandboxFolder) {
  if (options.passwordFile) return { ...libpqPlace(postgres, proxy), LAB_PASSWORD_FILE: folder.passwordFile };
  if (options.libpqVariables) return { ...libpqPlace(postgres, proxy), PGPASSWORD: postgres.password };
  return { DATABASE_URL: databaseUrl(postgres, proxy) };
}

/** The sandbox's environment, beside Lambda's own. */
function environment(
  options: LabOptions,
  postgres: TestPostgres,
  proxy: ChaosProxy,
  folder: SandboxFolder,
): Record<string, string> {
  return {
    PGAPPNAME: APPLICATION_NAME,
    ...told(options, postgres, proxy, folder),
    ...(options.movableClock && {
      LAB_CLOCK_FILE: folder.clockFile,
      NODE_OPTIONS: `--import=${pathToFileURL(join(import.meta.dirname, 'sandbox-clock.ts')).href}`,
    }),
    ...options.env,
  };
}

async function open(options: LabOptions, closers: Closer[]): Promise<Omit<Lab, 'close' | keyof AsyncDisposable>> {
  const use = <T extends { close(): Promise<void> }>(part: T): T => {
    closers.push(() => part.close());
    return part;
  };
  const subject = toSubject(options.subject);
  const { concurrency } = options;
  const postgres = options.postgres ?? use(await startPostgres());
  const trace = options.trace ?? false;
  const proxy = use(await startChaosProxy({ targetHost: postgres.host, targetPort: postgres.port, trace }));
  const api = use(await startRuntimeApi({ ...(concurrency && { concurrency }) }));
  const folder = use(await SandboxFolder.make());
  const setClock = async (offsets: ClockOffsets) => {
    api.wallOffsetMillis = offsets.wall;
    await folder.setClock(offsets);
  };
  await setClock({ wall: 0, monotonic: 0 });
  if (options.passwordFile) await folder.setPassword(postgres.password);
  const sandbox = use(
    new Sandbox({
      handler: options.streaming ? subject.handler.replace(/#.*$/, '#stream') : subject.handler,
      api,
      env: environment(options, postgres, proxy, folder),
      ...(concurrency && { concurrency }),
      ...(options.runtimeClient && { runtimeClient: options.runtimeClient }),
      ...(options.nodeBinary !== undefined && { nodeBinary: options.nodeBinary }),
      ...(options.freezeWhenIdle !== undefined && { freezeWhenIdle: options.freezeWhenIdle }),
    }),
  );
  await sandbox.start();
  return {
    subject,
    sandbox,
    proxy,
    postgres,
    api,
    folder,
    setClock,
    invoke: (event, { timeoutMillis = options.timeoutMillis } = {}) =>
      sandbox.invoke(event, timeoutMillis === undefined ? {} : { timeoutMillis }),
    freezeFor: (millis, whileFrozen) => sandbox.freezeFor(millis, whileFrozen),
    snapshot: () => proxy.snapshot(),
    since: (earlier) => proxy.since(earlier),
    async sessions() {
      const sql = 'select pid from pg_stat_activity where application_name = $1 order by pid';
      return (await postgres.admin(sql, [APPLICATION_NAME])).rows.map((row: { pid: number }) => row.pid);
    },
  };
}

/**
 * Opens a lab and waits until its handler is loaded.
 *
 * @throws When the subject is unknown, the server does not start or the handler cannot be loaded; all that was opened
 * before is closed again.
 */
export async function openLab(options: LabOptions): Promise<Lab> {
  const closers: Closer[] = [];
  const close = async () => {
    for (let closer = closers.pop(); closer; closer = closers.pop()) await closer();
  };
  try {
    return { ...(await open(options, closers)), close, [Symbol.asyncDispose]: close };
  } catch (error) {
    await close();
    throw error;
  }
}
