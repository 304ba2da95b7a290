// `npm run model -- 100000`: the pool's model test with so many random sequences.
import { spawnSync } from 'node:child_process';

const runs = process.argv[2] ?? '100000';
if (!/^[1-9]\d*$/.test(runs)) throw new Error(`How many sequences? A whole number from 1 on, not ${runs}.`);
const { status } = spawnSync('vitest', ['run', '--project', 'unit', 'test/unit/pool/model.test.ts'], {
  stdio: 'inherit',
  shell: process.platform === 'win32',
  env: { ...process.env, MODEL_RUNS: runs },
});
process.exitCode = status ?? 1;
