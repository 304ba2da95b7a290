/** `npm run synth`: writes the templates of both routes, with their assets, into cdk.out. It needs neither network nor account. */
import { readFileSync, realpathSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { App, type AppProps } from 'aws-cdk-lib';
import type { CloudAssembly } from 'aws-cdk-lib/cx-api';
import { addSample } from './sample.ts';

/** The way to the database. */
export type Route = 'proxy' | 'direct';

const ROOT = join(import.meta.dirname, '..');

/** Makes the app of one route with the settings of cdk.json, which otherwise the CDK's command line passes on. */
export function makeApp(route: Route, { context, ...props }: AppProps = {}): App {
  const settings = JSON.parse(readFileSync(join(ROOT, 'cdk.json'), 'utf8')) as { context: Record<string, unknown> };
  return new App({
    ...props,
    context: { ...settings.context, proxy: route === 'proxy' ? 'on' : 'off', ...context },
  });
}

/**
 * Synthesises one route.
 *
 * @throws When a check has an objection that is not answered; the checks print it.
 */
export function synthesise(route: Route, outdir: string): CloudAssembly {
  const app = makeApp(route, { outdir });
  addSample(app);
  return app.synth();
}

// import.meta.main is younger than Node.js 22.
if (process.argv[1] !== undefined && realpathSync(process.argv[1]) === import.meta.filename) {
  const out = join(ROOT, 'cdk.out');
  rmSync(out, { recursive: true, force: true });
  for (const route of ['proxy', 'direct'] as const) {
    const { directory } = synthesise(route, join(out, route));
    console.log(`${route}: ${directory}`);
  }
}
