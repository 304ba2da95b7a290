/** A server that refuses the first logins with errors of our choice and passes the rest on to the real one. */
import { connect, createServer, type Socket } from 'node:net';
import type { ChaosProxy } from '../lab/chaos-proxy.ts';
import { listenAnywhere } from '../support/free-port.ts';

/** A running server. `await using` closes it. */
export interface RefusingServer extends AsyncDisposable {
  readonly port: number;
  /** How many logins were refused. */
  readonly refused: number;
}

/** An ErrorResponse (PostgreSQL documentation, 54.7 and 54.8). */
function errorResponse(code: string, message: string): Buffer {
  const fields = Buffer.from(`SFATAL\0VFATAL\0C${code}\0M${message}\0\0`);
  const length = Buffer.alloc(4);
  length.writeInt32BE(fields.length + 4);
  return Buffer.concat([Buffer.from('E'), length, fields]);
}

/** Starts it in front of the proxy. */
export async function refusingServer(
  target: ChaosProxy,
  refusals: readonly (readonly [code: string, message: string])[],
): Promise<RefusingServer> {
  const left = [...refusals];
  const sockets = new Set<Socket>();
  let refused = 0;
  const server = createServer((socket) => {
    sockets.add(socket);
    socket.on('error', () => {});
    const refusal = left.shift();
    if (refusal === undefined) {
      const onward = connect(target.port, target.host);
      sockets.add(onward);
      onward.on('error', () => {});
      socket.pipe(onward).pipe(socket);
      return;
    }
    refused += 1;
    socket.once('data', () => socket.end(errorResponse(...refusal)));
  });
  const port = await listenAnywhere(server);
  return {
    port,
    get refused() {
      return refused;
    },
    async [Symbol.asyncDispose]() {
      server.close();
      for (const socket of sockets) socket.destroy();
    },
  };
}
