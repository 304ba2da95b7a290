import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readdirSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { Order } from '../../infra/orders/order.ts';
import { synthesise } from '../../infra/synth.ts';
import type { EventKind } from '../lab/demo/dispatch.ts';
import { createEvent, eventOf, getEvent } from '../lab/demo/events.ts';
import { openLab } from '../lab/lab.ts';
import { startPostgres, type TestPostgres } from '../support/postgres.ts';

interface Template {
  readonly Resources: Readonly<Record<string, { readonly Type: string; readonly Properties: FunctionProperties }>>;
}
interface FunctionProperties {
  readonly Description?: string;
  readonly Handler: string;
  readonly Code: { readonly S3Key?: string };
  readonly Environment?: { readonly Variables: Readonly<Record<string, unknown>> };
}

/** What the template gives the function and the lab gives otherwise: where the database is, and how to log in. */
const PLACE = /^PG|^THAWPOOL_(AUTH|SECRET_ARN)$/;

// Outside of the repository: inside it, what a bundle lacks would be found in the repository's own node_modules.
const out = mkdtempSync(join(tmpdir(), 'thawpool-bundles-'));
let postgres: TestPostgres;
const functions = new Map<string, { folder: string; properties: FunctionProperties }>();

beforeAll(async () => {
  const { stacks } = synthesise('direct', out);
  const template = stacks[0]?.template as Template;
  for (const { Type, Properties } of Object.values(template.Resources)) {
    if (Type !== 'AWS::Lambda::Function' || Properties.Code.S3Key === undefined) continue;
    const folder = join(out, `asset.${Properties.Code.S3Key.replace('.zip', '')}`);
    functions.set(Properties.Description ?? '', { folder, properties: Properties });
  }
  postgres = await startPostgres();
});
afterAll(async () => {
  await postgres?.close();
  rmSync(out, { recursive: true, force: true });
});

function functionOf(description: string) {
  const found = functions.get(description);
  if (found === undefined) throw new Error(`No function "${description}" among ${[...functions.keys()].join(', ')}.`);
  return found;
}

/** A sandbox that runs a function out of the assets, with the environment out of the template. */
function openFunction(description: string) {
  const { folder, properties } = functionOf(description);
  const [file, exportName] = properties.Handler.split('.');
  const variables = Object.entries(properties.Environment?.Variables ?? {}).filter(([name]) => !PLACE.test(name));
  const env = Object.fromEntries(variables) as Record<string, string>;
  return openLab({ subject: `${join(folder, `${file}.mjs`)}#${exportName}`, postgres, libpqVariables: true, env });
}

async function answerOf(description: string, ...events: readonly unknown[]): Promise<unknown[]> {
  await using lab = await openFunction(description);
  const answers: unknown[] = [];
  for (const event of events) {
    const result = await lab.invoke(event, { timeoutMillis: 20_000 });
    expect(result, lab.sandbox.stderr).toMatchObject({ ok: true });
    answers.push(result.payload);
  }
  return answers;
}

const event = (kind: EventKind) => eventOf(kind, '');

describe('the functions as they are deployed', () => {
  it('migrate, create an order, read it, consume a batch and report', async () => {
    expect(await answerOf('Makes the tables that are missing', {}, {})).toEqual([
      { migrated: true },
      { migrated: true },
    ]);

    const [created] = (await answerOf('Stores an order', createEvent())) as [{ statusCode: number; body: string }];
    expect(created.statusCode).toBe(201);
    const order = JSON.parse(created.body) as Order;

    const [read, missing, bad] = (await answerOf(
      'Reads an order',
      ...[order.id, '00000000-0000-4000-8000-000000000000', 'x'].map((id) => getEvent(id)),
    )) as { statusCode: number; body: string }[];
    expect([read?.statusCode, JSON.parse(read?.body ?? '')]).toEqual([200, order]);
    expect([missing?.statusCode, bad?.statusCode]).toEqual([404, 400]);

    const batch = event('consume') as { Records: { messageId: string; body: string }[] };
    const [first] = batch.Records;
    const spoilt = { Records: batch.Records.map((record) => (record === first ? { ...record, body: '{' } : record)) };
    expect(await answerOf('Stores orders out of the queue', spoilt, batch)).toEqual([
      { batchItemFailures: [{ itemIdentifier: first?.messageId }] },
      { batchItemFailures: [] },
    ]);

    // One created, and each of the batch's three once, although two of them came twice.
    expect(await answerOf('Adds up the orders of a day', event('report'))).toEqual([
      expect.objectContaining({ orders: 4, customers: 1, revenue: String(4 * order.total) }),
    ]);
  });

  it('keep their connection over a freeze and replace it when it died', async () => {
    await using lab = await openFunction('Reads an order');
    const id = '00000000-0000-4000-8000-000000000000';
    const ask = async () => (await lab.invoke(getEvent(id), { timeoutMillis: 20_000 })).payload;
    expect(await ask()).toMatchObject({ statusCode: 404 });
    const before = await lab.sessions();
    await lab.freezeFor(0, () => postgres.admin('select pg_terminate_backend($1)', before));
    expect(await ask()).toMatchObject({ statusCode: 404 });
    expect(await lab.sessions()).toHaveLength(1);
    expect(await lab.sessions()).not.toEqual(before);
    expect(lab.sandbox.starts).toBe(1);
    // Each invocation wrote its line for CloudWatch.
    expect(lab.sandbox.stdout.match(/^{"_aws":.*"CloudWatchMetrics"/gm)).toHaveLength(2);
  });

  it.each([
    ['Stores an order', '@aws-sdk/rds-signer', 'Signer'],
    ['Makes the tables that are missing', '@aws-sdk/client-secrets-manager', 'SecretsManager'],
  ])('%s: brings %s along, in a file of its own', async (description, name, exported) => {
    const { folder } = functionOf(description);
    expect(readdirSync(join(folder, 'node_modules', '@aws-sdk'))).toEqual([name.replace('@aws-sdk/', '')]);
    const script = `const sdk = await import('${name}'); process.stdout.write(typeof sdk.${exported});`;
    const child = spawn(process.execPath, ['--input-type=module', '--eval', script], { cwd: folder });
    let output = '';
    child.stdout.on('data', (chunk) => (output += String(chunk)));
    await once(child, 'close');
    expect(output).toBe('function');
  });

  it('are small where every cold start reads them, and have a source map', () => {
    const ours = [...functions.values()].filter(({ properties }) => properties.Environment?.Variables['NODE_OPTIONS']);
    expect(ours).toHaveLength(5);
    for (const { folder, properties } of ours) {
      // pg, Middy and thawpool come to 230 kB today; the AWS SDK alone would add 300.
      expect(statSync(join(folder, 'index.mjs')).size, properties.Description).toBeLessThan(400_000);
      expect(readdirSync(folder).toSorted()).toEqual(['index.mjs', 'index.mjs.map', 'node_modules']);
    }
  });

  it('make a token with the signer that they bring along', async () => {
    const { folder } = functionOf('Reads an order');
    const script = `const { Signer } = await import('@aws-sdk/rds-signer');
      const signer = new Signer({ hostname: 'db.example.com', port: 5432, username: 'app', region: 'eu-west-1' });
      process.stdout.write(await signer.getAuthToken());`;
    const child = spawn(process.execPath, ['--input-type=module', '--eval', script], {
      cwd: folder,
      env: { AWS_ACCESS_KEY_ID: 'AKIDEXAMPLE', AWS_SECRET_ACCESS_KEY: 'example' },
    });
    let output = '';
    for (const stream of [child.stdout, child.stderr]) stream.on('data', (chunk) => (output += String(chunk)));
    await once(child, 'close');
    expect(output).toMatch(/^db\.example\.com:5432\/\?Action=connect&DBUser=app&/);
  });
});
