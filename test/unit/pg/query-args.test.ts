import { EventEmitter, once } from 'node:events';
import pg from 'pg';
import { describe, expect, test } from 'vitest';
import { refuse, textOf, withoutName } from '../../../src/pg/query-args.ts';

describe('the text of a query', () => {
  test.each([
    ['a text', 'select 1', 'select 1'],
    ['a config', { text: 'select 1', values: [] }, 'select 1'],
    ["pg's own Query", new pg.Query('select 1'), 'select 1'],
    ['a cursor', { text: 'select 1', submit: () => {} }, 'select 1'],
    ['a stream around a cursor', { cursor: { text: 'select 1' }, submit: () => {} }, 'select 1'],
    ['a config that has only a name', { name: 'a' }, undefined],
    ['something that submits itself and has no text', { submit: () => {} }, undefined],
    ['a cursor that is none', { cursor: null }, undefined],
    ['null', null, undefined],
    ['nothing', undefined, undefined],
    ['a number', 1, undefined],
  ])('is found in %s', (_, config, expected) => {
    expect(textOf(config)).toBe(expected);
  });
});

/** As the tagged templates of libraries are: the text is worked out. */
class Template {
  readonly #parts: readonly string[] = ['select ', '::int'];
  name = 'made-by-a-library';
  values: readonly unknown[] = [1];
  get text(): string {
    return this.#parts.join('$1');
  }
}

describe('a query without its name', () => {
  test('is a copy: what the caller holds is left as it was', () => {
    const config = Object.freeze({ name: 'a', text: 'select $1', values: [1], rowMode: 'array' });
    const [copy, ...rest] = withoutName([config, 'more']) as [Record<string, unknown>, string];
    expect(copy).not.toBe(config);
    expect([copy['name'], copy['text'], copy['values'], copy['rowMode'], rest]).toEqual([
      undefined,
      'select $1',
      [1],
      'array',
      ['more'],
    ]);
    expect(config.name).toBe('a');
  });

  test('keeps a text that the class of the config works out', () => {
    const [copy] = withoutName([new Template()]) as [{ text: string; values: unknown; name: unknown }];
    expect([copy.name, copy.text, copy.values]).toEqual([undefined, 'select $1::int', [1]]);
  });

  test('takes the callback and the values that pg writes into it, and the caller sees none of them', () => {
    const config = { name: 'a', text: 'select $1' };
    const [copy] = withoutName([config]) as [pg.QueryConfig];
    const callback = (): void => {};
    const query = new pg.Query(copy, [1], callback) as unknown as { values: unknown; callback: unknown; name: unknown };
    expect([query.values, query.callback, query.name]).toEqual([[1], callback, undefined]);
    expect(Object.keys(config)).toEqual(['name', 'text']);
  });

  test('is the same object where it submits itself', () => {
    const query = new pg.Query({ name: 'a', text: 'select 1' });
    expect(withoutName([query])[0]).toBe(query);
    expect((query as unknown as { name: unknown }).name).toBeUndefined();
  });

  test.each([
    ['a text', 'select 1'],
    ['a config without a name', { text: 'select 1' }],
    ['a name without a text', { name: 'a' }],
    ['null', null],
    ['nothing', undefined],
  ])('is what it was: %s', (_, config) => {
    const args = [config];
    expect(withoutName(args)).toBe(args);
    expect(args[0]).toBe(config);
  });
});

describe('a refusal', () => {
  const error = new Error('not this one');

  test('rejects a promise', async () => {
    await expect(refuse(['select 1'], error)).rejects.toBe(error);
    await expect(refuse([{ text: 'select 1' }, [1]], error)).rejects.toBe(error);
    await expect(refuse([null], error)).rejects.toBe(error);
  });

  test.each<[string, (callback: (error: unknown) => void) => unknown[]]>([
    ['behind the text', (callback) => ['select 1', callback]],
    ['behind the values', (callback) => ['select 1', [], callback]],
    ['in the config', (callback) => [{ text: 'select 1', callback }]],
    ['behind a config that has another', (callback) => [{ text: 'select 1', callback: () => {} }, callback]],
  ])('calls the callback %s, in another tick', async (_, make) => {
    let heard: unknown;
    const told = new Promise<void>((resolve) => {
      const result = refuse(
        make((given) => {
          heard = given;
          resolve();
        }),
        error,
      );
      expect(result).toBeUndefined();
    });
    expect(heard).toBeUndefined();
    await told;
    expect(heard).toBe(error);
  });

  test('reaches a query that submits itself, which is returned', async () => {
    const query = new pg.Query('select 1') as unknown as EventEmitter;
    const heard = once(query, 'error').catch((given: unknown) => given);
    expect(refuse([query], error)).toBe(query);
    expect(await heard).toEqual([error]);
  });

  test.each<[string, (callback: (error: unknown) => void) => unknown[]]>([
    ['of its own', (callback) => [new pg.Query('select 1', [], callback), () => {}]],
    ['that was given beside it', (callback) => [new pg.Query('select 1'), callback]],
  ])('reaches it by the callback %s', async (_, make) => {
    const heard = await new Promise((resolve) => void refuse(make(resolve), error));
    expect(heard).toBe(error);
  });
});
