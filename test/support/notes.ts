/** What every example that sends jobs and does them is held to. */
import { getPool } from 'thawpool';
import { simulateFreeze } from 'thawpool/testing';
import { afterAll, beforeAll, expect, test } from 'vitest';

interface Functions {
  readonly send: (event: { text: string }, context: object) => Promise<unknown>;
  readonly work: (event: object, context: object) => Promise<unknown>;
}

/** Tests two functions, of which one stores a note together with a job, and the other does the job. */
export function describeNotes(prepare: () => Promise<unknown>, { send, work }: Functions): void {
  const pool = getPool();
  beforeAll(async () => {
    await pool.query('create table notes (text text primary key, told boolean not null default false)');
    await prepare();
  });
  afterAll(() => pool.end());

  const told = async (): Promise<string[]> => {
    const { rows } = await pool.query<{ text: string }>('select text from notes where told order by text');
    return rows.map(({ text }) => text);
  };

  test('does in one function what the other has sent', async () => {
    await send({ text: 'a' }, {});
    expect(await told()).toEqual([]);
    await work({}, {});
    expect(await told()).toEqual(['a']);
    expect(pool.stats()).toMatchObject({ leased: 0 });
  });

  test('sends no job with a note that was not stored', async () => {
    await pool.query("update notes set told = false where text = 'a'");
    await expect(send({ text: 'a' }, {})).rejects.toMatchObject({ code: '23505' });
    await work({}, {});
    expect(await told()).toEqual([]);
    await pool.query("update notes set told = true where text = 'a'");
  });

  test.each(['alive', 'closed', 'reset', 'black-holed'] as const)(
    'sends and works after freezes that left its sockets %s',
    async (sockets) => {
      simulateFreeze(pool, { forMillis: 60_000, sockets });
      await send({ text: sockets }, {});
      simulateFreeze(pool, { forMillis: 60_000, sockets });
      await work({}, {});
      expect(await told()).toContain(sockets);
      expect(pool.stats()).toMatchObject({ leased: 0 });
    },
  );
}
