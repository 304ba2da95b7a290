import pg from 'pg';
import { createPool, getPool, PgPool, PoolError, withPool } from 'thawpool';
import { afterEach, describe, expect, it, vi } from 'vitest';
import { managedBy } from '../../src/registry.ts';

const env = {};
const onWarning = (): void => {};
const names: string[] = [];
let count = 0;

/** A name that no other test has. */
function fresh(): string {
  count += 1;
  const name = `registry-${count}`;
  names.push(name);
  return name;
}

function thrown(fn: () => unknown): PoolError {
  try {
    fn();
  } catch (error) {
    return error as PoolError;
  }
  throw new Error('It did not throw.');
}

afterEach(async () => {
  const pools = (globalThis as Record<symbol, unknown>)[Symbol.for('thawpool.registry')] as Map<string, unknown>;
  for (const name of names.splice(0)) pools.delete(name);
});

describe('getPool', () => {
  it('makes the pool of a name once, and opens nothing', () => {
    const name = fresh();
    const pool = getPool({ name, env });
    expect(pool).toBeInstanceOf(PgPool);
    expect(getPool({ name })).toBe(pool);
    expect(getPool({ name, env })).toBe(pool);
    expect(pool.stats()).toMatchObject({ total: 0, created: 0 });
  });

  it('keeps names apart', () => {
    expect(getPool({ name: fresh(), env })).not.toBe(getPool({ name: fresh(), env }));
  });

  it('takes options that are equal for the same', () => {
    const name = fresh();
    const pool = getPool({ name, env, max: 3, ssl: { ca: 'x' } });
    expect(getPool({ name, env: {}, max: 3, ssl: { ca: 'x' } })).toBe(pool);
    expect(getPool({ name, env, max: 3, ssl: { ca: 'x' }, maxIdle: undefined as never })).toBe(pool);
  });

  it('refuses other options and shows the difference', () => {
    const name = fresh();
    getPool({ name, env, max: 3, host: 'a.example' });
    const error = thrown(() => getPool({ name, env, max: 5, maxIdle: 2, host: 'a.example' }));
    expect(error).toBeInstanceOf(PoolError);
    expect(error.code).toBe('ERR_POOL_NAME_CONFLICT');
    expect(error.message).toBe(
      `The pool "${name}" was made with other options: max (3 then, 5 now), maxIdle (not given then, 2 now). Give the same options, none at all, or another name. See ERR_POOL_NAME_CONFLICT.`,
    );
  });

  it.each<[string, unknown, unknown]>([
    ['password', 'sesame', 'simsalabim'],
    ['password', 12_345, 67_890],
    ['password', () => 'sesame', () => 'simsalabim'],
    ['connectionString', 'postgres://u:sesame@h/d', 'postgres://u:simsalabim@h/d'],
    ['ssl', { key: 'sesame' }, { key: 'simsalabim' }],
    ['options', '-c a.b=sesame', '-c a.b=simsalabim'],
  ])('shows no value of %s', (option, then, now) => {
    const name = fresh();
    const acceptable = typeof then === 'number' ? 'sesame' : then;
    getPool({ name, env, [option]: acceptable });
    const error = thrown(() => getPool({ name, env, [option]: now }));
    expect(error.message).toBe(
      `The pool "${name}" was made with other options: ${option} (given then, given now). Give the same options, none at all, or another name. See ERR_POOL_NAME_CONFLICT.`,
    );
  });

  it('replaces a pool that was ended', async () => {
    const name = fresh();
    const first = getPool({ name, env });
    await first.end();
    const second = getPool({ name, env, max: 2 });
    expect(second).not.toBe(first);
    expect(second.options.max).toBe(2);
  });

  it('forgets a pool that could not be made', () => {
    const name = fresh();
    expect(thrown(() => getPool({ name, env: { THAWPOOL_MAX: 'ten' } })).code).toBe('ERR_POOL_INVALID_OPTION');
    expect(getPool({ name, env, max: 2 }).options.max).toBe(2);
  });

  it('shares its pools with another copy of the package, also what is handed to a wrapper', async () => {
    const name = fresh();
    const here = getPool({ name, env });
    vi.resetModules();
    const other = await import('thawpool');
    expect(other.getPool).not.toBe(getPool);
    expect(other.PgPool).not.toBe(PgPool);
    expect(other.getPool({ name })).toBe(here);
    const own = createPool({ env, name: 'created by one copy' });
    const seen = await other.withPool((_, { db }) => db.stats().total, { pool: own })(undefined, {});
    expect(seen).toBe(0);
  });
});

describe('createPool', () => {
  it('makes another pool each time', () => {
    expect(createPool({ env })).not.toBe(createPool({ env }));
  });
});

describe('a pool given to a wrapper', () => {
  it('must be one of ours', async () => {
    const sentence =
      'The pool option takes a pool made by createPool() or getPool(); this one was not. See ERR_POOL_INVALID_OPTION.';
    for (const pool of [new pg.Pool(), {}, 'a pool']) {
      const handler = withPool(() => 1, { pool: pool as PgPool });
      await expect(handler(undefined, {})).rejects.toMatchObject({
        code: 'ERR_POOL_INVALID_OPTION',
        message: sentence,
      });
    }
  });

  it('may be a view of one, which another wrapper has put into the context', async () => {
    const pool = createPool({ env, onWarning });
    const inner = withPool((_, { db }: { db: PgPool }) => db, { pool });
    const answer = await withPool(
      async (_, { db }) => withPool((__, { other }) => [db, other], { pool: db, contextKey: 'other' })(_, {}),
      {
        pool,
      },
    )(undefined, {});
    expect(answer).toHaveLength(2);
    expect(managedBy(await inner(undefined, {} as { db: PgPool })).pool).toBe(pool);
  });
});
