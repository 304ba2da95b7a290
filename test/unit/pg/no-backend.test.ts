import { expect, it } from 'vitest';
import { hadNoBackend, noBackendError } from '../../../src/pg/no-backend.ts';
import { judgeStatementError } from '../../../src/pg/statement-error.ts';
import { judgeTransactionError } from '../../../src/pg/transaction.ts';

const said = (message: string, code: string | undefined): Error => Object.assign(new Error(message), { code });

it.each([
  [
    said('Timed-out waiting to acquire database connection', '08000'),
    "RDS Proxy had no database connection for the statement within its borrow timeout (Timed-out waiting to acquire database connection): the statement did not run. Look for pinned sessions and long transactions, raise MaxConnectionsPercent, or lower the function's concurrency. See ERR_POOL_NO_BACKEND.",
  ],
  [
    said('query_wait_timeout', '08P01'),
    "PgBouncer had no server connection for the statement in time (query_wait_timeout) and closed the connection: the statement did not run. Raise PgBouncer's default_pool_size or query_wait_timeout, or shorten transactions. See ERR_POOL_NO_BACKEND.",
  ],
])('%s is put in other words, and kept as the cause', (error, message) => {
  expect(hadNoBackend(error)).toBe(true);
  expect(noBackendError(error)).toMatchObject({ code: 'ERR_POOL_NO_BACKEND', message, cause: error });
});

it.each([
  'FATAL: timed out waiting to acquire a database connection',
  'TIMED-OUT WAITING TO ACQUIRE DATABASE CONNECTION',
])('knows %s', (message) => expect(hadNoBackend(said(message, '08000'))).toBe(true));

it.each([
  ['another code', said('Timed-out waiting to acquire database connection', '08006')],
  ['no code', said('Timed-out waiting to acquire database connection', undefined)],
  ['other words', said('connection exception', '08000')],
  ['what is no error', { code: '08000', message: 'Timed-out waiting to acquire database connection' }],
  ['nothing', undefined],
])('does not take %s for it', (_, error) => {
  expect(hadNoBackend(error)).toBe(false);
  expect(noBackendError(error)).toBeUndefined();
});

it('is never tried again, whatever severity it has', () => {
  for (const severity of ['ERROR', 'FATAL']) {
    const error = Object.assign(said('Timed-out waiting to acquire database connection', '08000'), { severity });
    expect(judgeStatementError(error, { idempotent: true, first: true, writer: true })).toBe('fail');
    expect(judgeTransactionError(error, { phase: 'begin' })).toBe('fail');
  }
});
