/**
 * A function with metrics, or without, by its environment: answers each line on its standard input with one invocation,
 * and logs as functions do. What it says besides goes to standard error, where nobody closes the pipe.
 */
import { registerHooks } from 'node:module';
import { createInterface } from 'node:readline';

/** Whether the code that writes metrics was loaded, and when. */
let loaded = false;
registerHooks({
  load(url, context, next) {
    if (/\/telemetry\/(emf|fold|emf-line|samples|stdout)\.ts$/.test(url)) loaded = true;
    return next(url, context);
  },
});
const { getPool, withPool } = await import('thawpool');

const db = getPool();
const handler = withPool(async (talks: boolean, context) => {
  if (talks) console.log('before the query');
  const { rows } = await context.db.query<{ one: number }>('select 1 as one');
  if (talks) console.log(JSON.stringify({ level: 'INFO', message: 'a log line', rows }));
  return rows[0]?.one;
});

let count = 0;
for await (const line of createInterface({ input: process.stdin })) {
  count += 1;
  const answer = await handler(line === 'talk', { awsRequestId: `request-${count}` });
  process.stderr.write(`${JSON.stringify({ answer, loaded })}\n`);
}
await db.end();
process.stderr.write(`${JSON.stringify({ ended: true })}\n`);
