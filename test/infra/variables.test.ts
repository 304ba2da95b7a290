// The variables that the constructs write are those that the pool reads, and a handler's parameters are counted aright.
import { readFileSync } from 'node:fs';
import path from 'node:path';
import { App, Stack } from 'aws-cdk-lib';
import * as lambda from 'aws-cdk-lib/aws-lambda';
import { NodejsFunction } from 'aws-cdk-lib/aws-lambda-nodejs';
import { describe, expect, test } from 'vitest';
import { countParameters, handlerParameters } from '../../infra/constructs/handler-parameters.ts';
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
    expect(environmentOf({ host: 'db.example.com', user: undefined }, 'here')).toEqual({ PGHOST: 'db.example.com' });
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

describe('parameters are counted', () => {
  test.each<[string, number]>([
    ['export const handler = async (event, context) => {};', 2],
    ['export const handler = (event, context, callback) => callback(null, event);', 3],
    ['export async function handler(event, context, callback) {}', 3],
    ['export function handler() {}', 0],
    ['exports.handler = async function (event) {};', 1],
    ['exports.handler = function named(event, context, callback) {};', 3],
    ['export const handler = async ({ a, b, c }, [d, e]) => {};', 2],
    ['export const handler = (event, context = make(1, 2, "),("), ) => {};', 2],
    ['var h = async (e, c, k) => {}; export { h as handler };', 3],
    ['var i={};__export(i,{handler:()=>r});var q=1,r=async(e,t,n)=>{};', 3],
    ['const other = (a, b, c) => 1;\nconst local = (a) => 1;\nexports.handler = local;\n', 1],
  ])('in %s', (code, count) => {
    expect(countParameters(code, 'handler')).toBe(count);
  });

  test.each([
    'export const handler = withPool(async (event, { db }) => {});',
    'export const handler = middy().use(pgPool()).handler(async (a, b, c) => {});',
    'export const handler = (0, lib.withPool)((a, b, c) => {});',
    'export const handlers = (a, b, c) => {};',
    'export const handler = event => event;',
    'this is no program',
  ])('in no other form: %s', (code) => {
    expect(countParameters(code, 'handler')).toBeUndefined();
  });
});

describe('the handler of a function', () => {
  const stack = () => new Stack(new App(), 'Test');
  const fixture = (name: string) => path.join(import.meta.dirname, 'fixtures', name);

  test.each([
    ['three-parameters.ts', 3],
    ['wrapped.ts', undefined],
  ])('in %s is looked at as esbuild bundles it, in both formats', (entry, count) => {
    for (const [id, format] of Object.entries({ Esm: 'esm', Cjs: 'cjs' })) {
      for (const minify of [true, false]) {
        const fn = new NodejsFunction(stack(), `${id}${minify}`, {
          entry: fixture(entry),
          depsLockFilePath: path.resolve(import.meta.dirname, '../../package-lock.json'),
          runtime: lambda.Runtime.NODEJS_24_X,
          bundling: { format: format as never, minify },
        });
        expect(handlerParameters(fn), `${format}, minified: ${minify}`).toBe(count);
      }
    }
  });

  test('in a file that is not there is not judged', () => {
    const fn = new lambda.Function(stack(), 'Function', {
      runtime: lambda.Runtime.NODEJS_24_X,
      handler: 'missing.handler',
      code: lambda.Code.fromAsset(path.join(import.meta.dirname, 'fixtures')),
    });
    expect(handlerParameters(fn)).toBeUndefined();
  });
});
