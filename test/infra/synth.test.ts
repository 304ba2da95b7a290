import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { App, Validations } from 'aws-cdk-lib';
import { Annotations, Match } from 'aws-cdk-lib/assertions';
import { Bucket } from 'aws-cdk-lib/aws-s3';
import { BUNDLING_STACKS } from 'aws-cdk-lib/cx-api';
import { describe, expect, it } from 'vitest';
import { STACK_NAME } from '../../infra/sample.ts';
import { lineOf } from '../../infra/synth.ts';
import { folderForTest, ROUTES, sampleOf, templateOf } from './sample-support.ts';

const ROOT = join(import.meta.dirname, '..', '..');

/** Every finding that was answered, as `path: id`. */
function acknowledged(app: App): string[] {
  const all = app.node.findAll().flatMap(({ node }) => {
    const rules = node.metadata.filter(({ type }) => type === Validations.ACKNOWLEDGED_RULES_METADATA_KEY);
    const ids = rules.flatMap(({ data }) => Object.keys(data as object));
    return ids.map((id) => `${node.path.replace(`${STACK_NAME}/`, '')}: ${id}`);
  });
  // The CDK answers checks of its own in the same way.
  return all.filter((answer) => answer.includes(': AwsSolutions::'));
}

describe.each(ROUTES)('the checks, route %s', (route) => {
  it('have no objection', () => {
    const { app, stack } = sampleOf(route);
    expect(() => app.synth()).not.toThrow();
    // Of this project's constructs and of the CDK.
    expect(Annotations.fromStack(stack).findWarning('*', Match.anyValue())).toEqual([]);
    expect(Annotations.fromStack(stack).findError('*', Match.anyValue())).toEqual([]);
  });

  it('would have objected', () => {
    const { app, stack } = sampleOf(route);
    new Bucket(stack, 'Planted');
    expect(() => app.synth()).toThrow("Acknowledge with 'AwsSolutions::AwsSolutions-S1'");
  });

  it('object to each finding whose answer is taken away, so that no answer is idle', () => {
    const { app } = sampleOf(route);
    const answers = new Set(acknowledged(app).map((answer) => answer.replace(/^.*?: /, '')));
    for (const { node } of app.node.findAll()) {
      const rest = node.metadata.filter(({ type }) => type !== Validations.ACKNOWLEDGED_RULES_METADATA_KEY);
      (node as unknown as { _metadata: unknown[] })._metadata = rest;
    }
    let report = '';
    try {
      app.synth();
    } catch (error) {
      report = (error as Error).message;
    }
    const found = [...report.matchAll(/Acknowledge with '(AwsSolutions::.*)'/g)].map(([, id]) => String(id));
    expect([...new Set(found)].toSorted()).toEqual([...answers].toSorted());
  });

  it('are answered for these findings and no others', () => {
    const found = acknowledged(sampleOf(route).app);
    const policy = (name: string) =>
      `AwsSolutions::AwsSolutions-IAM4[Policy::arn:<AWS::Partition>:iam::aws:policy/service-role/${name}]`;
    const functions = ['CreateOrder', 'GetOrder', 'ConsumeOrders', 'DailyReport', 'Migrate', 'User/Function'];
    expect(found.toSorted()).toEqual(
      [
        'Entrances/Api: AwsSolutions::AwsSolutions-APIG4',
        'User: AwsSolutions::AwsSolutions-IAM5[Resource::<UserFunction4FCE8111.Arn>:*]',
        ...functions.map((name) => `${name}: ${policy('AWSLambdaVPCAccessExecutionRole')}`),
        ...[...functions, 'User/Provider/framework-onEvent'].map(
          (name) => `${name}: ${policy('AWSLambdaBasicExecutionRole')}`,
        ),
      ].toSorted(),
    );
  });
});

it.each(ROUTES)('synth says in a line what it has written, route %s', (route) => {
  const { app } = sampleOf(route);
  const assembly = app.synth();
  const count = Object.keys(templateOf(route).toJSON()['Resources'] as object).length;
  expect(lineOf(route, assembly)).toMatch(
    new RegExp(`^${route} +\\S+  ${count} resources, [89] functions; cdk-nag has no objection$`),
  );
});

/**
 * A template without the hashes of its assets, nor those that a function's version is named by: two processes make the
 * assets, and whoever saves a source in between gives them two hashes.
 */
function withoutHashes(template: object): unknown {
  const text = JSON.stringify(template).replaceAll(/\b[0-9a-f]{64}\b/g, 'hash');
  return JSON.parse(text.replaceAll(/(CurrentVersion[0-9A-F]{8})[0-9a-f]{32}/g, '$1')) as unknown;
}

describe('the command of cdk.json', () => {
  it.each([
    ['proxy', {}],
    ['direct', { proxy: 'off' }],
  ] as const)('makes the same template, route %s', async (route, given) => {
    const { app, context } = JSON.parse(readFileSync(join(ROOT, 'cdk.json'), 'utf8')) as {
      app: string;
      context: object;
    };
    const folder = folderForTest();
    const [command = '', ...args] = app.split(' ');
    // This is how the CDK's command line hands over what it knows.
    const env = {
      ...process.env,
      CDK_OUTDIR: folder,
      CDK_CONTEXT_JSON: JSON.stringify({ ...context, ...given, [BUNDLING_STACKS]: [] }),
    };
    const child = spawn(command, args, { cwd: ROOT, env });
    let output = '';
    child.stderr.on('data', (chunk) => (output += String(chunk)));
    const [code] = (await once(child, 'close')) as [number];
    expect(code, output).toBe(0);
    expect(readdirSync(folder)).toContain(`${STACK_NAME}.template.json`);
    const made = readFileSync(join(folder, `${STACK_NAME}.template.json`), 'utf8');
    expect(withoutHashes(JSON.parse(made))).toEqual(withoutHashes(templateOf(route).toJSON()));
  });
});
