/** Puts the sample stack into an app, as the app's context wants it, and the checks that it must pass. */
import { type App, Validations } from 'aws-cdk-lib';
import { AwsSolutionsChecks } from 'cdk-nag';
import { SampleStack } from './stack.ts';

/** The name of the stack, on either route: so that a deployed one can be switched. */
export const STACK_NAME = 'ThawpoolSample';

/**
 * Adds the stack. It knows no account and no region: those are where it is deployed.
 *
 * @throws When a value of the context is not one of its words.
 */
export function addSample(app: App): SampleStack {
  Validations.of(app).addPlugins(new AwsSolutionsChecks(app));
  return new SampleStack(app, STACK_NAME, {
    description: 'An order service on thawpool: HTTP API, queue and schedule before Aurora PostgreSQL',
    proxy: isOn(app, 'proxy'),
    deletionProtection: isOn(app, 'protection'),
    reservedConcurrency: isOn(app, 'reserve'),
  });
}

/** `-c name=on` or `-c name=off`; on where nothing is said. */
function isOn(app: App, name: string): boolean {
  const value: unknown = app.node.tryGetContext(name) ?? 'on';
  if (value === 'on' || value === 'off') return value === 'on';
  throw new Error(`-c ${name}=${String(value)} is not known: say ${name}=on (the default) or ${name}=off.`);
}
