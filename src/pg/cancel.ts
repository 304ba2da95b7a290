import pg from 'pg';
import { type Clock, systemClock } from '../pool/index.ts';

/** Whom to cancel, and how to reach the server that runs it. */
export interface CancelTarget {
  readonly host: string;
  readonly port: number;
  readonly processId: number;
  readonly secretKey: number;
  readonly ssl: pg.ClientConfig['ssl'];
}

/** What waits are bounded by. */
export type Timers = Pick<Clock, 'setTimer' | 'clearTimer'>;

/** What `pg.Connection` has and its types do not name (pg 8.23, lib/connection.js). */
interface CancelConnection extends pg.Connection {
  connect(port: number | string, host?: string): void;
  requestSsl(): void;
  cancel(processId: number, secretKey: number): void;
}

/**
 * Asks the server to stop what a session is running: a CancelRequest on a connection of its own, encrypted as the
 * session is (PostgreSQL documentation, 54.2.8). The session itself answers 57014, unless it was done before.
 *
 * @returns whether the server has taken note, once it has or cannot be reached; never rejects. The server closes the
 * connection when it has told the session's process, so that no cancel is on its way any more; otherwise one may be.
 */
export function sendCancel(target: CancelTarget, budgetMillis: number, clock: Timers = systemClock): Promise<boolean> {
  const { host, port, processId, secretKey, ssl } = target;
  const connection = new pg.Connection({ ssl }) as CancelConnection;
  return new Promise((resolve) => {
    let sent = false;
    const giveUp = (): void => {
      sent = false;
      connection.stream.destroy();
    };
    const timer = clock.setTimer(giveUp, budgetMillis);
    const cancel = (): void => {
      sent = true;
      connection.cancel(processId, secretKey);
    };
    connection.on('error', giveUp);
    connection.on('connect', () => (ssl ? connection.requestSsl() : cancel()));
    connection.on('sslconnect', cancel);
    connection.once('end', () => {
      clock.clearTimer(timer);
      resolve(sent);
    });
    if (host.startsWith('/')) connection.connect(`${host}/.s.PGSQL.${port}`);
    else connection.connect(port, host);
  });
}
