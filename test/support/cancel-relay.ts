/** A relay in front of a PostgreSQL that passes everything on at once but cancels, which it holds until it is told to. */
import { once } from 'node:events';
import { type AddressInfo, connect, createServer, type Socket } from 'node:net';
import { inject } from 'vitest';
import { LOOPBACK } from './free-port.ts';

/** PostgreSQL documentation, 54.7: the code of a CancelRequest, behind its length. */
const cancelCode = 80_877_102;

/** A running relay. */
export interface CancelRelay extends AsyncDisposable {
  readonly port: number;
  /** Resolves when the next cancel is held. */
  holds(): Promise<void>;
  /** Passes on the cancels that are held. */
  deliver(): void;
}

/** Starts it in front of the integration tests' server. */
export async function startCancelRelay(): Promise<CancelRelay> {
  const { host, port } = inject('postgres');
  const sockets = new Set<Socket>();
  const held: (() => void)[] = [];
  let onHeld = (): void => {};
  const server = createServer((client) => {
    const upstream = connect(port, host);
    for (const socket of [client, upstream]) {
      sockets.add(socket.on('error', () => {}).on('close', () => sockets.delete(socket)));
    }
    upstream.on('close', () => client.end());
    client.once('data', (first) => {
      const pass = (): void => {
        upstream.write(first);
        client.pipe(upstream);
        upstream.pipe(client);
      };
      if (first.length < 8 || first.readInt32BE(4) !== cancelCode) return pass();
      client.pause();
      held.push(pass);
      onHeld();
    });
  });
  server.listen(0, LOOPBACK);
  await once(server, 'listening');
  return {
    port: (server.address() as AddressInfo).port,
    holds: () =>
      new Promise((resolve) => {
        onHeld = resolve;
      }),
    deliver: () => {
      for (const pass of held.splice(0)) pass();
    },
    async [Symbol.asyncDispose]() {
      for (const socket of sockets) socket.destroy();
      server.close();
      await once(server, 'close');
    },
  };
}
