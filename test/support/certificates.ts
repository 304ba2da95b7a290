/** Certificates for TLS tests, made by the `openssl` command line in a folder of their own. */
import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

/** A server's certificate with its key, as `tls.createServer` takes them. */
export interface ServerCertificate {
  readonly cert: string;
  readonly key: string;
}

/** One authority, the servers it vouches for, and those it does not. */
export interface Certificates {
  /** The folder, for files of a test's own. */
  readonly folder: string;
  /** The path of the authority's certificate. */
  readonly caFile: string;
  /** The path of an authority's certificate that signed none of the servers. */
  readonly otherCaFile: string;
  /** For localhost and 127.0.0.1. */
  readonly local: ServerCertificate;
  /** For db.example.com and nothing else. */
  readonly elsewhere: ServerCertificate;
  /** For localhost, until yesterday. */
  readonly expired: ServerCertificate;
  /** For localhost, signed by itself. */
  readonly selfSigned: ServerCertificate;
  /** For localhost, sent together with the authority that Node does not know. */
  readonly withChain: ServerCertificate;
  /** Removes the folder. */
  dispose(): void;
}

/** Says why certificates cannot be made here; nothing when they can. */
export function whyNoCertificates(): string | undefined {
  try {
    execFileSync('openssl', ['version'], { stdio: 'ignore' });
    return undefined;
  } catch {
    return 'the openssl command line is not installed';
  }
}

/** Makes a certificate authority, another one, and servers' certificates; takes about 0.2 s. */
export function makeCertificates(): Certificates {
  const folder = mkdtempSync(join(tmpdir(), 'thawpool-tls-'));
  const openssl = (...args: string[]): void => {
    execFileSync('openssl', args, { cwd: folder, stdio: ['ignore', 'ignore', 'pipe'] });
  };
  const read = (name: string): string => readFileSync(join(folder, name), 'utf8');
  const newKey = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes'];

  const authority = (name: string): string => {
    openssl(
      'req',
      '-x509',
      ...newKey,
      '-keyout',
      `${name}.key`,
      '-out',
      `${name}.pem`,
      '-days',
      '2',
      '-subj',
      `/CN=${name}`,
    );
    return join(folder, `${name}.pem`);
  };
  const server = (name: string, altNames: string, days = '2'): ServerCertificate => {
    writeFileSync(join(folder, `${name}.ext`), `subjectAltName=${altNames}\n`);
    openssl('req', ...newKey, '-keyout', `${name}.key`, '-out', `${name}.csr`, '-subj', `/CN=${name}`);
    const signedBy = ['-CA', 'authority.pem', '-CAkey', 'authority.key', '-CAcreateserial'];
    openssl(
      'x509',
      '-req',
      '-in',
      `${name}.csr`,
      ...signedBy,
      '-days',
      days,
      '-extfile',
      `${name}.ext`,
      '-out',
      `${name}.pem`,
    );
    return { cert: read(`${name}.pem`), key: read(`${name}.key`) };
  };

  const caFile = authority('authority');
  const local = server('local', 'DNS:localhost,IP:127.0.0.1');
  authority('localhost');
  return {
    folder,
    caFile,
    otherCaFile: authority('other-authority'),
    local,
    elsewhere: server('elsewhere', 'DNS:db.example.com'),
    expired: server('expired', 'DNS:localhost', '-1'),
    selfSigned: { cert: read('localhost.pem'), key: read('localhost.key') },
    withChain: { cert: local.cert + read('authority.pem'), key: local.key },
    dispose: () => rmSync(folder, { recursive: true, force: true }),
  };
}
