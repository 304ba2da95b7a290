import { describe, expect, it } from 'vitest';
import { beginStatement, type TransactionOptions } from '../../../src/pg/transaction.ts';

describe('BEGIN', () => {
  it.each<[TransactionOptions, string]>([
    [{}, 'BEGIN'],
    [{ isolationLevel: 'read committed' }, 'BEGIN ISOLATION LEVEL READ COMMITTED'],
    [{ isolationLevel: 'repeatable read' }, 'BEGIN ISOLATION LEVEL REPEATABLE READ'],
    [{ isolationLevel: 'serializable' }, 'BEGIN ISOLATION LEVEL SERIALIZABLE'],
    [{ readOnly: true }, 'BEGIN READ ONLY'],
    [{ readOnly: false }, 'BEGIN READ WRITE'],
    [{ deferrable: true }, 'BEGIN DEFERRABLE'],
    [{ deferrable: false }, 'BEGIN NOT DEFERRABLE'],
    [
      { isolationLevel: 'serializable', readOnly: true, deferrable: true },
      'BEGIN ISOLATION LEVEL SERIALIZABLE READ ONLY DEFERRABLE',
    ],
    [{ retries: 100 }, 'BEGIN'],
  ])('%o', (options, statement) => {
    expect(beginStatement(options)).toBe(statement);
  });

  it.each(['SERIALIZABLE', 'read uncommitted', '', 'toString', '__proto__', 'serializable; drop table x'])(
    'refuses the isolation level "%s"',
    (isolationLevel) => {
      expect(() => beginStatement({ isolationLevel: isolationLevel as 'serializable' })).toThrow(
        expect.objectContaining({
          code: 'ERR_POOL_INVALID_OPTION',
          message: `isolationLevel must be one of read committed, repeatable read, serializable, got "${isolationLevel}". See ERR_POOL_INVALID_OPTION.`,
        }),
      );
    },
  );

  it.each([-1, 1.5, 101, Number.NaN, '3'])('refuses %s retries', (retries) => {
    expect(() => beginStatement({ retries: retries as number })).toThrow(
      expect.objectContaining({
        code: 'ERR_POOL_INVALID_OPTION',
        message: `retries must be a whole number from 0 to 100, got ${String(retries)}. See ERR_POOL_INVALID_OPTION.`,
      }),
    );
  });
});
