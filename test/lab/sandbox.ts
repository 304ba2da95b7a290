/**
 * A Lambda sandbox: a real child process that runs a bundled handler under a runtime client. It is frozen whenever it
 * waits for an invocation and thawed for the next one, and replaced by a cold start after it has ended.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { EventEmitter, once } from 'node:events';
import { readFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { setTimeout as wait } from 'node:timers/promises';
import { type Guard, whenGone } from '../support/guard.ts';
import { bundleHandler } from './bundle.ts';
import { findRuntimeClient, type RuntimeClient } from './find-runtime-client.ts';
import type { InvocationResult } from './invocation.ts';
import { type Concurrency, DEFAULT_TIMEOUT_MILLIS, type RuntimeApi } from './runtime-api.ts';
import { concurrentEnvironment, lambdaEnvironment } from './sandbox-env.ts';

/** What a sandbox runs, and where. */
export interface SandboxOptions {
  /** A source file and its export: `/path/to/file.ts#handler`. It is bundled first. */
  readonly handler: string;
  readonly api: RuntimeApi;
  /** Environment variables beside those that Lambda sets. Nothing of this process's own environment is passed on. */
  readonly env?: Readonly<Record<string, string>>;
  readonly runtimeClient?: RuntimeClient;
  /** The Node that runs it. @default the one running now; the project's own where that is older than 22 */
  readonly nodeBinary?: string;
  /** Freezes the sandbox each time it waits for an invocation, as Lambda does. @default true */
  readonly freezeWhenIdle?: boolean;
  /** AWS's multi-concurrency mode, as the API was told; the sandbox is never frozen then. */
  readonly concurrency?: Concurrency;
}

/** How a process ended. */
export interface SandboxExit {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
}

interface SandboxEvents {
  stdout: [text: string];
  stderr: [text: string];
  exit: [exit: SandboxExit];
  kill: [];
}

/** Lambda's own limit for the init phase is 10 s; a loaded machine may need more, and nothing here is about that limit. */
const INIT_LIMIT_MILLIS = 60_000;
/** The oldest release with a Lambda runtime that is not deprecated, and the first to run TypeScript as it is. */
const OLDEST_NODE = 22;

/** The Node that runs now, so that a matrix of releases reaches the sandbox; the project's own where that is too old. */
function defaultNode(): string {
  if (Number(process.versions.node.split('.')[0]) >= OLDEST_NODE) return process.execPath;
  return join(dirname(createRequire(import.meta.url).resolve('node/package.json')), 'bin', 'node');
}

/** A sandbox; see {@link startSandbox}. `await using` closes it. */
export class Sandbox implements AsyncDisposable {
  /** `stdout` and `stderr` with each piece of text, `kill` before a process is ended, `exit` when it has. */
  readonly events = new EventEmitter<SandboxEvents>();
  readonly runtimeClient: RuntimeClient;
  /** All that was written to standard output, by every process of this sandbox. */
  stdout = '';
  /** All that was written to standard error. */
  stderr = '';
  /** Processes started so far: one more than the cold starts that followed an end. */
  starts = 0;
  /** How the latest process ended; `undefined` while it runs. */
  exit: SandboxExit | undefined;
  readonly #options: SandboxOptions;
  #child: ChildProcess | undefined;
  #guard: Guard | undefined;
  #frozen = false;
  #closed = false;

  constructor(options: SandboxOptions) {
    this.#options = options;
    this.runtimeClient = options.runtimeClient ?? findRuntimeClient();
    options.api.onTimeout = () => this.kill();
  }

  get #freezes(): boolean {
    return (this.#options.freezeWhenIdle ?? true) && this.#options.concurrency === undefined;
  }

  /** The process's id; `undefined` when none runs. */
  get pid(): number | undefined {
    return this.#child?.pid;
  }

  /** Whether it is stopped by {@link freeze}. */
  get frozen(): boolean {
    return this.#frozen;
  }

  /**
   * Starts a process and waits until it asks for its first invocation. Does nothing while one runs.
   *
   * @throws When the handler cannot be loaded or the process ends; the message holds what it wrote.
   */
  async start(): Promise<void> {
    if (this.#child !== undefined) return;
    if (this.#closed) throw new Error('The sandbox is closed.');
    const { api, handler, env, nodeBinary, concurrency } = this.#options;
    const [file, exportName] = splitHandler(handler);
    const bundle = await bundleHandler(file, exportName);
    api.initError = undefined;
    const written = [this.stdout.length, this.stderr.length] as const;
    // Lambda starts Node with this flag: a CommonJS handler cannot require an ES module.
    const args = ['--no-experimental-require-module', this.runtimeClient.entry, bundle.handler];
    const child = spawn(nodeBinary ?? defaultNode(), args, {
      cwd: bundle.taskRoot,
      env: {
        ...lambdaEnvironment(api.address, bundle),
        ...(concurrency && concurrentEnvironment(concurrency)),
        ...env,
      },
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    this.#adopt(child);
    await Promise.race([api.idle(), wait(INIT_LIMIT_MILLIS, undefined, { ref: false })]);
    if (!api.isIdle) {
      this.kill();
      await this.#ended(child);
      const output = this.stdout.slice(written[0]) + this.stderr.slice(written[1]);
      throw new Error(`The sandbox did not initialise: ${this.#initFailure()}\n${output}`);
    }
    if (this.#freezes) await this.freeze();
  }

  /**
   * Invokes the handler as Lambda does: a cold start if no process runs, a thaw, the event. Resolves when the sandbox
   * waits for its next invocation and is frozen again, or has ended.
   */
  async invoke(event: unknown, options: { readonly timeoutMillis?: number } = {}): Promise<InvocationResult> {
    const { api, concurrency } = this.#options;
    const startedAt = performance.now();
    try {
      await this.start();
    } catch (error) {
      const durationMillis = performance.now() - startedAt;
      const init = { errorType: 'Runtime.InitError', errorMessage: (error as Error).message };
      return { ok: false, outcome: 'init', error: init, requestId: '', durationMillis };
    }
    const child = this.#child;
    const running = api.invoke(event, options);
    this.thaw();
    const result = await running;
    if (concurrency) return result;
    if ((result.outcome === 'timeout' || result.outcome === 'exit') && child) await this.#ended(child);
    else await this.#comesBack((options.timeoutMillis ?? DEFAULT_TIMEOUT_MILLIS) - result.durationMillis);
    if (this.#freezes && this.#child !== undefined) await this.freeze();
    return result;
  }

  /** Stops the process (SIGSTOP) and waits until the system says so. Does nothing when it is frozen or has ended. */
  async freeze(): Promise<void> {
    const child = this.#child;
    if (child === undefined || this.#frozen) return;
    this.#frozen = true;
    child.kill('SIGSTOP');
    while (this.#child === child && !(await isStopped(child.pid))) await wait(1);
  }

  /** Lets a frozen process run on (SIGCONT). */
  thaw(): void {
    if (!this.#frozen) return;
    this.#frozen = false;
    this.#child?.kill('SIGCONT');
  }

  /**
   * Freezes the sandbox for `millis` and runs `whileFrozen` meanwhile. It stays frozen until the next invocation:
   * Lambda thaws a sandbox only when there is an event for it.
   */
  async freezeFor(millis: number, whileFrozen?: () => unknown): Promise<void> {
    await this.freeze();
    await Promise.all([wait(millis), whileFrozen?.()]);
  }

  /** Ends the process at once (SIGKILL), as Lambda does after a timeout. */
  kill(): void {
    this.events.emit('kill');
    this.#child?.kill('SIGKILL');
  }

  /** Asks the process to end (SIGTERM), which Lambda does only where an extension is registered. */
  terminate(): void {
    this.thaw();
    this.#child?.kill('SIGTERM');
  }

  /** Ends the process for good. */
  async close(): Promise<void> {
    this.#closed = true;
    const child = this.#child;
    if (child === undefined) return;
    this.kill();
    await this.#ended(child);
  }

  /** The same as `close()`. */
  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  #adopt(child: ChildProcess): void {
    this.starts += 1;
    this.exit = undefined;
    this.#frozen = false;
    this.#child = child;
    // A stopped process does not notice that its parent is gone.
    if (child.pid !== undefined) this.#guard = whenGone('kill -KILL "$1"', String(child.pid));
    for (const name of ['stdout', 'stderr'] as const) {
      child[name]?.setEncoding('utf8').on('data', (text: string) => {
        this[name] += text;
        this.events.emit(name, text);
      });
    }
    child.once('error', (error) => (this.stderr += `${error.message}\n`));
    child.once('close', (code: number | null, signal: NodeJS.Signals | null) => {
      this.#guard?.cancel();
      this.#child = undefined;
      this.#frozen = false;
      this.exit = { code, signal };
      this.#options.api.sandboxEnded(code, signal);
      this.events.emit('exit', this.exit);
    });
  }

  /** The deadline holds for what a handler leaves running behind its answer, too. */
  async #comesBack(withinMillis: number): Promise<void> {
    const timer = setTimeout(() => this.kill(), Math.max(0, withinMillis));
    await this.#options.api.idle();
    clearTimeout(timer);
  }

  #initFailure(): string {
    const reported = this.#options.api.initError;
    if (reported) return `${reported.errorType}: ${reported.errorMessage}`;
    const exit = this.exit;
    if (exit === undefined || exit.signal === 'SIGKILL') return `not ready after ${INIT_LIMIT_MILLIS} ms`;
    return exit.signal ? `ended by ${exit.signal}` : `exited with status ${exit.code}`;
  }

  async #ended(child: ChildProcess): Promise<void> {
    while (this.#child === child) await once(this.events, 'exit');
  }
}

function splitHandler(handler: string): [file: string, exportName: string] {
  const [file, exportName] = handler.split('#');
  if (!file || !exportName) throw new Error(`A handler is "file.ts#export", not "${handler}".`);
  return [file, exportName];
}

/** Reads the process's state where the system shows it; elsewhere SIGSTOP is taken at its word. */
async function isStopped(pid: number | undefined): Promise<boolean> {
  if (process.platform !== 'linux') return true;
  const stat = await readFile(`/proc/${pid}/stat`, 'utf8').catch(() => undefined);
  // The state follows the command's name, which is in parentheses and may hold spaces (proc(5)).
  return stat === undefined || stat.slice(stat.lastIndexOf(')') + 2).startsWith('T');
}

/**
 * Starts a sandbox and waits until its handler is loaded.
 *
 * @throws When the handler cannot be loaded; the message holds what the process wrote.
 */
export async function startSandbox(options: SandboxOptions): Promise<Sandbox> {
  const sandbox = new Sandbox(options);
  await sandbox.start();
  return sandbox;
}
