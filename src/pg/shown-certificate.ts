import type { X509Certificate } from 'node:crypto';
import { TLSSocket } from 'node:tls';

/**
 * Puts the certificate that the server has shown on an error of the handshake, as `cert`. Node.js does so itself where the
 * host name is wrong; in the other cases the certificate is gone with the socket when the error is heard (Node.js 24).
 *
 * @param socket - the client's, as soon as it is there; one that is not of Node's TLS is left alone
 */
export function showCertificate(socket: unknown): void {
  if (!(socket instanceof TLSSocket)) return;
  let shown: X509Certificate | undefined;
  // Node's own listener verifies, and closes the socket: ours must come before it (Node.js 24, lib/_tls_wrap.js).
  socket.prependOnceListener('secure', () => {
    shown = socket.getPeerX509Certificate();
  });
  const add = (error: Error & { cert?: unknown }): void => {
    if (shown !== undefined) error.cert ??= shown.toLegacyObject();
  };
  socket.prependOnceListener('error', add);
  socket.once('secureConnect', () => {
    socket.off('error', add);
    shown = undefined;
  });
}
