/** Turns a recording into figures, and the figures into sentences. Pure. */
import type { InvocationMark, PhaseName, Recording, SubjectRecording } from './model.ts';

/** What one phase came to for one subject. */
export interface PhaseFigures {
  readonly name: PhaseName;
  readonly title: string;
  readonly invocations: number;
  readonly failures: number;
  /** How the failed ones ended. */
  readonly crashes: number;
  readonly timeouts: number;
  readonly p50Millis: number;
  readonly p99Millis: number;
  readonly connectionsOpened: number;
  /** Messages from the sandbox to the server, those of connecting and leaving included. */
  readonly messagesPerInvocation: number;
}

/** What the whole run came to for one subject. */
export interface SubjectFigures {
  readonly name: string;
  readonly title: string;
  readonly invocations: number;
  readonly failures: number;
  readonly crashes: number;
  readonly timeouts: number;
  /** Processes started, those of the cold phase included. */
  readonly coldStarts: number;
  readonly phases: readonly PhaseFigures[];
}

/** Returns the smallest value that `percent` per cent of all do not exceed (nearest rank); 0 when there are none. */
export function percentile(values: readonly number[], percent: number): number {
  const sorted = values.toSorted((a, b) => a - b);
  const rank = Math.max(1, Math.ceil((percent / 100) * sorted.length));
  return sorted[rank - 1] ?? 0;
}

function failuresOf(marks: readonly InvocationMark[]) {
  return {
    invocations: marks.length,
    failures: marks.filter(({ failure }) => failure !== undefined).length,
    crashes: marks.filter(({ outcome }) => outcome === 'exit').length,
    timeouts: marks.filter(({ outcome }) => outcome === 'timeout').length,
  };
}

function phaseFigures(subject: SubjectRecording, name: PhaseName, title: string): PhaseFigures {
  const marks = subject.invocations.filter(({ phase }) => phase === name);
  const durations = marks.map(({ durationMillis }) => durationMillis);
  const traffic = subject.traffic.find(({ phase }) => phase === name);
  return {
    name,
    title,
    ...failuresOf(marks),
    p50Millis: percentile(durations, 50),
    p99Millis: percentile(durations, 99),
    connectionsOpened: traffic?.opened ?? 0,
    messagesPerInvocation: marks.length === 0 ? 0 : (traffic?.messages ?? 0) / marks.length,
  };
}

/** Adds up what each subject did. */
export function figuresOf(recording: Recording): readonly SubjectFigures[] {
  return recording.subjects.map((subject) => ({
    name: subject.name,
    title: subject.title,
    ...failuresOf(subject.invocations),
    coldStarts: subject.starts,
    phases: recording.phases.map(({ name, title }) => phaseFigures(subject, name, title)),
  }));
}

/** Shows milliseconds with as many digits as mean something. */
export function millisText(millis: number): string {
  return millis < 10 ? millis.toFixed(1) : millis.toFixed(0);
}

function failureText({ failures, crashes, timeouts }: SubjectFigures, timeoutMillis: number): string {
  const rest = failures - crashes - timeouts;
  const parts = [
    crashes > 0 && `${crashes} to a process that ended over its dead connection`,
    timeouts > 0 && `${timeouts} to a wait that only the function's timeout of ${timeoutMillis / 1000} s ended`,
    rest > 0 && `${rest} to an error`,
  ];
  return parts.filter((part) => part !== false).join(', ');
}

function lossText(figures: SubjectFigures, timeoutMillis: number): string {
  const { title, invocations, failures } = figures;
  if (failures === 0) return `${title} answered all ${invocations} invocations`;
  return `${title} failed ${failures} of ${invocations} invocations: ${failureText(figures, timeoutMillis)}`;
}

function warmText(subjects: readonly SubjectFigures[]): string {
  const [first, second] = subjects.map(({ phases }) => phases.find(({ name }) => name === 'warm'));
  if (!first || !second) return '';
  const [ours, theirs] = [first, second].map(({ messagesPerInvocation }) => messagesPerInvocation.toFixed(1));
  const messages = ours === theirs ? `both send ${ours}` : `they send ${ours} and ${theirs}`;
  const medians = `${millisText(first.p50Millis)} and ${millisText(second.p50Millis)} ms`;
  return `Warm, ${messages} protocol messages an invocation, and take ${medians} at the median.`;
}

function thawText(recording: Recording): string {
  const [ours, theirs] = recording.subjects.map(({ invocations }) =>
    invocations.filter(({ afterFault, failure }) => afterFault && failure === undefined),
  );
  if (!ours || !theirs || ours.length === 0) return '';
  const millis = ours.map(({ durationMillis }) => durationMillis);
  const faults = recording.faults.length;
  const [median, worst] = [percentile(millis, 50), percentile(millis, 100)].map(millisText);
  return (
    `After a thaw that found the connection dead, ${ours.length} of ${faults} first invocations on thawpool succeeded, ` +
    `in ${median} ms at the median and ${worst} ms at worst, reconnect included; on the plain pool ${theirs.length} of ${faults} did.`
  );
}

/** Says in three sentences what the figures mean. */
export function sentencesOf(recording: Recording, subjects: readonly SubjectFigures[]): readonly string[] {
  const losses = subjects.map((figures) => lossText(figures, recording.timeoutMillis));
  const first = losses.map((text, index) => (index === 0 ? text : `the ${text}`)).join('; ');
  return [`${first}.`, thawText(recording), warmText(subjects)].filter((text) => text !== '');
}
