import type { PeerCertificate } from 'node:tls';

/**
 * Puts the certificate that the server has shown on an error of the handshake, as `cert`. Node.js does so itself where the
 * host name is wrong; in the other cases the certificate is gone with the socket when the error is heard (Node.js 24).
 *
 * @param socket - the client's, as soon as it is there; one that is not of Node's TLS is left alone
 */
export function showCertificate(socket: unknown): void {
  // Loaded by now, if there is any TLS; a cold start need not wait for it.
  if (!(socket instanceof process.getBuiltinModule('node:tls').TLSSocket)) return;
  let shown: PeerCertificate | undefined;
  // Node's own listener verifies, and closes the socket: ours must come before it (Node.js 24, lib/_tls_wrap.js). It costs
  // 0.1 ms. Not getPeerX509Certificate(): after that Node's own check finds no names in the certificate (seen, 24.21).
  socket.prependOnceListener('secure', () => {
    shown = socket.getPeerCertificate();
  });
  const add = (error: Error & { cert?: unknown }): void => {
    if (shown !== undefined) error.cert ??= shown;
  };
  socket.prependOnceListener('error', add);
  socket.once('secureConnect', () => {
    socket.off('error', add);
    shown = undefined;
  });
}
