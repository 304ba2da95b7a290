// What a failed statement means for running it again. Pure: an error and facts in, a verdict out.

import { hadNoBackend } from './no-backend.ts';
import { pgbouncerMeaning } from './pgbouncer.ts';
import { codeOf, isLostConnection } from './sqlstate.ts';

/** What is known of a statement that has failed. */
export interface StatementFacts {
  /** The caller said that running it twice does no harm. */
  readonly idempotent: boolean;
  /** It was the first thing sent on this connection since it was acquired, so the server was waiting for input. */
  readonly first: boolean;
  /** The pool is for writing. */
  readonly writer: boolean;
}

export type StatementVerdict =
  /** It provably did not run, or the caller allows a second run: try again on another connection. */
  | 'retry'
  /** It was refused by a server that must not be written to: evict the whole generation, then try again. */
  | 'demoted'
  /** It may or may not have run. Only the caller can decide. */
  | 'ambiguous'
  /** It failed, and that is all there is to it. */
  | 'fail';

/** pg refuses these itself, before a byte is written (pg 8.23, lib/client.js). */
const neverSent = /^(Client has encountered a connection error|Client was closed) and is not queryable$/;

/** Decides what the failure of a single statement outside a transaction means. */
export function judgeStatementError(error: unknown, { idempotent, first, writer }: StatementFacts): StatementVerdict {
  if (isNeverSent(error)) return 'retry';
  const code = codeOf(error);
  // read_only_sql_transaction: the server has refused it, so it has not run.
  if (code === '25006') return writer ? 'demoted' : 'fail';
  // idle_session_timeout strikes only while the server waits for a statement: it has not read this one.
  if (code === '57P05' && first) return 'retry';
  // It has closed a connection that had nothing under way: the statement was not read, let alone sent on.
  if (pgbouncerMeaning(error) === 'idle' && first) return 'retry';
  // It has not run, and another try would only queue again where the queue is too long.
  if (hadNoBackend(error)) return 'fail';
  if (!isLostConnection(error)) return 'fail';
  return idempotent ? 'retry' : 'ambiguous';
}

/** Whether the driver has refused the statement without writing a byte of it. */
export function isNeverSent(error: unknown): boolean {
  return error instanceof Error && codeOf(error) === undefined && neverSent.test(error.message);
}

/** Whether a whole transaction may be run again, when the caller has asked for retries. */
export function isSerializationFailure(error: unknown): boolean {
  const code = codeOf(error);
  // serialization_failure, deadlock_detected
  return code === '40001' || code === '40P01';
}
