/**
 * Lambda's side of a custom resource, for one event on standard input: the CDK's provider framework as it is deployed,
 * which invokes the bundled function and answers CloudFormation. Only its two ways out are replaced: it invokes by
 * `import()`, and answers by HTTP where its own code would take HTTPS.
 */
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { pathToFileURL } from 'node:url';

interface CloudFormationEvent {
  readonly ResponseURL: string;
}

const [bundle = '', millis = ''] = process.argv.slice(2);
const require = createRequire(import.meta.url);
const folder = join(require.resolve('aws-cdk-lib/package.json'), '../custom-resources/lib/provider-framework/runtime');
const outbound = join(folder, 'outbound.js');
const event = JSON.parse(await text(process.stdin)) as CloudFormationEvent;

const replaced = {
  async invokeFunction({ Payload }: { readonly Payload: string }) {
    const { handler } = (await import(pathToFileURL(bundle).href)) as {
      handler: (event: unknown, context: unknown) => Promise<unknown>;
    };
    const until = Date.now() + Number(millis);
    try {
      const answer = await handler(JSON.parse(Payload), { getRemainingTimeInMillis: () => until - Date.now() });
      return { Payload: JSON.stringify(answer) };
    } catch (error) {
      // The shape in which Lambda reports what a function has thrown.
      const { name, message } = error as Error;
      return {
        FunctionError: 'Unhandled',
        Payload: JSON.stringify({ errorType: name, errorMessage: message, trace: [] }),
      };
    }
  },
  async httpRequest({ path }: { readonly path: string }, body: string) {
    const response = await fetch(new URL(path, event.ResponseURL), { method: 'PUT', body });
    if (!response.ok) throw new Error(`The answer was not taken: ${response.status}`);
  },
};
// The framework's own module would load the client of Lambda, which is not installed here.
require.cache[outbound] = Object.assign(new (require('node:module') as typeof import('node:module'))(outbound), {
  filename: outbound,
  loaded: true,
  exports: replaced,
});
process.env['USER_ON_EVENT_FUNCTION_ARN'] = 'arn:aws:lambda:eu-west-1:111122223333:function:user';
const framework = require(join(folder, 'framework.js')) as { onEvent: (event: unknown) => Promise<void> };
await framework.onEvent(event);
