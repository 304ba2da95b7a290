// Who never logs in with AWS credentials pays nothing for the AWS SDK: not in the bundle, not at its start, and not by having
// to install it. The packed project has none; the repository has, which shows what a bundle looks like that may hold it.
import { execFile } from 'node:child_process';
import { writeFile } from 'node:fs/promises';
import path from 'node:path';
import { promisify } from 'node:util';
import { type BuildOptions, build, type Metafile } from 'esbuild';
import { beforeAll, describe, expect, test } from 'vitest';
import { readPresigned } from '../support/aws-credentials/presigned.ts';
import { startPostgres } from '../support/postgres.ts';
import { type Packed, packed } from './global-packed.ts';

const run = promisify(execFile);
const root = path.resolve(import.meta.dirname, '../..');
const sdk = /(^|\/)@(aws-sdk|smithy)\//;

/** Uses all that may lead to the SDK; which way it goes is said by the environment. */
const PROGRAM = `
  import { createPool } from 'thawpool';
  import { pgPool } from 'thawpool/middy';
  import { dsqlCredentials, iamCredentials } from 'thawpool/auth';
  const signal = new AbortController().signal;
  const token = async (source) => {
    const target = { host: 'localhost', port: 5432, user: 'app', database: 'app' };
    try {
      return { ...(await source.credentials({ target, signal, refused: [] })) };
    } catch ({ code, message }) {
      return { code, message };
    }
  };
  const query = async () => {
    const db = createPool();
    try {
      return (await db.query('select 40 + 2 as sum')).rows;
    } finally {
      await db.end();
    }
  };
  const env = { AWS_REGION: 'eu-west-1' };
  const ways = { query, iam: () => token(iamCredentials({ env })), dsql: () => token(dsqlCredentials({ env })) };
  export const main = async () => {
    console.log(JSON.stringify({ middleware: typeof pgPool, result: await ways[process.env.WAY]() }));
  };
  void main();
`;

const requireBanner = {
  js: "import { createRequire } from 'node:module'; const require = createRequire(import.meta.url);",
};
const WAYS = {
  esm: { format: 'esm', outExtension: { '.js': '.mjs' }, banner: requireBanner },
  split: { format: 'esm', splitting: true, outExtension: { '.js': '.mjs' }, banner: requireBanner },
  cjs: { format: 'cjs', outExtension: { '.js': '.cjs' } },
} satisfies Record<string, BuildOptions>;
type Way = keyof typeof WAYS;

let at: Packed;
beforeAll(async () => {
  at = packed();
  await writeFile(path.join(at.project, 'aws-free.mjs'), PROGRAM);
});

interface Made {
  /** Its name among the outputs. */
  readonly entry: string;
  readonly file: string;
  readonly outputs: Metafile['outputs'];
}

async function make(way: Way, options: BuildOptions = {}): Promise<Made> {
  const { metafile, warnings } = await build({
    absWorkingDir: at.project,
    entryPoints: ['aws-free.mjs'],
    outdir: `out/aws-free-${way}`,
    bundle: true,
    platform: 'node',
    target: 'node22',
    metafile: true,
    logLevel: 'silent',
    external: ['pg-native'],
    ...WAYS[way],
    ...options,
  });
  if (metafile === undefined) expect.fail('no metafile');
  expect(warnings.map(({ text }) => text)).toEqual([]);
  // What an import() leads to counts as an entry point too: ours is the one of this name.
  const entry =
    Object.keys(metafile.outputs).find((name) => /\/aws-free\.[cm]js$/.test(name)) ?? expect.fail('no entry');
  return { entry, file: path.join(at.project, entry), outputs: metafile.outputs };
}

/** Runs a bundle in a process of its own, which has to end by itself. */
async function start(file: string, env: Record<string, string>): Promise<unknown> {
  const { PATH, HOME } = process.env;
  const { stdout } = await run(process.execPath, [file], { timeout: 20_000, env: { PATH, HOME, ...env } });
  return JSON.parse(stdout);
}

describe.each(Object.keys(WAYS) as Way[])('a bundle (%s) made where the AWS SDK is not installed', (way) => {
  test('is built without an error or a warning, with the SDK left to an import() at run time', async () => {
    const { outputs } = await make(way);
    const inputs = Object.values(outputs).flatMap((output) => Object.keys(output.inputs));
    expect(inputs.filter((input) => sdk.test(input))).toEqual([]);
    const imports = Object.values(outputs).flatMap((output) => output.imports.filter((to) => sdk.test(to.path)));
    expect(new Set(imports.map(({ kind, external }) => `${kind}, external ${external}`))).toEqual(
      new Set(['dynamic-import, external true']),
    );
    expect(imports.map((to) => to.path)).toContain('@aws-sdk/rds-signer');
  });

  test('logs in by password', async () => {
    await using postgres = await startPostgres();
    const { file } = await make(way);
    expect(await start(file, { WAY: 'query', DATABASE_URL: postgres.connectionString })).toEqual({
      middleware: 'function',
      result: [{ sum: 42 }],
    });
  });

  test.each([
    ['iam', "auth: 'iam'", '@aws-sdk/rds-signer'],
    ['dsql', 'dsqlCredentials()', '@aws-sdk/dsql-signer'],
  ])('says what to install when it is asked for %s', async (asked, use, name) => {
    const { file } = await make(way);
    expect(await start(file, { WAY: asked })).toEqual({
      middleware: 'function',
      result: {
        code: 'ERR_POOL_CONNECT_CREDENTIALS',
        message:
          `${use} signs its tokens with ${name}, which is not installed. Run: npm install ${name}, and deploy it with the ` +
          'function, unless the runtime has it. See ERR_POOL_CONNECT_CREDENTIALS.',
      },
    });
  });
});

test('a bundle made where the AWS SDK is installed loads none of it at its start, and signs with it', async () => {
  const source = PROGRAM.replaceAll(/'thawpool(\/\w+)?'/g, (_, subpath: string | undefined) =>
    JSON.stringify(path.join(at.project, 'node_modules/thawpool/dist/src', subpath?.slice(1) ?? '', 'index.js')),
  );
  const { entry, file, outputs } = await make('split', {
    entryPoints: [],
    stdin: { contents: source, resolveDir: root, sourcefile: 'aws-free.mjs' },
    entryNames: 'aws-free',
    // The packed project lacks the SDK: what it does not find is looked for in the repository.
    nodePaths: [path.join(root, 'node_modules')],
    outdir: 'out/aws-free-installed',
  });
  const holds = (name: string): boolean => Object.keys(outputs[name]?.inputs ?? {}).some((input) => sdk.test(input));
  expect(Object.keys(outputs).filter(holds).length, 'no chunk holds the SDK: this test shows nothing').toBeGreaterThan(
    0,
  );
  const atStart = new Set<string>([entry]);
  // A set grows while it is walked: each output brings what it imports statically.
  for (const name of atStart) {
    for (const to of outputs[name]?.imports ?? []) if (to.kind === 'import-statement') atStart.add(to.path);
  }
  expect([...atStart].filter(holds)).toEqual([]);
  const keys = { AWS_ACCESS_KEY_ID: 'AKIDEXAMPLE', AWS_SECRET_ACCESS_KEY: 'a secret' };
  for (const WAY of ['iam', 'dsql']) {
    const { result } = (await start(file, { WAY, ...keys })) as { result: { password: string } };
    expect(readPresigned(result.password).signedWith(keys.AWS_SECRET_ACCESS_KEY), WAY).toBe(true);
  }
});
