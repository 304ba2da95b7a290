import { describe, expect, it } from 'vitest';
import { refusedParameters, routes, routeTo } from '../../../src/pg/route.ts';

describe('the way to a host', () => {
  it.each([
    ['orders.proxy-abcdefghijkl.eu-west-1.rds.amazonaws.com', 'rds-proxy'],
    ['reads.endpoint.proxy-abcdefghijkl.eu-west-1.rds.amazonaws.com', 'rds-proxy'],
    ['orders.proxy-abcdefghijkl.rds.cn-north-1.amazonaws.com.cn', 'rds-proxy'],
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

describe('a startup packet', () => {
  const asked = [
    ...['user', 'database', 'application_name', 'client_encoding', 'DateStyle', 'TimeZone', 'extra_float_digits'],
    ...['search_path', 'standard_conforming_strings', 'statement_timeout', 'options', 'replication'],
  ];

  it('is taken whole by a server', () => {
    expect(refusedParameters(routes.direct, asked)).toEqual([]);
    expect(routes.direct.ownsSession).toBe(true);
  });

  it("is taken by RDS Proxy with what Amazon's list has, in any case", () => {
    const refused = ['standard_conforming_strings', 'statement_timeout', 'options', 'replication'];
    expect(refusedParameters(routes['rds-proxy'], asked)).toEqual(refused);
    expect(routes['rds-proxy'].ownsSession).toBe(false);
  });

  it('is taken by PgBouncer with what it keeps for each client', () => {
    const refused = ['extra_float_digits', 'search_path', 'statement_timeout', 'options', 'replication'];
    expect(refusedParameters(routes.pgbouncer, asked)).toEqual(refused);
    expect(routes.pgbouncer.ownsSession).toBe(false);
  });

  it('is known by the name of its way', () => {
    for (const [name, route] of Object.entries(routes)) expect(route.name).toBe(name);
  });
});
