/** What the demo records: plain data, from which the table, the sentences, the picture and the JSON are made. */
import type { RuntimeClient } from '../find-runtime-client.ts';
import type { InvocationResult } from '../invocation.ts';
import type { EventKind } from './dispatch.ts';

/** The chapters of the demo, in their order. */
export type PhaseName = 'cold' | 'warm' | 'killed' | 'reset' | 'black-holed' | 'restarted';

/** One invocation. Times are milliseconds since the demo began. */
export interface InvocationMark {
  readonly phase: PhaseName;
  readonly kind: EventKind;
  /** Whether it is the first one after a fault. */
  readonly afterFault: boolean;
  readonly from: number;
  readonly to: number;
  readonly outcome: InvocationResult['outcome'];
  /** Why it counts as failed; absent when it answered as it should. */
  readonly failure?: string;
  /** As the Runtime API sees it: from the event, and the thaw, to the complete answer. */
  readonly durationMillis: number;
  /** Protocol messages from the sandbox to the server, from the event to the freeze behind it. */
  readonly messages: number;
}

/** Some time that the sandbox spent frozen, or starting. */
export interface Span {
  readonly what: 'frozen' | 'starting';
  readonly from: number;
  readonly to: number;
}

/** What the proxy saw during one phase. */
export interface PhaseTraffic {
  readonly phase: PhaseName;
  readonly opened: number;
  readonly messages: number;
}

/** One subject's part of the recording. */
export interface SubjectRecording {
  readonly name: string;
  readonly title: string;
  readonly invocations: readonly InvocationMark[];
  readonly spans: readonly Span[];
  /** When a connection was opened. */
  readonly opens: readonly number[];
  readonly traffic: readonly PhaseTraffic[];
  /** Processes started, those included that the cold phase asks for. */
  readonly starts: number;
}

/** When a phase ran. */
export interface PhaseSpan {
  readonly name: PhaseName;
  readonly title: string;
  readonly from: number;
  readonly to: number;
}

/** Something that was done to every subject's connections. */
export interface Fault {
  readonly phase: PhaseName;
  readonly label: string;
  readonly at: number;
}

/** One run of the demo. */
export interface Recording {
  readonly runtimeClient: Pick<RuntimeClient, 'name' | 'version'>;
  readonly postgres: string;
  readonly node: string;
  readonly freezeMillis: number;
  readonly timeoutMillis: number;
  /** The whole run, with starting the server and bundling the handlers. */
  readonly durationMillis: number;
  readonly phases: readonly PhaseSpan[];
  readonly faults: readonly Fault[];
  readonly subjects: readonly SubjectRecording[];
}
