// `npm run check`: everything that CI runs, quickest first; stops at the first step that fails. `npm run check -- lint
// types` runs the named steps only.
import { spawnSync } from 'node:child_process';

const steps = [
  ['format', 'npm run --silent format:check'],
  ['lint', 'npm run --silent lint'],
  ['types', 'npm run --silent types'],
  ['docs', 'npm run --silent docs:check'],
  ['build', 'npm run --silent build'],
  ['dead-code', 'npm run --silent knip'],
  ['publint', 'npm run --silent publint'],
  ['attw', 'npm run --silent attw'],
  ['test', 'npm run --silent test'],
  ['bench-guard', 'npm run --silent bench:guard'],
];

const wanted = process.argv.slice(2);
const unknown = wanted.filter((name) => !steps.some(([step]) => step === name));
if (unknown.length > 0) {
  console.error(`No such step: ${unknown.join(', ')}. Steps: ${steps.map(([name]) => name).join(', ')}.`);
  process.exit(2);
}

const chosen = wanted.length === 0 ? steps : steps.filter(([name]) => wanted.includes(name));
for (const [n, [name, command]] of chosen.entries()) {
  console.log(`\n=== ${n + 1}/${chosen.length} ${name}: ${command}`);
  const start = Date.now();
  const { status, signal } = spawnSync(command, { shell: true, stdio: 'inherit' });
  const seconds = ((Date.now() - start) / 1000).toFixed(1);
  if (status !== 0) {
    console.error(
      `\n=== ${name} failed after ${seconds} s (${signal ?? `exit code ${status}`}). Alone: npm run check -- ${name}`,
    );
    process.exit(1);
  }
  console.log(`=== ${name} passed in ${seconds} s`);
}
console.log(`\n=== ${chosen.length} of ${chosen.length} steps passed`);
