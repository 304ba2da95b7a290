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

const SUBPATHS = [
  'thawpool',
  'thawpool/cache',
  'thawpool/cdk',
  'thawpool/core',
  'thawpool/middy',
  'thawpool/redis',
] as const;

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
  telemetry: `
    import { getPool, withPool } from 'thawpool';
    import { emfMetrics } from 'thawpool/telemetry';
    emfMetrics(getPool());
    export const handler = withPool(async (event: { id: number }, { db }) => db.query('select $1', [event.id]));`,
  otel: `
    import { getPool, withPool } from 'thawpool';
    import { otelMetrics } from 'thawpool/telemetry';
    otelMetrics(getPool());
    export const handler = withPool(async (event: { id: number }, { db }) => db.query('select $1', [event.id]));`,
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

const app = new App({ outdir: 'cdk.out' });
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
  /** What the function's configuration names; it imports the others, if there are any. */
  readonly file: string;
  readonly inputs: readonly string[];
  /** Those that a cold start reads, before anything is loaded on demand. */
  readonly eager: readonly string[];
  /** Those that come with what is loaded on demand, whether or not they were there before. */
  readonly later: readonly string[];
  readonly external: Metafile['outputs'][string]['imports'];
  /** The bytes of what a cold start reads. */
  readonly gzipped: number;
}

async function bundle(
  handler: Handler,
  format: Format,
  options: Pick<BuildOptions, 'external' | 'outdir' | 'splitting'> = {},
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
  const { outputs } = metafile;
  // What an import() leads to is an entry point to esbuild, too.
  const entry = Object.keys(outputs).find((name) => outputs[name]?.entryPoint === `${handler}.ts`);
  if (entry === undefined) return expect.fail('no output');
  const importsOf = (name: string, wanted: 'import-statement' | 'dynamic-import') =>
    (outputs[name]?.imports ?? []).filter(({ kind, external }) => kind === wanted && !external);
  const withImports = (names: readonly string[]): Set<string> => {
    // A set may grow while it is walked.
    const all = new Set(names);
    for (const name of all) for (const { path: to } of importsOf(name, 'import-statement')) all.add(to);
    return all;
  };
  const atStart = withImports([entry]);
  const onDemand = Object.keys(outputs).flatMap((name) => importsOf(name, 'dynamic-import').map(({ path: to }) => to));
  const inputsOf = (names: Iterable<string>): string[] =>
    [...names].flatMap((name) => Object.keys(outputs[name]?.inputs ?? {})).map((input) => input.replaceAll('\\', '/'));
  const files = await Promise.all([...atStart].map((name) => readFile(path.join(at.project, name))));
  return {
    file: path.join(at.project, entry),
    inputs: inputsOf(Object.keys(outputs)),
    eager: inputsOf(atStart),
    later: inputsOf(withImports(onDemand)),
    external: [...atStart].flatMap((name) => outputs[name]?.imports ?? []).filter(({ external }) => external),
    gzipped: gzipSync(Buffer.concat(files)).length,
  };
}

/** The sources that the built modules among a bundle's inputs were made from, as paths inside the package. */
async function sourcesOf(inputs: readonly string[]): Promise<string[]> {
  const own = 'node_modules/thawpool/';
  const maps = [...new Set(inputs)].filter((input) => input.startsWith(own)).map((input) => `${input}.map`);
  const found = maps.map(async (map) => {
    const { sources } = JSON.parse(await readFile(path.join(at.project, map), 'utf8')) as { sources: string[] };
    return sources.map((source) => path.posix.join(path.posix.dirname(map), source).slice(own.length));
  });
  return (await Promise.all(found)).flat();
}

/** As bundlers of ES modules can: what is loaded on demand has files of its own. */
const apart = { splitting: true, outdir: 'out/apart' } as const;

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

  test('finds the same classes and pools behind all subpaths', async () => {
    const code = `
      const [root, core, middy, redis] = await Promise.all(['', '/core', '/middy', '/redis'].map((of) => import('thawpool' + of)));
      const request = { event: {}, context: { awsRequestId: '1', getRemainingTimeInMillis: () => 60_000 } };
      await middy.pgPool().before(request);
      const { db } = request.context;
      console.log(JSON.stringify([
        db instanceof root.PgPool,
        Object.getPrototypeOf(db) === root.getPool(),
        ...[core, redis].flatMap(({ PoolError, AcquireError }) => [PoolError === root.PoolError, AcquireError === root.AcquireError]),
      ]));`;
    const env = { PGHOST: '127.0.0.1', PGUSER: 'app', PGDATABASE: 'app' };
    expect(await start(nodeOf(major), code, env)).toEqual([true, true, true, true, true, true]);
  });

  test('shows where in the sources an error comes from', async () => {
    const code = `
      process.setSourceMapsEnabled(true);
      const { createPool } = await import('thawpool');
      try { createPool({ max: -1 }); } catch ({ stack }) { console.log(JSON.stringify(stack)); }`;
    expect(await start(nodeOf(major), code)).toMatch(/at createPool .*node_modules\/thawpool\/src\/registry\.ts:\d+/);
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

  // What explains a failure is loaded at the first one.
  test.each([
    ['one ES module', 'esm', {}],
    ['one CommonJS module', 'cjs', {}],
    ['several files', 'esm', apart],
  ] as const)(
    'tells in full why there is no connection, the first time and to all who wait, out of %s',
    async (_, format, options) => {
      const { file } = await bundle('plain', format, options);
      // To the wish for TLS it answers that it has none.
      const server = createServer((socket) => {
        socket.on('error', () => {});
        socket.once('data', () => socket.end('N'));
      });
      await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
      try {
        const { port } = server.address() as { port: number };
        const messages = await start(
          nodeOf(major),
          `const { handler } = await import(${JSON.stringify(file)});
         const invoke = () => handler({ id: 1 }, { awsRequestId: '1', getRemainingTimeInMillis: () => 60_000 });
         const results = await Promise.allSettled([invoke(), invoke(), invoke()]);
         console.log(JSON.stringify(results.map(({ reason }) => reason?.message)));`,
          { PGHOST: '127.0.0.1', PGPORT: String(port), PGUSER: 'app', PGDATABASE: 'app', PGSSLMODE: 'require' },
        );
        const message =
          `Could not make a connection: TLS to 127.0.0.1:${port} failed (The server does not support SSL connections). ` +
          '127.0.0.1 answered that it has no TLS, and going on without it was not allowed. Switch it on at the server ' +
          '(ssl = on; PgBouncer: client_tls_sslmode), or set PGSSLMODE=disable if nobody can listen in between: password ' +
          'and data are then readable. See ERR_POOL_CONNECT_TLS.';
        expect(messages).toEqual([message, message, message]);
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

  // Guards against accidents, not figures to reach: decision 0014 says what the bytes are. What makes one of them fail is
  // better loaded on first use, if not every handler needs it.
  test.each([
    ['in one file', 65, {}],
    ['in what a cold start reads, where the bundler splits', 44, apart],
  ] as const)('weighs at most so many KB gzipped more than pg alone: %s, %i', async (_, most, options) => {
    const [own, floor] = await Promise.all([bundle('plain', 'esm', options), bundle('pg-only', 'esm')]);
    expect(own.gzipped - floor.gzipped).toBeLessThanOrEqual(most * 1024);
  });

  /** Loaded when it is needed. Whoever adds to this list adds to what the first who needs it waits for. */
  const onDemand = {
    'what explains failures': ['pg/connect-error', 'pg/pgbouncer-errors', 'auth/tls-errors'],
    transactions: ['pg/transaction', 'pg/transaction-settings'],
    'what looks for pins': ['pg/pins', 'pg/pin-linter'],
    'tokens and secrets': ['auth/iam', 'auth/iam-signers', 'auth/secret', 'auth/secret-client', 'auth/credentials'],
    'the limit for an environment': ['lambda/environment-limit', 'lambda/environment-slots', 'lambda/kernel-name'],
    metrics: ['telemetry/emf', 'telemetry/fold'],
  } as const;

  test.each(Object.entries(onDemand))('of several files leaves %s for later', async (_, modules) => {
    const { inputs, eager } = await bundle('middy', 'esm', apart);
    const [all, atStart] = await Promise.all([sourcesOf(inputs), sourcesOf(eager)]);
    const files = modules.map((module) => `src/${module}.ts`);
    expect(files.filter((file) => !all.includes(file))).toEqual([]);
    expect(files.filter((file) => atStart.includes(file))).toEqual([]);
  });

  // In a bundle of one file V8 reads all of that twice, and a cold start is 2 ms longer.
  test('brings neither pool nor sessions along with what is loaded on demand', async () => {
    const { later } = await bundle('middy', 'esm', apart);
    const sources = await sourcesOf(later);
    expect(sources).toContain('src/pool/errors.ts');
    const heavy = ['src/pool/pool.ts', 'src/pg/session.ts', 'src/pg/pg-pool.ts', 'src/auth/tls.ts', 'src/settings.ts'];
    expect(heavy.filter((file) => sources.includes(file))).toEqual([]);
  });

  test('holds nothing of what is only for tests, for other pools or for documentation', async () => {
    const { inputs } = await bundle('middy', 'esm', apart);
    const other =
      /^(infra|src\/(testing|redis|cache|env-descriptions|telemetry\/(metric-desc|otel|datadog|pool-spans|invocation-end)))/;
    const sources = await sourcesOf(inputs);
    expect(sources).toContain('src/registry.ts');
    expect(sources.filter((source) => other.test(source))).toEqual([]);
  });

  test('of one kind of metrics holds no other, and needs no OpenTelemetry to be built', async () => {
    const [emf, otel] = await Promise.all([bundle('telemetry', 'esm'), bundle('otel', 'esm')]);
    // By what each writes: of a chunk of several modules the names of files tell nothing.
    const words = {
      emf: 'CloudWatchMetrics',
      otel: 'db.client.connection.wait_time',
      datadog: 'thawpool.acquire.wait_time',
    };
    const kinds = async ({ file }: Bundle) => {
      const text = await readFile(file, 'utf8');
      return Object.entries(words).flatMap(([kind, word]) => (text.includes(word) ? [kind] : []));
    };
    expect([await kinds(emf), await kinds(otel)]).toEqual([['emf'], ['emf', 'otel']]);
    const apis = ({ external }: Bundle) =>
      external.filter(({ path: to }) => to.startsWith('@opentelemetry/')).map(({ kind }) => kind);
    expect([apis(emf), apis(otel)]).toEqual([[], ['dynamic-import']]);
  });

  // Each costs a cold start up to 1.3 ms, because an ES module lists all exports of what it imports, and a bundle of one
  // file imports also what is for code that is loaded on demand: process.getBuiltinModule() where it is needed does neither.
  test.each(['middy', 'plain'] as const)(
    'of the %s handler imports no module of Node.js as it starts',
    async (handler) => {
      const { external } = await bundle(handler, 'esm', {
        external: ['@aws-sdk/*', 'pg-native', '@middy/core'],
        outdir: 'out/without-middy',
      });
      const imports = external.filter(({ kind }) => kind === 'import-statement').map(({ path: to }) => to);
      expect(imports.filter((to) => to !== '@middy/core')).toEqual([]);
    },
  );
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
