import { readFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { PinLinter, type PinMode } from '../../../src/pg/pin-linter.ts';
import { everyPin, type Pin } from '../../../src/pg/pins.ts';
import { PoolError } from '../../../src/pool/index.ts';

interface Heard {
  readonly linter: PinLinter;
  readonly warnings: string[];
  readonly pins: [kind: string, sql: string][];
}

function listening(mode: PinMode): Heard {
  const warnings: string[] = [];
  const pins: [string, string][] = [];
  const onPin = ({ kind }: Pin, sql: string): void => void pins.push([kind, sql]);
  return { linter: new PinLinter({ mode, onWarning: (message) => warnings.push(message), onPin }), warnings, pins };
}

const nextval =
  'nextval() and setval() leave the last value of a sequence in the session. Make the column GENERATED … AS IDENTITY (or give it a DEFAULT) and read the value with INSERT … RETURNING.';
const listen =
  'LISTEN registers one backend for notifications. Listen on a connection of its own on the direct route, or use a queue; NOTIFY does not pin.';

describe('in every mode', () => {
  test.each<PinMode>(['off', 'count', 'warn', 'error'])('%s lets a harmless statement through', (mode) => {
    const { linter, warnings, pins } = listening(mode);
    expect(linter.check('select * from orders where id = $1')).toBeUndefined();
    expect([warnings, pins]).toEqual([[], []]);
  });

  test.each([
    ['set local a = 1', 'transaction-setting'],
    ["select set_config('a', $1, true)", 'transaction-setting'],
    ['set transaction read only', 'transaction-mode'],
  ])('%s is counted and no more', (sql, kind) => {
    for (const mode of ['count', 'warn', 'error'] as const) {
      const { linter, warnings, pins } = listening(mode);
      expect(linter.check(sql)).toBeUndefined();
      expect([warnings, pins]).toEqual([[], [[kind, sql]]]);
    }
  });
});

describe("'off'", () => {
  test('says nothing', () => {
    const { linter, warnings, pins } = listening('off');
    expect(linter.check('listen a')).toBeUndefined();
    expect([warnings, pins]).toEqual([[], []]);
  });
});

describe("'count'", () => {
  test('tells of each pin of each statement, and warns of none', () => {
    const { linter, warnings, pins } = listening('count');
    const sql = "listen a; select nextval('s')";
    for (let time = 0; time < 2; time += 1) expect(linter.check(sql)).toBeUndefined();
    expect(pins).toEqual([
      ['listen', sql],
      ['sequence', sql],
      ['listen', sql],
      ['sequence', sql],
    ]);
    expect(warnings).toEqual([]);
  });
});

describe("'warn'", () => {
  test('names the statement without its literals, the reason and the way around, and lets it through', () => {
    const { linter, warnings, pins } = listening('warn');
    expect(linter.check("select nextval('top-secret') where 42 = $1")).toBeUndefined();
    expect(warnings).toEqual([
      `A statement pins its session behind RDS Proxy: "select nextval ( ? ) where ? = $1". ${nextval} See ERR_POOL_PINNED.`,
    ]);
    expect(pins).toHaveLength(1);
  });

  test('warns once of each shape and kind, and counts every time', () => {
    const { linter, warnings, pins } = listening('warn');
    for (const name of ['a', 'b', 'c']) linter.check(`select nextval('${name}')`);
    linter.check('listen a');
    linter.check('listen b');
    linter.check("listen a; select nextval('s')");
    expect(pins).toHaveLength(7);
    expect(warnings.map((warning) => /"(.*?)"/.exec(warning)?.[1])).toEqual([
      'select nextval ( ? )',
      'listen a',
      'listen b',
      'listen a ; select nextval ( ? )',
      'listen a ; select nextval ( ? )',
    ]);
    expect(warnings[3]).toContain(listen);
    expect(warnings[4]).toContain(nextval);
  });

  test('does not remember every shape that there ever was', () => {
    const { linter, warnings } = listening('warn');
    linter.check('listen first');
    for (let count = 0; count < 600; count += 1) linter.check(`listen other_${count}`);
    expect(warnings).toHaveLength(601);
    linter.check('listen first');
    expect(warnings).toHaveLength(602);
  });

  test('warns of a long statement in a short line', () => {
    const { linter, warnings } = listening('warn');
    linter.check(`select '${'x'.repeat(20_000)}', ${'y, '.repeat(1000)} 1`);
    expect(warnings).toHaveLength(1);
    expect(warnings[0]).toContain('longer than 16 KB');
    expect(warnings[0]?.length).toBeLessThan(500);
  });
});

describe("'error'", () => {
  test('refuses the statement, and counts nothing, because nothing is sent', () => {
    const { linter, warnings, pins } = listening('error');
    const error = linter.check("select nextval('top-secret')");
    expect(error).toBeInstanceOf(PoolError);
    expect(error).toMatchObject({
      code: 'ERR_POOL_PINNED',
      message: `The statement was not sent, because it would pin its session behind RDS Proxy: "select nextval ( ? )". ${nextval} See ERR_POOL_PINNED.`,
    });
    expect([warnings, pins]).toEqual([[], []]);
  });

  test('says all there is to say about a statement, less what AWS does not document', () => {
    const { linter, pins } = listening('error');
    expect(linter.check("set local a = 1; listen a; select nextval('s')")?.message).toBe(
      `The statement was not sent, because it would pin its session behind RDS Proxy: "set local a = ? ; listen a ; select nextval ( ? )". ${listen} ${nextval} See ERR_POOL_PINNED.`,
    );
    expect(pins).toEqual([]);
  });
});

describe('the page about pinning', () => {
  const page = readFileSync(new URL('../../../docs/pinning.md', import.meta.url), 'utf8');

  test('lists every kind with the reason and the way around that the linter gives, and no other', () => {
    const rows = everyPin.map(({ kind, certainty, reason, fix }) => {
      return `| \`${kind}\`${certainty === 'documented' ? '' : ' (not documented)'} | ${reason} | ${fix} |`;
    });
    const [, table = ''] = page.split('| kind | why it pins | instead |\n|---|---|---|\n');
    expect(table.slice(0, table.indexOf('\n\n')).split('\n')).toEqual(rows);
  });

  test.each<PinMode>(['off', 'count', 'warn', 'error'])('explains the mode %s', (mode) => {
    expect(page).toContain(`| \`${mode}\` | `);
  });
});
