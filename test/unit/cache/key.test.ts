import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { keyOf } from '../../../src/cache/key.ts';

const distinct: readonly (readonly unknown[])[] = [
  [],
  [undefined],
  [undefined, undefined],
  [null],
  ['null'],
  ['undefined'],
  [0],
  [-0],
  ['0'],
  [1],
  [1n],
  ['1'],
  ['1n'],
  [Number.NaN],
  ['NaN'],
  [Number.POSITIVE_INFINITY],
  [true],
  ['true'],
  [''],
  [[]],
  [[[]]],
  [{}],
  [{ a: undefined }],
  [{ a: null }],
  [{ a: 1, b: 2 }],
  [{ a: { b: 1 } }],
  [{ 'a":1,"b': 2 }],
  [1, 2],
  [[1, 2]],
  [[1], 2],
  ['1,2'],
  ['a', 'b'],
  ['a,b'],
  ['a","b'],
  [new Date(0)],
  ['Date(0)'],
  [new Date(0).toISOString()],
  [new Date(1)],
  [new Date(Number.NaN)],
];

describe('the key of a call', () => {
  test('is another for other arguments', () => {
    const keys = distinct.map(keyOf);
    expect(new Set(keys).size).toBe(keys.length);
  });

  test('is the same for equal arguments, whatever the order of properties', () => {
    expect(keyOf([{ a: 1, b: [{ c: 'x', d: 2 }] }])).toBe(keyOf([{ b: [{ d: 2, c: 'x' }], a: 1 }]));
    expect(keyOf([Object.assign(Object.create(null) as object, { a: 1 })])).toBe(keyOf([{ a: 1 }]));
  });

  test('is the same exactly for what is the same, for any values that have one', () => {
    const value = fc.anything({ withBigInt: true, withDate: true, withNullPrototype: false, withSparseArray: false });
    fc.assert(
      fc.property(fc.array(value, { maxLength: 3 }), fc.array(value, { maxLength: 3 }), (a, b) => {
        expect(keyOf(structuredClone(a))).toBe(keyOf(a));
        if (!fc.stringify(a).includes('__proto__') && fc.stringify(a) !== fc.stringify(b)) {
          expect(keyOf(a) === keyOf(b)).toBe(sameButForOrder(a, b));
        }
      }),
    );
  });

  test.each([
    ['a function', [() => 1], 'argument 1 is a function'],
    ['a symbol', ['x', Symbol('s')], 'argument 2 is a symbol'],
    ['a Map', [new Map()], 'argument 1 is an instance of Map'],
    ['bytes', [[new Uint8Array(2)]], 'argument 1[0] is an instance of Uint8Array'],
    ['an instance', [{ at: new URL('http://a') }], 'argument 1.at is an instance of URL'],
    ['a property named by a symbol', [{ [Symbol('s')]: 1 }], 'argument 1 has properties named by symbols'],
  ])('is refused for %s', (_, args, words) => {
    expect(() => keyOf(args)).toThrow(
      expect.objectContaining({
        code: 'ERR_POOL_CACHE_KEY',
        message: `The arguments of a cached function cannot be told apart by their contents: ${words}. Give the option key, a function of the arguments that names the call. See ERR_POOL_CACHE_KEY.`,
      }),
    );
  });

  test('is refused for a circle, and not for the same object twice', () => {
    const circle: Record<string, unknown> = {};
    circle['self'] = circle;
    expect(() => keyOf([circle])).toThrow('argument 1.self contains itself');
    const twice = { a: 1 };
    expect(keyOf([twice, [twice]])).toBe('{"a":1},[{"a":1}]');
  });
});

/** Equal but for the order of properties: what the key does not tell apart. */
function sameButForOrder(a: unknown, b: unknown): boolean {
  if (Object.is(a, b)) return true;
  if (typeof a !== 'object' || typeof b !== 'object' || a === null || b === null) return false;
  if (a instanceof Date || b instanceof Date) {
    return a instanceof Date && b instanceof Date && Object.is(a.getTime(), b.getTime());
  }
  if (Array.isArray(a) !== Array.isArray(b)) return false;
  const [left, right] = [Object.keys(a), Object.keys(b)];
  if (left.length !== right.length) return false;
  if (Array.isArray(a) && Array.isArray(b) && a.length !== b.length) return false;
  return left.every(
    (name) =>
      Object.hasOwn(b, name) &&
      sameButForOrder((a as Record<string, unknown>)[name], (b as Record<string, unknown>)[name]),
  );
}
