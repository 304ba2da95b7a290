/** CDK leaves a cloud assembly in the system's temporary folder for each app: this file's go with it. */
import { chmodSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll } from 'vitest';

const folder = mkdtempSync(join(tmpdir(), 'thawpool-infra-'));
// A server of the file's is not started as root.
chmodSync(folder, 0o755);
process.env['TMPDIR'] = folder;

afterAll(() => {
  rmSync(folder, { recursive: true, force: true });
});
