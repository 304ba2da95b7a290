import { describe, expect, it } from 'vitest';
import {
  codeOf,
  isClientSideTimeout,
  isLostConnection,
  isSqlState,
  judgeConnectError,
  refusesParameters,
} from '../../../src/pg/sqlstate.ts';

const coded = (code: unknown, message = 'x'): Error => Object.assign(new Error(message), { code });
const severe = (severity: string, code: string): Error => Object.assign(coded(code), { severity });
const credentials = (transient: boolean): Error => Object.assign(coded('ERR_POOL_CONNECT_CREDENTIALS'), { transient });

type Row = [name: string, error: unknown, connect: ReturnType<typeof judgeConnectError>, lost: boolean];

const rows: Row[] = [
  ['57P01 admin_shutdown', coded('57P01'), 'retry', true],
  ['57P02 crash_shutdown', coded('57P02'), 'retry', true],
  ['57P03 cannot_connect_now', coded('57P03'), 'retry', true],
  ['57P04 database_dropped', coded('57P04'), 'fail', true],
  ['57P05 idle_session_timeout', coded('57P05'), 'fail', true],
  ['57014 query_canceled', coded('57014'), 'fail', false],
  ['57000', coded('57000'), 'fail', false],
  ['53300 too_many_connections', coded('53300'), 'retry', false],
  ['53200 out_of_memory', coded('53200'), 'fail', false],
  ['08000', coded('08000'), 'retry', true],
  ['08006', coded('08006'), 'retry', true],
  ['08P01 protocol_violation', coded('08P01'), 'retry', true],
  ['28P01 invalid_password', coded('28P01'), 'fail', false],
  ['28000', coded('28000'), 'fail', false],
  ['3D000 invalid_catalog_name', coded('3D000'), 'fail', false],
  ['42601 syntax_error', coded('42601'), 'fail', false],
  ['40001 serialization_failure', coded('40001'), 'fail', false],
  ['25006 read_only_sql_transaction', coded('25006'), 'fail', false],
  ['ECONNREFUSED', coded('ECONNREFUSED'), 'retry', true],
  ['ECONNRESET', coded('ECONNRESET'), 'retry', true],
  ['ECONNABORTED', coded('ECONNABORTED'), 'retry', true],
  ['EPIPE, which has five letters', coded('EPIPE'), 'retry', true],
  ['ETIMEDOUT', coded('ETIMEDOUT'), 'retry', true],
  ['EHOSTUNREACH', coded('EHOSTUNREACH'), 'retry', true],
  ['a statement that a pooler had no backend for', severe('ERROR', '08000'), 'retry', false],
  ['another server that was lost', severe('ERROR', '08006'), 'retry', false],
  ['an end that was announced', severe('FATAL', '08006'), 'retry', true],
  ['an end in another language', severe('SCHWERWIEGEND', '57P01'), 'retry', true],
  ['ENETUNREACH', coded('ENETUNREACH'), 'retry', true],
  ['EHOSTDOWN', coded('EHOSTDOWN'), 'retry', true],
  ['EAI_AGAIN', coded('EAI_AGAIN'), 'retry', true],
  ['ENOTFOUND', coded('ENOTFOUND'), 'retry-briefly', false],
  ['EPERM, which has five letters', coded('EPERM'), 'fail', false],
  ['EACCES', coded('EACCES'), 'fail', false],
  ['ENOENT', coded('ENOENT'), 'fail', false],
  ['a certificate', coded('DEPTH_ZERO_SELF_SIGNED_CERT'), 'fail', false],
  ['a server that cannot be written to', coded('ERR_POOL_CONNECT_READ_ONLY'), 'retry', false],
  ['a source of credentials that may work in a moment', credentials(true), 'retry', false],
  ['a source of credentials that will not', credentials(false), 'fail', false],
  ['an option', coded('ERR_POOL_INVALID_OPTION'), 'fail', false],
  ['pg: terminated', new Error('Connection terminated'), 'retry', true],
  ['pg: terminated unexpectedly', new Error('Connection terminated unexpectedly'), 'retry', true],
  ['pg: not queryable', new Error('Client has encountered a connection error and is not queryable'), 'retry', true],
  ['pg: closed', new Error('Client was closed and is not queryable'), 'retry', true],
  ['pg: a timeout of its own', new Error('Query read timeout'), 'fail', false],
  ['pg: the words in the middle', new Error('The Connection terminated'), 'fail', false],
  ['pg: no password', new Error('SASL: SCRAM-SERVER-FIRST-MESSAGE: client password must be a string'), 'fail', false],
  ['a code that is a number', coded(57), 'fail', false],
  ['a text', 'Connection terminated', 'fail', false],
  ['nothing', undefined, 'fail', false],
  ['null', null, 'fail', false],
];

describe('an error of a connection', () => {
  it.each(rows)('%s', (_, error, connect, lost) => {
    expect(judgeConnectError(error)).toBe(connect);
    expect(isLostConnection(error)).toBe(lost);
  });
});

describe('a code', () => {
  it.each<[unknown, string | undefined]>([
    [coded('42601'), '42601'],
    [coded(42), undefined],
    [{}, undefined],
    [null, undefined],
    ['text', undefined],
  ])('is read from anything: %o', (error, code) => {
    expect(codeOf(error)).toBe(code);
  });

  it.each<[string | undefined, boolean]>([
    ['42601', true],
    ['57P01', true],
    ['XX000', true],
    ['F0000', true],
    ['E1234', true],
    ['EA000', true],
    ['EPIPE', false],
    ['EPERM', false],
    ['42a01', false],
    ['4260', false],
    ['426011', false],
    ['', false],
    [undefined, false],
  ])('%s is a SQLSTATE: %s', (code, expected) => {
    expect(isSqlState(code)).toBe(expected);
  });

  it.each<[string, boolean]>([
    ['42704', true],
    ['08P01', true],
    ['0A000', true],
    ['22023', true],
    ['28P01', false],
  ])('%s refuses what the startup packet asks for: %s', (code, expected) => {
    expect(refusesParameters(coded(code))).toBe(expected);
    expect(refusesParameters(new Error(code))).toBe(false);
  });
});

describe('a timeout of the driver', () => {
  it.each<[unknown, boolean]>([
    [new Error('Query read timeout'), true],
    [new Error('Query read timeout, or so'), false],
    ['Query read timeout', false],
    [undefined, false],
  ])('%s: %s', (error, expected) => {
    expect(isClientSideTimeout(error)).toBe(expected);
  });
});
