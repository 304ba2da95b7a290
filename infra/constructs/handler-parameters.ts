// Counts the parameters that a handler declares, by a look at the text that will be deployed. It claims nothing where
// it does not recognise the form: a wrapped handler (`withPool(…)`, `middy()…`) is a call, and calls are left alone.

import { readFileSync, statSync } from 'node:fs';
import path from 'node:path';
import { Stage } from 'aws-cdk-lib';
import type { Function as LambdaFunction } from 'aws-cdk-lib/aws-lambda';
import { Asset } from 'aws-cdk-lib/aws-s3-assets';
import { rendered, resourceOf } from './resources.ts';

/** Larger bundles are not read: a handler in them is not found by a light look anyway. */
const mostBytes = 4 * 2 ** 20;

/** Returns how many parameters a function's handler declares; nothing where that cannot be told. */
export function handlerParameters(fn: LambdaFunction): number | undefined {
  const resource = resourceOf(fn, 'AWS::Lambda::Function');
  const handler = resource && rendered(resource, resource.handler);
  const [, module, name] = (typeof handler === 'string' && /^(.+)\.([\w$]+)$/.exec(handler)) || [];
  if (resource === undefined || module === undefined || name === undefined) return undefined;
  const { zipFile } = (rendered(resource, resource.code) ?? {}) as { zipFile?: unknown };
  const code = typeof zipFile === 'string' ? zipFile : assetText(fn, module);
  return code === undefined ? undefined : countParameters(code, name);
}

function assetText(fn: LambdaFunction, module: string): string | undefined {
  const asset = fn.node.tryFindChild('Code');
  if (!(asset instanceof Asset)) return undefined;
  const folder = path.resolve(Stage.of(fn)?.outdir ?? '.', asset.assetPath);
  for (const ending of ['.mjs', '.js', '.cjs']) {
    const file = path.join(folder, module + ending);
    const { size } = statSync(file, { throwIfNoEntry: false }) ?? {};
    if (size !== undefined) return size > mostBytes ? undefined : readFileSync(file, 'utf8');
  }
  return undefined;
}

/** Counts the parameters of a function that a module exports by that name; nothing where the form is another. */
export function countParameters(code: string, exported: string): number | undefined {
  for (const name of new Set([exported, ...localNames(code, exported)])) {
    const start = startOfParameters(code, name);
    if (start !== undefined) return countFrom(code, start);
  }
  return undefined;
}

const escaped = (name: string): string => name.replaceAll('$', String.raw`\$`);

/** `export { local as handler }`, and `handler: () => local` as esbuild writes it for CommonJS. */
function localNames(code: string, exported: string): string[] {
  const name = escaped(exported);
  const forms = [
    new RegExp(String.raw`export\s*\{[^}]*?([\w$]+)\s+as\s+${name}\b`),
    new RegExp(String.raw`\b${name}\s*:\s*\(\)\s*=>\s*([\w$]+)`),
    new RegExp(String.raw`exports\.${name}\s*=\s*([\w$]+)\s*[;,\n]`),
  ];
  return forms.flatMap((form) => form.exec(code)?.[1] ?? []);
}

/** Finds where the list of parameters begins, behind its bracket. */
function startOfParameters(code: string, name: string): number | undefined {
  const head = escaped(name);
  const forms = [
    new RegExp(String.raw`(?<![\w$.])function\s+${head}\s*\(`),
    new RegExp(String.raw`(?:(?:const|let|var|,)\s*|exports\.)${head}\s*=\s*(?:async\s*)?(?:function\s*[\w$]*\s*)?\(`),
  ];
  for (const form of forms) {
    const match = form.exec(code);
    if (match === null) continue;
    const start = match.index + match[0].length;
    return match[0].includes('function') || /^\s*=>/.test(code.slice(endOf(code, start) + 1)) ? start : undefined;
  }
  return undefined;
}

function countFrom(code: string, start: number): number {
  const list = code.slice(start, endOf(code, start));
  let count = /\S/.test(list) ? 1 : 0;
  walk(list, 0, (letter, depth, at) => {
    if (letter === ',' && depth === 0 && /\S/.test(list.slice(at + 1))) count += 1;
    return true;
  });
  return count;
}

/** Returns the place of the bracket that closes the list. */
function endOf(code: string, start: number): number {
  let end = code.length;
  walk(code, start, (letter, depth, at) => {
    if (letter !== ')' || depth >= 0) return true;
    end = at;
    return false;
  });
  return end;
}

/** Goes over code letter by letter, past strings, and keeps count of open brackets. */
function walk(code: string, start: number, visit: (letter: string, depth: number, at: number) => boolean): void {
  let depth = 0;
  let quote = '';
  for (let at = start; at < code.length; at++) {
    const letter = code[at] ?? '';
    if (quote !== '') {
      if (letter === '\\') at += 1;
      else if (letter === quote) quote = '';
      continue;
    }
    if (/["'`]/.test(letter)) quote = letter;
    else if (/[([{]/.test(letter)) depth += 1;
    else if (/[)\]}]/.test(letter)) depth -= 1;
    if (!visit(letter, depth, at)) return;
  }
}
