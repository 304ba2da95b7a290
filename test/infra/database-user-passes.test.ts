// What the function behind DatabaseUser tries again, and what it fails with at once.
import { PoolError } from 'thawpool';
import { expect, test } from 'vitest';
import { passes } from '../../infra/database-user/passes.ts';

const coded = (code: unknown): Error => Object.assign(new Error('from the server'), { code });

test.each([
  ['unique_violation, of two that make a role', '23505'],
  ['duplicate_object, of two that make a role', '42710'],
  ['tuple concurrently updated, of two that change a role', 'XX000'],
  ['deadlock_detected', '40P01'],
  ['serialization_failure', '40001'],
  ['a lost connection', '08006'],
  ['a server that shuts down', '57P01'],
  ['a server that starts', '57P03'],
])('%s is tried again', (_, code) => {
  expect(passes(coded(code))).toBe(true);
});

test.each([
  ['a syntax error', '42601'],
  ['a missing schema', '3F000'],
  ['want of rights', '42501'],
  ['a statement that was cancelled', '57014'],
  ['a code that only holds one of those', 'X08006'],
  ['a code that is no text', 40_001],
])('%s is not tried again', (_, code) => {
  expect(passes(coded(code))).toBe(false);
});

test('what has no code is not tried again', () => {
  expect(passes(new Error('a bug'))).toBe(false);
});

test.each(['ERR_POOL_CONNECT_UNAVAILABLE', 'ERR_POOL_CONNECT_CREDENTIALS', 'ERR_POOL_ACQUIRE_TIMEOUT'] as const)(
  '%s may pass',
  (code) => {
    expect(passes(new PoolError(code, 'not now'))).toBe(true);
  },
);

test.each(['ERR_POOL_INVALID_OPTION', 'ERR_POOL_CONNECT_DATABASE', 'ERR_POOL_CONNECT_TLS'] as const)(
  '%s does not pass by itself',
  (code) => {
    expect(passes(new PoolError(code, 'never'))).toBe(false);
  },
);
