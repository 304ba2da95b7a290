import pg from 'pg';

/** Whom to cancel, and how to reach the server that runs it. */
export interface CancelTarget {
  readonly host: string;
  readonly port: number;
  readonly processId: number;
  readonly secretKey: number;
  readonly ssl: pg.ClientConfig['ssl'];
}

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
 * @returns when the server has taken note or cannot be reached; never rejects
 */
export function sendCancel(target: CancelTarget, budgetMillis: number): Promise<void> {
  const { host, port, processId, secretKey, ssl } = target;
  const connection = new pg.Connection({ ssl }) as CancelConnection;
  return new Promise((resolve) => {
    const timer = setTimeout(() => connection.stream.destroy(), budgetMillis);
    timer.unref();
    const cancel = (): void => connection.cancel(processId, secretKey);
    connection.on('error', () => connection.stream.destroy());
    connection.on('connect', () => (ssl ? connection.requestSsl() : cancel()));
    connection.on('sslconnect', cancel);
    connection.once('end', () => {
      clearTimeout(timer);
      resolve();
    });
    if (host.startsWith('/')) connection.connect(`${host}/.s.PGSQL.${port}`);
    else connection.connect(port, host);
  });
}
