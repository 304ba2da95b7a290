import { getPool } from 'thawpool';
import { afterAll, expect, test } from 'vitest';
import { handler } from './handler.ts';

const pool = getPool();
afterAll(() => pool.end());

test('runs each migration once, also when two deployments do it at the same time', async () => {
  const runs = await Promise.all([handler({}, {}), handler({}, {})]);
  expect(runs.flat()).toEqual(['001_shop']);
  expect((await pool.query('select * from stock')).rows).toEqual([]);
  expect(await handler({}, {})).toEqual([]);
  expect(pool.stats()).toMatchObject({ leased: 0 });
});
