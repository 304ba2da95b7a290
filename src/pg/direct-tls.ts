// Whether a server takes TLS that begins at once (sslnegotiation=direct). Pure: an error in, a word out.

import { codeOf } from './sqlstate.ts';

/** What OpenSSL says of an answer in the clear, or of a server that speaks something else than PostgreSQL over TLS. */
const refusals =
  /wrong[ _]version[ _]number|packet[ _]length[ _]too[ _]long|bad[ _]record[ _]type|alert[ _]no[ _]application[ _]protocol/i;

/**
 * Tells whether an attempt whose TLS began at once may have failed for that alone, so that one in the usual way is worth
 * making. PostgreSQL before 17, or without TLS, hangs up (seen, 15.18: with a FIN, or a RST when it has not read the
 * whole of the ClientHello); a pooler answers in the clear (seen, PgBouncer 1.18); PostgreSQL 17 and later send a TLS
 * alert where the protocol is not agreed upon.
 *
 * A server that is being restarted hangs up too: what to think of it for good, only the success of the other way tells.
 * A certificate that is not trusted is no refusal: the server has shown it over TLS.
 */
export function refusesDirectTls(error: unknown): boolean {
  // Stryker disable next-line StringLiteral: for the compiler only; another text that is no refusal either does as well
  const code = codeOf(error) ?? '';
  if (code === 'ECONNRESET' || code === 'EPIPE') return true;
  return refusals.test(code) || (code === 'EPROTO' && error instanceof Error && refusals.test(error.message));
}
