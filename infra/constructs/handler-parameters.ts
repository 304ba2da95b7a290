// Counts the parameters that a handler declares, by a look at the code that will be deployed. Nothing is run. It claims
// nothing where it does not know the form: a wrapped handler (`withPool(…)`, `middy()…`) is a call, and calls are left alone.

import { readFileSync, statSync } from 'node:fs';
import path from 'node:path';
import { Stage } from 'aws-cdk-lib';
import type { Function as LambdaFunction } from 'aws-cdk-lib/aws-lambda';
import { Asset } from 'aws-cdk-lib/aws-s3-assets';
import { type Token, tokensOf } from './javascript-tokens.ts';
import { rendered, resourceOf } from './resources.ts';

/** Larger bundles are not read: that would be felt at synth. */
const mostBytes = 4 * 2 ** 20;

/** What is known of a handler. */
export interface HandlerFacts {
  /** The function's `length`: the parameters before the first one that has a default or takes the rest. */
  readonly parameters: number;
  /** Whether nothing else in the module can be what the name stands for in the end, and nothing makes a streaming handler of it. */
  readonly certain: boolean;
}

/** Returns what a function's handler declares; nothing where that cannot be told. */
export function handlerFacts(fn: LambdaFunction): HandlerFacts | undefined {
  const resource = resourceOf(fn, 'AWS::Lambda::Function');
  const handler = resource && rendered(resource, resource.handler);
  const [, module, name] = (typeof handler === 'string' && /^(.+)\.([\w$]+)$/.exec(handler)) || [];
  if (resource === undefined || module === undefined || name === undefined) return undefined;
  const { zipFile } = (rendered(resource, resource.code) ?? {}) as { zipFile?: unknown };
  const code = typeof zipFile === 'string' ? zipFile : assetText(fn, module);
  return code === undefined ? undefined : readHandler(code, name);
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

/** Reads what a module exports by that name; nothing where that is no function written out in it. */
export function readHandler(code: string, exported: string): HandlerFacts | undefined {
  const tokens = tokensOf(code);
  return tokens && new Module(tokens).handler(exported);
}

/** A name for a name for a name is followed so far. */
const mostAliases = 5;
const aName = /^[\p{ID_Start}$_]/u;
const assignment = /^(?:[^=!<>]+|<<|>>>?)?=$/;
/** What may stand behind a value for it to be the whole of what is assigned: the end, or the next statement's first word. */
const ending = /^(?:[;,}]|(?!(?:in|instanceof)$)[\w$]+)$/;

interface Found {
  readonly parameters: number;
  /** The names on the way to it. */
  readonly names: readonly string[];
  /** Where each of their values begins. */
  readonly places: readonly number[];
}

class Module {
  readonly #tokens: readonly Token[];

  constructor(tokens: readonly Token[]) {
    this.#tokens = tokens;
  }

  handler(exported: string): HandlerFacts | undefined {
    const values = this.#exportedValues(exported);
    const [value] = values;
    if (value === undefined || values.length > 1) return undefined;
    const found = this.#follow(value);
    if (found === undefined) return undefined;
    const writes = this.#writes(exported, found);
    // What is written at the top comes before or after in an order that a look does not tell.
    if (writes.some((at) => this.#tokens[at]?.depth === 0)) return undefined;
    return { parameters: found.parameters, certain: writes.length === 0 && !this.#isHandedOn(found.names) };
  }

  #text(at: number): string {
    return this.#tokens[at]?.text ?? '';
  }

  #reads(at: number, ...texts: readonly string[]): boolean {
    return texts.every((text, index) => this.#text(at + index) === text);
  }

  /** Where a bracket is closed. */
  #end(at: number): number {
    const depth = this.#tokens[at]?.depth;
    // Everything inside is deeper.
    return this.#tokens.findIndex((token, index) => index > at && token.depth === depth);
  }

  /** Where each value begins that the module exports by a name. */
  #exportedValues(name: string): number[] {
    return this.#tokens.flatMap(({ depth }, at) => {
      if (this.#reads(at, name, ':', '(', ')', '=>') && /^[{,]$/.test(this.#text(at - 1))) {
        // esbuild's table of what a CommonJS module exports.
        return ending.test(this.#text(at + 6)) ? [at + 5] : [];
      }
      if (depth > 0) return [];
      if (this.#reads(at, 'export')) return this.#afterExport(at + 1, name);
      if (this.#reads(at, 'exports', '.', name, '=')) return this.#reads(at + 4, 'void') ? [] : [at + 4];
      return this.#reads(at, 'exports', '=', '{') ? this.#inObject(at + 2, name) : [];
    });
  }

  #afterExport(at: number, name: string): number[] {
    if (this.#reads(at, 'function', name) || this.#reads(at, 'async', 'function', name)) return [at];
    if (/^(?:const|let|var)$/.test(this.#text(at)) && this.#reads(at + 1, name, '=')) return [at + 3];
    if (!this.#reads(at, '{')) return [];
    const end = this.#end(at);
    if (this.#reads(end + 1, 'from')) return [];
    return this.#between(at, end).flatMap((entry) => {
      if (this.#reads(entry + 1, 'as')) return this.#reads(entry + 2, name) ? [entry] : [];
      return this.#reads(entry, name) ? [entry] : [];
    });
  }

  #inObject(at: number, name: string): number[] {
    return this.#between(at, this.#end(at)).flatMap((entry) => {
      if (!this.#reads(entry, name)) return [];
      if (this.#reads(entry + 1, ':')) return [entry + 2];
      return /^[,}]$/.test(this.#text(entry + 1)) ? [entry] : [];
    });
  }

  /** Where each of the parts begins that commas divide between two brackets. */
  #between(start: number, end: number): number[] {
    const depth = (this.#tokens[start]?.depth ?? 0) + 1;
    const parts: number[] = [];
    for (let at = start + 1; at < end; at++) {
      const { depth: here, text } = this.#tokens[at] ?? {};
      if (here !== depth || text === ',') continue;
      if (at === start + 1 || (this.#text(at - 1) === ',' && this.#tokens[at - 1]?.depth === depth)) parts.push(at);
    }
    return parts;
  }

  /** Goes from a value to the function that it is, by whatever names. */
  #follow(value: number): Found | undefined {
    const names: string[] = [];
    const places: number[] = [];
    for (let at: number | undefined = value; at !== undefined && names.length < mostAliases; ) {
      places.push(at);
      const parameters = this.#parametersAt(at);
      if (parameters !== undefined) return { parameters, names, places };
      if (!aName.test(this.#text(at)) || !this.#endsAt(at + 1)) return undefined;
      names.push(this.#text(at));
      at = this.#definition(this.#text(at));
    }
    return undefined;
  }

  #endsAt(at: number): boolean {
    return at >= this.#tokens.length || this.#reads(at, 'as') || ending.test(this.#text(at));
  }

  /** Where the value begins that a name at the top of the module is given, if there is one such place. */
  #definition(name: string): number | undefined {
    const places = this.#tokens.flatMap(({ depth, text }, at) => {
      if (depth > 0 || text !== name) return [];
      if (this.#reads(at - 1, 'function')) return this.#reads(at - 2, 'async') ? [at - 2] : [at - 1];
      return this.#reads(at + 1, '=') && /^(?:const|let|var|,)$/.test(this.#text(at - 1)) ? [at + 2] : [];
    });
    return places.length === 1 ? places[0] : undefined;
  }

  /** Where else something is assigned to the names, or to what is exported. */
  #writes(exported: string, { names, places }: Found): number[] {
    return this.#tokens.flatMap(({ text }, at) => {
      if (!assignment.test(this.#text(at + 1)) || places.includes(at + 2) || this.#reads(at + 2, 'void')) return [];
      if (this.#reads(at - 1, '.')) return text === exported && this.#reads(at - 2, 'exports') ? [at] : [];
      return names.includes(text) ? [at] : [];
    });
  }

  /** Whether something at the top may mark the function as one that streams, whose three parameters are another matter. */
  #isHandedOn(names: readonly string[]): boolean {
    return this.#tokens.some(({ text, depth }, at) => {
      if (!names.includes(text)) return false;
      return depth === 0 ? this.#reads(at + 1, '[') : depth === 1 && /^[(,]$/.test(this.#text(at - 1));
    });
  }

  /** Counts the parameters of a function that begins here; nothing for whatever else does. */
  #parametersAt(start: number): number | undefined {
    const at = this.#reads(start, 'async') ? start + 1 : start;
    if (this.#reads(at, 'function')) {
      const list = this.#reads(at + 1, '(') ? at + 1 : at + 2;
      const body = this.#reads(list, '(') ? this.#end(list) + 1 : 0;
      // A declaration ends by itself; what stands behind an expression may make something else of it.
      const whole = this.#reads(start - 1, 'export') || this.#isDeclared(start) || this.#endsAt(this.#end(body) + 1);
      return this.#reads(body, '{') && whole ? this.#count(list) : undefined;
    }
    if (this.#reads(at, '(')) return this.#reads(this.#end(at) + 1, '=>') ? this.#count(at) : undefined;
    return aName.test(this.#text(at)) && this.#reads(at + 1, '=>') ? 1 : undefined;
  }

  #isDeclared(start: number): boolean {
    return !/^(?:=|:|,|=>)$/.test(this.#text(start - 1));
  }

  /** As `length` does: up to the first parameter that has a default or takes the rest. */
  #count(list: number): number {
    const end = this.#end(list);
    const parts = this.#between(list, end);
    const depth = (this.#tokens[list]?.depth ?? 0) + 1;
    const counted = parts.findIndex((part, index) => {
      const next = parts[index + 1] ?? end;
      const own = this.#tokens.slice(part, next).filter((token) => token.depth === depth);
      return own.some(({ text }) => text === '=' || text === '...');
    });
    return counted < 0 ? parts.length : counted;
  }
}
