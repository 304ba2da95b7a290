/**
 * Installs AWS's own runtime client beside the lab where this machine can build it, and says why where it cannot.
 * Not being able to is no failure: the lab then runs its small client. Run as a program.
 */
import { spawnSync } from 'node:child_process';
import { delimiter, dirname } from 'node:path';
import { CLIENT_FOLDER, findRuntimeClient, type RuntimeClient } from './find-runtime-client.ts';

/** What aws-lambda-ric's install scripts call (its README, "Local development"). */
const TOOLS = [['cmake3', 'cmake'], ['make'], ['g++'], ['tar'], ['xz'], ['python3']] as const;
/** It takes about 45 s on two cores (measured); a download that hangs must not hold up a test run. */
const LIMIT_MILLIS = 300_000;

function works(tool: string): boolean {
  return spawnSync(tool, ['--version'], { stdio: 'ignore' }).status === 0;
}

/** Returns why AWS's client cannot be built here, or `undefined` when nothing is known to be in the way. */
export function obstacle(): string | undefined {
  if (process.platform !== 'linux') return `aws-lambda-ric builds on Linux only, this is ${process.platform}`;
  const missing = TOOLS.filter((names) => !names.some(works)).map((names) => names.at(-1));
  return missing.length > 0 ? `aws-lambda-ric needs ${missing.join(', ')} to be built` : undefined;
}

/** Installs AWS's client unless it is there, and returns the client that will run from now on. */
export function installRuntimeClient(): RuntimeClient {
  const found = findRuntimeClient();
  if (found.name === 'aws-lambda-ric') return found;
  const why = obstacle();
  if (why !== undefined) return { ...found, why };
  const result = spawnSync('npm', ['ci', '--no-audit', '--no-fund'], {
    cwd: CLIENT_FOLDER,
    // The Node that runs this builds it as well, whichever one is first on the path.
    env: { ...process.env, PATH: `${dirname(process.execPath)}${delimiter}${process.env['PATH'] ?? ''}` },
    encoding: 'utf8',
    timeout: LIMIT_MILLIS,
  });
  if (result.status === 0) return findRuntimeClient();
  const reason = result.error?.message ?? firstReason(result.stderr);
  return { ...found, why: `npm ci in test/lab/aws failed: ${reason}` };
}

/** npm states codes and paths before it says what happened. */
function firstReason(stderr: string): string {
  const lines = stderr
    .split('\n')
    .flatMap((line) => /^npm error (?!code|errno|syscall|path)(.+)$/.exec(line)?.[1] ?? []);
  return lines[0] ?? (stderr.trim() || 'npm gave no reason');
}

if (process.argv[1] === import.meta.filename) {
  const client = installRuntimeClient();
  console.log(
    client.name === 'aws-lambda-ric'
      ? `The lab runs aws-lambda-ric ${client.version}.`
      : `The lab runs its small runtime client: ${client.why}.`,
  );
}
