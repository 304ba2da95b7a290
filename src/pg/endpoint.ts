import type { Route } from './route.ts';
import type { ClientConfig } from './types.ts';

/** A place to connect to, and all that is said there. */
export interface Endpoint {
  readonly host: string;
  readonly port: number;
  readonly user: string | undefined;
  readonly database: string | undefined;
  readonly route: Route;
  /** TLS is to begin at once, without asking the server first. */
  readonly directTls: boolean;
  /**
   * What a client is made with, save the password. Called for each connection, so that what it holds (TLS material) is
   * looked at when it is needed.
   *
   * @param guarded - whether to ask the server, in the startup packet, to end what a sandbox leaves behind
   */
  clientConfig(guarded: boolean): ClientConfig;
  /** Explains an error of TLS; nothing for one that has nothing to do with it. */
  explainTls(error: unknown): Promise<string | undefined>;
}
