/** IAM as it goes wrong: the token is kept for an hour, four times as long as it is good. A connection for each invocation. */

import { readFileSync } from 'node:fs';
// oxlint-disable-next-line no-restricted-imports -- loaded at once, as in functions that have it from the runtime
import { Signer } from '@aws-sdk/rds-signer';
import pg from 'pg';

const { THAWPOOL_PROXY_HOST: proxy = '', AWS_REGION, PGUSER: user = '', PGSSLROOTCERT: caFile = '' } = process.env;
const [host = '', port = ''] = proxy.split(':');
const signer = new Signer({ hostname: host, port: Number(port), username: user, region: AWS_REGION ?? '' });

let kept: { readonly token: string; readonly until: number } | undefined;

async function password(): Promise<string> {
  if (kept === undefined || Date.now() > kept.until) {
    kept = { token: await signer.getAuthToken(), until: Date.now() + 3_600_000 };
  }
  return kept.token;
}

export const handler = async () => {
  const client = new pg.Client({ host, port: Number(port), user, ssl: { ca: readFileSync(caFile, 'utf8') }, password });
  await client.connect();
  const { rows } = await client.query('select 1 as one');
  await client.end();
  return { rows };
};
