// The variables that the constructs write are those that the pool reads.
import { readFileSync } from 'node:fs';
import path from 'node:path';
import { describe, expect, test } from 'vitest';
import { defaultOf, environmentOf, nameOf } from '../../infra/constructs/variables.ts';
import { variables } from '../../src/env.ts';

describe('the type VariableName', () => {
  test('lists the variables of src/env.ts and no others', () => {
    const file = path.resolve(import.meta.dirname, '../../infra/constructs/variables.ts');
    const [, union = ''] = /export type VariableName =([^;]*);/.exec(readFileSync(file, 'utf8')) ?? [];
    const listed = [...union.matchAll(/'([A-Z_]+)'/g)].map(([, name = '']) => name);
    expect(listed.toSorted()).toEqual(variables.map(({ name }) => name).toSorted());
  });
});

describe('an option', () => {
  test.each(variables.map(({ option, name }) => [option, name] as const))('%s is written as %s', (option, name) => {
    expect(nameOf(option)).toBe(name);
  });

  test('that is undefined is not written', () => {
    // Not even as a name without a value.
    expect(environmentOf({ host: 'db.example.com', user: undefined }, 'here')).toStrictEqual({
      PGHOST: 'db.example.com',
    });
  });

  test('that has a bad value is refused, with the place', () => {
    expect(() => environmentOf({ host: 'postgres://x', max: '-1' }, 'Stack/Access')).toThrow(
      /^Stack\/Access: 2 settings are not usable:\n- PGHOST must be one host name/,
    );
  });

  test('has the default of the table', () => {
    expect(defaultOf('acquireTimeoutMillis')).toBe(5000);
  });
});
