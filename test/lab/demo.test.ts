import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import type { SubjectFigures } from './demo/figures.ts';

interface Document {
  readonly runtimeClient: { readonly name: string };
  readonly postgres: string;
  readonly node: string;
  readonly durationMillis: number;
  readonly subjects: readonly SubjectFigures[];
  readonly summary: readonly string[];
}

async function run(...args: string[]): Promise<{ code: number | null; stdout: string; stderr: string }> {
  const main = join(import.meta.dirname, 'demo', 'main.ts');
  const child = spawn(process.execPath, ['--conditions=@thawpool/source', main, ...args]);
  const output = { stdout: '', stderr: '' };
  for (const name of ['stdout', 'stderr'] as const) child[name].on('data', (chunk) => (output[name] += String(chunk)));
  const [code] = (await once(child, 'close')) as [number | null];
  return { code, ...output };
}

it('loses nothing on thawpool where the plain pool loses invocations', async () => {
  const { code, stdout, stderr } = await run('--json');
  expect(code, stderr).toBe(0);
  const { subjects, summary, ...facts } = JSON.parse(stdout) as Document;
  expect(facts).toMatchObject({ node: process.versions.node, runtimeClient: { name: expect.any(String) as unknown } });
  const [ours, theirs] = subjects;
  expect(ours?.phases.map(({ name, failures }) => `${name} ${failures}`)).toEqual(
    theirs?.phases.map(({ name }) => `${name} 0`),
  );
  const broken = theirs?.phases.filter(({ name }) => name !== 'cold' && name !== 'warm') ?? [];
  expect(broken.length).toBeGreaterThanOrEqual(3);
  for (const { failures, name } of broken) expect(failures, name).toBeGreaterThan(0);
  const warm = subjects.map(({ phases }) => phases.find(({ name }) => name === 'warm'));
  expect(warm[0]?.invocations).toBeGreaterThanOrEqual(20);
  // A machine that stands still for a second makes thawpool ask once; it must not do so in each of 24 invocations.
  const [perInvocation = 0, floor = 0] = warm.map((phase) => phase?.messagesPerInvocation);
  expect(perInvocation).toBeGreaterThan(0);
  expect(perInvocation).toBeLessThan(floor + 0.2);
  expect(warm.map((phase) => phase?.connectionsOpened)).toEqual([0, 0]);
  expect(summary).toHaveLength(3);
}, 400_000);

it('explains itself, and names an option it does not know', async () => {
  expect(await run('--help')).toMatchObject({ code: 0, stderr: '' });
  expect(await run('--nope')).toMatchObject({
    code: 2,
    stdout: '',
    stderr: expect.stringContaining('--nope') as unknown,
  });
});
