// The key of a call: what its arguments are, in words that no other arguments have. Pure.

import { PoolError } from '../pool/index.ts';

/**
 * Names a call by its arguments. Different arguments have different keys: `1` and `'1'`, `null` and `undefined`, `0` and
 * `-0`, a date and its text. The order of an object's properties makes no difference.
 *
 * @throws PoolError `ERR_POOL_CACHE_KEY` for what has no such name: functions, symbols, instances of classes, circles
 */
export function keyOf(args: readonly unknown[]): string {
  return args.map((arg, index) => nameOf(arg, [], `argument ${index + 1}`)).join(',');
}

function nameOf(value: unknown, within: readonly object[], where: string): string {
  switch (typeof value) {
    case 'string':
      return JSON.stringify(value);
    case 'number':
      return Object.is(value, -0) ? '-0' : String(value);
    case 'bigint':
      return `${value}n`;
    case 'boolean':
    case 'undefined':
      return String(value);
    case 'object':
      return value === null ? 'null' : nameOfObject(value, within, where);
    default:
      throw unnamed(`${where} is a ${typeof value}`);
  }
}

function nameOfObject(value: object, within: readonly object[], where: string): string {
  if (within.includes(value)) throw unnamed(`${where} contains itself`);
  const inside = [...within, value];
  if (Array.isArray(value)) return `[${value.map((item, n) => nameOf(item, inside, `${where}[${n}]`)).join(',')}]`;
  if (value instanceof Date) return `Date(${value.getTime()})`;
  const prototype: unknown = Object.getPrototypeOf(value);
  if (prototype !== Object.prototype && prototype !== null) {
    throw unnamed(
      `${where} is an instance of ${(value as { constructor?: { name?: string } }).constructor?.name ?? 'a class'}`,
    );
  }
  if (Object.getOwnPropertySymbols(value).length > 0) throw unnamed(`${where} has properties named by symbols`);
  const names = Object.keys(value).toSorted();
  const properties = names.map(
    (name) => `${JSON.stringify(name)}:${nameOf((value as Record<string, unknown>)[name], inside, `${where}.${name}`)}`,
  );
  return `{${properties.join(',')}}`;
}

function unnamed(what: string): PoolError {
  return new PoolError(
    'ERR_POOL_CACHE_KEY',
    `The arguments of a cached function cannot be told apart by their contents: ${what}. Give the option key, a function of the arguments that names the call. See ERR_POOL_CACHE_KEY.`,
  );
}
