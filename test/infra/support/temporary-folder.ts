/** CDK leaves a cloud assembly in the system's temporary folder for each app: this file's go with it. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll } from 'vitest';

const folder = mkdtempSync(join(tmpdir(), 'thawpool-infra-'));
process.env['TMPDIR'] = folder;

afterAll(() => {
  rmSync(folder, { recursive: true, force: true });
});
