/**
 * Decides how a connection is encrypted and whom it trusts. pg takes `prefer`, `require`, `verify-ca` and `verify-full`
 * for the same thing and an unknown word for "no TLS" (pg 8.23), so the decision is made here and pg gets its result.
 */
import type { ConnectionOptions, SecureContext } from 'node:tls';
import { isLocal } from './local-host.ts';
import { isRdsProxyHost } from './rds-proxy-host.ts';

/** Names how far a server must prove who it is, in libpq's words; `no-verify` is node-postgres's own. */
export type SslMode = 'disable' | 'no-verify' | 'require' | 'verify-ca' | 'verify-full';

/** Holds what pg takes as `ssl`, with two notes for `explainTlsError` that Node's TLS does not look at. */
export interface TlsOptions extends ConnectionOptions {
  /** The mode that these options carry out; absent when the user gave them. */
  readonly sslMode?: SslMode;
  /** Whose certificates are trusted, in words. */
  readonly trusts?: string;
}

/** Holds the facts that {@link tlsFor} decides on. */
export interface TlsFacts {
  /** Host name, IP address or socket directory; nothing means localhost, as it does to pg. */
  readonly host?: string | undefined;
  /** `PGSSLMODE`. Nothing means `verify-full`, save on a loopback host without `sslRootCert`. */
  readonly sslMode?: string | undefined;
  /** `PGSSLROOTCERT`: the path of a PEM file, or `system` for Node's own roots. */
  readonly sslRootCert?: string | undefined;
  /** pg's own option. It wins over everything else: `true` is `verify-full`, an object is taken as it is. */
  readonly ssl?: boolean | ConnectionOptions | undefined;
  /**
   * The credentials must not be sent without TLS: an IAM token travels as clear text, and whoever reads it can log in
   * with it. Loopback is `verify-full` by default then, too, and no TLS is an error. What `require` and `no-verify` do
   * not look at stays the user's word: AWS's own examples use `sslmode=require`.
   */
  readonly required?: boolean | undefined;
  /** `PGSSLNEGOTIATION`: with `direct` TLS begins at once, so that there must be some. */
  readonly sslNegotiation?: string | undefined;
  /**
   * Where the Lambda runtime keeps Amazon's certificate authorities; passed over when there is no such file.
   * @default '/var/runtime/ca-cert.pem' (AWS Lambda, zip runtimes of Node.js 20 and later; container images lack it)
   */
  readonly runtimeCaFile?: string;
}

/** Reports TLS settings that contradict each other or name a file that cannot be used. */
export class TlsOptionError extends Error {
  /** Stable identifier, the same that the pool's own option errors carry. */
  readonly code = 'ERR_POOL_INVALID_OPTION';

  constructor(message: string, options?: ErrorOptions) {
    super(message, options);
    this.name = 'TlsOptionError';
  }
}

// Node's modules are taken when they are needed: together they cost a cold start 3 ms (seen, Node 24), where pg has not loaded
// them yet or an ES module would list their exports.
const fs = () => process.getBuiltinModule('node:fs');
const tls = () => process.getBuiltinModule('node:tls');

const modes: readonly string[] = ['disable', 'no-verify', 'require', 'verify-ca', 'verify-full'] satisfies SslMode[];
const isMode = (word: string): word is SslMode => modes.includes(word);

/** Contexts by what they trust. Making one parses some 230 certificates, 10 ms (seen, Node 24): once, not per connection. */
const contexts = new Map<string, SecureContext>();

/**
 * Decides TLS for connections to one host. Reads certificate files when it is called, once per path and process.
 *
 * | mode | encrypted | certificate | host name |
 * |---|---|---|---|
 * | nothing set, loopback or socket | no | | |
 * | nothing set, any other host; `verify-full` | yes | verified | verified |
 * | `verify-ca` (needs `sslRootCert`) | yes | verified | not looked at |
 * | `require` with `sslRootCert` | yes | verified | not looked at |
 * | `require` without; `no-verify` | yes | not looked at | not looked at |
 * | `disable` | no | | |
 *
 * These are libpq's meanings, with three exceptions on the safe side: the default is not `prefer`; `allow` and `prefer`
 * are errors, because they go on without TLS when the server, or somebody in between, says that it has none; and no
 * file in the home directory is looked for. A Unix socket never has TLS, whatever the mode, as in libpq. With `required`
 * no TLS is an error, and nothing set is `verify-full` on loopback too; with `sslNegotiation` `direct` no TLS is one too.
 *
 * @returns `false` for no TLS, else what pg takes as `ssl`. Verification is asked for explicitly, so that
 * `NODE_TLS_REJECT_UNAUTHORIZED=0` does not switch it off.
 * @throws {@link TlsOptionError} (`ERR_POOL_INVALID_OPTION`) for an unknown or refused mode, modes and roots that do not
 * fit together, TLS that is needed and switched off, and a root certificate file that cannot be read or holds no
 * certificate.
 */
export function tlsFor(facts: TlsFacts): false | TlsOptions {
  const { host = 'localhost', ssl, sslRootCert } = facts;
  if (typeof ssl === 'object') return ssl;
  if (ssl === false) return withoutTls(facts, 'ssl is false');
  const mode = ssl === true ? 'verify-full' : modeFor(facts);
  if (ssl === undefined && host.startsWith('/')) return withoutTls(facts, `a Unix socket (${host}) has none`);
  if (mode === 'disable') {
    const why = facts.sslMode === undefined ? `none is used on ${host} when nothing is set` : 'sslMode is disable';
    return withoutTls(facts, `${why} (environment PGSSLMODE)`);
  }
  if (mode === 'no-verify' || (mode === 'require' && sslRootCert === undefined)) {
    return { sslMode: mode, trusts: 'anyone (the certificate is not verified)', rejectUnauthorized: false };
  }
  const verified: TlsOptions = { sslMode: mode, rejectUnauthorized: true, ...trustFor(facts) };
  return mode === 'verify-full' ? verified : { ...verified, checkServerIdentity: () => undefined };
}

/** Goes without TLS, unless something needs it. */
function withoutTls({ required = false, sslNegotiation }: TlsFacts, why: string): false {
  if (required) {
    throw new TlsOptionError(
      `TLS must not be off with these credentials, and ${why}: a token is sent as it is, so that whoever listens in ` +
        'between could log in with it. Leave the mode out, or set verify-full, and connect by TCP',
    );
  }
  if (sslNegotiation === 'direct') {
    throw new TlsOptionError(
      `sslNegotiation "direct" needs TLS (environment PGSSLNEGOTIATION), and ${why}. Set sslMode to verify-full, or ` +
        'leave sslNegotiation out',
    );
  }
  return false;
}

function modeFor({ host = 'localhost', sslMode, sslRootCert, required = false }: TlsFacts): SslMode {
  if (sslMode === undefined) {
    return isLocal(host) && sslRootCert === undefined && !required ? 'disable' : 'verify-full';
  }
  if (sslMode === 'prefer' || sslMode === 'allow') {
    throw new TlsOptionError(
      `sslMode must not be "${sslMode}" (environment PGSSLMODE): it would go on without encryption when the server, or ` +
        'somebody in between, offers none. Use verify-full, verify-ca or require, or say disable if that is what you want',
    );
  }
  if (!isMode(sslMode)) {
    throw new TlsOptionError(`sslMode must be one of ${modes.join(', ')}, got "${sslMode}" (environment PGSSLMODE)`);
  }
  if (sslRootCert === 'system' && sslMode !== 'verify-full') {
    throw new TlsOptionError(
      `sslMode must be verify-full with sslRootCert "system", got "${sslMode}" (environment PGSSLMODE, PGSSLROOTCERT): ` +
        'anybody can have a certificate from a public authority, so that only the host name tells servers apart',
    );
  }
  if (sslMode === 'verify-ca' && sslRootCert === undefined) {
    throw new TlsOptionError(
      'sslMode "verify-ca" needs sslRootCert, the file of your own certificate authority (environment PGSSLMODE, ' +
        'PGSSLROOTCERT): from a public one anybody can have a certificate. Set it, or use verify-full',
    );
  }
  return sslMode;
}

function trustFor(facts: TlsFacts): Pick<TlsOptions, 'trusts' | 'secureContext'> {
  const { host = '', sslRootCert, runtimeCaFile = '/var/runtime/ca-cert.pem' } = facts;
  if (sslRootCert !== undefined && sslRootCert !== 'system') {
    const trusts = `the certificates in ${sslRootCert} (PGSSLROOTCERT) and no others`;
    return { trusts, secureContext: contextOf(sslRootCert, () => readRoots(sslRootCert)) };
  }
  const own = { trusts: "Node's own root certificates" };
  // An RDS Proxy's certificate comes from Amazon Trust Services, which Node's own roots hold: nothing need be added.
  if (sslRootCert === 'system' || isRdsProxyHost(host) || !fs().existsSync(runtimeCaFile)) return own;
  // A `ca` replaces Node's roots: both are given, for a host may be an instance (Amazon RDS) or behind a public name.
  const both = contextOf(`+${runtimeCaFile}`, () => [...nodeRoots(), ...readRoots(runtimeCaFile)]);
  return { trusts: `Node's own root certificates and ${runtimeCaFile}`, secureContext: both };
}

function contextOf(key: string, roots: () => string[]): SecureContext {
  const context = contexts.get(key) ?? tls().createSecureContext({ ca: roots() });
  contexts.set(key, context);
  return context;
}

/** Node.js before 22.15 cannot list its defaults, which also hold what `NODE_EXTRA_CA_CERTS` and `--use-system-ca` add. */
const nodeRoots = (): readonly string[] =>
  (tls() as Partial<ReturnType<typeof tls>>).getCACertificates?.('default') ?? tls().rootCertificates;

/** Reads the certificates of a PEM file. Node passes over what it cannot parse in a `ca`, hence the checks. */
function readRoots(path: string): string[] {
  let content: string;
  try {
    content = fs().readFileSync(path, 'latin1');
  } catch (cause) {
    const why = cause instanceof Error ? cause.message : String(cause);
    throw new TlsOptionError(
      `sslRootCert must be a readable PEM file, got "${path}" (environment PGSSLROOTCERT): ${why}. ` +
        'In a Lambda function files of the bundle are under /var/task',
      { cause },
    );
  }
  const blocks = content.match(/-----BEGIN CERTIFICATE-----[^-]*-----END CERTIFICATE-----/g) ?? [];
  const damaged = blocks.findIndex((block) => !isWhole(block));
  if (blocks.length > 0 && damaged < 0) return blocks;
  throw new TlsOptionError(
    blocks.length === 0
      ? `sslRootCert must be a PEM file with at least one certificate, got "${path}" (environment PGSSLROOTCERT), which ` +
          'has no "BEGIN CERTIFICATE" block. Convert a DER file with: openssl x509 -inform der -in FILE'
      : `Certificate ${damaged + 1} of ${blocks.length} in "${path}" is damaged (sslRootCert, environment PGSSLROOTCERT). ` +
          'Fetch the file again',
  );
}

/** Checks that a certificate is one DER sequence of the length that it states (X.690 8.1); a full parse costs 35 µs each. */
function isWhole(block: string): boolean {
  const der = Buffer.from(block.replaceAll(/-----[^-]*-----|\s/g, ''), 'base64');
  const [tag, length = 0] = der;
  // Below 0x80 the length itself, above it the number of bytes that hold the length.
  const lengthBytes = length < 0x80 ? 0 : length - 0x80;
  if (tag !== 0x30 || lengthBytes > 4 || der.length < 2 + lengthBytes) return false;
  return der.length === 2 + lengthBytes + (lengthBytes === 0 ? length : der.readUIntBE(2, lengthBytes));
}

/**
 * Takes the TLS parameters out of a connection string. pg lets those in the string win over `ssl`, with its own meanings
 * (pg-connection-string 2.14), so that the result of {@link tlsFor} would be lost if they stayed.
 *
 * @returns the string without them, and their values; `ssl=true` is `verify-full`, `ssl=0` is `disable`.
 * @throws {@link TlsOptionError} (`ERR_POOL_INVALID_OPTION`) for client certificates, which only the `ssl` option takes.
 */
export function splitSslFromUrl(connectionString: string): {
  connectionString: string;
  sslMode?: string;
  sslRootCert?: string;
  sslNegotiation?: string;
} {
  const [base = '', query = ''] = connectionString.split(/\?(.*)/s);
  const found = new Map<string, string>();
  const kept = query.split('&').filter((pair) => {
    const [name, value] = [...new URLSearchParams(pair)][0] ?? ['', ''];
    if (/^ssl(cert|key|password)$/.test(name)) {
      throw new TlsOptionError(`${name} is not read from a connection string: give ssl: { cert, key, ca } in code`);
    }
    const isSsl = /^(ssl|sslmode|sslrootcert|sslnegotiation|uselibpqcompat)$/.test(name);
    if (isSsl && value !== '') found.set(name, value);
    return !isSsl && pair !== '';
  });
  const ssl = found.get('ssl') ?? '';
  const aliases: Readonly<Record<string, string>> = {
    true: 'verify-full',
    '1': 'verify-full',
    false: 'disable',
    '0': 'disable',
  };
  const sslMode = found.get('sslmode') ?? (ssl === '' ? undefined : (aliases[ssl] ?? ssl));
  const sslRootCert = found.get('sslrootcert');
  const sslNegotiation = found.get('sslnegotiation');
  return {
    connectionString: kept.length > 0 ? `${base}?${kept.join('&')}` : base,
    ...(sslMode !== undefined && { sslMode }),
    ...(sslRootCert !== undefined && { sslRootCert }),
    ...(sslNegotiation !== undefined && { sslNegotiation }),
  };
}
