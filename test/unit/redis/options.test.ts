import { describe, expect, test } from 'vitest';
import { metricsOf, placeOf, type RedisPoolOptions } from '../../../src/redis/options.ts';

describe('where a pool connects', () => {
  test.each<[string | undefined, RedisPoolOptions, object]>([
    [undefined, {}, { host: 'localhost', port: 6379, tls: false, database: 0, peer: 'localhost:6379' }],
    ['redis://cache.internal', {}, { host: 'cache.internal', port: 6379 }],
    [' redis://cache.internal:7000/3 ', {}, { host: 'cache.internal', port: 7000, database: 3 }],
    ['rediss://u:p%40ss@cache.internal', {}, { tls: true, username: 'u', password: 'p@ss' }],
    ['redis://:p@cache.internal', {}, { username: undefined, password: 'p' }],
    ['redis://[::1]:6380', {}, { host: '::1', port: 6380 }],
    ['unix:///run/redis.sock', {}, { path: '/run/redis.sock', peer: '/run/redis.sock', tls: false }],
    ['unix://u:p@/run/redis.sock?db=2', {}, { path: '/run/redis.sock', username: 'u', password: 'p', database: 2 }],
    ['redis://a', { url: 'redis://b' }, { host: 'b' }],
    ['redis://u:p@a/1', { username: 'v', password: 'q', database: 2 }, { username: 'v', password: 'q', database: 2 }],
    ['', {}, { host: 'localhost' }],
  ])('with REDIS_URL %j and options %j', (url, options, place) => {
    expect(placeOf(options, { REDIS_URL: url })).toMatchObject(place);
  });

  test.each<[RedisPoolOptions, string]>([
    [
      { url: 'http://u:geheim@a' },
      'url must be a redis://, rediss:// or unix:// URL, got "http://u:***@a": it does not begin so',
    ],
    [{ url: 'redis://u:geheim@a b' }, 'it does not parse'],
    [{ url: 'redis://u:%ge@a' }, 'percent-encoding is broken'],
    [{ url: 'redis://a/first' }, 'what follows the host is the number of a database'],
    [{ database: -1 }, 'database must be a whole number, 0 or more, got -1'],
    [{ tls: {} }, 'tls is given, but REDIS_URL does not ask for TLS: begin it with rediss://'],
    [{ maxidle: 1 } as RedisPoolOptions, 'maxidle is no option of a Redis pool'],
    [{ client: { pingInterval: 1 } } as RedisPoolOptions, 'client.pingInterval is not the caller’s to set'],
    [{ client: { socket: {} } } as RedisPoolOptions, 'give url and tls'],
  ])('is refused as %j, without a secret', (options, words) => {
    let error: (Error & { code?: string }) | undefined;
    try {
      placeOf(options, {});
    } catch (caught) {
      error = caught as Error;
    }
    expect(error?.code).toBe('ERR_POOL_INVALID_OPTION');
    expect(error?.message.replaceAll("'", '’')).toContain(words.replaceAll("'", '’'));
    expect(error?.message).not.toMatch(/geheim|%ge/);
  });

  test('names the variable that is wrong', () => {
    expect(() => placeOf({}, { REDIS_URL: 'cache.internal:6379' })).toThrow(/^REDIS_URL must be/);
  });
});

describe('metrics', () => {
  test('are off unless an option or THAWPOOL_METRICS asks for them', () => {
    expect(metricsOf({}, {})).toBeUndefined();
    expect(metricsOf({ metrics: 'off' }, { THAWPOOL_METRICS: 'emf' })).toBeUndefined();
    expect(metricsOf({}, { THAWPOOL_METRICS: 'emf', AWS_LAMBDA_FUNCTION_NAME: 'f' })).toEqual({
      namespace: undefined,
      functionName: 'f',
    });
    expect(metricsOf({ metrics: 'emf', metricsNamespace: 'mine' }, {})).toMatchObject({ namespace: 'mine' });
  });

  test('are refused where they do not exist', () => {
    expect(() => metricsOf({}, { THAWPOOL_METRICS: 'statsd' })).toThrow(
      expect.objectContaining({ code: 'ERR_POOL_INVALID_OPTION' }),
    );
  });
});
