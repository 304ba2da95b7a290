/** Finds ports that stay ours while nobody listens on them: a refused connection or a restart must not lose its port. */
import { once } from 'node:events';
import type { Server } from 'node:net';
import { createServer } from 'node:net';

/** The loopback address that everything in the tests listens on. */
export const LOOPBACK = '127.0.0.1';

/** Linux hands out 32768 to 60999 to outgoing connections (`ip_local_port_range`): stay below them. */
const FIRST_PORT = 20_000;
const PORTS = 12_000;
const ATTEMPTS = 50;

/** Listens with `server` on a free port of the loopback address and returns the port. */
export async function listenAnywhere(server: Server): Promise<number> {
  for (let attempt = 1; ; attempt += 1) {
    const port = FIRST_PORT + Math.floor(Math.random() * PORTS);
    try {
      await listenOn(server, port);
      return port;
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'EADDRINUSE' || attempt === ATTEMPTS) throw error;
    }
  }
}

/** Listens with `server` on `port` of the loopback address. */
export async function listenOn(server: Server, port: number): Promise<void> {
  server.listen(port, LOOPBACK);
  await once(server, 'listening');
}

/** Returns a port of the loopback address that is free at this moment. */
export async function freePort(): Promise<number> {
  const server = createServer();
  const port = await listenAnywhere(server);
  server.close();
  await once(server, 'close');
  return port;
}
