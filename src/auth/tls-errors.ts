// What an error of a TLS handshake means, and what to set. Pure: an error and what was tried in, a sentence or two out.

import type { TlsOptions } from './tls.ts';

/** Holds what was tried: the host, and the `ssl` that was used, from `tlsFor()` or the user's own. */
export interface HandshakeFacts {
  readonly host: string;
  readonly tls: boolean | TlsOptions;
}

/** A certificate as Node.js shows it (`X509Certificate.toLegacyObject()`), as far as it is looked at. */
interface ShownCertificate {
  readonly subject?: ShownName;
  readonly issuer?: ShownName;
  readonly subjectaltname?: string;
  readonly valid_from?: string;
  readonly valid_to?: string;
}

/** The parts of a name; one that occurs several times is a list. */
type ShownName = Readonly<Partial<Record<'CN' | 'OU' | 'O', string | readonly string[]>>>;

/**
 * What Node.js and pg put on an error. Node.js gives the certificate only where the host name is wrong; the connector
 * adds it in the other cases.
 */
interface TlsError {
  readonly code?: unknown;
  readonly message?: unknown;
  readonly cert?: ShownCertificate;
}

const unknownAuthority = new Set([
  'DEPTH_ZERO_SELF_SIGNED_CERT',
  'SELF_SIGNED_CERT_IN_CHAIN',
  'UNABLE_TO_GET_ISSUER_CERT',
  'UNABLE_TO_GET_ISSUER_CERT_LOCALLY',
  'UNABLE_TO_VERIFY_LEAF_SIGNATURE',
]);

/**
 * Explains an error of a TLS handshake, or of a server's refusal to go without one, in a sentence or two: what failed,
 * which certificate, what was trusted, what to set.
 *
 * @param error - as pg gave it, with the server's certificate as `cert` where it is known.
 * @param facts - what was tried.
 * @returns nothing for an error that has nothing to do with TLS.
 */
export function explainTlsError(error: unknown, facts: HandshakeFacts): string | undefined {
  if (typeof error !== 'object' || error === null) return undefined;
  const { code: anyCode, message: anyMessage, cert }: TlsError = error;
  const code = typeof anyCode === 'string' ? anyCode : '';
  const message = typeof anyMessage === 'string' ? anyMessage : '';
  if (unknownAuthority.has(code)) return explainAuthority(code, cert, facts);
  if (code === 'ERR_TLS_CERT_ALTNAME_INVALID') return explainName(cert, facts.host);
  if (code === 'CERT_HAS_EXPIRED' || code === 'CERT_NOT_YET_VALID') return explainAge(code, cert, facts);
  return explainRefusal(code, message, facts.host) ?? explainHandshake({ code, message, cert }, facts);
}

function explainAuthority(code: string, cert: ShownCertificate | undefined, facts: HandshakeFacts): string {
  const { host } = facts;
  const what = code === 'DEPTH_ZERO_SELF_SIGNED_CERT' ? 'is signed by itself' : 'comes from an unknown authority';
  const advice = /\.rds\.amazonaws\.com(\.cn)?\.?$/i.test(host)
    ? "Amazon's authorities are in https://truststore.pki.rds.amazonaws.com/global/global-bundle.pem: add that file to the " +
      'function (zip runtimes bring it, container images do not) and set PGSSLROOTCERT to its path.'
    : 'Set PGSSLROOTCERT to a PEM file with the certificate of the authority that signed it.';
  return `The certificate of ${host}${detailsOf(cert)} ${what}; trusted was ${trusted(facts.tls)}. ${advice}`;
}

function explainName(cert: ShownCertificate | undefined, host: string): string {
  // Some certificates hold a hundred names; three lines of them are enough to see what kind they are.
  const names = cert?.subjectaltname ? `for ${cert.subjectaltname.slice(0, 300)}` : 'for no host name';
  return (
    `The certificate${detailsOf(cert)} is trusted, but it is ${names}, not for ${host}. ` +
    'Connect by a name that it holds, or set PGSSLMODE=verify-ca with PGSSLROOTCERT if your own authority signed it.'
  );
}

/** Only the server's own certificate is known: if that is in order, one of those that vouch for it is not. */
function explainAge(code: string, cert: ShownCertificate | undefined, { host, tls }: HandshakeFacts): string {
  const expired = code === 'CERT_HAS_EXPIRED';
  const state = expired ? 'has expired' : 'is not valid yet';
  const limit = Date.parse((expired ? cert?.valid_to : cert?.valid_from) ?? '');
  const now = Date.now();
  const renew = 'Renew it at the server, and if PGSSLROOTCERT is set, fetch that file again as well.';
  const here = `the clock here says ${new Date(now).toISOString()}, and trusted was ${trusted(tls)}. ${renew}`;
  if (Number.isNaN(limit)) {
    return `A certificate of ${host}, or of an authority that vouches for it, ${state}: ${here}`;
  }
  return (expired ? limit < now : limit > now)
    ? `The certificate of ${host}${detailsOf(cert)} ${state}: ${here}`
    : `The certificate of an authority that vouches for ${host}${detailsOf(cert)} ${state}: ${here}`;
}

/** What servers and poolers say that do not go with TLS, or not without. */
function explainRefusal(code: string, message: string, host: string): string | undefined {
  if (message === 'The server does not support SSL connections') {
    return (
      `${host} answered that it has no TLS, and going on without it was not allowed. Switch it on at the server ` +
      '(ssl = on; PgBouncer: client_tls_sslmode), or set PGSSLMODE=disable if nobody can listen in between: password and data are then readable.'
    );
  }
  const withoutTls = code === '28000' && /no encryption|SSL off|requires TLS/.test(message);
  // PgBouncer has one SQLSTATE for everything (1.18).
  if (withoutTls || (code === '08P01' && message === 'SSL required')) {
    return `${host} refuses this login without TLS, and the connection had none. Set PGSSLMODE=verify-full, or leave it out.`;
  }
  return undefined;
}

function explainHandshake(
  error: { code: string; message: string; cert: ShownCertificate | undefined },
  facts: HandshakeFacts,
): string | undefined {
  const { code, message, cert } = error;
  const { host } = facts;
  if (code === 'ERR_SSL_TLSV1_ALERT_NO_APPLICATION_PROTOCOL') {
    return `${host} does not speak PostgreSQL over direct TLS: leave sslnegotiation=direct out (PGSSLNEGOTIATION, connection string).`;
  }
  if (message.startsWith('Client network socket disconnected before secure TLS connection')) {
    return (
      `${host} closed the connection in the TLS handshake. If sslnegotiation=direct is set, the server is older than ` +
      'PostgreSQL 17: leave it out. Otherwise its log says why.'
    );
  }
  const inTheClear =
    code === 'ERR_SSL_WRONG_VERSION_NUMBER' || (code === 'EPROTO' && message.includes('wrong version number'));
  if (inTheClear || message === 'There was an error establishing an SSL connection') {
    return `What answered at ${host} does not speak TLS as PostgreSQL does: check host and port (a pooler has its own).`;
  }
  if (/PROTOCOL_VERSION|UNSUPPORTED_PROTOCOL/.test(code)) {
    return `${host} and Node.js have no TLS version in common: the server must allow TLS 1.2 or later (ssl_max_protocol_version).`;
  }
  if (cert !== undefined) {
    return `The certificate of ${host}${detailsOf(cert)} was not accepted (${code}: ${message}); trusted was ${trusted(facts.tls)}.`;
  }
  return code.startsWith('ERR_SSL_') ? `The TLS handshake with ${host} failed: ${code}.` : undefined;
}

/** Which certificate it was: whose, by whom, for how long. */
function detailsOf(cert: ShownCertificate | undefined): string {
  if (cert === undefined) return '';
  const parts = [`subject ${nameOf(cert.subject)}`];
  if (cert.issuer !== undefined) parts.push(`issued by ${nameOf(cert.issuer)}`);
  if (cert.valid_from && cert.valid_to) parts.push(`valid from ${cert.valid_from} to ${cert.valid_to}`);
  return ` (${parts.join(', ')})`;
}

/** Certificates need not have a common name (RFC 5280 4.1.2.6). */
function nameOf(name: ShownName | undefined): string {
  const part = name?.CN ?? name?.OU ?? name?.O ?? 'without a name';
  return typeof part === 'string' ? part : part.join(' + ');
}

function trusted(used: boolean | TlsOptions): string {
  if (typeof used === 'boolean') return "Node's own root certificates";
  return used.trusts ?? (used.ca === undefined ? "Node's own root certificates" : 'the ca of the ssl option alone');
}
