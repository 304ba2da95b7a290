/** Which failures are nobody's fault but the fault's. Pure: what was asked, what was broken, what came of it. */
import type { InvocationResult } from '../invocation.ts';
import { ON_PURPOSE } from '../subjects/protocol.ts';
import type { Fault } from './faults.ts';
import type { Request } from './requests.ts';

/** One invocation and everything that was done to it. */
export interface Round {
  readonly request: Request;
  readonly result: InvocationResult;
  /** What was done in the freeze before it. It may fail no invocation, so it is looked at by nobody but the report. */
  readonly inFreeze: Fault | undefined;
  /** What was done in the midst of it. */
  readonly inInvocation: Fault | undefined;
}

/** What a round came to. `legitimate`: failed, as it may. */
export interface Judgement {
  readonly verdict: 'ok' | 'legitimate' | 'illegitimate';
  /** How it failed, in a few words that are the same for the same failure. */
  readonly failure?: string;
  /** How often the request's effect may be there: least and most. */
  readonly effect: readonly [least: number, most: number];
}

/** What the driver says of a lost connection to whoever holds it. */
const lost =
  /Connection terminated|ECONNRESET|EPIPE|is not queryable|terminating connection|the database system is (?:shutting down|starting up)/;
/** A connection that is lost in an acquire is made again; only a silence can use up the acquire's time. */
const noConnection = /ERR_POOL_(?:ACQUIRE_TIMEOUT|CREATE_TIMEOUT)/;

/** Judges a round. */
export function judge({ request, result, inInvocation }: Round): Judgement {
  if (result.ok)
    return { verdict: request.fails === 'never' ? 'ok' : 'illegitimate', effect: [1, 1], ...surprise(request) };
  const message = result.error?.errorMessage ?? '';
  const failure = `${request.name}: ${shorten(message) || result.outcome}`;
  // After the deadline's error the server's word may be missing; the process may have ended before anybody was told.
  const mayHaveRun = /ERR_POOL_(?:AMBIGUOUS_RESULT|DEADLINE)/.test(message) || result.outcome !== 'error';
  const effect = [0, mayHaveRun ? 1 : 0] as const;
  return { verdict: isLegitimate(request, result, inInvocation) ? 'legitimate' : 'illegitimate', failure, effect };
}

function surprise({ fails, name }: Request): { failure?: string } {
  return fails === 'never' ? {} : { failure: `${name}: answered, although it should have failed` };
}

function isLegitimate(request: Request, { outcome, error }: InvocationResult, fault: Fault | undefined): boolean {
  const message = error?.errorMessage ?? '';
  // A timeout, an exit, a failed init: there is always an answer in time.
  if (outcome !== 'error') return false;
  if (request.fails === 'on-purpose' && message === ON_PURPOSE) return true;
  if (request.fails === 'deadline' && message.includes('ERR_POOL_DEADLINE')) return true;
  if (fault === undefined || fault.breaks === false) return false;
  if (message.includes('ERR_POOL_AMBIGUOUS_RESULT')) return true;
  if (fault.silent && (message.includes('ERR_POOL_DEADLINE') || noConnection.test(message))) return true;
  return request.holds && lost.test(message);
}

function shorten(message: string): string {
  const code = /ERR_POOL_\w+/.exec(message)?.[0];
  return code ?? message.split('\n')[0]?.slice(0, 100) ?? '';
}
