// All backends of an RDS Proxy are busy: what it says of that reaches the caller, and costs no connection.

import { createPool } from 'thawpool';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { whyNoCertificates } from '../../support/certificates.ts';
import { Stage } from './stage.ts';

const noCertificates = whyNoCertificates();

describe.skipIf(noCertificates)(
  `a statement for which there is no backend${noCertificates ? ` (${noCertificates})` : ''}`,
  () => {
    let stage: Stage;
    beforeAll(async () => {
      stage = await Stage.open();
    });
    afterAll(() => stage?.[Symbol.asyncDispose]());

    it.each([
      ['a query', (pool: ReturnType<typeof createPool>) => pool.query('select 2 as two')],
      ['a query with parameters', (pool: ReturnType<typeof createPool>) => pool.query('select $1::int as two', [2])],
      [
        'a query that may run twice',
        (pool: ReturnType<typeof createPool>) => pool.query({ text: 'select 2 as two', idempotent: true }),
      ],
      ['a transaction', (pool: ReturnType<typeof createPool>) => pool.transaction((tx) => tx.query('select 2 as two'))],
      [
        'a transaction with settings',
        (pool: ReturnType<typeof createPool>) =>
          pool.transaction({ settings: { statement_timeout: '5s' } }, (tx) => tx.query('select 2 as two')),
      ],
      [
        'a read-only transaction',
        (pool: ReturnType<typeof createPool>) =>
          pool.transaction({ readOnly: true }, (tx) => tx.query('select 2 as two')),
      ],
    ])('fails as what it is: %s', async (_, run) => {
      const { user, password, database } = stage.postgres;
      const auth = { kind: 'password', users: { [user]: password } } as const;
      const proxy = await stage.proxy({ auth, requireTls: false, maxBackends: 1, borrowTimeoutMillis: 100 });
      const place = { host: 'localhost', port: proxy.port, user, password, database };
      const open = () => createPool({ ...place, env: {}, route: 'rds-proxy', max: 1, onWarning: () => {} });
      const [busy, pool] = [open(), open()];
      try {
        await pool.query('select 1');
        await busy.transaction(async (tx) => {
          await tx.query('select 1');
          const error = await run(pool).then(
            () => new Error('It did not fail.'),
            (reason: unknown) => reason,
          );
          expect(error).toMatchObject({
            code: 'ERR_POOL_NO_BACKEND',
            message: expect.stringContaining('RDS Proxy had no database connection') as unknown,
            cause: { code: '08000' },
          });
        });
        expect((await pool.query('select 2 as two')).rows).toEqual([{ two: 2 }]);
        const { created, leased } = pool.stats();
        const { borrowTimeouts, logins } = proxy.stats();
        expect({ created, leased, borrowTimeouts, logins }).toEqual({
          created: 1,
          leased: 0,
          borrowTimeouts: 1,
          logins: 2,
        });
        expect(() => proxy.assertRulesKept()).not.toThrow();
      } finally {
        await Promise.all([busy.end(), pool.end()]);
      }
    });
  },
);
