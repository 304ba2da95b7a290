import { describe, expect, it } from 'vitest';
import { isSettledByPgBouncer, type PgBouncerMeaning, pgbouncerMeaning } from '../../../src/pg/pgbouncer.ts';
import { explainPgBouncer, type PgBouncerErrorCode } from '../../../src/pg/pgbouncer-errors.ts';
import { judgeConnectError, refusesParameters } from '../../../src/pg/sqlstate.ts';
import { judgeStatementError, type StatementVerdict } from '../../../src/pg/statement-error.ts';

const said = (message: string, code: unknown = '08P01'): Error => Object.assign(new Error(message), { code });

const target: Parameters<typeof explainPgBouncer>[1] = { at: 'pooler:6432', user: 'app', database: 'shop' };

type Connect = 'retry' | 'fail';

/** What is known of a text: the whole of it, how it begins, or words that are somewhere in it. */
type Known = 'whole' | 'start' | 'part';

type Row = [text: string, known: Known, meaning: PgBouncerMeaning, connect: Connect, statement: StatementVerdict];

/** Texts of PgBouncer 1.18, most of them seen. */
const rows: Row[] = [
  ['unsupported startup parameter: options', 'start', 'parameter', 'fail', 'ambiguous'],
  ['SASL authentication failed', 'whole', 'login', 'fail', 'ambiguous'],
  ['password authentication failed', 'whole', 'login', 'fail', 'ambiguous'],
  ['PAM authentication failed', 'whole', 'login', 'fail', 'ambiguous'],
  ['certificate authentication failed', 'whole', 'login', 'fail', 'ambiguous'],
  ['LDAP authentication failed', 'whole', 'login', 'fail', 'ambiguous'],
  ['"trust" authentication failed', 'whole', 'login', 'fail', 'ambiguous'],
  ['no such user', 'start', 'login', 'fail', 'ambiguous'],
  ['no such user: app', 'start', 'login', 'fail', 'ambiguous'],
  ['login rejected', 'whole', 'login', 'fail', 'ambiguous'],
  ['password authentication failed for user "app"', 'start', 'server-login', 'fail', 'ambiguous'],
  ['server login failed: wrong password type', 'start', 'server-login', 'fail', 'ambiguous'],
  ['no pg_hba.conf entry for host "10.0.0.7"', 'start', 'server-login', 'fail', 'ambiguous'],
  ['role "app" does not exist', 'start', 'server-login', 'fail', 'ambiguous'],
  ['no such database: shop', 'start', 'database', 'fail', 'ambiguous'],
  ['database "shop" does not exist', 'start', 'database', 'fail', 'ambiguous'],
  ['SSL required', 'whole', 'tls', 'fail', 'ambiguous'],
  ['TLS connection required', 'whole', 'tls', 'fail', 'ambiguous'],
  ['TLS client certificate required', 'whole', 'tls', 'fail', 'ambiguous'],
  ['bouncer config error', 'whole', 'configuration', 'fail', 'ambiguous'],
  ['transaction blocks not allowed in statement pooling mode', 'whole', 'configuration', 'fail', 'ambiguous'],
  ['no more connections allowed (max_client_conn)', 'start', 'full', 'retry', 'ambiguous'],
  ['query_wait_timeout', 'whole', 'no-backend', 'retry', 'fail'],
  ['query_timeout', 'whole', 'no-backend', 'retry', 'fail'],
  ['client_idle_timeout', 'whole', 'idle', 'retry', 'retry'],
  ['sorry, too many clients already', 'whole', 'unavailable', 'retry', 'ambiguous'],
  ['client_login_timeout', 'start', 'unavailable', 'retry', 'ambiguous'],
  ['client_login_timeout (server down)', 'start', 'unavailable', 'retry', 'ambiguous'],
  ['server login has been failing, try again later (server_login_retry)', 'start', 'unavailable', 'retry', 'ambiguous'],
  ['server conn crashed?', 'start', 'unavailable', 'retry', 'ambiguous'],
  ['database removed', 'whole', 'unavailable', 'retry', 'ambiguous'],
  ['database "shop" is disabled', 'whole', 'unavailable', 'retry', 'ambiguous'],
  ['pgbouncer cannot connect to server', 'start', 'unavailable', 'retry', 'ambiguous'],
  ['too many connections for role "app"', 'start', 'unavailable', 'retry', 'ambiguous'],
  ['the database system is starting up', 'part', 'unavailable', 'retry', 'ambiguous'],
  ['the database system is shutting down', 'part', 'unavailable', 'retry', 'ambiguous'],
  [
    'remaining connection slots are reserved for roles with the SUPERUSER attribute',
    'part',
    'unavailable',
    'retry',
    'ambiguous',
  ],
];

describe('what PgBouncer says', () => {
  it.each(rows)('%s', (text, _, meaning, connect, statement) => {
    const error = said(text);
    expect(pgbouncerMeaning(error)).toBe(meaning);
    expect(isSettledByPgBouncer(error)).toBe(connect === 'fail');
    expect(judgeConnectError(error)).toBe(connect);
    expect(judgeStatementError(error, { idempotent: false, first: true, writer: true })).toBe(statement);
    expect(refusesParameters(error)).toBe(meaning === 'parameter');
  });

  it.each(rows)('is not what somebody else says of it: %s', (text, known, meaning) => {
    expect(pgbouncerMeaning(said(`seen: ${text}`))).toBe(known === 'part' ? meaning : undefined);
    expect(pgbouncerMeaning(said(`${text}, or so`))).toBe(known === 'whole' ? undefined : meaning);
  });

  it.each([
    'query timeout',
    'idle transaction timeout',
    'something new',
    'no such thing',
    'GSSAPI authentication failed',
    'SASLauthentication failed',
    'TLS certificate required',
    'server login succeeded',
    'role app does not exist',
    'database shop does not exist',
    'database shop is disabled',
    'no pg_hbaxconf entry',
  ])('is unknown where the words are new: %s', (text) => {
    const error = said(text);
    expect(pgbouncerMeaning(error)).toBeUndefined();
    expect(isSettledByPgBouncer(error)).toBe(false);
    expect(judgeConnectError(error)).toBe('retry');
    expect(judgeStatementError(error, { idempotent: false, first: true, writer: true })).toBe('ambiguous');
    expect(refusesParameters(error)).toBe(true);
    expect(explainPgBouncer(error, target)).toBeUndefined();
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
  });

  it.each<[text: string, code: PgBouncerErrorCode, explanation: string]>([
    [
      'unsupported startup parameter: options',
      'ERR_POOL_CONNECT_FAILED',
      'PgBouncer at pooler:6432 does not take what the connection was begun with (unsupported startup parameter: options). Set route "pgbouncer" (THAWPOOL_ROUTE), with which no such parameter is sent.',
    ],
    [
      'no such user',
      'ERR_POOL_CONNECT_AUTH',
      'PgBouncer at pooler:6432 refused user "app" (no such user). Check the user, its password, and PgBouncer\'s auth_file or auth_query.',
    ],
    [
      'server login failed: wrong password type',
      'ERR_POOL_CONNECT_AUTH',
      "PgBouncer at pooler:6432 could not log in at the server behind it (server login failed: wrong password type). Check the password in PgBouncer's auth_file or [databases], and the server's pg_hba.conf.",
    ],
    [
      'no such database: shop',
      'ERR_POOL_CONNECT_DATABASE',
      'There is no database "shop" at PgBouncer at pooler:6432 (no such database: shop). Check PGDATABASE or the path of DATABASE_URL, and PgBouncer\'s [databases].',
    ],
    [
      'bouncer config error',
      'ERR_POOL_CONNECT_FAILED',
      'PgBouncer at pooler:6432 is not set up for this (bouncer config error). Its log says more.',
    ],
    [
      'no more connections allowed (max_client_conn)',
      'ERR_POOL_CONNECT_UNAVAILABLE',
      "PgBouncer at pooler:6432 has as many clients as it may (no more connections allowed (max_client_conn)). Raise its max_client_conn, which costs it 2 kB each, or lower THAWPOOL_MAX or the function's concurrency.",
    ],
    [
      'server conn crashed?',
      'ERR_POOL_CONNECT_UNAVAILABLE',
      "PgBouncer at pooler:6432 has no server to log in to (server conn crashed?). Look whether that runs, and into PgBouncer's log.",
    ],
    [
      'query_wait_timeout',
      'ERR_POOL_CONNECT_UNAVAILABLE',
      'PgBouncer at pooler:6432 has no server connection to spare (query_wait_timeout). Raise its default_pool_size, or shorten transactions.',
    ],
  ])('is explained, with what to do: %s', (text, code, explanation) => {
    expect(explainPgBouncer(said(text), target)).toEqual([code, explanation]);
  });

  it.each(rows)('is explained here, but for TLS and an idle connection: %s', (text, _, meaning) => {
    expect(explainPgBouncer(said(text), target) === undefined).toBe(meaning === 'tls' || meaning === 'idle');
  });

  it('is explained where the user or the database was not named', () => {
    const explained = (text: string, more: Partial<typeof target>): string | undefined =>
      explainPgBouncer(said(text), { ...target, ...more })?.[1];
    expect(explained('no such database: x', { database: undefined })).toContain('no database "app" at');
    expect(explained('no such database: x', { database: undefined, user: undefined })).toContain('no database "" at');
    expect(explained('no such user', { user: undefined })).toContain('refused user "" (');
  });
});
