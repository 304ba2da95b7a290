/**
 * A real Redis server for tests: the binary of the machine's package manager, in a folder of its own under the temporary
 * directory, on a free port of 127.0.0.1, keeping nothing on disk. It is not among the npm packages, so tests are skipped,
 * with the reason, where it is not installed.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { accessSync, constants } from 'node:fs';
import { mkdtemp, writeFile } from 'node:fs/promises';
import type { Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { createClient } from 'redis';
import { freePort, LOOPBACK as HOST } from './free-port.ts';
import { type Guard, whenGone } from './guard.ts';

/** Where Debian and Homebrew put it. */
const PLACES = ['/usr/bin/redis-server', '/opt/homebrew/bin/redis-server', '/usr/local/bin/redis-server'];

/** How {@link startRedis} sets it up. */
export interface TestRedisOptions {
  /** Asked of every client. @default none is asked for */
  readonly password?: string;
  /** A certificate and its key, in PEM form; with them it speaks TLS, and nothing else. */
  readonly tls?: { readonly cert: string; readonly key: string };
}

/** A running server, and what tests do to it. `await using` stops it. */
export interface TestRedis extends AsyncDisposable {
  readonly host: string;
  readonly port: number;
  readonly url: string;
  /** Sends a command on a connection that belongs to no pool. */
  command<R = unknown>(...args: string[]): Promise<R>;
  /** Ids of the clients of pools, in the order in which they came. */
  clients(): Promise<number[]>;
  /** Has the server end its connections with those clients; all of them by default. */
  killClients(ids?: readonly number[]): Promise<void>;
  /** Stops the process where it stands, as a machine does that hangs, or has it go on. */
  suspend(on: boolean): void;
  /** Ends it at once and waits until it is gone. Does nothing when it is stopped. */
  stop(): Promise<void>;
  /** Starts it again on the same port, empty. */
  start(): Promise<void>;
}

function binary(): string | undefined {
  return PLACES.find((path) => {
    try {
      accessSync(path, constants.X_OK);
      return true;
    } catch {
      return false;
    }
  });
}

/** Says why there can be no Redis server of ours; nothing when there can. */
export function whyNoRedis(): string | undefined {
  return binary() === undefined ? 'redis-server is not installed (Debian: apt-get install redis-server)' : undefined;
}

/** Ends the server by the pid that it has written down, and removes its folder. */
const GUARD = `
pid=$(cat "$1/redis.pid" 2>/dev/null)
[ -n "$pid" ] && kill -KILL "$pid" 2>/dev/null
rm -rf "$1"`;

/** The name by which a look from beside is told from a pool's client. */
const BESIDE = 'test-beside';

class Server implements TestRedis {
  readonly host = HOST;
  readonly port: number;
  readonly url: string;
  readonly #dir: string;
  readonly #options: TestRedisOptions;
  readonly #guard: Guard;
  #child: ChildProcess | undefined;
  #beside: ReturnType<typeof createClient> | undefined;

  constructor(dir: string, port: number, options: TestRedisOptions) {
    const { password, tls } = options;
    const login = password === undefined ? '' : `:${encodeURIComponent(password)}@`;
    this.#dir = dir;
    this.port = port;
    this.#options = options;
    this.url = `${tls ? 'rediss' : 'redis'}://${login}${HOST}:${port}`;
    this.#guard = whenGone(GUARD, dir);
  }

  async start(): Promise<void> {
    if (this.#child !== undefined) return;
    const { password, tls } = this.#options;
    const settings: Record<string, string> = {
      bind: HOST,
      port: tls ? '0' : String(this.port),
      dir: this.#dir,
      pidfile: join(this.#dir, 'redis.pid'),
      daemonize: 'no',
      save: '',
      appendonly: 'no',
      ...(password !== undefined && { requirepass: password }),
      ...(tls && {
        'tls-port': String(this.port),
        'tls-cert-file': join(this.#dir, 'tls.crt'),
        'tls-key-file': join(this.#dir, 'tls.key'),
        'tls-auth-clients': 'no',
      }),
    };
    const args = Object.entries(settings).flatMap(([name, value]) => [`--${name}`, value]);
    const child = spawn(binary() ?? 'redis-server', args, { stdio: ['ignore', 'pipe', 'inherit'] });
    this.#child = child;
    child.once('close', () => {
      if (this.#child === child) this.#child = undefined;
    });
    await ready(child);
    // From here on it does not keep the process alive.
    child.unref();
    (child.stdout as unknown as Socket).unref();
  }

  async stop(): Promise<void> {
    this.#beside?.destroy();
    this.#beside = undefined;
    const child = this.#child;
    if (child === undefined) return;
    const closed = once(child, 'close');
    child.ref();
    (child.stdout as unknown as Socket).ref();
    child.kill('SIGCONT');
    child.kill('SIGKILL');
    await closed;
  }

  suspend(on: boolean): void {
    this.#child?.kill(on ? 'SIGSTOP' : 'SIGCONT');
  }

  async command<R>(...args: string[]): Promise<R> {
    this.#beside ??= await this.#connect();
    return this.#beside.sendCommand(args) as Promise<R>;
  }

  async clients(): Promise<number[]> {
    const list = String(await this.command('CLIENT', 'LIST'));
    return list
      .trim()
      .split('\n')
      .filter((line) => !line.includes(`name=${BESIDE}`))
      .map((line) => Number(/\bid=(\d+)/.exec(line)?.[1]));
  }

  async killClients(ids?: readonly number[]): Promise<void> {
    for (const id of ids ?? (await this.clients())) await this.command('CLIENT', 'KILL', 'ID', String(id));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.stop();
    await this.#guard.run();
  }

  async #connect(): Promise<ReturnType<typeof createClient>> {
    const { password, tls } = this.#options;
    const socket = { host: HOST, port: this.port, reconnectStrategy: false as const };
    const client = createClient({
      name: BESIDE,
      socket: tls ? { ...socket, tls: true, rejectUnauthorized: false } : socket,
      ...(password !== undefined && { password }),
    });
    client.on('error', () => {});
    await client.connect();
    return client as unknown as ReturnType<typeof createClient>;
  }
}

/** Resolves once it takes connections. */
function ready(child: ChildProcess): Promise<void> {
  return new Promise((resolve, reject) => {
    const said: string[] = [];
    const stdout = child.stdout as unknown as Socket;
    createInterface({ input: stdout }).on('line', (line) => {
      said.push(line);
      if (line.includes('Ready to accept connections')) resolve();
    });
    child.once('error', reject);
    child.once('close', (code) => reject(new Error(`Redis ended with status ${code}. It said:\n${said.join('\n')}`)));
  });
}

/**
 * Starts a Redis server of its own. Several at once do not disturb each other. It does not keep the process alive, and is
 * stopped and removed when the process ends in whatever way.
 *
 * @throws When it is not installed, or does not start (the message holds its log).
 */
export async function startRedis(options: TestRedisOptions = {}): Promise<TestRedis> {
  const why = whyNoRedis();
  if (why !== undefined) throw new Error(`No Redis: ${why}.`);
  const dir = await mkdtemp(join(tmpdir(), 'thawpool-redis-'));
  const server = new Server(dir, await freePort(), options);
  try {
    if (options.tls) {
      await writeFile(join(dir, 'tls.crt'), options.tls.cert);
      await writeFile(join(dir, 'tls.key'), options.tls.key, { mode: 0o600 });
    }
    await server.start();
    return server;
  } catch (error) {
    await server[Symbol.asyncDispose]();
    throw error;
  }
}
