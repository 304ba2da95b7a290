import { readFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { systemClock } from '../../../src/pool/clock.ts';
import { resolveOptions } from '../../../src/pool/options.ts';
import { Pool } from '../../../src/pool/pool.ts';
import { NumberFactory } from './harness.ts';

const messageOf = (options: Record<string, unknown>): string => {
  try {
    resolveOptions(options);
  } catch (error) {
    expect(error).toMatchObject({ name: 'PoolError', code: 'ERR_POOL_INVALID_OPTION' });
    return (error as Error).message;
  }
  return 'accepted';
};

describe('options', () => {
  test('are filled in with the defaults', () => {
    const { random, onWarning, ...rest } = resolveOptions();
    expect(rest).toEqual({
      name: 'default',
      noun: 'resource',
      max: 4,
      maxIdle: 1,
      acquireTimeoutMillis: 5000,
      createTimeoutMillis: 5000,
      validateAfterIdleMillis: 1000,
      validateTimeoutMillis: 250,
      resetTimeoutMillis: 1000,
      destroyTimeoutMillis: 500,
      idleTimeoutMillis: 300_000,
      maxLifetimeMillis: 1_800_000,
      lifetimeJitter: 0.1,
      clock: systemClock,
    });
    expect(random).toBe(Math.random);
    expect(onWarning).toBeTypeOf('function');
  });

  test('stand in docs/core.md with these defaults', () => {
    const page = readFileSync(new URL('../../../docs/core.md', import.meta.url), 'utf8');
    const { clock, random, onWarning, ...rest } = resolveOptions();
    for (const [name, value] of Object.entries({ ...rest, createTimeoutMillis: undefined })) {
      const shown = typeof value === 'string' ? `\`'${value}'\`` : String(value ?? '`acquireTimeoutMillis`');
      expect(page).toContain(`| \`${name}\` | ${shown} |`);
    }
    expect(page).toContain('`clock`, `random`, `onWarning`');
    expect([clock, random, onWarning]).not.toContain(undefined);
  });

  test('warn through the process unless told otherwise', async () => {
    const heard = new Promise<Error>((resolve) => process.once('warning', resolve));
    resolveOptions().onWarning('look here');
    expect(await heard).toMatchObject({ name: 'PoolWarning', message: 'look here' });
  });

  test('take undefined for not given', () => {
    const undefineds = Object.fromEntries(Object.keys(resolveOptions()).map((name) => [name, undefined]));
    expect({ ...resolveOptions(undefineds), onWarning: 0 }).toEqual({ ...resolveOptions(), onWarning: 0 });
  });

  test('give a creation as long as an acquire, unless told otherwise', () => {
    expect(resolveOptions({ acquireTimeoutMillis: 70 }).createTimeoutMillis).toBe(70);
    expect(resolveOptions({ acquireTimeoutMillis: 70, createTimeoutMillis: 90 }).createTimeoutMillis).toBe(90);
  });

  test('are there to be read', () => {
    expect(new Pool(new NumberFactory(), { max: 2, name: 'mine' }).options).toMatchObject({ max: 2, name: 'mine' });
  });

  const millis = [
    'acquireTimeoutMillis',
    'createTimeoutMillis',
    'validateTimeoutMillis',
    'resetTimeoutMillis',
    'destroyTimeoutMillis',
  ] as const;
  const zeroable = ['validateAfterIdleMillis', 'idleTimeoutMillis', 'maxLifetimeMillis'] as const;
  const limits: [string, number, number][] = [
    ['max', 1, 10_000],
    ['maxIdle', 0, 10_000],
    ...millis.map((name): [string, number, number] => [name, 1, 2_147_483_647]),
    ...zeroable.map((name): [string, number, number] => [name, 0, 2_147_483_647]),
  ];

  test.each(limits)('%s is a whole number from %i to %i', (name, least, most) => {
    const extra = name === 'maxIdle' ? { max: 10_000 } : {};
    expect(messageOf({ ...extra, [name]: least })).toBe('accepted');
    expect(messageOf({ ...extra, [name]: most })).toBe('accepted');
    for (const bad of [least - 1, most + 1, 1.5, Number.NaN, Number.POSITIVE_INFINITY, '3', null, true, 3n]) {
      const shown = typeof bad === 'string' ? '"3"' : String(bad);
      expect(messageOf({ ...extra, [name]: bad })).toBe(
        `Bad pool options: ${name} must be a whole number from ${least} to ${most}, got ${shown}. See ERR_POOL_INVALID_OPTION.`,
      );
    }
  });

  test('lifetimeJitter is a number from 0 to 1', () => {
    for (const good of [0, 0.5, 1]) expect(messageOf({ lifetimeJitter: good })).toBe('accepted');
    for (const bad of [-0.1, 1.1, Number.NaN, '0.5', null]) {
      expect(messageOf({ lifetimeJitter: bad })).toContain('lifetimeJitter must be a number from 0 to 1, got ');
    }
  });

  test.each([
    ['name', 'string', 5],
    ['noun', 'string', null],
    ['clock', 'object', null],
    ['clock', 'object', 'now'],
    ['random', 'function', 0.5],
    ['onWarning', 'function', {}],
  ])('%s is a %s', (name, kind, bad) => {
    expect(messageOf({ [name]: bad })).toContain(`${name} must be a ${kind}, got `);
  });

  test('maxIdle is at most max, and follows it where it is not given', () => {
    expect(messageOf({ max: 2, maxIdle: 3 })).toBe(
      'Bad pool options: maxIdle must be at most max (2), got 3: lower maxIdle or raise max. See ERR_POOL_INVALID_OPTION.',
    );
    expect(messageOf({ max: 2, maxIdle: 2 })).toBe('accepted');
    expect(messageOf({ maxIdle: 5 })).toContain('at most max (4), got 5');
    expect(resolveOptions({ max: 1 }).maxIdle).toBe(1);
  });

  test('that nobody knows are refused, those too that every object has', () => {
    expect(messageOf({ maximum: 3 })).toContain('maximum is no option of the pool');
    expect(messageOf({ constructor: 3, toString: 4 })).toContain(
      'constructor is no option of the pool; toString is no option of the pool',
    );
  });

  test('are all named when several are bad', () => {
    expect(messageOf({ max: 0, maxIdle: -1, name: 1 })).toBe(
      'Bad pool options: max must be a whole number from 1 to 10000, got 0; maxIdle must be a whole number from 0 to 10000, got -1; name must be a string, got 1. See ERR_POOL_INVALID_OPTION.',
    );
  });

  test('stop the pool from being made', () => {
    expect(() => new Pool(new NumberFactory(), { max: 0 })).toThrow(/max must be a whole number/);
  });
});
