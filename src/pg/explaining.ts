// Explains why no connection could be made. What it says is loaded when something has failed: a cold start that connects
// does without.

import type * as connectErrors from './connect-error.ts';
import type { Endpoint } from './endpoint.ts';

type Words = typeof connectErrors;

/** What was tried, and how often. */
export interface Efforts {
  readonly endpoint: Endpoint;
  /** Where the credentials came from, where they were not simply given. */
  readonly credentials: string | undefined;
  readonly count: number;
  readonly millis: number;
  /** What other places said that were tried first. */
  readonly before: readonly string[];
}

let loading: Promise<Words | undefined> | undefined;

/** Loads the words once. Never rejects: the reason why there is no connection must not give way to why there are no words. */
function words(): Promise<Words | undefined> {
  loading ??= import('./connect-error.ts').catch(() => undefined);
  return loading;
}

/** Makes ready to explain, at the first failure: when the budget is used up there is no time to load anything. */
export function prepareToExplain(error: unknown, endpoint: Endpoint | undefined): void {
  void words();
  // It loads what it needs, too. What it throws is told when it is asked in earnest.
  endpoint?.explainTls(error).catch(() => {});
}

/**
 * Turns the error of the last attempt into one that says what it means and what to do.
 *
 * @returns the error itself where the words cannot be loaded, from a bundle without all of its files
 * @throws TlsOptionError when it was the settings of TLS that could not be used
 */
export async function explained(error: unknown, { endpoint, credentials, ...efforts }: Efforts): Promise<unknown> {
  const { host, port, user, database, route } = endpoint;
  const [said, tls] = await Promise.all([words(), endpoint.explainTls(error)]);
  const target = { host, port, user, database, credentials, proxied: !route.ownsSession };
  return said === undefined ? error : said.connectError(error, target, efforts, tls);
}
