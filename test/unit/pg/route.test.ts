import { describe, expect, it } from 'vitest';
import { refusedParameters, routes } from '../../../src/pg/route.ts';

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
