import { describe, expect, test } from 'vitest';
import { mayPass, redisConnectError } from '../../../src/redis/connect-error.ts';

const target = { peer: 'cache:6379', host: 'cache', username: 'app', database: 3 };
const coded = (code: string, message = code): Error => Object.assign(new Error(message), { code });

describe('a connection to Redis that cannot be made', () => {
  test.each<[Error, string, boolean]>([
    [coded('ENOTFOUND'), 'ERR_POOL_CONNECT_DNS: The host name "cache" was not found (ENOTFOUND).', false],
    [coded('EAI_AGAIN'), 'ERR_POOL_CONNECT_DNS: The host name "cache" was not found (EAI_AGAIN).', true],
    [coded('ECONNREFUSED'), 'ERR_POOL_CONNECT_REFUSED: Nothing answers at cache:6379 (ECONNREFUSED).', true],
    [
      Object.assign(new AggregateError([coded('ECONNREFUSED')]), { code: 'ECONNREFUSED' }),
      'ERR_POOL_CONNECT_REFUSED: Nothing answers at cache:6379 (ECONNREFUSED).',
      true,
    ],
    [coded('SELF_SIGNED_CERT_IN_CHAIN', 'self-signed'), 'ERR_POOL_CONNECT_TLS: TLS to cache:6379 failed', false],
    [coded('ERR_TLS_CERT_ALTNAME_INVALID'), 'ERR_POOL_CONNECT_TLS: TLS to cache:6379 failed', false],
    [
      new Error('WRONGPASS invalid username-password pair'),
      'ERR_POOL_CONNECT_AUTH: The server at cache:6379 refused user "app" (WRONGPASS invalid username-password pair).',
      false,
    ],
    [new Error('NOAUTH HELLO must be called'), 'ERR_POOL_CONNECT_AUTH: The server at cache:6379 refused', false],
    [
      new Error('ERR DB index is out of range'),
      'ERR_POOL_CONNECT_DATABASE: There is no database 3 at cache:6379',
      false,
    ],
    [new Error('LOADING Redis is loading'), 'ERR_POOL_CONNECT_UNAVAILABLE: The server at cache:6379 cannot take', true],
    [new Error('ERR max number of clients reached'), 'ERR_POOL_CONNECT_UNAVAILABLE: ', true],
    [coded('ECONNRESET', 'read ECONNRESET'), 'ERR_POOL_CONNECT_UNAVAILABLE: ', true],
    [new Error('Socket closed unexpectedly'), 'ERR_POOL_CONNECT_UNAVAILABLE: ', true],
    [new Error('ERR unknown command'), 'ERR_POOL_CONNECT_FAILED: Connecting to cache:6379 failed (ERR unknown', false],
  ])('is explained: %s', (cause, words, again) => {
    const error = redisConnectError(cause, target, 1, 0);
    expect(`${error.code}: ${error.message}`).toContain(words);
    expect(error.message).toMatch(new RegExp(`See ${error.code}\\.$`));
    expect(error.cause).toBe(cause);
    expect(mayPass(cause)).toBe(again);
  });

  test('says how often it was tried', () => {
    expect(redisConnectError(coded('ECONNREFUSED'), target, 3, 1234).message).toContain(' Tried 3 times in 1.2 s. See');
    expect(redisConnectError(coded('ECONNREFUSED'), target, 1, 1234).message).not.toContain('Tried');
  });
});
