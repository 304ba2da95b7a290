// What a handler declares is read aright, and nothing is claimed of what was not understood.
import path from 'node:path';
import { runInNewContext } from 'node:vm';
import { App, Stack } from 'aws-cdk-lib';
import * as lambda from 'aws-cdk-lib/aws-lambda';
import { NodejsFunction } from 'aws-cdk-lib/aws-lambda-nodejs';
import { describe, expect, test } from 'vitest';
import { handlerFacts, readHandler } from '../../infra/constructs/handler-parameters.ts';
import { tokensOf } from '../../infra/constructs/javascript-tokens.ts';

const certainly = (parameters: number) => ({ parameters, certain: true });

describe('parameters are counted', () => {
  test.each<[string, number]>([
    ['export const handler = async (event, context) => {};', 2],
    ['export const handler = (event, context, callback) => callback(null, event);', 3],
    ['export async function handler(event, context, callback) {}', 3],
    ['export function handler() {}', 0],
    ['export let handler = event => event;', 1],
    ['exports.handler = async function (event) {};', 1],
    ['module.exports.handler = function named(event, context, callback) {};', 3],
    ['module.exports = { other: 1, handler: (event, context, callback) => {} };', 3],
    ['function handler(a, b, c) {}\nmodule.exports = { handler };', 3],
    ['export const handler = async ({ a, b, c }, [d, e]) => {};', 2],
    ['var h = async (e, c, k) => {}; export { h as handler };', 3],
    ['var handler = async (e, c, k) => {};\nexport {\n  handler\n};\n', 3],
    ['var i={};__export(i,{handler:()=>r});var q=1,r=async(e,t,n)=>{};', 3],
    [
      'var i = {};\n__export(i, {\n  handler: () => handler,\n  x: () => x\n});\nasync function handler(a, b, c) {}\n',
      3,
    ],
    ['exports.handler = void 0;\nconst handler = (a, b, c) => {};\nexports.handler = handler;\n', 3],
    ['const other = (a, b, c) => 1;\nconst local = (a) => 1;\nexports.handler = local;\n', 1],
    ['const a = (x, y, z) => 1, b = a;\nexport { b as handler }', 3],
  ])('in %s', (code, count) => {
    expect(readHandler(code, 'handler')).toEqual(certainly(count));
  });

  test.each<[string, number]>([
    ['(event, context = make(1, 2, "),("), ) => {}', 1],
    ['(event, context, callback = () => {}) => {}', 2],
    ['(event, ...more) => {}', 1],
    ['(event, { a = 1, b = 2 }, [c = 3]) => {}', 3],
    ['(event, context, callback,) => {}', 3],
  ])('as Lambda counts them, by the length of %s', (value, count) => {
    expect(readHandler(`export const handler = ${value};`, 'handler')).toEqual(certainly(count));
    // The language itself is asked.
    expect((runInNewContext(value) as (...all: unknown[]) => unknown).length).toBe(count);
  });
});

describe('nothing is claimed', () => {
  test.each([
    'export const handler = withPool(async (event, { db }) => {});',
    'export const handler = middy().use(pgPool()).handler(async (a, b, c) => {});',
    'export const handler = (0, lib.withPool)((a, b, c) => {});',
    'export const handlers = (a, b, c) => {};',
    "export { handler } from './other.mjs';",
    "const handler = (a, b, c) => {};\nexport { handler } from './other.mjs';",
    'import { h } from "x";\nexport { h as handler };\nfunction f() { const h = (a, b, c) => {}; }',
    'var h = (a, b) => {};\nvar h = (a, b, c) => {};\nexport { h as handler };',
    'function h(a, b) {}\nfunction h(a, b, c) {}\nexport { h as handler };',
    "export * from './other.mjs';",
    "import { handler } from './other.mjs';\nexport { handler };",
    'exports.handler = function (a, b, c) {}.bind(null, 1, 2);',
    'exports.handler = function (a, b, c) {}\n(1);',
    'export const handler = ((a, b, c) => {}).bind(null, 1, 2);',
    'const inner = (a, b, c) => {};\nexport const handler = inner.bind(null, 1, 2);',
    'const inner = (a, b, c) => {};\nexport const handler = inner(1);',
    'const inner = (a, b, c) => {};\nexport const handler = streamify(inner);',
    'export class handler { constructor(a, b, c) {} }',
    'this is no program',
    'export const handler = (a, b, c) => {}; // }\n}',
    'export const handler = (a, b, c) => "never closed;',
  ])('of %s', (code) => {
    expect(readHandler(code, 'handler')).toBeUndefined();
  });

  test.each([
    ['a comment', '// exports.handler = (a, b, c) => {};\n/* export function handler(a, b, c) {} */'],
    ['a string', 'const text = "export const handler = (a, b, c) => {};";'],
    [
      'a template',
      'const text = `${[`export function handler(a, b, c) {}`]} export const handler = (a, b, c) => {};`;',
    ],
    ['a regular expression', 'const text = /"export const handler = (a, b, c) => {}/;'],
    ['a function inside of another', 'function inner() { function handler(a, b, c) {}\nexports.handler = handler; }'],
  ])('of %s', (_, code) => {
    expect(readHandler(code, 'handler')).toBeUndefined();
    expect(readHandler(`${code}\nexport const handler = withPool((a, b, c) => {});`, 'handler')).toBeUndefined();
    expect(readHandler(`${code}\nexport const handler = (event) => {};`, 'handler')).toMatchObject({ parameters: 1 });
  });

  test.each([
    'let handler = (a, b, c) => {};\nhandler = withPool(handler);\nexport { handler };',
    'exports.handler = (a, b, c) => {};\nexports.handler = withPool(exports.handler);',
    'function handler(a, b, c) {}\nhandler ||= 1;\nexport { handler };',
    'var handler = (a, b, c) => {};\nvar handler = (a) => {};\nexport { handler };',
    'exports.handler = (a, b, c) => {};\nmodule.exports = { handler: (a) => {} };',
  ])('where it is written twice: %s', (code) => {
    expect(readHandler(code, 'handler')).toBeUndefined();
  });
});

describe('it is no certain claim', () => {
  test.each([
    'let handler = (a, b, c) => {};\nif (process.env.X) { handler = wrap(handler); }\nexport { handler };',
    'exports.handler = (a, b, c) => {};\nfunction later() { exports.handler = wrap(1); }',
    'var r=(a,b,c)=>{};function x(){let r;r=1}export{r as handler};',
    "const handler = (a, b, c) => {};\nhandler[Symbol.for('aws.lambda.runtime.handler.streaming')] = 'response';\nexport { handler };",
    'const inner = (a, b, c) => {};\nawslambda.streamifyResponse(inner);\nexport { inner as handler };',
    'const handler = (a, b, c) => {};\nObject.assign({}, handler);\nexport { handler };',
  ])('where something may make another of it: %s', (code) => {
    expect(readHandler(code, 'handler')).toEqual({ parameters: 3, certain: false });
  });
});

describe('code is split', () => {
  const texts = (code: string) => tokensOf(code)?.map(({ text }) => text);

  test.each([
    ['a = b / c / d', ['a', '=', 'b', '/', 'c', '/', 'd']],
    ['a = /[/"]"/g.test(b)', ['a', '=', '/', '.', 'test', '(', 'b', ')']],
    ['if (a) /"/.test(b)', ['if', '(', 'a', ')', '/', '.', 'test', '(', 'b', ')']],
    ['f(a) / b / "c"', ['f', '(', 'a', ')', '/', 'b', '/', '"']],
    ['return /\\//.x', ['return', '/', '.', 'x']],
    ['a.return / b / c', ['a', '.', 'return', '/', 'b', '/', 'c']],
    ['`a${b + `}${c}`}d` / 2', ['`', 'b', '+', '`', 'c', '`', '`', '/', '2']],
    ['\'it\\\'s\' + "\\""', ["'", '+', '"']],
    ['`\\`(${a}\\${(` + b', ['`', 'a', '`', '+', 'b']],
    ['#!/usr/bin/env node\na?.b || 0x1f + .5e-3', ['a', '?.', 'b', '|', '|', '0x1f', '+', '.5e-3']],
    ['a ? .5 : b >>>= 1', ['a', '?', '.5', ':', 'b', '>>>=', '1']],
  ])('%s', (code, expected) => {
    expect(texts(code)).toEqual(expected);
  });

  test.each(['(', ')', '{]', '"a', '`a', '`${', 'a ¬ b'])('not where it cannot be followed: %s', (code) => {
    expect(tokensOf(code)).toBeUndefined();
  });
});

describe('the handler of a function', () => {
  const stack = () => new Stack(new App(), 'Test');
  const fixture = (name: string) => path.join(import.meta.dirname, 'fixtures', name);

  test.each([
    ['three-parameters.ts', certainly(3)],
    ['wrapped.ts', undefined],
  ])('in %s is looked at as esbuild bundles it, in both formats', (entry, facts) => {
    for (const [id, format] of Object.entries({ Esm: 'esm', Cjs: 'cjs' })) {
      for (const minify of [true, false]) {
        const fn = new NodejsFunction(stack(), `${id}${minify}`, {
          entry: fixture(entry),
          depsLockFilePath: path.resolve(import.meta.dirname, '../../package-lock.json'),
          runtime: lambda.Runtime.NODEJS_24_X,
          bundling: { format: format as never, minify },
        });
        expect(handlerFacts(fn), `${format}, minified: ${minify}`).toEqual(facts);
      }
    }
  });

  test('in a file that is not there is not judged', () => {
    const fn = new lambda.Function(stack(), 'Function', {
      runtime: lambda.Runtime.NODEJS_24_X,
      handler: 'missing.handler',
      code: lambda.Code.fromAsset(path.join(import.meta.dirname, 'fixtures')),
    });
    expect(handlerFacts(fn)).toBeUndefined();
  });
});
