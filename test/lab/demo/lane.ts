/** One subject of the demo: its sandbox, proxy and database, and a record of all that happens to it. */
import { once } from 'node:events';
import type { TestPostgres } from '../../support/postgres.ts';
import type { RuntimeClient } from '../find-runtime-client.ts';
import type { InvocationResult } from '../invocation.ts';
import { type Lab, openLab } from '../lab.ts';
import type { MessageCounts, ProxyCounts } from '../proxy-counts.ts';
import type { EventKind } from './dispatch.ts';
import { eventOf } from './events.ts';
import type { InvocationMark, PhaseName, PhaseTraffic, Span, SubjectRecording } from './model.ts';

/** What a lane is made of. */
export interface LaneOptions {
  readonly name: string;
  readonly title: string;
  /** `/path/to/file.ts#handler`. */
  readonly handler: string;
  /** The server, with the connection string of a database that has the service's tables. */
  readonly postgres: TestPostgres;
  readonly runtimeClient: RuntimeClient;
  readonly timeoutMillis: number;
  /** Milliseconds since the demo began. */
  readonly now: () => number;
}

/** Why the result counts as failed: also an error answer, and messages that were handed back. */
export function failureOf(result: InvocationResult): string | undefined {
  if (!result.ok) return result.error?.errorMessage.replace(/^RequestId: \S+ Error: /, '') ?? result.outcome;
  const payload = (result.payload ?? {}) as { statusCode?: number; batchItemFailures?: readonly unknown[] };
  if (payload.statusCode !== undefined && payload.statusCode >= 400) return `answered ${payload.statusCode}`;
  const failed = payload.batchItemFailures?.length ?? 0;
  return failed > 0 ? `${failed} messages failed` : undefined;
}

/** A running subject. */
export class Lane implements AsyncDisposable {
  readonly #lab: Lab;
  readonly #options: LaneOptions;
  readonly #invocations: InvocationMark[] = [];
  readonly #spans: Span[] = [];
  readonly #opens: number[] = [];
  readonly #traffic: PhaseTraffic[] = [];
  #frozenSince: number | undefined;
  #phaseBegan: ProxyCounts;
  #orderId = '';
  #starts = 0;

  private constructor(lab: Lab, options: LaneOptions) {
    this.#lab = lab;
    this.#options = options;
    this.#phaseBegan = lab.snapshot();
    this.#watchOpens();
  }

  /** Opens a subject; it has no process until it is started. */
  static async open(options: LaneOptions): Promise<Lane> {
    const { name, title, handler, postgres, runtimeClient } = options;
    const lab = await openLab({ subject: { name, title, handler }, postgres, runtimeClient });
    const lane = new Lane(lab, options);
    await lane.endSandbox();
    return lane;
  }

  get name(): string {
    return this.#options.name;
  }

  get lab(): Lab {
    return this.#lab;
  }

  /** Ends the process, as Lambda does with a sandbox that was not used for long. */
  async endSandbox(): Promise<void> {
    const { sandbox } = this.#lab;
    if (sandbox.pid === undefined) return;
    const ended = once(sandbox.events, 'exit');
    sandbox.kill();
    await ended;
    this.#endFreeze();
  }

  /** Invokes the function once, after a cold start if no process runs. */
  async invoke(phase: PhaseName, kind: EventKind, afterFault: boolean): Promise<InvocationMark> {
    const { now, timeoutMillis } = this.#options;
    const { sandbox } = this.#lab;
    if (sandbox.pid === undefined) await this.#start();
    this.#endFreeze();
    const before = this.#lab.snapshot();
    const from = now();
    const result = await this.#lab.invoke(eventOf(kind, this.#orderId), { timeoutMillis });
    const failure = failureOf(result);
    if (kind === 'create' && failure === undefined) this.#orderId = idOf(result.payload);
    const mark: InvocationMark = {
      phase,
      kind,
      afterFault,
      from,
      to: from + result.durationMillis,
      outcome: result.outcome,
      ...(failure !== undefined && { failure }),
      durationMillis: result.durationMillis,
      messages: total(this.#lab.since(before).frontend),
    };
    this.#invocations.push(mark);
    if (sandbox.pid !== undefined) this.#frozenSince = mark.to;
    return mark;
  }

  /** Begins counting what passes the proxy. */
  beginPhase(): void {
    this.#phaseBegan = this.#lab.snapshot();
  }

  /** Notes what has passed the proxy since the phase began, and clears away what a black hole has left. */
  async endPhase(phase: PhaseName): Promise<void> {
    const { proxy } = this.#lab;
    const { opened, frontend } = proxy.since(this.#phaseBegan);
    this.#traffic.push({ phase, opened, messages: total(frontend) });
    await proxy.healed();
    this.#watchOpens();
  }

  /** What was recorded. */
  recording(): SubjectRecording {
    this.#endFreeze();
    const { name, title } = this.#options;
    return {
      name,
      title,
      invocations: this.#invocations,
      spans: this.#spans,
      opens: this.#opens,
      traffic: this.#traffic,
      starts: this.#starts,
    };
  }

  /** Ends the process and closes proxy and Runtime API. */
  [Symbol.asyncDispose](): Promise<void> {
    return this.#lab.close();
  }

  #watchOpens(): void {
    this.#lab.proxy.onMessage(({ name }) => {
      if (name === 'Startup') this.#opens.push(this.#options.now());
      return undefined;
    });
  }

  async #start(): Promise<void> {
    const from = this.#options.now();
    await this.#lab.sandbox.start();
    this.#starts += 1;
    this.#spans.push({ what: 'starting', from, to: this.#options.now() });
  }

  #endFreeze(): void {
    if (this.#frozenSince === undefined) return;
    this.#spans.push({ what: 'frozen', from: this.#frozenSince, to: this.#options.now() });
    this.#frozenSince = undefined;
  }
}

function total(counts: MessageCounts): number {
  return Object.values(counts).reduce((sum, count) => sum + count, 0);
}

function idOf(payload: unknown): string {
  return (JSON.parse((payload as { body: string }).body) as { id: string }).id;
}
