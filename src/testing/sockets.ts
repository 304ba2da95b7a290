// What a freeze can have done to a socket, done to one that is alive. Works on any of Node's duplex streams, TLS included,
// by the methods that implementers of streams are told of; it must not know whose socket it is.

import { constants } from 'node:os';
import { type Duplex, Readable } from 'node:stream';

/**
 * What has become of a socket.
 *
 * - `alive`: nothing.
 * - `closed`: the other end has closed it, with a FIN.
 * - `reset`: the other end, or something on the way, has reset it.
 * - `black-holed`: what is written vanishes, and nothing is ever answered.
 */
export type SocketFate = 'alive' | 'closed' | 'reset' | 'black-holed';

/** Does it. An end is seen in the next turn of the event loop, as one that waits in the kernel at a thaw. */
export const inflict: Readonly<Record<SocketFate, (socket: Duplex) => void>> = {
  alive: () => {},
  closed(socket) {
    cutOff(socket);
    setImmediate(() => {
      if (socket.destroyed) return;
      // What Node does with an end of file (Node.js 24, lib/internal/stream_base_commons.js, onStreamRead).
      Readable.prototype.push.call(socket, null);
      socket.read(0);
    });
  },
  reset(socket) {
    // Whoever writes first is told by that, in the very call.
    cutOff(socket, connectionReset('write'));
    setImmediate(() => socket.destroy(connectionReset('read')));
  },
  'black-holed': (socket) => cutOff(socket),
};

/** Nothing that is written leaves any more, and nothing that arrives is heard. Nobody is told, unless with an error. */
function cutOff(socket: Duplex, error?: Error): void {
  socket._write = (_chunk, _encoding, done) => done(error);
  socket._writev = (_chunks, done) => done(error);
  socket._final = (done) => done();
  socket.push = () => true;
}

/** The error that Node makes of a reset connection. */
function connectionReset(syscall: 'read' | 'write'): Error {
  const code = 'ECONNRESET';
  return Object.assign(new Error(`${syscall} ${code}`), { errno: -constants.errno[code], code, syscall });
}
