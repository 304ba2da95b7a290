import { describe, expect, it } from 'vitest';
import {
  isNeverSent,
  isSerializationFailure,
  judgeStatementError,
  type StatementFacts,
  type StatementVerdict,
} from '../../../src/pg/statement-error.ts';

const coded = (code: unknown, message = 'x'): Error => Object.assign(new Error(message), { code });
const notQueryable = 'Client was closed and is not queryable';

/** A statement in the middle of a session, on a pool for reading, that may run once only. */
const facts: StatementFacts = { idempotent: false, first: false, writer: false };

describe('a statement that failed', () => {
  it.each<[string, unknown, Partial<StatementFacts>, StatementVerdict]>([
    ['was never sent', new Error(notQueryable), {}, 'retry'],
    ['was refused by a writer that is none any more', coded('25006'), { writer: true }, 'demoted'],
    ['was refused by a server for reading', coded('25006'), {}, 'fail'],
    ['was refused by a server for reading, and may run twice', coded('25006'), { idempotent: true }, 'fail'],
    ['met an idle timeout as the first one', coded('57P05'), { first: true }, 'retry'],
    ['met an idle timeout later', coded('57P05'), {}, 'ambiguous'],
    ['met an idle timeout later, and may run twice', coded('57P05'), { idempotent: true }, 'retry'],
    ['met a shutdown as the first one', coded('57P01'), { first: true }, 'ambiguous'],
    ['met a shutdown, and may run twice', coded('57P01'), { idempotent: true }, 'retry'],
    ['lost its socket', coded('ECONNRESET'), { first: true, writer: true }, 'ambiguous'],
    ['lost its socket, and may run twice', coded('ECONNRESET'), { idempotent: true }, 'retry'],
    ['lost its connection', new Error('Connection terminated unexpectedly'), {}, 'ambiguous'],
    ['was given up by the driver', new Error('Query read timeout'), { idempotent: true, first: true }, 'fail'],
    ['was cancelled', coded('57014'), { idempotent: true, first: true, writer: true }, 'fail'],
    ['is wrong', coded('42601'), { idempotent: true, first: true, writer: true }, 'fail'],
    ['broke a rule', coded('23505'), { idempotent: true }, 'fail'],
    ['failed for no reason', undefined, { idempotent: true }, 'fail'],
  ])('because it %s', (_, error, more, verdict) => {
    expect(judgeStatementError(error, { ...facts, ...more })).toBe(verdict);
  });
});

describe('a statement', () => {
  it.each<[string, unknown, boolean]>([
    ['a client that was closed', new Error(notQueryable), true],
    ['a broken client', new Error('Client has encountered a connection error and is not queryable'), true],
    ['words before it', new Error(`Oh: ${notQueryable}`), false],
    ['words after it', new Error(`${notQueryable}, or was it?`), false],
    ['half of the words', new Error('Client was closed'), false],
    ['a connection that went away', new Error('Connection terminated unexpectedly'), false],
    ['a server that says the same', coded('P0001', notQueryable), false],
    ['a code that is none', coded(57, notQueryable), true],
    ['no Error', { message: notQueryable }, false],
    ['nothing', undefined, false],
  ])('was never sent, by %s', (_, error, expected) => {
    expect(isNeverSent(error)).toBe(expected);
  });

  it.each<[unknown, boolean]>([
    ['40001', true],
    ['40P01', true],
    ['40002', false],
    ['40003', false],
    ['40000', false],
    ['', false],
    [40001, false],
    [undefined, false],
  ])('that failed with %j may succeed in another run: %s', (code, expected) => {
    expect(isSerializationFailure(coded(code))).toBe(expected);
  });
});
