// Reads go to a streaming standby, to the writer while that is down, and back; what is wrong to do there fails.

import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { startPostgres, type TestPostgres } from '../../support/postgres.ts';
import { type Lab, openLab } from '../lab.ts';
import { rowsOf } from '../scenarios/scenario.ts';
import { Story } from './stage.ts';
import { type Standby, startStandby, streaming } from './standby.ts';

const subject = `${fileURLToPath(new URL('reader-handler.ts', import.meta.url))}#handler`;
const freezeMillis = 60;
/** A reader that did not answer is left alone for 5 s: src/pg/ways.ts. */
const PAST_FIRST_PAUSE = 6_000;

const given = process.env['DATABASE_URL'] ? 'the server of DATABASE_URL is not ours to copy' : undefined;

describe.skipIf(given)(`a reader${given ? ` (${given})` : ''}`, () => {
  let postgres: TestPostgres;
  let standby: Standby;

  beforeAll(async () => {
    postgres = await startPostgres({ settings: streaming });
    await postgres.admin('create table notes (text text)');
    await postgres.admin(`grant all on notes to "${postgres.user}"`);
    standby = await startStandby(postgres);
    await standby.caughtUp();
  });
  afterAll(async () => {
    await standby?.[Symbol.asyncDispose]();
    await postgres?.close();
  });

  const open = (env: Record<string, string> = {}): Promise<Lab> => {
    const all = { THAWPOOL_READER_HOST: `127.0.0.1:${standby.port}`, ...env };
    return openLab({ subject, postgres, libpqVariables: true, movableClock: true, env: all });
  };

  it('answers what is read, gives way to the writer while it is down, and takes over again', async () => {
    await using lab = await open();
    const story = new Story();
    /** Which servers have answered. */
    const read = async (label: string, n = 1) => {
      const result = await story.invoke(lab, label, { on: 'reader', n });
      const who = rowsOf(result).map(({ standby: is }) => (is === true ? 'standby' : 'writer'));
      story.note(`${label}: ${who.join(', ')}`);
      return who;
    };
    const write = async (label: string, on: 'reader' | 'writer') => {
      const sql = `insert into notes values ('${label}') returning pg_is_in_recovery() as standby`;
      return lab.invoke({ on, sql });
    };
    const refused = { ok: false, error: { errorMessage: expect.stringContaining('read-only transaction') as unknown } };

    expect(await read('reader up'), story.told(lab)).toEqual(['standby']);
    expect(await write('one', 'writer')).toMatchObject({ ok: true, payload: { rows: [{ standby: false }] } });
    await standby.caughtUp();
    const seen = await lab.invoke({ on: 'reader', sql: 'select text, pg_is_in_recovery() as standby from notes' });
    expect(rowsOf(seen)).toEqual([{ text: 'one', standby: true }]);
    expect(await write('two', 'reader')).toMatchObject(refused);

    await lab.freezeFor(freezeMillis, () => standby.stop());
    expect(await read('reader down'), story.told(lab)).toEqual(['writer']);
    await lab.freezeFor(freezeMillis);
    expect(await read('reader still down', 2), story.told(lab)).toEqual(['writer', 'writer']);
    // Also where it has come to the writer.
    expect(await write('three', 'reader')).toMatchObject(refused);
    expect(await write('four', 'writer')).toMatchObject({ ok: true });

    await lab.freezeFor(freezeMillis, async () => {
      await standby.start();
      await lab.setClock({ wall: PAST_FIRST_PAUSE, monotonic: PAST_FIRST_PAUSE });
    });
    // The connection to the writer answers once more, and is not kept after that.
    expect(await read('reader back'), story.told(lab)).toEqual(['writer']);
    for (const label of ['reader back for good', 'and again']) {
      await lab.freezeFor(freezeMillis);
      expect(await read(label), story.told(lab)).toEqual(['standby']);
    }
    expect(story.failures, story.told(lab)).toEqual([]);
    const { rows } = await postgres.admin('select text from notes order by text');
    expect(rows).toEqual([{ text: 'four' }, { text: 'one' }]);
    expect(lab.sandbox.starts).toBe(1);
  });

  it('gets back at the end of the invocation what was not released', async () => {
    await using lab = await open({ THAWPOOL_READER_MAX: '1', THAWPOOL_ACQUIRE_TIMEOUT_MS: '2000' });
    const story = new Story();
    for (const label of ['once', 'twice']) {
      await story.invoke(lab, `keeps ${label}`, { on: 'reader', keep: true });
      // With room for one connection nobody else could read.
      await story.invoke(lab, `reads after ${label}`, { on: 'reader' });
    }
    expect(story.failures, story.told(lab)).toEqual([]);
    expect(`${lab.sandbox.stdout}${lab.sandbox.stderr}`).toMatch(/left behind: a connection/);
  });
});
