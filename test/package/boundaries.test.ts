// Every boundary and every ban of .oxlintrc.json, seen to fail: each case plants one violation in a copy of the tree's
// shape, and the linter has to report it there. The permitted neighbours are planted too, so that a rule that forbids
// everything does not pass for a rule that works.
import { spawnSync } from 'node:child_process';
import { cpSync, mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';

const root = path.resolve(import.meta.dirname, '../..');

interface Case {
  readonly title: string;
  readonly file: string;
  readonly code: string;
  /** The rule that must speak; absent where none may. */
  readonly rule?: string;
}

const lines = (count: number, line: (n: number) => string): string =>
  `${Array.from({ length: count }, (_, n) => line(n)).join('\n')}\n`;
const functionOf = (count: number): string =>
  `export function long(n: number): number {\n${lines(count - 3, () => '  n += 1;')}  return n;\n}\n`;

const imports = 'eslint(no-restricted-imports)';

const forbidden: Case[] = [
  // src/pool imports nothing outside itself.
  ...[
    ['another folder of src', "import { a } from '../pg/a.ts';\nexport const b = a;\n"],
    ['a file of the folder above', "import { a } from '../env.ts';\nexport const b = a;\n"],
    ['the folder above', "import { a } from '..';\nexport const b = a;\n"],
    ['a type of another folder', "import type { A } from '../auth/a.ts';\nexport type B = A;\n"],
    ['another folder by re-export', "export * from '../pg/a.ts';\n"],
    ['something two folders up', "export { a } from '../../test/a.ts';\n"],
    ['a package', "import { Pool } from 'pg';\nexport const b = Pool;\n"],
    ['a type of a package', "import type { Context } from 'aws-lambda';\nexport type B = Context;\n"],
    ['a node: module', "import { performance } from 'node:perf_hooks';\nexport const b = performance;\n"],
    ['another folder by import()', "export const b = (): Promise<unknown> => import('../pg/a.ts');\n"],
    ['the package by its own name', "import { a } from 'thawpool';\nexport const b = a;\n"],
  ].map(([title, code], n) => ({
    title: `src/pool: ${title}`,
    file: `src/pool/planted${n}.ts`,
    code: code ?? '',
    rule: imports,
  })),
  // pg is known in src/pg only.
  ...['src/index.ts', 'src/auth/p.ts', 'src/lambda/p.ts', 'src/middy/p.ts', 'src/telemetry/p.ts', 'src/redis/p.ts'].map(
    (file) => ({
      title: `pg in ${file}`,
      file,
      code: "import type { Client } from 'pg';\nexport type C = Client;\n",
      rule: imports,
    }),
  ),
  {
    title: 'a part of pg outside src/pg',
    file: 'src/lambda/parts.ts',
    code: "export * from 'pg-protocol';\n",
    rule: imports,
  },
  // The AWS SDK is never imported statically.
  ...[
    'src/auth/sdk.ts',
    'src/pg/sdk.ts',
    'src/pool/sdk.ts',
    'src/sdk.ts',
    'src/middy/sdk.ts',
    'infra/sdk.ts',
    'test/unit/sdk.ts',
  ].map((file) => ({
    title: `the AWS SDK in ${file}`,
    file,
    code: "import { Signer } from '@aws-sdk/rds-signer';\nexport const S = Signer;\n",
    rule: imports,
  })),
  {
    title: 'a type of the AWS SDK',
    file: 'src/auth/sdk-type.ts',
    code: "import type { S } from '@aws-sdk/rds-signer';\nexport type T = S;\n",
    rule: imports,
  },
  // src/auth stands alone.
  {
    title: 'src/auth: the pool',
    file: 'src/auth/pool.ts',
    code: "import { a } from '../pool/index.ts';\nexport const b = a;\n",
    rule: imports,
  },
  {
    title: 'src/auth: env.ts',
    file: 'src/auth/env.ts',
    code: "import { a } from '../env.ts';\nexport const b = a;\n",
    rule: imports,
  },
  {
    title: 'src/auth: a type of src/pg',
    file: 'src/auth/type.ts',
    code: "import type { A } from '../pg/a.ts';\nexport type B = A;\n",
    rule: imports,
  },
  // src/env.ts imports nothing.
  {
    title: 'src/env.ts: anything',
    file: 'src/env.ts',
    code: "import { x } from './pool/x.ts';\nimport 'node:os';\nexport const env = x;\n",
    rule: imports,
  },
  // The layers.
  {
    title: 'src/pg: the layer above',
    file: 'src/pg/up.ts',
    code: "import type { A } from '../lambda/a.ts';\nexport type B = A;\n",
    rule: imports,
  },
  {
    title: 'src/pg: a value of src/auth',
    file: 'src/pg/auth.ts',
    code: "import { a } from '../auth/a.ts';\nexport const b = a;\n",
    rule: imports,
  },
  {
    title: 'src/lambda: a value of the pool',
    file: 'src/lambda/pool.ts',
    code: "import { a } from '../pool/index.ts';\nexport const b = a;\n",
    rule: imports,
  },
  {
    title: 'src/telemetry: a value of the pool',
    file: 'src/telemetry/pool.ts',
    code: "import { a } from '../pool/index.ts';\nexport const b = a;\n",
    rule: imports,
  },
  {
    title: 'src/telemetry: a value beside a type',
    file: 'src/telemetry/mixed.ts',
    code: "import { a, type A } from '../pool/index.ts';\nexport const b: A = a;\n",
    rule: imports,
  },
  // redis is known in src/redis only, by its types and an import() that says why.
  ...['src/root.ts', 'src/pg/r.ts', 'src/auth/r.ts', 'src/lambda/r.ts', 'src/middy/r.ts', 'src/cache/r.ts'].map(
    (file) => ({
      title: `redis in ${file}`,
      file,
      code: "import type { RedisClientType } from 'redis';\nexport type C = RedisClientType;\n",
      rule: imports,
    }),
  ),
  // OpenTelemetry is loaded in src/telemetry only, by an import() that says why; not even its types are needed.
  ...['src/ot.ts', 'src/pg/ot.ts', 'src/auth/ot.ts', 'src/lambda/ot.ts', 'src/middy/ot.ts', 'src/redis/ot.ts'].map(
    (file) => ({
      title: `OpenTelemetry in ${file}`,
      file,
      code: "import type { Meter } from '@opentelemetry/api';\nexport type M = Meter;\n",
      rule: imports,
    }),
  ),
  {
    title: 'src/telemetry: a type of OpenTelemetry',
    file: 'src/telemetry/ot-type.ts',
    code: "import type { Meter } from '@opentelemetry/api';\nexport type M = Meter;\n",
    rule: imports,
  },
  {
    title: 'src/telemetry: OpenTelemetry by an import() that says nothing',
    file: 'src/telemetry/ot-silent.ts',
    code: "export const load = (): Promise<unknown> => import('@opentelemetry/api');\n",
    rule: imports,
  },
  {
    title: 'src/redis: a value of redis',
    file: 'src/redis/value.ts',
    code: "import { createClient } from 'redis';\nexport const make = createClient;\n",
    rule: imports,
  },
  {
    title: 'src/redis: redis by an import() that says nothing',
    file: 'src/redis/silent.ts',
    code: "export const load = (): Promise<unknown> => import('redis');\n",
    rule: imports,
  },
  ...['../pg/a.ts', '../auth/a.ts', '../with-pool.ts', '../middy/index.ts', '../index.ts'].map((specifier, n) => ({
    title: `src/redis: ${specifier}`,
    file: `src/redis/up${n}.ts`,
    code: `import { a } from '${specifier}';\nexport const b = a;\n`,
    rule: imports,
  })),
  ...['../redis/a.ts', '../pg/a.ts', '../auth/secret.ts', '../managed.ts'].map((specifier, n) => ({
    title: `src/cache: ${specifier}`,
    file: `src/cache/up${n}.ts`,
    code: `import { a } from '${specifier}';\nexport const b = a;\n`,
    rule: imports,
  })),
  {
    title: 'src/middy: a value of Middy',
    file: 'src/middy/value.ts',
    code: "import middy from '@middy/core';\nexport const m = middy;\n",
    rule: imports,
  },
  {
    title: 'Middy outside src/middy',
    file: 'src/lambda/middy.ts',
    code: "import type { M } from '@middy/core';\nexport type N = M;\n",
    rule: imports,
  },
  {
    title: 'src/pool: another folder by an import type',
    file: 'src/pool/import-type.ts',
    code: "export type B = import('../pg/a.ts').A;\n",
    rule: 'typescript(consistent-type-imports)',
  },
  {
    title: 'the AWS SDK by an import() that says nothing',
    file: 'src/auth/silent.ts',
    code: "export const load = (): Promise<unknown> => import('@aws-sdk/rds-signer');\n",
    rule: imports,
  },
  // The outside.
  {
    title: 'infra: a source beside env.ts',
    file: 'infra/constructs/a.ts',
    code: "import { a } from '../../src/pool/index.ts';\nexport const b = a;\n",
    rule: imports,
  },
  {
    title: 'infra: another file of src/telemetry',
    file: 'infra/constructs/t.ts',
    code: "import { a } from '../../src/telemetry/index.ts';\nexport const b = a;\n",
    rule: imports,
  },
  {
    title: 'infra: the index',
    file: 'infra/b.ts',
    code: "import { a } from '../src/index.ts';\nexport const b = a;\n",
    rule: imports,
  },
  {
    title: 'src: a test helper',
    file: 'src/lambda/helper.ts',
    code: "import type { A } from '../../test/support/a.ts';\nexport type B = A;\n",
    rule: imports,
  },
  {
    title: 'src: the CDK',
    file: 'src/pg/cdk.ts',
    code: "import type { Stack } from 'aws-cdk-lib';\nexport type S = Stack;\n",
    rule: imports,
  },
  {
    title: 'src: the package by its own name',
    file: 'src/middy/self.ts',
    code: "export * from 'thawpool/core';\n",
    rule: imports,
  },
  {
    title: 'src: a circle',
    file: 'src/pg/circle-a.ts',
    code: "import { b } from './circle-b.ts';\nexport const a: number = b + 1;\n",
    rule: 'import(no-cycle)',
  },

  // Promises. All of them need types.
  {
    title: 'a floating promise',
    file: 'src/pg/floating.ts',
    code: 'export function f(): void {\n  Promise.reject(new Error("x"));\n}\n',
    rule: 'typescript(no-floating-promises)',
  },
  {
    title: 'an async listener on an emitter',
    file: 'src/pg/listener.ts',
    code: "import { EventEmitter } from 'node:events';\nexport function f(e: EventEmitter, p: Promise<void>): void {\n  e.on('x', async () => {\n    await p;\n  });\n}\n",
    rule: 'typescript(no-misused-promises)',
  },
  {
    title: 'a promise as a condition',
    file: 'src/pg/condition.ts',
    code: 'export function f(p: Promise<boolean>): number {\n  return p ? 1 : 2;\n}\n',
    rule: 'typescript(no-misused-promises)',
  },
  {
    title: 'an await of what is no promise',
    file: 'src/pg/await.ts',
    code: 'export async function f(n: number): Promise<number> {\n  return (await n) + 1;\n}\n',
    rule: 'typescript(await-thenable)',
  },
  {
    title: 'a promise returned out of a try',
    file: 'src/pg/return.ts',
    code: 'export async function f(p: Promise<number>): Promise<number> {\n  try {\n    return p;\n  } catch {\n    return 1;\n  }\n}\n',
    rule: 'typescript(return-await)',
  },
  {
    title: 'a thrown string',
    file: 'src/pg/throw.ts',
    code: "export function f(): never {\n  throw 'x';\n}\n",
    rule: 'typescript(only-throw-error)',
  },
  {
    title: 'a forgotten case',
    file: 'src/pg/switch.ts',
    code: "export function f(s: 'a' | 'b'): void {\n  switch (s) {\n    case 'a':\n      f('b');\n  }\n}\n",
    rule: 'typescript(switch-exhaustiveness-check)',
  },

  // Bans and sizes.
  {
    title: '@ts-ignore',
    file: 'test/unit/ignore.ts',
    code: '// @ts-ignore because it is wrong\nexport const n: number = "x";\n',
    rule: 'typescript(ban-ts-comment)',
  },
  {
    title: '@ts-expect-error without a reason',
    file: 'test/unit/expect.ts',
    code: '// @ts-expect-error\nexport const n: number = "x";\n',
    rule: 'typescript(ban-ts-comment)',
  },
  {
    title: 'console in src',
    file: 'src/lambda/log.ts',
    code: "export function f(): void {\n  console.warn('x');\n}\n",
    rule: 'eslint(no-console)',
  },
  {
    title: 'any in src',
    file: 'src/lambda/any.ts',
    code: 'export const f = (x: any): number => x.y;\n',
    rule: 'typescript(no-explicit-any)',
  },
  {
    title: 'a default export in src',
    file: 'src/lambda/default.ts',
    code: 'export default 1;\n',
    rule: 'import(no-default-export)',
  },
  {
    title: 'a default export in src/middy, beside its index',
    file: 'src/middy/default.ts',
    code: 'export default 1;\n',
    rule: 'import(no-default-export)',
  },
  {
    title: 'a file of 351 lines in src',
    file: 'src/pg/long-file.ts',
    code: lines(351, (n) => `export const n${n} = ${n};`),
    rule: 'eslint(max-lines)',
  },
  {
    title: 'a function of 61 lines in src',
    file: 'src/pg/long-function.ts',
    code: functionOf(61),
    rule: 'eslint(max-lines-per-function)',
  },
  {
    title: 'a focused test',
    file: 'test/unit/focused.test.ts',
    code: "import { expect, test } from 'vitest';\ntest.only('x', () => {\n  expect(1).toBe(1);\n});\n",
    rule: 'vitest(no-focused-tests)',
  },
];

const permitted: Case[] = [
  {
    title: 'src/index.ts composes every folder',
    file: 'src/compose.ts',
    code: "export * from './pool/ok.ts';\nexport * from './auth/ok.ts';\nexport * from './pg/ok.ts';\n",
  },
  {
    title: 'a file of src/pg whose name begins as a package does',
    file: 'src/registry.ts',
    code: "export * from './pg/pg-pool.ts';\nexport * from './middy/constructs.ts';\n",
  },
  {
    title: 'src/middy imports src/pg',
    file: 'src/middy/pg.ts',
    code: "import type { Ok } from '../pg/pg-pool.ts';\nexport const f = (o: Ok): Ok => o;\n",
  },
  {
    title: 'src/redis imports types of redis, and what all pools share',
    file: 'src/redis/ok.ts',
    code: "import type { RedisClientType } from 'redis';\nimport { hooks } from '../middy/hooks.ts';\nimport { managed } from '../managed.ts';\nexport const f = (c: RedisClientType): unknown => [c, hooks, managed];\n",
  },
  {
    title: 'src/cache imports the pool and the cache of tokens and secrets',
    file: 'src/cache/ok.ts',
    code: "import { clock } from '../pool/index.ts';\nimport { TtlCache } from '../auth/ttl-cache.ts';\nexport const f = [clock, TtlCache];\n",
  },
  {
    title: 'src/pool imports its neighbour',
    file: 'src/pool/neighbour.ts',
    code: "import { ok } from './ok.ts';\nexport const n = ok;\n",
  },
  {
    title: 'src/pg imports pg, the pool, types of auth',
    file: 'src/pg/connector.ts',
    code: "import pg from 'pg';\nimport { ok } from '../pool/ok.ts';\nimport type { Ok } from '../auth/ok.ts';\nexport const make = (o: Ok): unknown => [pg.Client, ok, o];\n",
  },
  {
    title: 'src/auth loads the AWS SDK on first use, and says so',
    file: 'src/auth/lazy.ts',
    code: "// oxlint-disable-next-line no-restricted-imports -- loaded on first use\nexport const load = (): Promise<unknown> => import('@aws-sdk/rds-signer');\n",
  },
  {
    title: 'src/telemetry imports types of the pool',
    file: 'src/telemetry/types.ts',
    code: "import type { Ok } from '../pool/ok.ts';\nexport const f = (o: Ok): Ok => o;\n",
  },
  {
    title: 'src/telemetry loads OpenTelemetry on first use, and says so',
    file: 'src/telemetry/ot-lazy.ts',
    code: "// oxlint-disable-next-line no-restricted-imports -- loaded on first use\nexport const load = (): Promise<unknown> => import('@opentelemetry/api');\n",
  },
  {
    title: 'src/lambda imports types of the pool',
    file: 'src/lambda/types.ts',
    code: "import type { Ok } from '../pool/ok.ts';\nexport const f = (o: Ok): Ok => o;\n",
  },
  {
    title: 'src/middy imports types of Middy',
    file: 'src/middy/types.ts',
    code: "import type { MiddlewareObj } from '@middy/core';\nexport type M = MiddlewareObj;\n",
  },
  {
    title: 'src/middy/index.ts exports by default',
    file: 'src/middy/index.ts',
    code: 'export const pgPool = (): number => 1;\nexport default pgPool;\n',
  },
  {
    title: 'infra imports src/env.ts',
    file: 'infra/constructs/env.ts',
    code: "import { env } from '../../src/env.ts';\nexport const e = env;\n",
  },
  {
    title: 'infra imports the names of the metrics',
    file: 'infra/constructs/metrics.ts',
    code: "import { names } from '../../src/telemetry/metric-names.ts';\nexport const n = names;\n",
  },
  { title: 'infra handlers import the package', file: 'infra/handlers/h.ts', code: "export * from 'thawpool';\n" },
  {
    title: 'a file of 350 lines in src',
    file: 'src/pg/full-file.ts',
    code: lines(350, (n) => `export const n${n} = ${n};`),
  },
  { title: 'a function of 60 lines in src', file: 'src/pg/full-function.ts', code: functionOf(60) },
  { title: 'a long function in a test', file: 'test/unit/long.ts', code: functionOf(200) },
  {
    title: '@ts-expect-error with a reason',
    file: 'test/unit/reason.ts',
    code: '// @ts-expect-error: a string is not a number here\nexport const n: number = "x";\n',
  },
];

const neighbours = ['src/pool/ok.ts', 'src/auth/ok.ts', 'src/pg/ok.ts', 'src/pg/pg-pool.ts'].map((file) => ({
  file,
  code: 'export interface Ok {\n  readonly ok: number;\n}\nexport const ok = 1;\n',
}));
const circle = {
  file: 'src/pg/circle-b.ts',
  code: "import { a } from './circle-a.ts';\nexport const b: number = a + 1;\n",
};

interface Diagnostic {
  readonly code: string;
  readonly filename: string;
  readonly message: string;
}

let tree = '';
const found = new Map<string, string[]>();

beforeAll(() => {
  tree = mkdtempSync(path.join(tmpdir(), 'thawpool-lint-'));
  for (const file of ['.oxlintrc.json', 'tsconfig.json', 'package.json'])
    cpSync(path.join(root, file), path.join(tree, file));
  symlinkSync(path.join(root, 'node_modules'), path.join(tree, 'node_modules'), 'dir');
  const planted = [...forbidden, ...permitted, ...neighbours, circle];
  expect(new Set(planted.map(({ file }) => file)).size, 'two cases share a file').toBe(planted.length);
  for (const { file, code } of planted) {
    mkdirSync(path.join(tree, path.dirname(file)), { recursive: true });
    writeFileSync(path.join(tree, file), code);
  }
  const run = spawnSync(
    process.execPath,
    [path.join(root, 'node_modules/oxlint/bin/oxlint'), '--format=json', 'src', 'infra', 'test'],
    {
      cwd: tree,
      encoding: 'utf8',
    },
  );
  const start = run.stdout.indexOf('{');
  if (run.error || start < 0)
    throw new Error(`oxlint gave no report: ${run.stdout.slice(0, 1000)}\n${run.stderr.slice(0, 1000)}`, {
      cause: run.error,
    });
  const { diagnostics } = JSON.parse(run.stdout.slice(start)) as { diagnostics: Diagnostic[] };
  for (const { filename, code, message } of diagnostics) {
    const file = path.relative(tree, path.resolve(tree, filename)).replaceAll('\\', '/');
    found.set(file, [...(found.get(file) ?? []), `${code} ${message}`]);
  }
});

afterAll(() => {
  rmSync(tree, { recursive: true, force: true });
});

describe('the linter reports', () => {
  test.each(forbidden)('$title', ({ file, rule }) => {
    const reports = found.get(file) ?? [];
    expect(
      reports.map((report) => report.split(' ')[0]),
      reports.join('\n'),
    ).toContain(rule);
  });
});

describe('the linter lets pass', () => {
  test.each(permitted)('$title', ({ file }) => {
    expect(found.get(file) ?? []).toEqual([]);
  });
});
