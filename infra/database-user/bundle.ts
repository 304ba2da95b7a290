/** Bundles the function that makes database users: one ESM file with pg and thawpool in it; the AWS SDK is Lambda's own. */
import { createRequire } from 'node:module';
import { fileURLToPath } from 'node:url';

/** pg is CommonJS: inside an ES module its `require` of Node's own modules needs one made for it. */
const banner = `import { createRequire as thawpoolCreateRequire } from 'node:module';
const require = thawpoolCreateRequire(import.meta.url);`;

/** Writes the bundle to `outfile`. It needs esbuild, which only this repository has: users of the package get the file. */
export function bundleDatabaseUser(outfile: string): void {
  const { buildSync } = createRequire(import.meta.url)('esbuild') as typeof import('esbuild');
  buildSync({
    entryPoints: [fileURLToPath(new URL('handler.ts', import.meta.url))],
    outfile,
    bundle: true,
    minify: true,
    platform: 'node',
    format: 'esm',
    target: 'node24',
    // The sources of this package, not what an earlier build may have left.
    conditions: ['@thawpool/source'],
    // pg-native is an optional dependency of pg that is not installed.
    external: ['@aws-sdk/*', 'pg-native'],
    banner: { js: banner },
    legalComments: 'none',
    logLevel: 'warning',
  });
}
