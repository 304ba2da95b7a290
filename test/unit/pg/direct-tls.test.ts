import { describe, expect, it } from 'vitest';
import { refusesDirectTls } from '../../../src/pg/direct-tls.ts';

const coded = (code: unknown, message = 'x'): Error => Object.assign(new Error(message), { code });
const openssl = (words: string): string => `write EPROTO 40BD4591217F0000:error:0A00010B:SSL routines:x:${words}:77:\n`;

describe('an attempt whose TLS began at once', () => {
  it.each<[string, unknown, boolean]>([
    [
      'hangs up',
      coded('ECONNRESET', 'Client network socket disconnected before secure TLS connection was established'),
      true,
    ],
    ['resets', coded('ECONNRESET', 'read ECONNRESET'), true],
    ['takes nothing more', coded('EPIPE', 'write EPIPE'), true],
    ['answers in the clear', coded('EPROTO', openssl('wrong version number')), true],
    ['answers in the clear, as read', coded('ERR_SSL_WRONG_VERSION_NUMBER'), true],
    ['answers with much in the clear', coded('ERR_SSL_PACKET_LENGTH_TOO_LONG'), true],
    ['answers with other text', coded('ERR_SSL_BAD_RECORD_TYPE'), true],
    ['speaks something else over TLS', coded('ERR_SSL_TLSV1_ALERT_NO_APPLICATION_PROTOCOL'), true],
    ['wants an older TLS', coded('ERR_SSL_TLSV1_ALERT_PROTOCOL_VERSION'), false],
    ['has another fault', coded('EPROTO', openssl('tlsv1 alert internal error')), false],
    ['only talks of it', coded('XX000', 'wrong version number'), false],
    ['has a certificate of its own', coded('DEPTH_ZERO_SELF_SIGNED_CERT'), false],
    ['is not there', coded('ECONNREFUSED'), false],
    ['refuses the login', coded('28P01'), false],
    ['says nothing of itself', new Error('wrong version number'), false],
    ['is no error', { code: 'EPROTO', message: 'wrong version number' }, false],
    ['is nothing', undefined, false],
  ])('to a server that %s is judged', (_, error, expected) => {
    expect(refusesDirectTls(error)).toBe(expected);
  });
});
