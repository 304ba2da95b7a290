/**
 * The function behind `DatabaseUser`: takes CloudFormation's events from the CDK's provider framework, which answers
 * CloudFormation itself. So it needs no way to the internet, and what it throws is what the deployment fails with.
 */
import { setTimeout as pause } from 'node:timers/promises';
import type { CdkCustomResourceEvent, CdkCustomResourceResponse, Context } from 'aws-lambda';
import { createPool, type Transaction } from 'thawpool';
import { secretCredentials } from 'thawpool/auth';
import { passes } from './passes.ts';
import { scramVerifier } from './password.ts';
import { ensureUser, removeUser } from './user.ts';
import { readWish, type UserProperties, type UserWish } from './wish.ts';

/** What is left for the answer when time runs out. Measured are milliseconds; the rest is for a slow start. */
const reserveMillis = 10_000;
/** For how long a delete tries: a stack that is going away must not wait for a server that is gone. */
const deleteMillis = 30_000;
/** Between two attempts. A server that starts needs seconds; one attempt waits for 5 s itself. */
const pauseMillis = 1000;

const log = (message: string): void => console.log(message);

/** Makes or changes the user on Create and Update, takes it away on Delete. */
export async function handler(event: CdkCustomResourceEvent, context: Context): Promise<CdkCustomResourceResponse> {
  const properties = event.ResourceProperties as unknown as UserProperties;
  const left = context.getRemainingTimeInMillis() - reserveMillis;
  if (event.RequestType === 'Delete') {
    await quietly(() => work(properties, Math.min(left, deleteMillis), (tx, wish) => removeUser(tx, wish, { log })));
    return { PhysicalResourceId: event.PhysicalResourceId };
  }
  const before = event.RequestType === 'Update' ? beforeOf(event.OldResourceProperties) : undefined;
  await work(properties, left, async (tx, wish) =>
    ensureUser(tx, wish, { before, log, verifier: await verifierOf(properties) }),
  );
  // Another name is another user, and another database another place: CloudFormation then deletes the old one.
  return { PhysicalResourceId: `${properties.User}@${properties.Database}` };
}

/** What came before tells what to take back; if it cannot be read, nothing of it was ever carried out. */
function beforeOf(old: Record<string, unknown>): UserWish | undefined {
  try {
    return readWish(old as unknown as UserProperties);
  } catch {
    return undefined;
  }
}

async function verifierOf({ PasswordSecretArn }: UserProperties): Promise<string | undefined> {
  if (PasswordSecretArn === undefined) return undefined;
  const source = secretCredentials({ secretArn: PasswordSecretArn });
  const target = { host: 'localhost', port: 0, user: undefined, database: undefined };
  const found = await source.credentials({ target, signal: AbortSignal.timeout(deleteMillis), refused: [] });
  if (found === undefined) throw new Error(`${source.name} has no password.`);
  return scramVerifier(found.password);
}

/** Runs `fn` in a transaction of the administrator's, again and again while the server cannot be reached or others are at it too. */
async function work(
  properties: UserProperties,
  forMillis: number,
  fn: (tx: Transaction, wish: UserWish) => Promise<void>,
): Promise<void> {
  const wish = readWish(properties);
  const until = Date.now() + forMillis;
  const pool = createPool({
    name: 'database-user',
    secretArn: properties.SecretArn,
    host: properties.Host,
    port: Number(properties.Port),
    database: properties.Database,
    max: 1,
    statementTimeoutMillis: Math.max(1, forMillis),
    application_name: 'thawpool-database-user',
  });
  try {
    for (;;) {
      try {
        return await pool.transaction((tx) => fn(tx, wish));
      } catch (error) {
        if (Date.now() + pauseMillis >= until || !passes(error)) throw error;
        log(`Trying again: ${error instanceof Error ? error.message : 'unknown error'}`);
        await pause(pauseMillis);
      }
    }
  } finally {
    await pool.end();
  }
}

/** A delete that fails would keep the stack from going away: what could not be done is in the log. */
async function quietly(fn: () => Promise<void>): Promise<void> {
  try {
    await fn();
  } catch (error) {
    log(`The user stays as it is: ${error instanceof Error ? error.message : 'unknown error'}`);
  }
}
