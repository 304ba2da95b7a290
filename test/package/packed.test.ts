// The package as a user gets it: the tarball installed beside pg and Middy in an empty project, imported, type-checked,
// bundled with esbuild as for Lambda, and started under both of Lambda's Node versions.
import { execFile } from 'node:child_process';
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import path from 'node:path';
import { promisify } from 'node:util';
import { gzipSync } from 'node:zlib';
import { type BuildOptions, build, type Metafile } from 'esbuild';
import { beforeAll, describe, expect, test } from 'vitest';
import { type Packed, packed } from './global-packed.ts';

const run = promisify(execFile);
const root = path.resolve(import.meta.dirname, '../..');

const SUBPATHS = ['thawpool', 'thawpool/cdk', 'thawpool/core', 'thawpool/middy'] as const;

const HANDLERS = {
  middy: `
    import middy from '@middy/core';
    import { pgPool } from 'thawpool/middy';
    export const handler = middy<{ id: number }>()
      .use(pgPool())
      .handler(async (event, { db }) => {
        const { rows } = await db.query('select * from orders where id = $1', [event.id]);
        return rows;
      });`,
  plain: `
    import type { Handler } from 'aws-lambda';
    import { withPool } from 'thawpool';
    export const handler: Handler<{ id: number }, unknown[]> = withPool(async (event: { id: number }, { db }) => {
      const { rows } = await db.query('select * from orders where id = $1', [event.id]);
      return rows;
    });`,
  /** The floor for sizes: what a handler weighs that uses pg alone. */
  'pg-only': `
    import pg from 'pg';
    const db = new pg.Pool();
    export const handler = async (event: { id: number }) => {
      const { rows } = await db.query('select * from orders where id = $1', [event.id]);
      return rows;
    };`,
} as const;
type Handler = keyof typeof HANDLERS;

/** An app as a CDK user writes it, that prints the environment of its function and the files of DatabaseUser's. */
const CDK_APP = `
import { readdirSync } from 'node:fs';
import path from 'node:path';
import { App, aws_ec2 as ec2, aws_lambda as lambda, aws_rds as rds, aws_secretsmanager as secrets, Stack } from 'aws-cdk-lib';
import { Template } from 'aws-cdk-lib/assertions';
import { DatabaseUser, PooledDatabaseAccess } from 'thawpool/cdk';

const app = new App();
const stack = new Stack(app, 'Orders');
const vpc = new ec2.Vpc(stack, 'Vpc');
const database = rds.DatabaseCluster.fromDatabaseClusterAttributes(stack, 'Database', {
  clusterIdentifier: 'orders',
  clusterResourceIdentifier: 'cluster-ABC',
  clusterEndpointAddress: 'orders.example.com',
  port: 5432,
  securityGroups: [new ec2.SecurityGroup(stack, 'Group', { vpc })],
});
const runtime = lambda.Runtime.NODEJS_24_X;
const code = lambda.Code.fromInline('exports.handler = async () => {};');
const fn = new lambda.Function(stack, 'Function', { runtime, code, handler: 'index.handler', vpc });
new PooledDatabaseAccess(stack, 'Access', { functions: [fn], database, databaseName: 'orders' });
const adminSecret = new secrets.Secret(stack, 'Admin');
const user = new DatabaseUser(stack, 'User', { database, adminSecret, vpc, databaseName: 'orders' });
const asset = user.node.findAll().find(({ node }) => node.id === 'Code' && node.path.startsWith('Orders/User/'));
const found = Object.values(Template.fromStack(stack).findResources('AWS::Lambda::Function'));
const environments = found.map(({ Properties }) => Properties.Environment?.Variables);
console.log(JSON.stringify({
  environment: environments.find((environment) => environment?.PGHOST),
  files: readdirSync(path.join(app.outdir, asset.assetPath)),
}));
`;

/** esbuild as Lambda users call it. The runtime holds the AWS SDK, so the usual tools leave it out of the bundle. */
const bundling = {
  esm: {
    format: 'esm',
    outExtension: { '.js': '.mjs' },
    // pg is CommonJS; esbuild needs a require() for its node: modules in an ES module.
    banner: { js: "import { createRequire } from 'node:module'; const require = createRequire(import.meta.url);" },
  },
  cjs: { format: 'cjs', outExtension: { '.js': '.cjs' } },
} satisfies Record<string, BuildOptions>;
type Format = keyof typeof bundling;

let at: Packed;
beforeAll(async () => {
  at = packed();
  await Promise.all(
    Object.entries(HANDLERS).map(([name, code]) => writeFile(path.join(at.project, `${name}.ts`), `${code}\n`)),
  );
});

interface Bundle {
  readonly file: string;
  readonly inputs: readonly string[];
  readonly external: Metafile['outputs'][string]['imports'];
  readonly gzipped: number;
}

async function bundle(
  handler: Handler,
  format: Format,
  options: Pick<BuildOptions, 'external' | 'outdir'> = {},
): Promise<Bundle> {
  const { metafile, warnings } = await build({
    absWorkingDir: at.project,
    entryPoints: [`${handler}.ts`],
    outdir: `out/${format}`,
    bundle: true,
    platform: 'node',
    target: 'node22',
    minify: true,
    metafile: true,
    logLevel: 'silent',
    external: ['@aws-sdk/*', 'pg-native'],
    ...bundling[format],
    ...options,
  } satisfies BuildOptions);
  expect(warnings.map(({ text, location }) => `${text} (${location?.file})`)).toEqual([]);
  const [[output, { inputs, imports }] = expect.fail('no output')] = Object.entries(metafile.outputs);
  const file = path.join(at.project, output);
  const contributing = Object.keys(inputs).map((input) => input.replaceAll('\\', '/'));
  return { file, inputs: contributing, external: imports, gzipped: gzipSync(await readFile(file)).length };
}

/** Runs a module in a fresh process that has to end by itself, and returns what it printed. */
async function start(node: string, code: string, env: Record<string, string> = {}): Promise<unknown> {
  // Lambda starts Node with this flag.
  const args = ['--no-experimental-require-module', '--input-type=module', '--eval', code];
  const { PATH, HOME } = process.env;
  const { stdout, stderr } = await run(node, args, { cwd: at.project, timeout: 60_000, env: { PATH, HOME, ...env } });
  expect(stderr).toBe('');
  return JSON.parse(stdout);
}

const versions = ['22', '24'] as const;
const nodeOf = (major: string): string =>
  at.nodes.find(({ version }) => version.startsWith(`${major}.`))?.path ?? expect.fail(`no Node ${major}`);

describe.each(versions)('under Node %s', (major) => {
  test('runs that very version', async () => {
    expect(await start(nodeOf(major), 'console.log(JSON.stringify(process.version))')).toMatch(
      new RegExp(`^"?v${major}\\.`),
    );
  });

  test.each(SUBPATHS)('imports %s from the built files', async (specifier) => {
    const { keys, url } = (await start(
      nodeOf(major),
      `const module = await import('${specifier}');
       console.log(JSON.stringify({ keys: Object.keys(module), url: import.meta.resolve('${specifier}') }));`,
    )) as { keys: string[]; url: string };
    expect(keys.length).toBeGreaterThan(0);
    expect(url).toMatch(/\/node_modules\/thawpool\/dist\/.*\.js$/);
  });

  test('makes a template out of the constructs, the function of DatabaseUser from its built file', async () => {
    const { environment, files } = (await start(nodeOf(major), CDK_APP)) as {
      environment: Record<string, unknown>;
      files: string[];
    };
    expect(environment).toEqual({
      PGHOST: 'orders.example.com',
      PGPORT: '5432',
      PGDATABASE: 'orders',
      PGUSER: 'app',
      THAWPOOL_AUTH: 'iam',
    });
    expect(files).toEqual(['index.mjs']);
  });

  test('has no entry beside the listed ones', async () => {
    const code = `await import('thawpool/dist/src/index.js').catch(({ code }) => console.log(JSON.stringify(code)));`;
    expect(await start(nodeOf(major), code)).toBe('ERR_PACKAGE_PATH_NOT_EXPORTED');
  });

  test.each([
    ['middy', 'esm'],
    ['middy', 'cjs'],
    ['plain', 'esm'],
    ['plain', 'cjs'],
  ] as const)(
    'starts the %s handler bundled as %s, without a connection and without anything left running',
    async (handler, format) => {
      const { file } = await bundle(handler, format);
      let connections = 0;
      const server = createServer((socket) => {
        connections += 1;
        socket.destroy();
      });
      await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
      try {
        const { port } = server.address() as { port: number };
        const result = await start(
          nodeOf(major),
          `const { handler } = await import(${JSON.stringify(file)});
         console.log(JSON.stringify({ type: typeof handler, length: handler.length }));`,
          { PGHOST: '127.0.0.1', PGPORT: String(port), PGUSER: 'app', PGDATABASE: 'app' },
        );
        // The Node 24 runtime refuses a handler that declares a third parameter.
        expect(result).toEqual({ type: 'function', length: expect.toSatisfy((length: number) => length <= 2) });
        expect(connections).toBe(0);
      } finally {
        server.close();
      }
    },
  );
});

describe('a bundle', () => {
  const never = [
    ['the AWS SDK', /node_modules\/(@aws-sdk|@smithy)\//],
    ['the CDK', /node_modules\/(aws-cdk-lib|constructs|@aws-cdk)\//],
    ['telemetry clients', /node_modules\/(@opentelemetry|dd-trace|datadog-[^/]*)\//],
    ['sources or tests', /node_modules\/thawpool\/(?!dist\/)/],
  ] as const;

  describe.each(['middy', 'plain'] as const)('of the %s handler', (handler) => {
    test.each(never)('holds no part of %s', async (_, pattern) => {
      const { inputs } = await bundle(handler, 'esm');
      expect(
        inputs.some((input) => input.includes('node_modules/thawpool/dist/')),
        'the bundle lacks thawpool itself',
      ).toBe(true);
      expect(inputs.filter((input) => pattern.test(input))).toEqual([]);
    });

    test('loads what is left outside on first use only', async () => {
      const { external } = await bundle(handler, 'esm');
      const atStart = external.filter(({ kind, path: to }) => kind === 'import-statement' && to.startsWith('@'));
      expect(atStart).toEqual([]);
    });

    test('needs no AWS SDK to be built', async () => {
      const { inputs } = await bundle(handler, 'esm', { external: ['pg-native'], outdir: 'out/no-externals' });
      expect(inputs.length).toBeGreaterThan(0);
    });
  });

  test('holds Middy where the handler uses it, and only there', async () => {
    const holdsMiddy = async (handler: Handler) =>
      (await bundle(handler, 'esm')).inputs.some((input) => input.includes('node_modules/@middy/'));
    expect(await holdsMiddy('middy')).toBe(true);
    expect(await holdsMiddy('plain')).toBe(false);
  });

  test('holds nothing but pg below thawpool', async () => {
    const [own, floor] = await Promise.all([bundle('plain', 'esm'), bundle('pg-only', 'esm')]);
    const packages = ({ inputs }: Bundle) =>
      new Set(
        inputs
          .map((input) => /node_modules\/((?:@[^/]+\/)?[^/]+)/.exec(input)?.[1])
          .filter((name) => name !== undefined),
      );
    expect([...packages(own)].filter((name) => !packages(floor).has(name))).toEqual(['thawpool']);
  });

  // A guard against accidents, not the figure to reach: whatever makes this fail is larger than any file of ours.
  test('weighs at most 52 KB gzipped more than pg alone', async () => {
    const [own, floor] = await Promise.all([bundle('plain', 'esm'), bundle('pg-only', 'esm')]);
    expect(own.gzipped - floor.gzipped).toBeLessThanOrEqual(52 * 1024);
  });
});

test('an app of constructs type-checks against the installed declarations', async () => {
  const folder = path.join(at.project, 'cdk');
  await mkdir(folder, { recursive: true });
  // It prints a property that CDK's types do not show.
  await writeFile(path.join(folder, 'app.ts'), CDK_APP.slice(0, CDK_APP.indexOf('const asset =')));
  const compilerOptions = { module: 'NodeNext', target: 'ES2023', strict: true, noEmit: true, types: ['node'] };
  const config = { compilerOptions: { ...compilerOptions, skipLibCheck: true }, files: ['app.ts'] };
  await writeFile(path.join(folder, 'tsconfig.json'), JSON.stringify(config));
  const tsc = path.join(root, 'node_modules/typescript/bin/tsc');
  const errors = await run(process.execPath, [tsc, '-p', folder], { cwd: folder }).then(
    () => '',
    (error: { stdout: string }) => error.stdout,
  );
  expect(errors).toBe('');
});

test('the handlers type-check against the installed declarations', async () => {
  const config = {
    compilerOptions: {
      module: 'NodeNext',
      target: 'ES2023',
      strict: true,
      noEmit: true,
      exactOptionalPropertyTypes: true,
      types: ['node'],
    },
    files: Object.keys(HANDLERS).map((name) => `${name}.ts`),
  };
  await writeFile(path.join(at.project, 'tsconfig.json'), JSON.stringify(config));
  const tsc = path.join(root, 'node_modules/typescript/bin/tsc');
  const errors = await run(process.execPath, [tsc, '-p', at.project], { cwd: at.project }).then(
    () => '',
    (error: { stdout: string }) => error.stdout,
  );
  // Middy's own declarations name an optional package that is not installed: only ours and the handlers' count.
  expect(errors.split('\n').filter((line) => /^\S/.test(line) && !line.startsWith('node_modules/@'))).toEqual([]);
});
