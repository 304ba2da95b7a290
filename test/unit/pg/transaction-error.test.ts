import { describe, expect, it } from 'vitest';
import { judgeTransactionError, type TransactionVerdict } from '../../../src/pg/transaction.ts';

const coded = (code: string): Error => Object.assign(new Error('x'), { code });
const said = (message: string): Error => Object.assign(new Error(message), { code: '08P01' });
const neverSent = new Error('Client has encountered a connection error and is not queryable');

describe('a transaction', () => {
  it.each<[string, unknown, begin: TransactionVerdict, body: TransactionVerdict, commit: TransactionVerdict]>([
    ['a lost socket', coded('ECONNRESET'), 'begin-again', 'run-again', 'ambiguous'],
    ['a lost connection', new Error('Connection terminated'), 'begin-again', 'run-again', 'ambiguous'],
    ['a shutdown', coded('57P01'), 'begin-again', 'run-again', 'ambiguous'],
    ['an idle timeout', coded('57P05'), 'begin-again', 'run-again', 'ambiguous'],
    ['a word of a pooler', said('something new'), 'begin-again', 'run-again', 'ambiguous'],
    ['a queue that is too long', said('query_wait_timeout'), 'fail', 'run-again', 'ambiguous'],
    ['a statement that was never sent', neverSent, 'begin-again', 'run-again', 'run-again'],
    ['a serialization failure', coded('40001'), 'fail', 'run-again', 'run-again'],
    ['a deadlock', coded('40P01'), 'fail', 'run-again', 'run-again'],
    ['a deferred constraint', coded('23503'), 'fail', 'fail', 'fail'],
    ['an error of its own', new Error('no stock'), 'fail', 'fail', 'fail'],
    ['nothing', undefined, 'fail', 'fail', 'fail'],
  ])('that meets %s', (_, error, begin, body, commit) => {
    expect(judgeTransactionError(error, { phase: 'begin' })).toBe(begin);
    expect(judgeTransactionError(error, { phase: 'body' })).toBe(body);
    expect(judgeTransactionError(error, { phase: 'commit' })).toBe(commit);
    expect(judgeTransactionError(error, { phase: 'body', rolledBack: false })).toBe(body);
  });

  it('is not run again for a socket that was lost elsewhere', () => {
    expect(judgeTransactionError(coded('ECONNRESET'), { phase: 'body', rolledBack: true })).toBe('fail');
    expect(judgeTransactionError(coded('40001'), { phase: 'body', rolledBack: true })).toBe('run-again');
  });
});
