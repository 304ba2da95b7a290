import { Buffer } from 'node:buffer';
import { PassThrough } from 'node:stream';
import pg from 'pg';
import { expect, it } from 'vitest';
import { mostValues, runMessages, type WireValue } from '../../../src/pg/bind-message.ts';
import { fc } from '../../support/fast-check.ts';

/** The same messages as pg writes them. */
function byPg(statement: string, values: readonly WireValue[]): Buffer {
  const stream = new PassThrough({ highWaterMark: 2 ** 24 });
  const connection = new pg.Connection({ stream } as unknown as pg.ConnectionConfig);
  connection.bind({ statement, values: [...values] as string[] }, true);
  connection.execute({}, true);
  connection.sync();
  return stream.read() as Buffer;
}

it('writes the bytes that pg writes', () => {
  const value = fc.oneof(
    fc.constant(null),
    fc.string({ unit: 'binary', maxLength: 300 }),
    fc.string(),
    fc.uint8Array().map((bytes) => Buffer.from(bytes)),
  );
  fc.assert(
    fc.property(fc.stringMatching(/^[a-z]\w{0,62}$/), fc.array(value, { maxLength: 20 }), (name, values) => {
      expect(runMessages(name, values).equals(byPg(name, values))).toBe(true);
    }),
  );
});

it('writes as many values as the protocol has room for', () => {
  const values = Array.from({ length: mostValues }, (_, index) => String(index));
  expect(runMessages('most', values).equals(byPg('most', values))).toBe(true);
});
