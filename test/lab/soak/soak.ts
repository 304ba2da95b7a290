/** Runs a sandbox through random work and random faults, and keeps the books. */
import { join } from 'node:path';
import { setTimeout as wait } from 'node:timers/promises';
import { startPostgres, type TestPostgres } from '../../support/postgres.ts';
import { type Lab, openLab } from '../lab.ts';
import type { ConnectionCounts, MessageCounts } from '../proxy-counts.ts';
import type { Sandbox } from '../sandbox.ts';
import { calm, type Fault, freezeFaults, invocationFaults } from './faults.ts';
import { type Gauges, leaksOf, type Outside } from './gauges.ts';
import { type Judgement, judge, type Round } from './judge.ts';
import { Random } from './random.ts';
import { CREATE_TABLE, nextRequest } from './requests.ts';

/** How long, and which one. */
export interface SoakOptions {
  readonly millis: number;
  readonly seed: number;
  /** Hears of each invocation. */
  readonly onRound?: (books: Books) => void;
}

/** Sums so far. */
export interface Books {
  invocations: number;
  /** Those that answered as they should. */
  ok: number;
  readonly requests: Map<string, number>;
  readonly faults: Map<string, number>;
  readonly legitimate: Map<string, number>;
  /** Each that should not have been, with what was done to it. */
  readonly illegitimate: string[];
}

/** What a soak has come to. */
export interface SoakReport extends Books {
  readonly seed: number;
  readonly millis: number;
  readonly postgres: string;
  readonly node: string;
  readonly start: Gauges;
  readonly end: Gauges;
  /** Bytes of the heap after a collection, a reading each minute. */
  readonly heap: readonly number[];
  readonly outside: Outside;
  /** Processes that the sandbox has had; more than one is an illegitimate failure as well. */
  readonly starts: number;
  /** One sentence for each. */
  readonly leaks: readonly string[];
  /** Writes that are there too often or not at all. */
  readonly miscounted: readonly string[];
  readonly warnings: ReadonlyMap<string, number>;
}

const HANDLER = `${join(import.meta.dirname, 'handler.ts')}#handler`;
/** So that short freezes count as long ones: a soak of a minute has hundreds of them. */
const VALIDATE_AFTER_MILLIS = 50;
/** A freeze after which everything is suspect, so that a silent loss is found. */
const LONG_FREEZE_MILLIS = 75;
const LONGEST_FREEZE_MILLIS = 150;
/** The close of a socket, and its segment on the loopback of a busy machine. */
const ARRIVAL_MILLIS = 10;
/** Lambda's own 3 s would do; a black hole lasts until shortly before the end of it. */
const TIMEOUT_MILLIS = 8000;
const SILENT_TIMEOUT_MILLIS = 1000;
/** Behind a black hole the server's sessions stay: this often they are cleared away. */
const ROUNDS_PER_CLEARING = 8;
/** The heap is looked at this often. */
const READING_MILLIS = 60_000;
/** What the process has once does not count as growth: compiled code, caches, the first error. */
const WARM_UP_ROUNDS = 60;
/** What is on its way when all is over has arrived after this. */
const SETTLE_MILLIS = 500;

function increment(counts: Map<string, number>, name: string): void {
  counts.set(name, (counts.get(name) ?? 0) + 1);
}

class Soak {
  readonly books: Books = {
    invocations: 0,
    ok: 0,
    requests: new Map(),
    faults: new Map(),
    legitimate: new Map(),
    illegitimate: [],
  };
  readonly effects = new Map<number, Judgement['effect']>();
  readonly #lab: Lab;
  readonly #random: Random;
  /** A black hole that has not been found yet: the next freeze is a long one. */
  #lurking = false;
  #lastId = 0;

  constructor(lab: Lab, random: Random) {
    this.#lab = lab;
    this.#random = random;
  }

  /** A freeze, an invocation, and perhaps a fault in either. */
  async round(): Promise<void> {
    const lab = this.#lab;
    const inFreeze = this.#perhaps(freezeFaults, 2);
    const inInvocation = this.#perhaps(invocationFaults, 3);
    await this.#freeze(inFreeze);
    this.#lastId += 1;
    const request = nextRequest(this.#lastId, this.#random);
    const timeoutMillis = request.timeoutMillis ?? (inInvocation?.silent ? SILENT_TIMEOUT_MILLIS : TIMEOUT_MILLIS);
    const [result] = await Promise.all([
      lab.invoke(request.event, { timeoutMillis }),
      inFreeze?.afterThaw?.(lab, this.#random),
      inInvocation && this.#strike(inInvocation),
    ]);
    this.#enter({ request, result, inFreeze, inInvocation });
    this.#lurking = inInvocation?.silent ?? false;
    await calm(lab);
    if (this.books.invocations % ROUNDS_PER_CLEARING === 0) await lab.proxy.healed();
  }

  async #freeze(fault: Fault | undefined): Promise<void> {
    const least = this.#lurking || fault?.silent ? LONG_FREEZE_MILLIS : 0;
    const millis = this.#random.between(least, LONGEST_FREEZE_MILLIS);
    await this.#lab.freezeFor(millis, async () => {
      if (fault === undefined) return;
      // Not all at the beginning, and a silent one not so late that the pool may still trust the connection.
      await wait(fault.silent ? 0 : this.#random.between(0, millis));
      await fault.inject(this.#lab, this.#random);
      // What comes later comes after the thaw, which is another fault.
      await wait(ARRIVAL_MILLIS);
    });
  }

  async #strike(fault: Fault): Promise<void> {
    await wait(this.#random.onceIn(2) ? 0 : this.#random.between(0, 40));
    await fault.inject(this.#lab, this.#random);
  }

  #perhaps(faults: readonly Fault[], onceIn: number): Fault | undefined {
    if (!this.#random.onceIn(onceIn)) return undefined;
    const possible = faults.filter(({ ownServer }) => !ownServer || this.#lab.postgres.managed);
    return this.#random.pick(possible as [Fault, ...Fault[]]);
  }

  #enter(round: Round): void {
    const { request, inFreeze, inInvocation } = round;
    const { books } = this;
    const { verdict, failure = '', effect } = judge(round);
    books.invocations += 1;
    increment(books.requests, request.name);
    if (inFreeze) increment(books.faults, `in a freeze: ${inFreeze.name}`);
    if (inInvocation) increment(books.faults, `in an invocation: ${inInvocation.name}`);
    if (request.id !== undefined) this.effects.set(request.id, effect);
    if (verdict === 'ok') books.ok += 1;
    else if (verdict === 'legitimate') increment(books.legitimate, `${failure}, ${inInvocation?.name ?? 'on purpose'}`);
    else books.illegitimate.push(describe(round, failure, books.invocations));
  }
}

function describe({ inFreeze, inInvocation, result }: Round, failure: string, invocation: number): string {
  const before = `in the freeze before it: ${inFreeze?.name ?? 'nothing'}`;
  const during = `in its midst: ${inInvocation?.name ?? 'nothing'}`;
  const message = result.error ? ` (${result.error.errorMessage.split('\n')[0]})` : '';
  return `invocation ${invocation}, ${failure}; ${before}; ${during}; ${result.durationMillis.toFixed(0)} ms${message}`;
}

async function gauges(lab: Lab): Promise<Gauges> {
  const { payload, error } = await lab.invoke({ op: 'gauges' });
  if (error) throw new Error(`The sandbox could not tell what it holds: ${error.errorMessage}`);
  return payload as Gauges;
}

/** Everything is well again, and what was on its way has come. */
async function quiet(lab: Lab): Promise<void> {
  await lab.proxy.healed();
  await lab.freezeFor(SETTLE_MILLIS);
  await lab.invoke({ op: 'query' });
  await lab.invoke({ op: 'nothing' });
}

function describeConnection({ id, endedBy, frontend, backend }: ConnectionCounts): string {
  const words = (counts: MessageCounts) =>
    Object.entries(counts)
      .map(([name, n]) => `${name} ×${n}`)
      .join(', ') || 'nothing';
  return `#${id}${endedBy ? `, ended by the ${endedBy}` : ''}, sent ${words(frontend)}, heard ${words(backend)}`;
}

async function outsideOf(lab: Lab): Promise<Outside> {
  await wait(SETTLE_MILLIS);
  // A socket that the sandbox has ended is not its own any more, though the proxy's end may be open.
  const open = lab.snapshot().connections.filter((each) => each.open && each.endedBy !== 'client');
  return { sockets: open.map(describeConnection), sessions: (await lab.sessions()).length };
}

/** Writes that break the rule: fulfilled is there once, ambiguous once at most, failed not at all. */
async function miscounted(postgres: TestPostgres, effects: Soak['effects']): Promise<string[]> {
  const { rows } = await postgres.admin('select id, count(*)::int as n from soak group by id');
  const counts = new Map(rows.map(({ id, n }: { id: number; n: number }) => [id, n]));
  return [...effects].flatMap(([id, [least, most]]) => {
    const n = counts.get(id) ?? 0;
    return n >= least && n <= most ? [] : [`write ${id} is there ${n} times, and may be ${least} to ${most} times`];
  });
}

/** The pool's warnings, counted by how they begin. AWS's client writes them to standard output. */
function warningsOf({ stdout, stderr }: Sandbox): Map<string, number> {
  const counts = new Map<string, number>();
  for (const [, text = ''] of `${stdout}${stderr}`.matchAll(/PoolWarning: (.*)/g)) {
    increment(counts, text.replace(/[\da-f]{8}-[\da-f-]{27}/g, '…').slice(0, 60));
  }
  return counts;
}

/** Soaks thawpool. */
export async function soak({ millis, seed, onRound }: SoakOptions): Promise<SoakReport> {
  // A crash may take nothing with it that was committed.
  await using postgres = await startPostgres({ settings: { synchronous_commit: 'on' } });
  const env = { THAWPOOL_MAX: '4', THAWPOOL_VALIDATE_AFTER_IDLE_MS: String(VALIDATE_AFTER_MILLIS) };
  await using lab = await openLab({ subject: HANDLER, postgres, env });
  await postgres.admin(CREATE_TABLE);
  await postgres.admin('truncate soak');
  await postgres.admin(`grant all on soak to "${postgres.user}"`);
  const run = new Soak(lab, new Random(seed));
  const began = performance.now();
  const elapsed = () => performance.now() - began;
  const readings: Gauges[] = [];
  const isDue = () =>
    readings.length === 0 ? run.books.invocations >= WARM_UP_ROUNDS : elapsed() >= readings.length * READING_MILLIS;
  while (elapsed() < millis || readings.length === 0) {
    await run.round();
    onRound?.(run.books);
    if (!isDue()) continue;
    await quiet(lab);
    readings.push(await gauges(lab));
  }
  await quiet(lab);
  const end = await gauges(lab);
  const outside = await outsideOf(lab);
  const [start = end] = readings;
  return {
    ...run.books,
    seed,
    millis: Math.round(elapsed()),
    postgres: postgres.version,
    node: process.version,
    start,
    end,
    heap: readings.map(({ heapUsed }) => heapUsed),
    outside,
    starts: lab.sandbox.starts,
    leaks: leaksOf(start, end, outside),
    miscounted: await miscounted(postgres, run.effects),
    warnings: warningsOf(lab.sandbox),
  };
}
