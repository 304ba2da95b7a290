import { describe, expect, it } from 'vitest';
import { readerPlaces, routeTo, writerPlaces } from '../../src/connecting.ts';
import type { Settings } from '../../src/settings.ts';

describe('the way to a host', () => {
  it.each([
    ['orders.proxy-abcdefghijkl.eu-west-1.rds.amazonaws.com', 'rds-proxy'],
    ['reads.endpoint.proxy-abcdefghijkl.eu-west-1.rds.amazonaws.com', 'rds-proxy'],
    ['orders.proxy-abcdefghijkl.rds.cn-north-1.amazonaws.com.cn', 'rds-proxy'],
    ['orders.proxy-abcdefghijkl.cn-north-1.rds.amazonaws.com.cn', 'rds-proxy'],
    ['orders.proxy-abcdefghijkl.eusc-de-east-1.rds.amazonaws.eu', 'rds-proxy'],
    ['orders.proxy-abcdefghijkl.us-iso-east-1.rds.c2s.ic.gov', 'rds-proxy'],
    ['orders.abcdefghijkl.rds.cn-north-1.amazonaws.com.cn', 'direct'],
    ['ORDERS.PROXY-ABCDEFGHIJKL.EU-WEST-1.RDS.AMAZONAWS.COM', 'rds-proxy'],
    ['orders.proxy-abcdefghijkl.eu-west-1.rds.amazonaws.com.', 'rds-proxy'],
    ['orders.cluster-abcdefghijkl.eu-west-1.rds.amazonaws.com', 'direct'],
    ['my-proxy-1.abcdefghijkl.eu-west-1.rds.amazonaws.com', 'direct'],
    ['orders.proxy-abcdefghijkl.eu-west-1.rds.amazonaws.com.evil.example', 'direct'],
    ['proxy-abcdefghijkl.eu-west-1.rds.amazonaws.com', 'direct'],
    ['orders.proxy-a.b.eu-west-1.rds.amazonaws.com', 'direct'],
    ['localhost', 'direct'],
  ] as const)('%s is %s', (host, route) => {
    expect(routeTo(host, undefined)).toBe(route);
  });

  it('is the one that was asked for, whatever the host is called', () => {
    expect(routeTo('orders.proxy-abcdefghijkl.eu-west-1.rds.amazonaws.com', 'direct')).toBe('direct');
    expect(routeTo('localhost', 'rds-proxy')).toBe('rds-proxy');
    expect(routeTo('localhost', 'pgbouncer')).toBe('pgbouncer');
  });
});

const proxy = 'p.proxy-abc.eu-west-1.rds.amazonaws.com';

describe('the places for writing', () => {
  it.each<[string, Settings, ReturnType<typeof writerPlaces>]>([
    ['the machine itself, with nothing set', {}, [{ host: 'localhost', port: 5432, route: 'direct' }]],
    ['the host', { host: 'db', port: 6000 }, [{ host: 'db', port: 6000, route: 'direct' }]],
    [
      'the host over the way that was asked for',
      { host: 'db', route: 'pgbouncer' },
      [{ host: 'db', port: 5432, route: 'pgbouncer' }],
    ],
    ['a host that is a proxy', { host: proxy }, [{ host: proxy, port: 5432, route: 'rds-proxy' }]],
    [
      'a host that is a proxy and is to be taken for a server',
      { host: proxy, route: 'direct' },
      [{ host: proxy, port: 5432, route: 'direct' }],
    ],
    [
      'the proxy instead of the host, on its own port',
      { host: 'db', port: 6000, proxyHost: 'p' },
      [{ host: 'p', port: 5432, route: 'rds-proxy' }],
    ],
    [
      'the proxy, although the code says direct',
      { host: 'db', route: 'direct', proxyHost: 'p' },
      [{ host: 'p', port: 5432, route: 'rds-proxy' }],
    ],
    [
      'a pooler of another kind',
      { host: 'db', route: 'pgbouncer', proxyHost: 'p:6432' },
      [{ host: 'p', port: 6432, route: 'pgbouncer' }],
    ],
    [
      'a proxy by its address',
      { host: 'db', proxyHost: '[::1]:6432' },
      [{ host: '::1', port: 6432, route: 'rds-proxy' }],
    ],
    [
      'a proxy by its address alone',
      { host: 'db', proxyHost: 'fd00::7' },
      [{ host: 'fd00::7', port: 5432, route: 'rds-proxy' }],
    ],
    [
      'the proxy, then the host',
      { host: 'db', port: 6000, proxyHost: 'p', proxyFallback: 'direct', route: 'rds-proxy' },
      [
        { host: 'p', port: 5432, route: 'rds-proxy' },
        { host: 'db', port: 6000, route: 'direct' },
      ],
    ],
    [
      'the host alone, without a proxy to fall back from',
      { host: 'db', proxyFallback: 'direct' },
      [{ host: 'db', port: 5432, route: 'direct' }],
    ],
  ])('are %s', (_, settings, places) => {
    expect(writerPlaces(settings)).toEqual(places);
  });

  it('are those of the credentials, unless something else was set', () => {
    const located = { password: 'x', host: 'secret-db', port: 7000 };
    expect(writerPlaces({}, located)).toEqual([{ host: 'secret-db', port: 7000, route: 'direct' }]);
    expect(writerPlaces({ host: 'db' }, located)).toEqual([{ host: 'db', port: 7000, route: 'direct' }]);
    expect(writerPlaces({ port: 1 }, located)).toEqual([{ host: 'secret-db', port: 1, route: 'direct' }]);
    expect(writerPlaces({ proxyHost: 'p', proxyFallback: 'direct' }, located)).toEqual([
      { host: 'p', port: 5432, route: 'rds-proxy' },
      { host: 'secret-db', port: 7000, route: 'direct' },
    ]);
  });
});

describe('the places for reading', () => {
  it('are those for writing where there is no reader', () => {
    expect(readerPlaces({ host: 'db' })).toEqual([{ host: 'db', port: 5432, route: 'direct' }]);
  });

  it('are the reader, then those for writing', () => {
    const settings: Settings = {
      host: 'db',
      port: 6000,
      readerHost: 'reader',
      proxyHost: 'p',
      proxyFallback: 'direct',
    };
    expect(readerPlaces(settings)).toEqual([
      { host: 'reader', port: 6000, route: 'direct' },
      { host: 'p', port: 5432, route: 'rds-proxy' },
      { host: 'db', port: 6000, route: 'direct' },
    ]);
  });

  it.each<[Settings, object]>([
    [{ readerHost: 'reader:7000' }, { host: 'reader', port: 7000, route: 'direct' }],
    [{ readerHost: `r.endpoint.${proxy.slice(2)}` }, { route: 'rds-proxy' }],
    [{ readerHost: `r.endpoint.${proxy.slice(2)}`, route: 'direct' }, { route: 'rds-proxy' }],
    [{ readerHost: 'reader', route: 'pgbouncer' }, { route: 'pgbouncer' }],
  ])('of %o begin with %o', (settings, first) => {
    expect(readerPlaces({ host: 'db', ...settings })[0]).toMatchObject(first);
  });
});
