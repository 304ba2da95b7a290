/** What a scenario is: a story told to any subject, and one rule by which it is judged. */
import { setTimeout as wait } from 'node:timers/promises';
import type { ProxyCounts } from '../chaos-proxy.ts';
import type { InvocationResult } from '../invocation.ts';
import type { Lab, LabOptions } from '../lab.ts';
import type { Ability } from '../subjects/index.ts';
import type { SubjectEvent } from '../subjects/protocol.ts';

/** One invocation of a scenario, with what it put on the wire. */
export interface ScenarioInvocation {
  /** Where in the story it stands, for example `after 1.1 s`. */
  readonly label: string;
  readonly event: SubjectEvent;
  readonly result: InvocationResult;
  /** What passed the proxy from the event to the freeze behind it. */
  readonly wire: ProxyCounts;
}

/** What a scenario's run has shown. */
export interface Outcome {
  readonly invocations: readonly ScenarioInvocation[];
  /** Figures other than those of single invocations, for example `sessionsWhileFrozen`. */
  readonly figures?: Readonly<Record<string, number>>;
}

/** Whether the rule was kept, and the reason in one sentence. */
export interface Verdict {
  readonly pass: boolean;
  readonly why: string;
}

/** What a scenario may ask of its lab. */
export type LabNeeds = Pick<LabOptions, 'env' | 'concurrency' | 'streaming' | 'movableClock' | 'passwordFile'>;

/** A scenario. Each run gets a lab of its own. */
export interface Scenario {
  readonly name: string;
  readonly title: string;
  /** The rule for pass, in one sentence. */
  readonly rule: string;
  /** What the lab is opened with. */
  readonly lab?: LabNeeds;
  /** What the subject must be able to do; one that is not is skipped. */
  readonly needs?: Ability;
  /** Returns why it cannot run in this lab; absent when it always can. */
  unable?(lab: Lab): string | undefined;
  run(lab: Lab): Promise<Outcome>;
  judge(outcome: Outcome): Verdict;
}

/** How an invocation of a scenario differs from the plainest one. */
export interface InvokeOptions {
  readonly timeoutMillis?: number;
  /** Runs from the thaw on, while the handler does. */
  readonly meanwhile?: () => Promise<unknown>;
}

/** Invokes the lab's handler and keeps what happened. */
export interface Recorder {
  readonly invocations: ScenarioInvocation[];
  invoke(label: string, event?: SubjectEvent, options?: InvokeOptions): Promise<InvocationResult>;
}

/** Returns a recorder for one run. Its default event is the least query there is. */
export function recorder(lab: Lab): Recorder {
  const invocations: ScenarioInvocation[] = [];
  return {
    invocations,
    async invoke(label, event = { op: 'query' }, { meanwhile, ...options } = {}) {
      const before = lab.snapshot();
      const [result] = await Promise.all([lab.invoke(event, options), meanwhile?.()]);
      invocations.push({ label, event, result, wire: lab.since(before) });
      return result;
    },
  };
}

/** Limits the subject's pool, whichever it is. */
export function limitedTo(max: number): Record<string, string> {
  return { LAB_MAX: String(max), THAWPOOL_MAX: String(max) };
}

/** No pause of the machine between two invocations is long enough for thawpool to ask whether its connection lives. */
export const STEADY_TRAFFIC: Readonly<Record<string, string>> = { THAWPOOL_VALIDATE_AFTER_IDLE_MS: '60000' };

/** Why a scenario cannot run that changes the server, its roles or its settings. */
export function needsOwnServer(lab: Lab): string | undefined {
  return lab.postgres.managed ? undefined : 'the server of DATABASE_URL is not the lab’s own';
}

/** The server terminates every session of the sandbox, and the proxy has seen them end. */
export async function killSessions(lab: Lab): Promise<void> {
  for (const pid of await lab.sessions()) await lab.postgres.admin('select pg_terminate_backend($1, 30000)', [pid]);
  await lab.proxy.until(allEnded);
}

/** Whether every connection has been ended by someone. */
export function allEnded(counts: ProxyCounts): boolean {
  return counts.connections.every((each) => each.endedBy !== undefined);
}

/** How many sessions of the sandbox are in a transaction, whoever still knows of them. */
export async function openTransactions(lab: Lab): Promise<number> {
  const sql = `select count(*)::int as n from pg_stat_activity
    where pid = any($1) and (xact_start is not null or state like 'idle in transaction%')`;
  const { rows } = await lab.postgres.admin(sql, [await lab.sessions()]);
  return (rows[0] as { n: number }).n;
}

/** Less than an invocation may take; what a loaded machine does at all it does within this time. */
const SOON_MILLIS = 5000;

/** Waits for something that a subject may never do, but not for long: then the story goes on without it. */
export async function soon(promise: Promise<unknown>, limitMillis = SOON_MILLIS): Promise<void> {
  await Promise.race([promise.catch(() => {}), wait(limitMillis, undefined, { ref: false })]);
}

const POLL_MILLIS = 5;

/** Asks until the answer meets the condition, for `limitMillis` at most, and returns the last answer. */
export async function settled<T>(ask: () => Promise<T>, condition: (answer: T) => boolean, limitMillis: number) {
  for (const from = Date.now(); ; await wait(POLL_MILLIS)) {
    const answer = await ask();
    if (condition(answer) || Date.now() - from >= limitMillis) return answer;
  }
}

/** What an invocation failed with, without Lambda's preamble. */
export function reasonOf({ error, outcome }: InvocationResult): string {
  return error?.errorMessage.replace(/^RequestId: \S+ Error: /, '') ?? outcome;
}

/** The rows that an invocation has answered with. */
export function rowsOf({ payload }: InvocationResult): readonly Record<string, unknown>[] {
  return (payload as { rows?: readonly Record<string, unknown>[] } | undefined)?.rows ?? [];
}

/** Passes when every invocation has answered. */
export function everyInvocationAnswers({ invocations }: Outcome): Verdict {
  const failed = invocations.filter((each) => !each.result.ok);
  const first = failed[0];
  if (first === undefined) return { pass: true, why: `all ${invocations.length} invocations answered` };
  const why = `${failed.length} of ${invocations.length} invocations failed, the first "${first.label}": ${reasonOf(first.result)}`;
  return { pass: false, why };
}

/** The rule of several: the first verdict that is a fail, else the first. */
export function allOf(...verdicts: readonly [Verdict, ...Verdict[]]): Verdict {
  return verdicts.find((verdict) => !verdict.pass) ?? verdicts[0];
}
