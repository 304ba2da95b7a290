/**
 * What the stories about routing are told on: a server, certificates, a double of RDS Proxy before the server, sandboxes
 * whose environment says which way to go, and a record of what every invocation came to.
 */
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import pg from 'pg';
import { migrate } from '../../../infra/orders/schema.ts';
import { makeCertificates } from '../../support/certificates.ts';
import { startPostgres, type TestPostgres } from '../../support/postgres.ts';
import { type RdsProxy, type RdsProxyOptions, startRdsProxy } from '../../support/rds-proxy/rds-proxy.ts';
import { failureOf } from '../demo/lane.ts';
import type { InvocationResult } from '../invocation.ts';
import type { Lab } from '../lab.ts';
import { allEnded } from '../scenarios/scenario.ts';

/** The region that Lambda's environment in the lab names too. */
export const region = 'eu-central-1';

/** The role of the function, as keys in its environment. */
const key = { id: 'AKIDTHAWPOOLLAB00001', secret: 'lab/only+secret=key' } as const;

/** What the double of RDS Proxy takes for a login by IAM. */
export const iamAuth = {
  kind: 'iam',
  region,
  accessKeys: { [key.id]: { secretAccessKey: key.secret } },
} as const;

/** What Lambda puts into the environment of a function that has a role. */
export const roleEnvironment = { AWS_ACCESS_KEY_ID: key.id, AWS_SECRET_ACCESS_KEY: key.secret, AWS_REGION: region };

/** How a stage differs from the plainest one. */
export interface StageOptions {
  /** The server speaks TLS, with a certificate for localhost. @default false */
  readonly tls?: boolean;
  readonly maxConnections?: number;
  readonly settings?: Readonly<Record<string, string>>;
}

/** A server and what vouches for it; `await using` closes it with everything that was started on it. */
export class Stage implements AsyncDisposable {
  readonly postgres: TestPostgres;
  readonly certificates: ReturnType<typeof makeCertificates>;
  readonly #resources: AsyncDisposableStack;

  private constructor(
    postgres: TestPostgres,
    certificates: ReturnType<typeof makeCertificates>,
    resources: AsyncDisposableStack,
  ) {
    this.postgres = postgres;
    this.certificates = certificates;
    this.#resources = resources;
  }

  /** Starts the server. */
  static async open({ tls = false, ...options }: StageOptions = {}): Promise<Stage> {
    await using resources = new AsyncDisposableStack();
    const certificates = makeCertificates();
    resources.defer(() => certificates.dispose());
    const { folder } = certificates;
    const files = { cert: join(folder, 'local.pem'), key: join(folder, 'local.key') };
    const postgres = resources.use(await startPostgres({ ...options, ...(tls && { tls: files }) }));
    return new Stage(postgres, certificates, resources.move());
  }

  /** Has something closed with the stage, before what was started earlier. */
  use<T extends AsyncDisposable>(part: T): T {
    return this.#resources.use(part);
  }

  /** Starts a double of RDS Proxy that takes tokens of {@link roleEnvironment}, unless told. */
  async proxy(options: Partial<RdsProxyOptions> = {}): Promise<RdsProxy> {
    const { host, port, user, password } = this.postgres;
    const target = { host, port, user, password };
    return this.use(await startRdsProxy({ target, tls: this.certificates.local, auth: iamAuth, ...options }));
  }

  /** A database with the tables of the order service. Migrations go to the server itself, whatever stands before it. */
  async orders(name: string): Promise<TestPostgres> {
    const connectionString = await this.postgres.createDatabase(name);
    const client = new pg.Client({ connectionString });
    await client.connect();
    try {
      await client.query('begin');
      await migrate(client);
      await client.query('commit');
    } finally {
      await client.end();
    }
    return { ...this.postgres, database: name, connectionString };
  }

  /** All that is changed in a function's environment to have it go through the proxy, and log in by IAM. */
  throughProxy({ host, port }: RdsProxy): Record<string, string> {
    return {
      THAWPOOL_PROXY_HOST: `${host}:${port}`,
      THAWPOOL_AUTH: 'iam',
      PGSSLROOTCERT: this.certificates.caFile,
      ...roleEnvironment,
    };
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.#resources.disposeAsync();
  }
}

/** What has happened, one line for each invocation, to be shown when an expectation is not met. */
export class Story {
  readonly lines: string[] = [];
  readonly failures: string[] = [];
  /** Rows, bodies and whatever else the handlers have answered with. */
  readonly payloads: unknown[] = [];

  /** Invokes the lab's handler once and writes down what became of it. */
  async invoke(lab: Lab, label: string, event: unknown, timeoutMillis = 15_000): Promise<InvocationResult> {
    const result = await lab.invoke(event, { timeoutMillis });
    const failure = failureOf(result);
    this.note(`${label}: ${failure ?? 'answered'} in ${result.durationMillis.toFixed(0)} ms`);
    if (failure !== undefined) this.failures.push(`${label}: ${failure}`);
    this.payloads.push(result.payload);
    return result;
  }

  /** Writes down a figure. */
  note(line: string): void {
    this.lines.push(line);
  }

  /** Everything, for the message of an expectation; with what the sandbox has said and the proxy has counted. */
  told(lab?: Lab, proxy?: RdsProxy): string {
    const figures = proxy === undefined ? [] : [`proxy: ${JSON.stringify(proxy.stats())}`];
    const refused = (proxy?.refusals ?? []).map(({ rule, code, reason }) => `refused: ${rule} (${code}) ${reason}`);
    const output = lab === undefined ? '' : `\n${lab.sandbox.stdout}${lab.sandbox.stderr}`;
    return ['', ...this.lines, ...figures, ...refused].join('\n') + output;
  }
}

/** The server ends every session of sandboxes, all at once, and they are gone. */
export async function endSessions({ postgres, sessions, proxy }: Lab): Promise<void> {
  const pids = await sessions();
  await postgres.admin('select pg_terminate_backend(pid, 5000) from unnest($1::int[]) as pid', [pids]);
  await proxy.until(allEnded);
}

/** Reads a file whole, for a comparison byte for byte. */
export const bytesOf = (file: string): Promise<Buffer> => readFile(file);
