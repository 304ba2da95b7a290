// Code in README.md and docs/*.md that cannot be copied as it stands is worse than none: all of it is compiled here, as
// strictly as the sources, against the names that the package exports. One run of the compiler for all pages.

import { execFile } from 'node:child_process';
import { cpSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';

const root = join(import.meta.dirname, '../..');
/** A page of which each block is a part of a file in examples/, as test/unit/ecosystem-doc.test.ts sees to. */
const quoted = new Set(['docs/orms.md']);
const pages = ['README.md', ...readdirSync(join(root, 'docs')).map((name) => `docs/${name}`)].filter(
  (path) => path.endsWith('.md') && !quoted.has(path),
);

/**
 * What a reader has without being told: a pool, a handler, a stack; and packages that are no dependency of this one, as far
 * as they are used. A block's own declarations and imports go before these.
 */
const given = `
declare const db: import('thawpool').PgPool;
declare const pool: import('thawpool').PgPool;
declare const handler: (event: object, context: object) => Promise<number>;
declare const event: object;
declare const context: object;
declare const id: number;
declare const tenantId: string;
declare const signal: AbortSignal;
declare const url: string;
declare const ca: string;
declare const secretArn: string;
declare const scope: string;
declare const log: { warn(message: string): void };
declare const histogram: { record(value: number, attributes: object): void };
declare const loadOrder: (id: number) => Promise<{ id: number } | null>;
declare const loadPrice: (item: string) => Promise<number>;
declare const credential: {
  getToken(scope: string, options: object): Promise<{ token: string; expiresOnTimestamp: number }>;
};
declare const factory: import('thawpool/core').ResourceFactory<object>;
declare const server: { hangUp(): void };
declare const test: typeof import('vitest').test;
declare const expect: typeof import('vitest').expect;
declare const getPool: typeof import('thawpool').getPool;
declare const createPool: typeof import('thawpool').createPool;
declare const withPool: typeof import('thawpool').withPool;
declare const getResource: typeof import('thawpool').getResource;
declare const PoolError: typeof import('thawpool').PoolError;
declare const iamCredentials: typeof import('thawpool/auth').iamCredentials;
declare const simulateFreeze: typeof import('thawpool/testing').simulateFreeze;
declare const emfMetrics: typeof import('thawpool/telemetry').emfMetrics;
declare const otelMetrics: typeof import('thawpool/telemetry').otelMetrics;
declare const datadogMetrics: typeof import('thawpool/telemetry').datadogMetrics;
declare const clock: import('thawpool/testing').FakeClock;
declare const createClient: typeof import('redis').createClient;
declare const readFile: typeof import('node:fs/promises').readFile;
declare const stack: import('aws-cdk-lib').Stack;
declare const cluster: import('aws-cdk-lib/aws-rds').DatabaseCluster;
declare const proxy: import('thawpool/cdk').PooledDatabaseProxy;
declare const vpc: import('aws-cdk-lib/aws-ec2').IVpc;
declare const alarmTopic: import('aws-cdk-lib/aws-sns').Topic;
declare const rds: typeof import('aws-cdk-lib/aws-rds');
declare const Duration: typeof import('aws-cdk-lib').Duration;
declare const Runtime: typeof import('aws-cdk-lib/aws-lambda').Runtime;
declare const NodejsFunction: typeof import('aws-cdk-lib/aws-lambda-nodejs').NodejsFunction;
declare const fn: import('aws-cdk-lib/aws-lambda-nodejs').NodejsFunction;
declare const api: typeof fn, consumer: typeof fn, report: typeof fn;
declare const createOrder: typeof fn, getOrder: typeof fn, onManagedInstances: typeof fn;
declare const budget: import('thawpool/cdk').ConnectionBudget;
declare const PooledDatabaseAccess: typeof import('thawpool/cdk').PooledDatabaseAccess;
declare const PooledDatabaseProxy: typeof import('thawpool/cdk').PooledDatabaseProxy;
declare const DatabaseUser: typeof import('thawpool/cdk').DatabaseUser;
declare const ConnectionBudget: typeof import('thawpool/cdk').ConnectionBudget;
declare const PoolDashboard: typeof import('thawpool/cdk').PoolDashboard;
declare module '@aws-sdk/client-s3' {
  export class S3Client {
    constructor(options: object);
  }
}
declare module 'dd-trace' {
  const tracer: import('thawpool/telemetry').DatadogTracer;
  export default tracer;
}
declare module 'hot-shots' {
  const StatsD: new () => import('thawpool/telemetry').DatadogClient;
  export default StatsD;
}
declare module 'datadog-lambda-js' {
  export function sendDistributionMetric(name: string, value: number, ...tags: string[]): void;
}
`;

interface Block {
  readonly page: string;
  /** The line of its first line of code. */
  readonly line: number;
  readonly code: string;
}

function blocksOf(page: string): Block[] {
  const text = readFileSync(join(root, page), 'utf8');
  return [...text.matchAll(/^```(?:ts|typescript)\n(.*?)^```/gms)].map(({ 1: code = '', index }) => ({
    page,
    line: text.slice(0, index).split('\n').length + 1,
    code,
  }));
}

/** What to compile, with each line where it was: three dots that stand for code are none, and `this` is a stack. */
const compilable = (code: string): string =>
  `${code
    .replaceAll('{ … }', '{}')
    .replaceAll(/^\s*…$/gm, '')
    .replaceAll(/ …$/gm, ' {}')
    .replaceAll('(this, ', '(stack, ')
    .replaceAll(`'./handler.ts'`, `'../examples/testing/handler.ts'`)}\nexport {};\n`;

/** A block that shows a before and an after is two files. */
const filesOf = ({ page, line, code }: Block): { name: string; code: string }[] =>
  code.split(/(?=^\/\/ after$)/m).map((part, index, parts) => {
    const skipped = parts.slice(0, index).join('').split('\n').length - 1;
    return { name: `${basename(page, '.md')}.${line + skipped}.ts`, code: part };
  });

const blocks = pages.flatMap(blocksOf);
const folder = mkdtempSync(join(tmpdir(), 'docs-code-'));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

/** A package that is this one to whoever looks it up by name, so that `thawpool/…` is what it exports and no more. */
function writeFiles(): void {
  cpSync(join(root, 'package.json'), join(folder, 'package.json'));
  for (const name of ['src', 'infra', 'examples', 'node_modules']) symlinkSync(join(root, name), join(folder, name));
  mkdirSync(join(folder, 'blocks'));
  writeFileSync(join(folder, 'given.d.ts'), given);
  writeFileSync(join(folder, 'wrong.ts'), `export const wrong: number = 'text';\n`);
  for (const { name, code } of blocks.flatMap(filesOf)) writeFileSync(join(folder, 'blocks', name), compilable(code));
  writeFileSync(
    join(folder, 'tsconfig.json'),
    JSON.stringify({
      extends: join(root, 'tsconfig.json'),
      compilerOptions: { noUnusedLocals: false, noUnusedParameters: false, allowUnusedLabels: true },
      include: ['given.d.ts', 'wrong.ts', 'blocks'],
    }),
  );
}

/** What the compiler says about each file, by the file's name. */
async function compile(): Promise<string[]> {
  const compiler = join(root, 'node_modules/typescript/bin/tsc');
  const args = [compiler, '-p', folder, '--pretty', 'false'];
  const output = await new Promise<string>((resolve) => {
    execFile(process.execPath, args, { cwd: folder, maxBuffer: 1 << 26 }, (error, stdout, stderr) =>
      resolve(`${stdout}${stderr}${error?.killed ? 'The compiler was ended.' : ''}`),
    );
  });
  return output.split('\n').filter((line) => line !== '');
}

describe('code in the documentation', () => {
  let said: string[] = [];
  beforeAll(async () => {
    writeFiles();
    said = await compile();
  }, 240_000);

  it('is found on many pages', () => {
    expect(new Set(blocks.map(({ page }) => page)).size).toBeGreaterThan(15);
  });

  it.each(blocks)('compiles: $page, line $line', (block) => {
    const names = filesOf(block).map(({ name }) => `blocks/${name}(`);
    expect(said.filter((line) => names.some((name) => line.startsWith(name)))).toEqual([]);
  });

  it('is compiled against names that are right themselves, by a compiler that finds what is wrong', () => {
    const elsewhere = said.filter((line) => /^(?:given|wrong|tsconfig|error)\b/.test(line));
    expect(elsewhere).toEqual([expect.stringMatching(/^wrong\.ts\(1,14\): error TS2322/)]);
  });
});
