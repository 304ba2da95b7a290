import { describe, expect, it } from 'vitest';
import {
  explainPgBouncer,
  isSettledByPgBouncer,
  noBackendError,
  type PgBouncerMeaning,
  pgbouncerMeaning,
} from '../../../src/pg/pgbouncer.ts';
import { judgeConnectError, refusesParameters } from '../../../src/pg/sqlstate.ts';
import { judgeStatementError, type StatementVerdict } from '../../../src/pg/statement-error.ts';

const said = (message: string, code: unknown = '08P01'): Error => Object.assign(new Error(message), { code });

type Connect = 'retry' | 'fail';

/** Texts of PgBouncer 1.18, most of them seen. */
const rows: [text: string, meaning: PgBouncerMeaning | undefined, connect: Connect, statement: StatementVerdict][] = [
  ['unsupported startup parameter: options', 'parameter', 'fail', 'ambiguous'],
  ['SASL authentication failed', 'login', 'fail', 'ambiguous'],
  ['password authentication failed', 'login', 'fail', 'ambiguous'],
  ['"trust" authentication failed', 'login', 'fail', 'ambiguous'],
  ['no such user', 'login', 'fail', 'ambiguous'],
  ['no such user: app', 'login', 'fail', 'ambiguous'],
  ['password authentication failed for user "app"', 'server-login', 'fail', 'ambiguous'],
  ['server login failed: wrong password type', 'server-login', 'fail', 'ambiguous'],
  ['no pg_hba.conf entry for host "10.0.0.7"', 'server-login', 'fail', 'ambiguous'],
  ['role "app" does not exist', 'server-login', 'fail', 'ambiguous'],
  ['no such database: shop', 'database', 'fail', 'ambiguous'],
  ['database "shop" does not exist', 'database', 'fail', 'ambiguous'],
  ['SSL required', 'tls', 'fail', 'ambiguous'],
  ['TLS client certificate required', 'tls', 'fail', 'ambiguous'],
  ['bouncer config error', 'configuration', 'fail', 'ambiguous'],
  ['transaction blocks not allowed in statement pooling mode', 'configuration', 'fail', 'ambiguous'],
  ['no more connections allowed (max_client_conn)', 'full', 'retry', 'ambiguous'],
  ['query_wait_timeout', 'no-backend', 'retry', 'fail'],
  ['query_timeout', 'no-backend', 'retry', 'fail'],
  ['client_idle_timeout', 'idle', 'retry', 'retry'],
  ['client_login_timeout (server down)', 'unavailable', 'retry', 'ambiguous'],
  ['server login has been failing, try again later (server_login_retry)', 'unavailable', 'retry', 'ambiguous'],
  ['server conn crashed?', 'unavailable', 'retry', 'ambiguous'],
  ['database removed', 'unavailable', 'retry', 'ambiguous'],
  ['database "shop" is disabled', 'unavailable', 'retry', 'ambiguous'],
  ['too many connections for role "app"', 'unavailable', 'retry', 'ambiguous'],
  ['the database system is starting up', 'unavailable', 'retry', 'ambiguous'],
  ['query timeout', undefined, 'retry', 'ambiguous'],
  ['idle transaction timeout', undefined, 'retry', 'ambiguous'],
  ['something new', undefined, 'retry', 'ambiguous'],
];

describe('what PgBouncer says', () => {
  it.each(rows)('%s', (text, meaning, connect, statement) => {
    const error = said(text);
    expect(pgbouncerMeaning(error)).toBe(meaning);
    expect(isSettledByPgBouncer(error)).toBe(connect === 'fail');
    expect(judgeConnectError(error)).toBe(connect);
    expect(judgeStatementError(error, { idempotent: false, first: true, writer: true })).toBe(statement);
    expect(refusesParameters(error)).toBe(meaning === undefined || meaning === 'parameter');
  });

  it('is only believed of a statement that was the first', () => {
    const facts = { idempotent: false, first: false, writer: true };
    expect(judgeStatementError(said('client_idle_timeout'), facts)).toBe('ambiguous');
  });

  it.each([
    ['the server', said('query_wait_timeout', 'P0001')],
    ['nobody', new Error('query_wait_timeout')],
    ['what is no error', { code: '08P01', message: 'query_wait_timeout' }],
    ['nothing', undefined],
  ])('is not what %s says', (_, error) => {
    expect(pgbouncerMeaning(error)).toBeUndefined();
    expect(noBackendError(error)).toBeUndefined();
  });

  it('is explained, with what to do', () => {
    const target = { at: 'pooler:6432', user: 'app', database: 'shop' };
    for (const [text, meaning] of rows) {
      const explained = explainPgBouncer(said(text), target);
      const elsewhere = meaning === undefined || meaning === 'tls' || meaning === 'idle';
      expect(explained === undefined).toBe(elsewhere);
      if (explained) expect(explained[1]).toMatch(/pooler:6432.*\..*\.$/s);
      if (explained) expect(explained[1]).toContain(`(${text})`);
    }
    expect(explainPgBouncer(said('no such database: x'), { ...target, database: undefined })?.[1]).toContain('"app"');
  });

  it('about a backend is put in other words, and kept as the cause', () => {
    const error = said('query_timeout');
    expect(noBackendError(error)).toMatchObject({ code: 'ERR_POOL_NO_BACKEND', cause: error });
    expect(noBackendError(error)?.message).toContain(
      '(query_timeout) and closed the connection: the statement did not run',
    );
  });
});
