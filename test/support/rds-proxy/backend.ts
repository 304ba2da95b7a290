/** One connection to the real server: logged in by `pg`, then spoken to frame by frame. */
import type { EventEmitter } from 'node:events';
import type { Socket } from 'node:net';
import pg from 'pg';
import { errorFields, type Frame, FrameReader, frame, query } from './frames.ts';

/** How the proxy logs in to the real server. */
export interface Target {
  readonly host: string;
  readonly port: number;
  readonly user: string;
  readonly password: string;
  /** TLS towards the server, as `pg` takes it. @default none */
  readonly tls?: pg.ClientConfig['ssl'];
}

/** Who has borrowed a backend, and is told what it says. */
export interface Tenant {
  frames(frames: readonly Frame[]): void;
  lost(): void;
}

/** The server has answered a statement of the proxy's own with an error. */
export class BackendError extends Error {
  readonly code: string;

  constructor(code: string, message: string) {
    super(message);
    this.code = code;
  }
}

/** The connection ended while the proxy had a statement of its own on it. */
export class BackendLost extends Error {}

interface OwnStatement {
  readonly resolve: () => void;
  readonly reject: (error: Error) => void;
  error?: BackendError;
}

/** A connection to one database. */
export class Backend {
  readonly id: number;
  readonly database: string;
  readonly processId: number;
  /** What the server has reported at login, by the names it uses. */
  readonly parameters: ReadonlyMap<string, string>;
  tenant: Tenant | undefined;
  /** Called once when the connection is gone, for whatever reason. */
  onGone: () => void = () => {};
  readonly #socket: Socket;
  readonly #reader = new FrameReader();
  readonly #startedWith: ReadonlyMap<string, string>;
  #own: OwnStatement | undefined;
  #gone = false;

  constructor(
    id: number,
    database: string,
    processId: number,
    parameters: ReadonlyMap<string, string>,
    socket: Socket,
  ) {
    this.id = id;
    this.database = database;
    this.processId = processId;
    this.parameters = parameters;
    this.#startedWith = new Map([...parameters].map(([name, value]) => [name.toLowerCase(), value]));
    this.#socket = socket;
    socket.on('data', (chunk: Buffer) => this.#receive(chunk));
    socket.on('close', () => this.#lost());
    socket.on('error', () => {}); // Its close follows.
  }

  get gone(): boolean {
    return this.#gone || this.#socket.destroyed;
  }

  /** Passes bytes of the tenant on; false when it should wait before it sends more. */
  send(bytes: Buffer): boolean {
    return this.#socket.write(bytes);
  }

  /** Stops reading until `resume()`: the tenant's client is slow. */
  pause(): void {
    this.#socket.pause();
  }

  resume(): void {
    this.#socket.resume();
  }

  onceDrained(callback: () => void): void {
    this.#socket.once('drain', callback);
  }

  /** Sets the tracked variables to a client's values; nothing but those it logged in with is set before. @throws BackendError, BackendLost */
  async apply(settings: ReadonlyMap<string, string>): Promise<void> {
    const statements = [...settings]
      .filter(([name, value]) => this.#startedWith.get(name) !== value)
      .map(([name, value]) => `select set_config('${name}', '${value.replaceAll("'", "''")}', false)`);
    if (statements.length > 0) await this.#run(statements.join('; '));
  }

  /** Forgets everything that the last tenant left behind. @throws BackendError, BackendLost */
  discardAll(): Promise<void> {
    return this.#run('discard all');
  }

  /** Says goodbye: the server rolls back what was open. */
  close(): void {
    this.tenant = undefined;
    this.#socket.end(frame('X'));
    this.#socket.resume();
  }

  destroy(): void {
    this.tenant = undefined;
    this.#socket.destroy();
  }

  #run(sql: string): Promise<void> {
    if (this.gone) return Promise.reject(new BackendLost());
    return new Promise((resolve, reject) => {
      this.#own = { resolve, reject };
      this.#socket.write(query(sql));
    });
  }

  #receive(chunk: Buffer): void {
    const frames = this.#reader.push(chunk);
    if (this.#own === undefined) {
      // Without a tenant it is a notification, a changed parameter, or the reason of the end that follows.
      if (frames.length > 0) this.tenant?.frames(frames);
      return;
    }
    for (const { type, bytes } of frames) {
      if (type === 'E') {
        const fields = errorFields(bytes);
        this.#own.error ??= new BackendError(fields.get('C') ?? '', fields.get('M') ?? '');
      } else if (type === 'Z') {
        const { resolve, reject, error } = this.#own;
        this.#own = undefined;
        if (error === undefined) resolve();
        else reject(error);
        return;
      }
    }
  }

  #lost(): void {
    if (this.#gone) return;
    this.#gone = true;
    this.#own?.reject(new BackendLost());
    this.tenant?.lost();
    this.onGone();
  }
}

interface PgInside {
  readonly connection: EventEmitter & { readonly stream: Socket };
  readonly processID: number;
}

/** Logs in. @throws whatever `pg` throws when that fails. */
export async function connectBackend(id: number, target: Target, database: string): Promise<Backend> {
  const { host, port, user, password, tls: ssl = false } = target;
  const client = new pg.Client({ host, port, user, password, ssl, database, application_name: 'rds-proxy' });
  client.on('error', () => {}); // The backend hears of it by its socket.
  const inside = client as unknown as PgInside;
  const parameters = new Map<string, string>();
  inside.connection.on('parameterStatus', ({ parameterName, parameterValue }) => {
    parameters.set(parameterName as string, parameterValue as string);
  });
  try {
    await client.connect();
  } catch (error) {
    inside.connection.stream.destroy();
    throw error;
  }
  const { stream } = inside.connection;
  stream.removeAllListeners('data'); // Those of pg's parser.
  return new Backend(id, database, inside.processID, parameters, stream);
}
