/**
 * Asks a deployed order service whether it works: `npm run smoke -- --url https://…`. It needs Node.js and nothing else,
 * and knows the service by what its API promises only.
 */
import { randomUUID } from 'node:crypto';
import { realpathSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { parseArgs } from 'node:util';

/** What is asked, and with what. */
export interface SmokeOptions {
  /** Where the API answers; what follows the host is kept. */
  readonly url: string;
  /** How many orders are created and read at once. */
  readonly parallel: number;
  /** Seconds in which nothing is asked, so that Lambda freezes every sandbox. 0 leaves the step out. */
  readonly freezeSeconds: number;
  /** Seconds that a database which has paused may take to come back. */
  readonly wakeSeconds: number;
  /** Waits between two attempts and through the freeze. @default a timer */
  readonly wait?: (millis: number) => Promise<unknown>;
}

/** One line of the table. */
export interface SmokeStep {
  readonly name: string;
  readonly requests: number;
  /** Milliseconds of every request, in the order in which they ended. */
  readonly millis: readonly number[];
  /** What went wrong, one sentence for each kind of failure. */
  readonly problems: readonly string[];
}

interface Order {
  readonly id: string;
  readonly customer: string;
  readonly items: readonly { readonly sku: string; readonly quantity: number; readonly price: number }[];
  readonly total: number;
  readonly createdAt: string;
}

interface Answer {
  readonly status: number;
  readonly body: unknown;
  readonly millis: number;
}

/** API Gateway ends a request to an HTTP API after 30 s (API Gateway quotas); the rest is the way there and back. */
const REQUEST_MILLIS = 35_000;
const RETRY_MILLIS = 2000;
const ITEMS = [
  { sku: 'smoke-tea', quantity: 2, price: 1290 },
  { sku: 'smoke-cup', quantity: 1, price: 2400 },
];
const TOTAL = 4980;

/** Talks to one API and keeps the steps. */
class Smoke {
  readonly steps: SmokeStep[] = [];
  readonly #options: SmokeOptions;
  readonly #wait: (millis: number) => Promise<unknown>;

  constructor(options: SmokeOptions) {
    this.#options = options;
    this.#wait = options.wait ?? sleep;
  }

  /** Goes through all steps; without an answer from the database there is no second one. */
  async run(): Promise<void> {
    const { parallel, freezeSeconds } = this.#options;
    if (!(await this.#wake())) return;
    await this.#refusals();
    const first = await this.#create('create an order', 1);
    await this.#read('read it back', first);
    const many = await this.#create('create many at once', parallel);
    await this.#read('read them at once', many);
    if (freezeSeconds === 0) return;
    await this.#wait(freezeSeconds * 1000);
    await this.#read(`read after ${freezeSeconds} s of rest`, many);
  }

  /** Asks for an order that nobody has until the database says so: a paused one may need several attempts. */
  async #wake(): Promise<boolean> {
    const { wakeSeconds } = this.#options;
    const deadline = performance.now() + wakeSeconds * 1000;
    const id = randomUUID();
    const millis: number[] = [];
    for (;;) {
      const answer = await this.#ask('GET', `/orders/${id}`).catch((error: unknown) => reasonOf(error));
      if (typeof answer !== 'string') millis.push(answer.millis);
      if (typeof answer !== 'string' && answer.status < 500) {
        const problems = answer.status === 404 ? [] : [`an unknown id was answered ${shown(answer)} instead of 404`];
        this.steps.push({ name: 'an unknown id', requests: millis.length, millis, problems });
        // Neither 404 nor an error of the service: whatever answers there is not this service.
        return problems.length === 0;
      }
      if (performance.now() >= deadline) {
        const last = typeof answer === 'string' ? answer : shown(answer);
        const problem = `the service did not answer within ${wakeSeconds} s; the last attempt: ${last}`;
        this.steps.push({ name: 'an unknown id', requests: millis.length, millis, problems: [problem] });
        return false;
      }
      await this.#wait(RETRY_MILLIS);
    }
  }

  async #refusals(): Promise<void> {
    const bad = [
      () => this.#ask('POST', '/orders', '{'),
      () => this.#ask('POST', '/orders', JSON.stringify({ customer: '', items: [] })),
      () => this.#ask('GET', '/orders/1'),
    ];
    await this.#step('bad requests', bad, (answer) => {
      if (answer.status !== 400) return `a bad request was answered ${shown(answer)} instead of 400`;
      const { message } = (answer.body ?? {}) as { readonly message?: unknown };
      return typeof message === 'string' && message !== '' ? undefined : 'a bad request was refused without a message';
    });
  }

  /** Creates orders and returns those that were made. */
  async #create(name: string, count: number): Promise<Order[]> {
    const made: Order[] = [];
    const one = (customer: string) => () => this.#ask('POST', '/orders', JSON.stringify({ customer, items: ITEMS }));
    const requests = Array.from({ length: count }, (_, index) => one(`smoke ${index}`));
    await this.#step(name, requests, (answer) => {
      const order = answer.body as Order;
      if (answer.status !== 201) return `an order was answered ${shown(answer)} instead of 201`;
      if (order.total !== TOTAL) return `an order of ${TOTAL} cents has a total of ${order.total}`;
      made.push(order);
      return undefined;
    });
    return made;
  }

  async #read(name: string, orders: readonly Order[]): Promise<void> {
    const requests = orders.map((order) => async () => {
      const answer = await this.#ask('GET', `/orders/${order.id}`);
      return { ...answer, same: wordsOf(order) === wordsOf(answer.body as Order | null) };
    });
    await this.#step(name, requests, (answer) => {
      if (answer.status !== 200) return `a stored order was answered ${shown(answer)} instead of 200`;
      return answer.same ? undefined : 'a stored order came back as another one';
    });
  }

  /** Makes all requests at once and notes what came of them. */
  async #step<T extends Answer>(
    name: string,
    requests: readonly (() => Promise<T>)[],
    check: (answer: T) => string | undefined,
  ): Promise<void> {
    const millis: number[] = [];
    const counts = new Map<string, number>();
    const one = async (request: () => Promise<T>) => {
      try {
        const answer = await request();
        millis.push(answer.millis);
        return check(answer);
      } catch (error) {
        return `a request failed: ${reasonOf(error)}`;
      }
    };
    for (const problem of await Promise.all(requests.map(one))) {
      if (problem !== undefined) counts.set(problem, (counts.get(problem) ?? 0) + 1);
    }
    const problems = [...counts].map(([problem, count]) => `${count} of ${requests.length}: ${problem}`);
    this.steps.push({ name, requests: requests.length, millis, problems });
  }

  async #ask(method: string, path: string, body?: string): Promise<Answer> {
    const startedAt = performance.now();
    const response = await fetch(this.#options.url.replace(/\/+$/, '') + path, {
      method,
      headers: { 'content-type': 'application/json' },
      signal: AbortSignal.timeout(REQUEST_MILLIS),
      ...(body !== undefined && { body }),
    });
    const text = await response.text();
    return { status: response.status, body: parsed(text), millis: performance.now() - startedAt };
  }
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text) as unknown;
  } catch {
    return text;
  }
}

/** An order in words that do not depend on the order of its keys. */
function wordsOf(order: Partial<Order> | null): string {
  const { id, customer, items = [], total, createdAt } = order ?? {};
  return JSON.stringify([
    id,
    customer,
    total,
    createdAt,
    items.map(({ sku, quantity, price }) => [sku, quantity, price]),
  ]);
}

function shown({ status, body }: Answer): string {
  const text = typeof body === 'string' ? body : JSON.stringify(body);
  return `${status} ${text.slice(0, 120)}`.trim();
}

/** fetch() says "fetch failed"; what happened is in the cause. */
function reasonOf(error: unknown): string {
  const { name, message, cause } = error as Error;
  if (name === 'TimeoutError') return `no answer within ${REQUEST_MILLIS / 1000} s`;
  if (!(cause instanceof Error)) return message;
  return `${(cause as NodeJS.ErrnoException).code ?? ''} ${cause.message}`.trim();
}

/** Asks the service and returns what came of each step. */
export async function smoke(options: SmokeOptions): Promise<readonly SmokeStep[]> {
  const run = new Smoke(options);
  await run.run();
  return run.steps;
}

/** Makes the table, and below it a sentence for everything that went wrong. */
export function tableOf(steps: readonly SmokeStep[]): string {
  const rows = steps.map(({ name, requests, millis, problems }) => {
    const sorted = millis.toSorted((a, b) => a - b);
    const at = (part: number) => `${Math.round(sorted[Math.ceil(sorted.length * part) - 1] ?? 0)}`;
    return [name, String(requests), problems.length === 0 ? 'ok' : 'FAILED', at(0.5), at(1)];
  });
  const all = [['step', 'requests', '', 'p50 ms', 'max ms'], ...rows];
  const widths = [0, 1, 2, 3, 4].map((column) => Math.max(...all.map((row) => (row[column] ?? '').length)));
  const pad = (cell: string, column: number) =>
    column === 0 || column === 2 ? cell.padEnd(widths[column] ?? 0) : cell.padStart(widths[column] ?? 0);
  const lines = all.map((row) => row.map(pad).join('  ').trimEnd());
  const sentences = steps.flatMap(({ name, problems }) => problems.map((problem) => `${name}: ${problem}.`));
  return [...lines, '', sentences.length === 0 ? 'The service works.' : sentences.join('\n')].join('\n');
}

const HELP = `npm run smoke -- --url URL [--parallel 8] [--freeze SECONDS] [--wake 90]

  --url       where the API answers: the output Url of the stack
  --parallel  how many orders are created and read at once
  --freeze    rests so long that Lambda freezes every sandbox, and reads once more
  --wake      how long a paused database may take to come back`;

/** Reads the command line. @throws With a sentence that says what is wrong with it. */
export function readArguments(args: readonly string[]): SmokeOptions | 'help' {
  const { values } = parseArgs({
    args: [...args],
    options: {
      url: { type: 'string' },
      parallel: { type: 'string', default: '8' },
      freeze: { type: 'string', default: '0' },
      wake: { type: 'string', default: '90' },
      help: { type: 'boolean', default: false },
    },
  });
  if (values.help) return 'help';
  const { url = '' } = values;
  if (!/^https?:$/.test(URL.parse(url)?.protocol ?? '')) {
    throw new Error(`--url must be an http or https URL, got ${JSON.stringify(url)}.`);
  }
  const whole = (name: 'parallel' | 'freeze' | 'wake', least: number) => {
    const number = Number(values[name]);
    if (Number.isInteger(number) && number >= least) return number;
    throw new Error(`--${name} must be a whole number from ${least}, got ${JSON.stringify(values[name])}.`);
  };
  return { url, parallel: whole('parallel', 1), freezeSeconds: whole('freeze', 0), wakeSeconds: whole('wake', 0) };
}

/** Runs the command. @returns its exit code: 0 when the service works, 1 when not, 2 for a command line that is wrong. */
export async function main(args: readonly string[], print: (text: string) => void): Promise<number> {
  let options: SmokeOptions | 'help';
  try {
    options = readArguments(args);
  } catch (error) {
    print(`${(error as Error).message}\n\n${HELP}`);
    return 2;
  }
  if (options === 'help') {
    print(HELP);
    return 0;
  }
  const steps = await smoke(options);
  print(tableOf(steps));
  return steps.some(({ problems }) => problems.length > 0) ? 1 : 0;
}

// import.meta.main is younger than Node.js 22.
if (process.argv[1] !== undefined && realpathSync(process.argv[1]) === import.meta.filename) {
  process.exitCode = await main(process.argv.slice(2), (text) => console.log(text));
}
