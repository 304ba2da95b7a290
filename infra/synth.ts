/** `npm run synth`: writes the templates of both routes, with their assets, into cdk.out. It needs neither network nor account. */
import { readFileSync, realpathSync, rmSync } from 'node:fs';
import { join, relative } from 'node:path';
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

/** Says in a line what was written for a route. */
export function lineOf(route: Route, { directory, stacks }: CloudAssembly): string {
  const resources = stacks.flatMap((stack) =>
    Object.values((stack.template as { Resources: Record<string, { Type: string }> }).Resources),
  );
  const functions = resources.filter(({ Type }) => Type === 'AWS::Lambda::Function');
  return `${route.padEnd(6)}  ${relative(process.cwd(), directory)}  ${resources.length} resources, ${functions.length} functions; cdk-nag has no objection`;
}

// import.meta.main is younger than Node.js 22.
if (process.argv[1] !== undefined && realpathSync(process.argv[1]) === import.meta.filename) {
  // Bundling calls npx, which would tell its settings once for each function.
  process.env['npm_config_loglevel'] = 'error';
  const out = join(ROOT, 'cdk.out');
  rmSync(out, { recursive: true, force: true });
  const lines = (['proxy', 'direct'] as const).map((route) => lineOf(route, synthesise(route, join(out, route))));
  console.log(`\n${lines.join('\n')}`);
}
