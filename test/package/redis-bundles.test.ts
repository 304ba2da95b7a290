// What a bundle with Redis or a cache, and without PostgreSQL, holds: neither drags in what belongs to others.
import path from 'node:path';
import { build } from 'esbuild';
import { expect, test } from 'vitest';

const root = path.resolve(import.meta.dirname, '../..');

async function bundle(subpath: string): Promise<{ inputs: string[]; imports: { path: string; kind: string }[] }> {
  const { metafile } = await build({
    absWorkingDir: root,
    stdin: { contents: `export * from '${subpath}';`, resolveDir: root },
    conditions: ['@thawpool/source'],
    bundle: true,
    write: false,
    metafile: true,
    platform: 'node',
    format: 'esm',
    outdir: 'unused',
    external: ['redis', '@aws-sdk/*'],
  });
  const [output] = Object.values(metafile.outputs);
  const inputs = Object.keys(metafile.inputs).filter((input) => input !== '<stdin>');
  return { inputs: inputs.map((input) => input.replaceAll('\\', '/')), imports: output?.imports ?? [] };
}

test('thawpool/redis holds no PostgreSQL, and loads redis on first use only', async () => {
  const { inputs, imports } = await bundle('thawpool/redis');
  expect(inputs).toContain('src/redis/connector.ts');
  expect(inputs.filter((input) => /^src\/(pg|auth|cache|testing)\/|node_modules/.test(input))).toEqual([]);
  expect(imports.filter(({ path: to }) => to === 'redis')).toEqual([
    { path: 'redis', kind: 'dynamic-import', external: true },
  ]);
});

test('thawpool/cache holds no pool of any kind', async () => {
  const { inputs, imports } = await bundle('thawpool/cache');
  expect(inputs).toContain('src/cache/cache.ts');
  const allowed = /^src\/(cache|pool)\/|^src\/auth\/ttl-cache\.ts$/;
  expect(inputs.filter((input) => !allowed.test(input))).toEqual([]);
  expect(imports).toEqual([]);
});
