// The last line of a CI run, `N passed, N failed`, counted from Vitest's JSON reports in reports/. The argument is the
// exit status of what ran before. Plain JavaScript: it must also run where the install failed, on the machine's own Node.
import { readdirSync, readFileSync } from 'node:fs';
import path from 'node:path';

const priorStatus = Number(process.argv[2] ?? 0);
const folder = process.argv[3] ?? 'reports';
let passed = 0;
let failed = 0;
let skipped = 0;
const reasons = [];

let files = [];
try {
  files = readdirSync(folder).filter((name) => name.endsWith('.json'));
} catch {
  // No folder: the same as a folder without a report.
}
for (const file of files) {
  let report;
  try {
    report = JSON.parse(readFileSync(path.join(folder, file), 'utf8'));
    for (const key of ['numPassedTests', 'numFailedTests']) {
      if (!Number.isInteger(report[key])) throw new Error(`${key} is missing`);
    }
  } catch (error) {
    failed += 1;
    reasons.push(`${file} is not a test report: ${error.message}`);
    continue;
  }
  passed += report.numPassedTests;
  failed += report.numFailedTests;
  skipped += (report.numPendingTests ?? 0) + (report.numTodoTests ?? 0);
  for (const result of report.testResults ?? []) {
    for (const test of result.assertionResults ?? []) {
      if (test.status === 'failed')
        reasons.push(`${[...test.ancestorTitles, test.title].join(' > ')} (${relative(result.name)})`);
    }
    // A file that can not be loaded, or whose hooks fail, holds no failed test; it is one.
    const failedInside = (result.assertionResults ?? []).some((test) => test.status === 'failed');
    if (result.status === 'failed' && !failedInside) {
      failed += 1;
      reasons.push(`${relative(result.name)}: ${String(result.message ?? '').split('\n')[0]}`);
    }
  }
}
if (passed + failed === 0) {
  failed = 1;
  reasons.push(files.length === 0 ? `There is no test report in ${folder}/: the tests did not run.` : 'No test ran.');
}
if (failed === 0 && priorStatus !== 0) {
  failed = 1;
  reasons.push(`Every test passed, but the run ended with exit code ${priorStatus}: see above.`);
}

function relative(file) {
  return path.relative(process.cwd(), file);
}

if (reasons.length > 0) console.log(`\nFailed:\n${reasons.map((reason) => `  ${reason}`).join('\n')}`);
if (skipped > 0) console.log(`\n${skipped} skipped`);
console.log(`\n${passed} passed, ${failed} failed`);
process.exitCode = failed === 0 ? 0 : 1;
